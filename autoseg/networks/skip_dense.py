"""SkipDenseNet: dense blocks at falling resolution, each of which gives a map of every label at full resolution at once.

Source: Bui et al. 2017, "3D densely convolutional networks for volumetric segmentation" (arXiv 1709.03199).
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import accumulate
from math import gcd

import torch
from torch import Tensor, nn

from autoseg.networks.fitted import fitted_topology
from autoseg.networks.layers import KINDS, convolution, halving, normalisation, pointwise
from autoseg.plans import ConfigurationPlan, Topology

BLOCKS = 4
LAYERS = 4
"""Of each block."""

BOTTLENECK = 4
"""Channels of a layer's convolution of size 1, in units of its growth."""


class BottleneckLayer(nn.Module):
    """Joins to its input what a convolution of size 1 and a larger one make of it."""

    def __init__(self, before: int, growth: int, kernel: Sequence[int], dropout: float) -> None:
        super().__init__()
        dimensions, middle = len(kernel), BOTTLENECK * growth
        self.layers = nn.Sequential(
            *_begin(before, dimensions),
            pointwise(before, middle, dimensions, bias=False),
            *_begin(middle, dimensions),
            convolution(middle, growth, kernel, bias=False),
            nn.Dropout(dropout),
        )

    def forward(self, features: Tensor) -> Tensor:
        return torch.cat((features, self.layers(features)), dim=1)


class SkipDenseNet(nn.Module):
    """Input `(B, C, *patch)`, output raw scores `(B, outputs, *patch)`.

    Args:
        topology: Five levels, of which each but the finest has a dense block.
    """

    def __init__(
        self, topology: Topology, in_channels: int, out_channels: int, *, width: int, growth: int, dropout: float
    ) -> None:
        super().__init__()
        dimensions, kernel = topology.dimensions, topology.kernels[0]
        self.encoder = nn.Sequential(
            convolution(in_channels, width, kernel, bias=False),
            *_begin(width, dimensions),
            convolution(width, width, kernel, bias=False),
            *_begin(width, dimensions),
            convolution(width, width, kernel, bias=False),
        )
        totals = list(accumulate(topology.strides, lambda total, step: tuple(map(int.__mul__, total, step))))
        self.blocks, self.answers = nn.ModuleList(), nn.ModuleList()
        before = width
        for level in range(1, BLOCKS + 1):
            down = nn.Sequential(*_begin(before, dimensions))
            if level > 1:
                down.extend([pointwise(before, before // 2, dimensions, bias=False), *_begin(before // 2, dimensions)])
                before //= 2
            down.append(halving(before, before, topology.strides[level], bias=level > 1))
            for _ in range(LAYERS):
                down.append(BottleneckLayer(before, growth, topology.kernels[level], dropout))
                before += growth
            self.blocks.append(down)
            self.answers.append(_answer(before, out_channels, totals[level]))
        joined = width + BLOCKS * out_channels
        self.joined = nn.Sequential(*_begin(joined, dimensions))
        self.heads = nn.ModuleList([pointwise(joined, out_channels, dimensions)])
        self.apply(_initialise)

    def forward(self, image: Tensor) -> Tensor:
        features = self.encoder(image)
        maps = [features]
        for block, answer in zip(self.blocks, self.answers, strict=True):
            features = block(features)
            maps.append(answer(features))
        scores: Tensor = self.heads[0](self.joined(torch.cat([*maps[1:], maps[0]], dim=1)))
        return scores


def skip_dense(
    plan: ConfigurationPlan,
    in_channels: int,
    out_channels: int,
    *,
    width: int = 32,
    growth: int = 16,
    dropout: float = 0.1,
) -> nn.Module:
    """Four dense blocks at falling resolution, whose answers are joined at full resolution.

    Args:
        width: Channels of the finest level.
        growth: Channels that each dense layer adds.
        dropout: Share that each dense layer leaves out.

    Source: Bui et al. 2017 (arXiv 1709.03199).
    """
    topology = fitted_topology(plan, "skip_dense", levels=BLOCKS + 1, remedy="take a plan with such a patch")
    return SkipDenseNet(topology, in_channels, out_channels, width=width, growth=growth, dropout=dropout)


def _begin(channels: int, dimensions: int) -> tuple[nn.Module, nn.Module]:
    return normalisation("batch", channels, dimensions), nn.ReLU(inplace=True)


def _answer(before: int, outputs: int, stride: Sequence[int]) -> nn.Module:
    """A map of each output at full resolution, from channels of its own where they can be divided among the outputs."""
    return KINDS[len(stride)].transposed(
        before,
        outputs,
        kernel_size=tuple(step + 2 for step in stride),
        stride=tuple(stride),
        padding=1,
        groups=gcd(before, outputs),
        bias=False,
    )


def _initialise(module: nn.Module) -> None:
    if isinstance(module, (nn.Conv2d, nn.Conv3d)):
        nn.init.kaiming_normal_(module.weight)
