"""ivadomed's, MedicalZoo's and Multi-Planar's U-Nets and MedNeXt against their counts, and the words that describe them."""

from __future__ import annotations

import math
from itertools import pairwise
from typing import Any

import pytest
import torch
from small_networks import built, counted_on_meta, image, plan_of, scores
from torch import nn
from torch.nn import functional as F

from autoseg.errors import PlanError
from autoseg.networks.mednext import NextBlock
from autoseg.networks.unet_2017 import SharedLevel
from autoseg.networks.unet_multiplanar import NearestClimb

FLAT, DEEP = plan_of((32, 32)), plan_of((32, 32, 32))


@pytest.mark.parametrize(
    ("name", "axes", "channels", "outputs", "settings", "parameters"),
    [
        ("unet_dropout", 2, 1, 1, {"levels": 3}, 1_147_009),
        ("unet_dropout", 2, 1, 1, {}, 4_837_249),
        ("unet_dropout", 2, 1, 1, {"levels": 5}, 19_590_529),
        ("unet_dropout", 2, 3, 1, {}, 4_838_401),
        ("unet_dropout", 2, 1, 3, {}, 4_838_403),
        ("unet_dropout", 2, 1, 1, {"width": 16}, 303_841),
        ("unet_dropout", 3, 1, 1, {"width": 8}, 227_089),
        ("unet_2017", 3, 1, 1, {"width": 8}, 1_781_192),
        ("unet_2017", 3, 1, 1, {}, 7_124_112),
        ("unet_2017", 3, 1, 1, {"width": 8, "attention_gates": True}, 1_845_691),
        ("unet_2017", 3, 1, 1, {"attention_gates": True}, 7_380_595),
        ("unet_2017", 3, 2, 3, {"width": 8}, 1_781_632),
        ("unet_2017", 3, 1, 4, {"width": 8}, 1_781_528),  # MedicalZoo's UNET3D
        ("unet_2017", 3, 2, 4, {"width": 8}, 1_781_744),
        ("unet_2017", 3, 3, 4, {"width": 8}, 1_781_960),
        ("unet_bilinear", 2, 1, 4, {}, 13_394_372),
        ("unet_bilinear", 2, 2, 4, {}, 13_394_948),
        ("unet_bilinear", 2, 3, 4, {}, 13_395_524),
    ],
)
def test_it_has_as_many_parameters_as_the_reference(
    name: str, axes: int, channels: int, outputs: int, settings: dict[str, Any], parameters: int
) -> None:
    plan = FLAT if axes == 2 else DEEP

    assert counted_on_meta(name, plan, channels, outputs, **settings) == parameters


@pytest.mark.parametrize(
    ("scale", "kernel", "millions"),
    [("S", 3, 5.6), ("B", 3, 10.5), ("M", 3, 17.6), ("L", 3, 61.8), ("B", 5, 11.0), ("M", 5, 18.3), ("L", 5, 63.0)],
)
def test_mednext_has_as_many_parameters_as_its_paper_prints(scale: str, kernel: int, millions: float) -> None:
    counted = counted_on_meta("mednext", DEEP, 1, 14, scale=scale, kernel=kernel)

    assert round(counted / 1e6, 1) == millions


def test_the_multiplanar_network_has_the_parameters_of_its_channels() -> None:
    """90, 181, 362, 724 and 1448 channels; convolutions have biases, normalisations two numbers a channel."""
    widths = (90, 181, 362, 724, 1448)
    expected = 90 * 4 + 4
    for before, width in pairwise((1, *widths)):
        expected += (9 * before + 1 + 9 * width + 1 + 2) * width
    for width, below in pairwise(widths):
        expected += (4 * below + 1 + 2) * width + (9 * 2 * width + 1 + 9 * width + 1 + 2) * width

    assert counted_on_meta("unet_multiplanar", FLAT, 1, 4) == expected == 62_050_421


def test_the_answers_begin_with_the_labels_frequencies() -> None:
    network = built("unet_multiplanar", FLAT, width=4, levels=2, class_frequencies=(8.0, 1.0, 1.0))
    bias = network.heads[0].bias

    assert bias.tolist() == pytest.approx([math.log(share) for share in (0.8, 0.1, 0.1)])
    for frequencies, found in (((0.5, 0.5), "0.5, 0.5"), ((1.0, 0.0, 1.0), "1, 0, 1")):
        with pytest.raises(PlanError) as caught:
            built("unet_multiplanar", FLAT, width=4, class_frequencies=frequencies)
        assert str(caught.value) == (
            "unet_multiplanar: class_frequencies needs a number above 0 for each of the 3 outputs, the background among "
            f"them, found {found}"
        )


@pytest.mark.parametrize("stride", [(2, 2), (1, 2), (3, 4)])
def test_an_even_kernel_keeps_the_borders(stride: tuple[int, int]) -> None:
    climb = NearestClimb(2, 3, stride)

    assert climb(image(1, 2, 4, 4), (4 * stride[0], 4 * stride[1])).shape == (1, 3, 4 * stride[0], 4 * stride[1])


def test_any_size_is_taken_where_levels_are_brought_to_the_size_of_the_skip() -> None:
    plan = plan_of((13, 22), ((1, 1),))
    for name in ("unet_dropout", "unet_bilinear", "unet_multiplanar"):
        network = built(name, plan, width=4, levels=3)
        assert scores(network, image(2, 1, 13, 22))[0].shape == (2, 3, 13, 22)


def test_volumes_are_normalised_by_sample_and_slices_by_batch_unless_it_is_said() -> None:
    def kinds(axes: int, **settings: Any) -> set[str]:
        network = built("unet_dropout", FLAT if axes == 2 else DEEP, width=4, levels=2, **settings)
        return {type(layer).__name__ for layer in network.modules() if "Norm" in type(layer).__name__}

    assert (kinds(2), kinds(3)) == ({"BatchNorm2d"}, {"InstanceNorm3d"})
    assert kinds(2, normalisation="group") == {"GroupNorm"}
    assert kinds(3, normalisation="none") == set()


def test_each_convolution_is_followed_by_nonlinearity_normalisation_and_dropout_in_that_order() -> None:
    network = built("unet_dropout", FLAT, width=4, levels=2)
    names = [type(layer).__name__ for layer in network.encoder[0][1]]

    assert names == ["Conv2d", "ReLU", "BatchNorm2d", "Dropout2d"] * 2
    assert network.encoder[0][1][3].p == 0.3


def test_a_level_of_2017_uses_its_convolution_twice() -> None:
    level, features = SharedLevel(4, (3, 3), (2, 2), dropout=0.0), image(2, 2, 8, 8)
    down = level.down(features)

    def once(values: torch.Tensor) -> torch.Tensor:
        return level.shared[2](F.leaky_relu(F.instance_norm(values), 0.01))

    torch.testing.assert_close(level(features), once(once(down)) + down)


def test_the_answers_of_2017_are_a_sum_of_three_resolutions() -> None:
    network = built("unet_2017", FLAT, width=4, dropout=0.0).eval()
    batch = image(1, 1, 32, 32)
    whole = network(batch)
    parts = []
    for number in range(3):
        other = built("unet_2017", FLAT, width=4, dropout=0.0).eval()
        for head in [one for one in range(3) if one != number]:
            nn.init.zeros_(other.heads[head].weight)
        parts.append(other(batch))

    torch.testing.assert_close(sum(parts), whole)
    assert torch.equal(parts[2][:, :, ::4, ::4], parts[2][:, :, 3::4, 3::4])
    assert not torch.equal(parts[1][:, :, ::4, ::4], parts[1][:, :, 3::4, 3::4])


def test_a_mednext_block_widens_by_itself_and_adds() -> None:
    block, features = NextBlock(3, 3, (5, 5), 4), image(2, 3, 9, 9)
    depthwise, norm, widen, _, narrow = block.layers

    assert (depthwise.groups, widen.out_channels) == (3, 12)
    expected = narrow(F.gelu(widen(F.instance_norm(depthwise(features)))))
    torch.testing.assert_close(block(features), expected + features, rtol=1e-4, atol=1e-5)
    assert norm.affine


def test_mednext_answers_at_every_level_of_the_plan() -> None:
    outputs = scores(built("mednext", DEEP, width=2), image(1, 1, 32, 32, 32))

    assert [tuple(output.shape[2:]) for output in outputs] == [(32,) * 3, (16,) * 3, (8,) * 3, (4,) * 3]
