"""The densely connected and the residual networks against MedicalZoo's counts, and against the words that describe them."""

from __future__ import annotations

import pytest
import torch
from small_networks import built, counted_on_meta, image, plan_of, scores
from torch import nn
from torch.nn import functional as F

from autoseg.errors import PlanError
from autoseg.networks.dense import DenseLayer, SeparatePaths
from autoseg.networks.highres import DilatedPair
from autoseg.networks.resnet_vae import divergence

PLAN = plan_of((32, 32, 32))


@pytest.mark.parametrize(
    ("name", "channels", "parameters"),
    [
        ("dense_single", 1, 2_685_243),
        ("dense_single", 2, 2_697_811),
        ("dense_single", 3, 2_710_379),
        ("dense_dual", 1, 2_685_243),
        ("dense_dual", 2, 5_370_486),
        ("dense_dual", 3, 8_055_729),
        ("dense_dual_single", 2, 2_995_086),
        ("dense_dual_single", 3, 3_304_929),
        ("hyper_dense", 2, 10_361_922),
        ("hyper_dense", 3, 23_173_431),
        ("skip_dense", 1, 1_551_392),
        ("skip_dense", 2, 1_552_256),
        ("skip_dense", 3, 1_553_120),
        ("dense_voxel", 1, 1_783_280),
        ("dense_voxel", 2, 1_783_296),
        ("dense_voxel", 3, 1_783_312),
        ("highres", 1, 809_876),
        ("highres", 2, 810_308),
        ("highres", 3, 810_740),
        ("resnet_vae", 1, 20_175_029),
        ("resnet_vae", 2, 20_176_758),
        ("resnet_vae", 3, 20_178_487),
        ("resnet_med3d", 1, 36_144_960),
        ("resnet_med3d", 2, 36_166_912),
        ("resnet_med3d", 3, 36_188_864),
    ],
)
def test_it_has_as_many_parameters_as_the_reference(name: str, channels: int, parameters: int) -> None:
    assert counted_on_meta(name, PLAN, channels, 4) == parameters


def test_a_dense_layer_passes_on_what_came_in() -> None:
    layer, features = DenseLayer(3, 5, (3, 3), dropout=0.0), image(2, 3, 6, 6)

    assert torch.equal(layer(features)[:, :3], features)
    assert layer(features).shape == (2, 8, 6, 6)


def test_paths_of_their_own_see_their_channel_alone() -> None:
    paths = [nn.Conv2d(1, 2, 1) for _ in range(3)]
    features = image(2, 3, 4, 4)
    apart = [path(features[:, number : number + 1]) for number, path in enumerate(paths)]

    assert torch.equal(SeparatePaths(paths, "concatenated")(features), torch.cat(apart, dim=1))
    torch.testing.assert_close(SeparatePaths(paths, "summed")(features), apart[0] + apart[1] + apart[2])


def test_the_hyperdense_network_is_the_references_inside_of_its_padding() -> None:
    """Nine convolutions without padding take nine voxels from each side."""
    network = built("hyper_dense", plan_of((22, 22), ((2, 2),)), 2, 4, growth=2).eval()
    batch = image(1, 2, 22, 22)

    padded, inner = network(batch), network.inner(batch)

    assert inner.shape == (1, 4, 4, 4)
    torch.testing.assert_close(padded[:, :, 9:-9, 9:-9], inner)


def test_one_channel_has_no_other_to_be_connected_with() -> None:
    with pytest.raises(PlanError) as caught:
        built("hyper_dense", PLAN, 1, 2)
    assert str(caught.value) == (
        "3d_fullres: hyper_dense connects the paths of several channels, and the image has 1; name another network, "
        "dense_single for one"
    )


@pytest.mark.parametrize(("outputs", "groups"), [(4, [4, 4, 4, 4]), (3, [3, 1, 3, 1])])
def test_each_label_has_features_of_its_own_where_they_can_be_divided(outputs: int, groups: list[int]) -> None:
    network = built("skip_dense", PLAN, 1, outputs)

    assert [answer.groups for answer in network.answers] == groups
    assert [answer.kernel_size[0] for answer in network.answers] == [4, 6, 10, 18]


def test_dilation_doubles_and_skips_get_zeros_on_both_sides() -> None:
    network = built("highres", PLAN, 1, 2, width=4)
    pairs = [layer for layer in network.encoder if isinstance(layer, DilatedPair)]
    pair = DilatedPair(2, 6, (3, 3), 2, "zeros")
    for layer in pair.layers:
        if isinstance(layer, nn.Conv2d):
            nn.init.zeros_(layer.weight)
            nn.init.zeros_(layer.bias)
    features = image(1, 2, 5, 5)

    assert [pair.layers[2].dilation[0] for pair in pairs] == [1, 1, 1, 2, 2, 2, 4, 4, 4]
    assert torch.equal(pair(features), F.pad(features, (0, 0, 0, 0, 2, 2)))


def test_the_voxel_network_answers_twice_through_one_head() -> None:
    network = built("dense_voxel", plan_of((16, 16)), 1, 4, width=4, growth=2).eval()
    main, auxiliary = scores(network, image(2, 1, 16, 16))

    assert main.shape == auxiliary.shape == (2, 4, 16, 16)
    nn.init.zeros_(network.heads[0].weight)
    assert all(answer.abs().max() == 0 for answer in scores(network, image(2, 1, 16, 16)))
    network.deep_supervision = False
    assert len(scores(network, image(2, 1, 16, 16))) == 1


def test_the_regularising_branch_counts_in_training_only() -> None:
    network = built("resnet_vae", plan_of((16, 16)), 2, 3, width=8, dropout=0.0)
    batch = image(2, 2, 16, 16)
    answers, penalty = network(batch)
    network.weights = (0.0, 0.0)

    assert (answers.shape, penalty.shape) == ((2, 3, 16, 16), (2,))
    assert (penalty > 0).all() and network(batch)[1].tolist() == [0, 0]
    assert network.eval()(batch).shape == (2, 3, 16, 16)
    again, mean, log_variance = network.autoencoder(image(2, 64, 2, 2))
    assert (again.shape, mean.shape, log_variance.shape) == ((2, 2, 16, 16), (2, 32), (2, 32))


def test_the_penalty_is_the_mean_squared_error_and_the_divergence_by_voxel() -> None:
    network = built("resnet_vae", plan_of((16, 16)), 1, 2, width=8, reconstruction_weight=2.0, divergence_weight=3.0)
    batch, mean, log_variance = image(2, 1, 16, 16), torch.tensor([[1.0, 2.0], [0.0, 0.0]]), torch.zeros(2, 2)
    network.autoencoder.register_forward_hook(lambda *_: (batch + 0.5, mean, log_variance))

    assert network.penalty(batch, image(2, 64, 2, 2)).tolist() == pytest.approx([2 * 0.25 + 3 * 2.5 / 256, 0.5])


@pytest.mark.parametrize(
    ("mean", "log_variance", "expected"),
    [(0.0, 0.0, 0.0), (2.0, 0.0, 2.0), (0.0, 1.0, 0.3591409), (1.0, -1.0, 0.6839397)],
)
def test_the_divergence_is_that_of_normal_distributions(mean: float, log_variance: float, expected: float) -> None:
    found = divergence(torch.tensor([[mean]]), torch.tensor([[log_variance]]))

    assert found.item() == pytest.approx(expected, abs=1e-6)


@pytest.mark.parametrize("depth", [10, 34, 50])
def test_deeper_residual_networks_have_more_blocks(depth: int) -> None:
    network = built("resnet_med3d", plan_of((16, 16)), width=8, depth=depth)
    stages = network.encoder[1:]

    layers = sum(
        len([one for one in block.layers if isinstance(one, nn.Conv2d)]) for stage in stages for block in stage
    )
    assert layers + 2 == depth
    dilations = [max(one.dilation[0] for one in stage.modules() if isinstance(one, nn.Conv2d)) for stage in stages]
    assert dilations == [1, 1, 2, 4]
