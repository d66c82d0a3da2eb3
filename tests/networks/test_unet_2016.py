"""The 3D U-Net of 2016 and its kin against the counts of the paper, of MedicalZoo's article and of pytorch-3dunet."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from small_networks import built, counted_on_meta, image, plan_of, scores
from torch import nn

from autoseg.errors import PlanError
from autoseg.networks.layers import AttentionGate, SqueezeExcite
from autoseg.networks.unet_2016 import Order

PLAN = plan_of((16, 16, 16))
THEIRS = {"width": 32, "layer_order": "gcr", "bias": False}


@pytest.mark.parametrize(
    ("channels", "outputs", "settings", "parameters"),
    [
        (1, 4, {}, 19_072_964),
        (2, 4, {}, 19_073_828),
        (3, 3, {}, 19_074_627),
        (3, 3, {"layer_order": "cr"}, 19_069_955),  # as the paper prints it
        (1, 2, {**THEIRS, "upsampling": "nearest"}, 4_081_300),
        (2, 4, {**THEIRS, "upsampling": "nearest"}, 4_081_800),
        (1, 2, {**THEIRS, "levels": 5, "blocks": "residual"}, 28_437_314),
        (2, 4, {**THEIRS, "levels": 5, "blocks": "residual"}, 28_437_412),
        (1, 2, {**THEIRS, "levels": 5, "blocks": "residual", "squeeze_excite": "both"}, 29_314_187),
        (2, 4, {**THEIRS, "levels": 5, "blocks": "residual", "squeeze_excite": "both"}, 29_314_285),
    ],
)
def test_it_has_as_many_parameters_as_the_reference(
    channels: int, outputs: int, settings: dict[str, Any], parameters: int
) -> None:
    assert counted_on_meta("unet_2016", PLAN, channels, outputs, **settings) == parameters


@pytest.mark.parametrize(
    ("letters", "parameters", "layers", "bias"),
    [
        ("crg", 880, ["Conv3d", "ReLU", "GroupNorm"], False),
        ("cr", 872, ["Conv3d", "ReLU"], True),
        ("gcr", 872, ["GroupNorm", "Conv3d", "ReLU"], False),
        ("cbr", 880, ["Conv3d", "BatchNorm3d", "ReLU"], False),
        ("cl", 872, ["Conv3d", "LeakyReLU"], True),
        ("ce", 872, ["Conv3d", "ELU"], True),
        # theirs is torch's Dropout2d, which leaves out channels of volumes too, with a warning
        ("crD", 872, ["Conv3d", "ReLU", "Dropout3d"], True),
        ("gcrd", 872, ["GroupNorm", "Conv3d", "ReLU", "Dropout"], False),
        ("bcr", 872, ["BatchNorm3d", "Conv3d", "ReLU"], False),
    ],
)
def test_letters_are_the_layers_of_the_reference(letters: str, parameters: int, layers: list[str], bias: bool) -> None:
    found = Order(letters=letters, dropout=0.1, bias=False).layers(4, 8, (3, 3, 3))

    assert [type(layer).__name__ for layer in found] == layers
    assert sum(weights.numel() for weights in found.parameters()) == parameters
    (convolution,) = (layer for layer in found if isinstance(layer, nn.Conv3d))
    assert (convolution.bias is not None) is bias


@pytest.mark.parametrize(("channels", "groups"), [(4, 1), (8, 8), (12, 1), (32, 8)])
def test_groups_are_eight_or_one(channels: int, groups: int) -> None:
    (norm, *_) = Order(letters="gcr", dropout=0.1, bias=False).layers(channels, 8, (3, 3))

    assert norm.num_groups == groups


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"layer_order": "gr"}, "unet_2016: layer_order holds one c and any of c, r, l, e, g, b, d, D, found 'gr'"),
        ({"layer_order": "cxr"}, "unet_2016: layer_order holds one c and any of c, r, l, e, g, b, d, D, found 'cxr'"),
        ({"layer_order": "rc"}, "unet_2016: layer_order cannot begin with the nonlinearity 'r'"),
        ({"layer_order": "cre"}, "unet_2016: layer_order holds one nonlinearity at most, found r and e"),
        ({"squeeze_excite": "both"}, "unet_2016: squeeze_excite needs blocks 'residual', found 'double'"),
    ],
)
def test_settings_that_make_no_network_are_refused(settings: dict[str, Any], message: str) -> None:
    with pytest.raises(PlanError) as caught:
        built("unet_2016", PLAN, width=8, **settings)
    assert str(caught.value) == message


@pytest.mark.parametrize("upsampling", ["transposed", "nearest", "linear"])
@pytest.mark.parametrize("blocks", ["double", "residual"])
def test_it_climbs_again_in_every_way(upsampling: str, blocks: str) -> None:
    plan = plan_of((12, 8, 16), ((3, 1, 2), (2, 2, 4)), kernels=((1, 3, 3), (3, 3, 3), (3, 3, 3)))
    network = built("unet_2016", plan, width=8, levels=3, upsampling=upsampling, blocks=blocks)

    assert scores(network, image(2, 1, 12, 8, 16))[0].shape == (2, 3, 12, 8, 16)


def test_coarser_levels_answer_where_the_plan_has_labels_for_them() -> None:
    deep = built("unet_2016", PLAN, width=8, coarse_outputs=True)
    shallow = built("unet_2016", plan_of((16, 16), ((2, 2),)), width=8, coarse_outputs=True)

    assert [tuple(one.shape[2:]) for one in scores(deep, image(2, 1, 16, 16, 16))] == [(16,) * 3, (8,) * 3, (4,) * 3]
    assert [tuple(one.shape[2:]) for one in scores(shallow, image(2, 1, 16, 16))] == [(16, 16)]
    deep.deep_supervision = False
    assert [tuple(one.shape[2:]) for one in scores(deep, image(2, 1, 16, 16, 16))] == [(16,) * 3]


def test_squeeze_and_excite_takes_the_larger_of_channels_and_places() -> None:
    features = image(2, 4, 3, 3)
    both = SqueezeExcite("both", 4, 2)

    channels = both.of_channels(features.mean((2, 3)))[:, :, None, None] * features
    places = both.of_places(features) * features

    torch.testing.assert_close(both(features), torch.maximum(channels, places))


def test_a_gate_weighs_every_place_of_the_skip_alike_for_all_channels() -> None:
    gate = AttentionGate(4, 6, (1, 2))
    seen = []
    gate.result.register_forward_pre_hook(lambda _, inputs: seen.append(inputs[0]))
    skip = image(2, 4, 6, 8)

    gate(skip, image(2, 6, 3, 2))

    weights = seen[0] / skip
    torch.testing.assert_close(weights, weights[:, :1].expand_as(weights), rtol=1e-4, atol=1e-5)
    assert ((weights > 0) & (weights < 1)).all()
