"""Densely connected networks without any pooling: one path for all channels, one for each, or a beginning for each.

Source: Yu et al. 2018, "Volumetric ConvNets with dense connections: 3D-DenseSeg for infant brains", and Dolz et al. 2018,
"HyperDense-Net" (arXiv 1804.02967), in the three forms that MedicalZoo has of them.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import torch
from torch import Tensor, nn

from autoseg.networks.fitted import fitted_topology
from autoseg.networks.layers import convolution, normalisation, pointwise
from autoseg.plans import ConfigurationPlan

NINE_LAYERS = (1, 1, 1, 2, 2, 2, 3, 3, 3)
EIGHT_LAYERS = NINE_LAYERS[1:]
"""Channels that the layers of a block add, in units of `growth`."""

HEAD = (16, 8, 6)
"""Channels of the head's convolutions, in units of `growth`: 400, 200 and 150 for 25."""

HEAD_DROPOUT = 0.5


class DenseLayer(nn.Module):
    """Joins to its input what normalisation, ReLU and a convolution make of it."""

    def __init__(self, before: int, growth: int, kernel: Sequence[int], dropout: float) -> None:
        super().__init__()
        self.layers = nn.Sequential(
            normalisation("batch", before, len(kernel)),
            nn.ReLU(inplace=True),
            convolution(before, growth, kernel, bias=False),
            nn.Dropout(dropout),
        )

    def forward(self, features: Tensor) -> Tensor:
        return torch.cat((features, self.layers(features)), dim=1)


def dense_block(before: int, growths: Sequence[int], kernel: Sequence[int], dropout: float) -> nn.Sequential:
    """Dense layers one after the other."""
    block = nn.Sequential()
    for growth in growths:
        block.append(DenseLayer(before, growth, kernel, dropout))
        before += growth
    return block


class SeparatePaths(nn.Module):
    """Each channel of the input on a path of its own, the results joined."""

    def __init__(self, paths: Sequence[nn.Module], joined: Literal["concatenated", "summed"]) -> None:
        super().__init__()
        self.paths = nn.ModuleList(paths)
        self.joined = joined

    def forward(self, image: Tensor) -> Tensor:
        found = [path(channel) for path, channel in zip(self.paths, torch.split(image, 1, dim=1), strict=True)]
        return torch.cat(found, dim=1) if self.joined == "concatenated" else torch.stack(found).sum(0)


class DenseNet(nn.Module):
    """Features and scores `(B, outputs, *patch)` of an image `(B, C, *patch)`."""

    def __init__(self, encoder: nn.Module, width: int, out_channels: int, dimensions: int) -> None:
        super().__init__()
        self.encoder = encoder
        self.heads = nn.ModuleList([pointwise(width, out_channels, dimensions, bias=False)])

    def forward(self, image: Tensor) -> Tensor:
        scores: Tensor = self.heads[0](self.encoder(image))
        return scores


def dense_single(
    plan: ConfigurationPlan, in_channels: int, out_channels: int, *, growth: int = 25, dropout: float = 0.1
) -> nn.Module:
    """All channels through one block of nine dense layers.

    Args:
        growth: Channels that the first layers add; the next add twice, the last three times as many.
        dropout: Share that each dense layer leaves out.

    Source: Dolz et al. 2018 (arXiv 1804.02967), its single path.
    """
    kernel = fitted_topology(plan, "dense_single", levels=1).kernels[0]
    growths = _times(NINE_LAYERS, growth)
    block = dense_block(in_channels, growths, kernel, dropout)
    head, width = _head(in_channels + sum(growths), growth, plan.dimensions)
    return DenseNet(nn.Sequential(block, head), width, out_channels, plan.dimensions)


def dense_dual(
    plan: ConfigurationPlan,
    in_channels: int,
    out_channels: int,
    *,
    growth: int = 25,
    dropout: float = 0.0,
    joined: Literal["concatenated", "summed"] = "concatenated",
) -> nn.Module:
    """Each channel through nine dense layers of its own, joined at the end.

    Args:
        growth: Channels that the first layers add; the next add twice, the last three times as many.
        dropout: Share that each dense layer leaves out.
        joined: Whether the features of the channels stand side by side or are added up.

    Source: Dolz et al. 2018 (arXiv 1804.02967), its dual path, for any number of channels.
    """
    kernel = fitted_topology(plan, "dense_dual", levels=1).kernels[0]
    growths = _times(NINE_LAYERS, growth)
    paths, width = [], 0
    for _ in range(in_channels):
        head, width = _head(1 + sum(growths), growth, plan.dimensions)
        paths.append(nn.Sequential(dense_block(1, growths, kernel, dropout), head))
    width *= in_channels if joined == "concatenated" else 1
    return DenseNet(SeparatePaths(paths, joined), width, out_channels, plan.dimensions)


def dense_dual_single(
    plan: ConfigurationPlan, in_channels: int, out_channels: int, *, growth: int = 25, dropout: float = 0.1
) -> nn.Module:
    """Each channel through one dense layer of its own, then all together through eight.

    Args:
        growth: Channels that the first layers add; the next add twice, the last three times as many.
        dropout: Share that each dense layer leaves out.

    Source: Dolz et al. 2018 (arXiv 1804.02967), its dual path with early fusion, for any number of channels.
    """
    kernel = fitted_topology(plan, "dense_dual_single", levels=1).kernels[0]
    begins = SeparatePaths([DenseLayer(1, growth, kernel, dropout) for _ in range(in_channels)], joined="concatenated")
    joined, growths = in_channels * (1 + growth), _times(EIGHT_LAYERS, growth)
    block = dense_block(joined, growths, kernel, dropout)
    head, width = _head(joined + sum(growths), growth, plan.dimensions)
    return DenseNet(nn.Sequential(begins, block, head), width, out_channels, plan.dimensions)


def _times(units: Sequence[int], growth: int) -> tuple[int, ...]:
    return tuple(unit * growth for unit in units)


def _head(before: int, growth: int, dimensions: int) -> tuple[nn.Sequential, int]:
    """Convolutions of size 1 without anything between them but dropout, and the channels that come out."""
    layers = nn.Sequential()
    for width in _times(HEAD, growth):
        layers.append(pointwise(before, width, dimensions, bias=False))
        layers.append(nn.Dropout(HEAD_DROPOUT))
        before = width
    return layers, before
