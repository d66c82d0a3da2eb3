"""The residual-encoder U-Net against counts and values by hand."""

from __future__ import annotations

from itertools import pairwise

import pytest
import torch
from small_plans import unet_settings
from torch import nn
from torch.nn import functional as F

from autoseg.networks.instance_norm import InstanceNorm2d
from autoseg.networks.residual import BlockMean, ResidualBlock, ResidualUNet, block_means
from autoseg.plans import Topology

TWO_LEVELS = Topology(strides=((1, 1), (2, 2)), kernels=((3, 3), (3, 3)))
ANISOTROPIC = Topology(strides=((1, 1, 1), (1, 2, 2), (2, 2, 2)), kernels=((1, 3, 3), (3, 3, 3), (3, 3, 3)))


def network(topology: Topology, **changes: object) -> ResidualUNet:
    blocks = (1, 3, 4)[: len(topology.strides)]
    with torch.random.fork_rng():
        torch.manual_seed(0)
        return ResidualUNet(unet_settings(topology, **{"blocks_per_stage": blocks, **changes}), 1, 3)


def image(*shape: int) -> torch.Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(1))


def test_the_parameters_of_a_two_level_network_add_up_as_by_hand() -> None:
    """Convolution: kernel x in x out + bias; each is followed by a normalisation of 2 x out."""
    stem = 9 * 1 * 4 + 4 + 8
    finest = 2 * (9 * 4 * 4 + 4 + 8)
    coarser = (9 * 4 * 8 + 8 + 16) + (1 * 4 * 8 + 8 + 16) + 5 * (9 * 8 * 8 + 8 + 16)
    decoder = 4 * 8 * 4 + (9 * 8 * 4 + 4 + 8)
    heads = 4 * 3

    total = sum(parameter.numel() for parameter in network(TWO_LEVELS).parameters())

    assert total == stem + finest + coarser + decoder + heads


def test_a_realistic_network_has_as_many_parameters_as_its_formula_says() -> None:
    """Six levels at 128 x 128 x 128, one channel, three labels, never allocated."""
    widths, blocks = (32, 64, 128, 256, 320, 320), (1, 3, 4, 6, 6, 6)
    topology = Topology(strides=((1,) * 3, *((2,) * 3,) * 5), kernels=((3,) * 3,) * 6)
    with torch.device("meta"):
        model = network(topology, features=32, max_features=320, blocks_per_stage=blocks)

    def conv(before: int, width: int, size: int) -> int:
        return size * before * width + width + 2 * width

    expected = conv(1, 32, 27)
    for before, width, count in zip((32, *widths), widths, blocks, strict=False):
        expected += conv(before, width, 27) + (2 * count - 1) * conv(width, width, 27)
        expected += conv(before, width, 1) if before != width else 0
    for width, below in pairwise(widths):
        expected += 8 * below * width + conv(2 * width, width, 27) + 3 * width

    assert sum(parameter.numel() for parameter in model.parameters()) == expected


def test_logits_come_out_at_every_level_and_switched_off_only_at_the_finest() -> None:
    model = network(ANISOTROPIC)
    outputs = model(image(2, 1, 4, 8, 12))
    assert [tuple(output.shape) for output in outputs] == [(2, 3, 4, 8, 12), (2, 3, 4, 4, 6)]

    model.deep_supervision = False
    assert torch.equal(model(image(2, 1, 4, 8, 12)), outputs[0])


def test_a_level_has_its_own_kernels_and_only_its_first_block_a_stride() -> None:
    model = network(ANISOTROPIC)
    stem, *finest = model.encoder[0]
    levels = [finest, *model.encoder[1:]]

    assert stem[0].kernel_size == (1, 3, 3)
    assert [[block.first[0].kernel_size for block in level] for level in levels] == [
        [(1, 3, 3)],
        [(3, 3, 3)] * 3,
        [(3, 3, 3)] * 4,
    ]
    assert [[block.first[0].stride for block in level] for level in levels] == [
        [(1, 1, 1)],
        [(1, 2, 2), (1, 1, 1), (1, 1, 1)],
        [(2, 2, 2)] + [(1, 1, 1)] * 3,
    ]
    assert {block.second[0].stride for level in levels for block in level} == {(1, 1, 1)}


@pytest.mark.parametrize(
    ("channels", "stride", "layers"),
    [
        ((4, 4), (1, 1), []),
        ((4, 8), (1, 1), [nn.Sequential]),
        ((4, 4), (2, 1), [BlockMean]),
        ((4, 8), (2, 2), [BlockMean, nn.Sequential]),
    ],
)
def test_the_skip_changes_only_what_the_block_changes(
    channels: tuple[int, int], stride: tuple[int, int], layers: list[type[nn.Module]]
) -> None:
    block = ResidualBlock(channels, (3, 3), stride)

    assert [type(layer) for layer in block.skip] == layers
    expected = F.avg_pool2d(image(1, 4, 8, 8), stride, stride) if max(stride) > 1 else image(1, 4, 8, 8)
    pooled = block.skip[:1](image(1, 4, 8, 8)) if BlockMean in layers else image(1, 4, 8, 8)
    torch.testing.assert_close(pooled, expected)
    if channels[0] != channels[1]:
        assert [type(layer) for layer in block.skip[-1]] == [nn.Conv2d, InstanceNorm2d]
        assert block.skip[-1][0].kernel_size == (1, 1)


def test_a_block_adds_its_convolutions_to_the_skip_before_the_last_nonlinearity() -> None:
    block, values = ResidualBlock((2, 2), (3, 3), (1, 1)), image(1, 2, 6, 6)

    first = F.leaky_relu(F.instance_norm(block.first[0](values), eps=1e-5), 0.01)
    second = F.instance_norm(block.second[0](first), eps=1e-5)

    torch.testing.assert_close(block(values), F.leaky_relu(second + values, 0.01))


def test_training_starts_from_blocks_that_only_pass_on_their_skip() -> None:
    block, values = network(ANISOTROPIC).encoder[1][1], image(1, 8, 4, 4, 4)

    torch.testing.assert_close(block(values), F.leaky_relu(values, 0.01))


def test_gradients_reach_every_parameter_once_blocks_have_begun_to_differ() -> None:
    model = network(ANISOTROPIC)
    for module in model.modules():
        if isinstance(module, ResidualBlock):
            nn.init.ones_(module.second[1].weight)
    sum(output.square().sum() for output in model(image(1, 1, 4, 8, 8))).backward()

    gradients = {name: parameter.grad for name, parameter in model.named_parameters()}
    assert [name for name, gradient in gradients.items() if gradient is None] == []
    weights = [gradient for name, gradient in gradients.items() if gradient.ndim > 1]
    assert all(gradient.abs().max() > 0 for gradient in weights)


@pytest.mark.parametrize("stride", [(2, 2, 2), (1, 2, 2), (3, 1, 2), (2, 1)])
def test_block_means_have_the_values_and_gradients_of_pooling(stride: tuple[int, ...]) -> None:
    blocks, pooled = (image(2, 3, *(6 * step for step in stride)).requires_grad_() for _ in range(2))
    pool = F.avg_pool3d if len(stride) == 3 else F.avg_pool2d
    weights = torch.randn(2, 3, *(6,) * len(stride), generator=torch.Generator().manual_seed(2))

    means, expected = block_means(blocks, stride), pool(pooled, stride, stride)
    (means * weights).sum().backward()
    (expected * weights).sum().backward()

    torch.testing.assert_close(means, expected, rtol=1e-6, atol=1e-6)
    torch.testing.assert_close(blocks.grad, pooled.grad, rtol=1e-6, atol=1e-6)


def test_on_a_gpu_blocks_are_averaged_without_pooling() -> None:
    """Pooling there refuses `--deterministic`; the meta device stands for any that is no CPU."""
    with torch.device("meta"):
        block = ResidualBlock((4, 8), (3, 3, 3), (2, 2, 2))
    output = block(torch.empty(1, 4, 8, 8, 8, device="meta", requires_grad=True))

    graph, names = [output.grad_fn], set()
    while graph:
        node = graph.pop()
        names.add(type(node).__name__)
        graph += [before for before, _ in node.next_functions if before is not None]
    assert not [name for name in names if "Pool" in name]
    assert "MeanBackward1" in names
