from __future__ import annotations

import math

import pytest
import torch
from small_plans import unet_settings
from torch import nn

from autoseg.networks.unet import UNet
from autoseg.plans import Topology

TWO_LEVELS = Topology(strides=((1, 1), (2, 2)), kernels=((3, 3), (3, 3)))
ANISOTROPIC = Topology(strides=((1, 1, 1), (1, 2, 2), (2, 2, 2)), kernels=((1, 3, 3), (3, 3, 3), (3, 3, 3)))


def network(topology: Topology, classes: int = 3, **changes: object) -> UNet:
    with torch.random.fork_rng():
        torch.manual_seed(0)
        return UNet(unet_settings(topology, **{"convs_per_stage": 2, **changes}), 1, classes)


def test_the_parameters_of_a_two_level_network_add_up_as_by_hand() -> None:
    """Convolution: kernel x in x out + bias; each is followed by a normalisation of 2 x out."""
    encoder = (9 * 1 * 4 + 4 + 8) + (9 * 4 * 4 + 4 + 8) + (9 * 4 * 8 + 8 + 16) + (9 * 8 * 8 + 8 + 16)
    decoder = 4 * 8 * 4 + (9 * 8 * 4 + 4 + 8) + (9 * 4 * 4 + 4 + 8)
    heads = 4 * 3

    total = sum(parameter.numel() for parameter in network(TWO_LEVELS).parameters())

    assert total == encoder + decoder + heads


def test_features_double_up_to_the_cap() -> None:
    levels = Topology(strides=((1, 1), *((2, 2),) * 5), kernels=((3, 3),) * 6)
    assert unet_settings(levels, features=32, max_features=320).widths == (32, 64, 128, 256, 320, 320)


def test_deep_supervision_gives_the_logits_of_every_decoder_level_finest_first() -> None:
    model = network(ANISOTROPIC)
    outputs = model(torch.zeros(2, 1, 4, 8, 12))

    assert [tuple(output.shape) for output in outputs] == [(2, 3, 4, 8, 12), (2, 3, 4, 4, 6)]


def test_without_deep_supervision_the_finest_logits_alone_come_out_and_are_the_same() -> None:
    model, image = network(ANISOTROPIC), torch.randn(1, 1, 4, 8, 8, generator=torch.Generator().manual_seed(1))
    finest = model(image)[0]
    model.deep_supervision = False

    assert torch.equal(model(image), finest)


def test_each_decoder_level_has_the_kernel_of_its_own_level() -> None:
    model = network(ANISOTROPIC)
    kernels = [[block[0].kernel_size for block in stage] for stage in model.decoder]

    assert kernels == [[(1, 3, 3), (1, 3, 3)], [(3, 3, 3), (3, 3, 3)]]
    assert [layer.kernel_size for layer in model.upsampling] == [(1, 2, 2), (2, 2, 2)]


def test_heads_and_upsampling_have_no_bias_and_convolutions_do() -> None:
    model = network(ANISOTROPIC)

    assert all(layer.bias is None for layer in [*model.heads, *model.upsampling])
    assert all(block[0].bias is not None for stage in [*model.encoder, *model.decoder] for block in stage)


def test_weights_start_from_kaimings_distribution_and_biases_from_zero() -> None:
    model = network(TWO_LEVELS, features=64, max_features=128)
    convolution = model.encoder[1][1][0]
    expected = math.sqrt(2 / (1 + 0.01**2) / (128 * 9))

    assert convolution.weight.std().item() == pytest.approx(expected, rel=0.01)
    assert not convolution.bias.any()


def test_every_block_is_convolution_instance_normalisation_leaky_relu() -> None:
    """On a 1x1 network the output can be computed by hand: normalise each channel, then scale negatives by 0.01."""
    topology = Topology(strides=((1, 1),), kernels=((1, 1),))
    model = network(topology, classes=4, convs_per_stage=1)
    with torch.no_grad():
        model.encoder[0][0][0].weight.fill_(2.0)
        model.heads[0].weight.copy_(torch.eye(4)[:, :, None, None])
    image = torch.tensor([[[[1.0, 2.0], [3.0, 6.0]]]])
    normalised = (image - 3) / math.sqrt(3.5 + 1e-5 / 4)

    (logits,) = model(image)

    torch.testing.assert_close(logits, nn.functional.leaky_relu(normalised, 0.01).expand(1, 4, 2, 2))


def test_gradients_reach_every_parameter() -> None:
    model = network(ANISOTROPIC)
    image = torch.randn(1, 1, 4, 8, 8, generator=torch.Generator().manual_seed(1))
    sum(output.square().sum() for output in model(image)).backward()

    assert [name for name, parameter in model.named_parameters() if parameter.grad is None] == []
