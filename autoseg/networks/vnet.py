"""The V-Net: residual levels of large convolutions, strided ones between them.

Source: Milletari et al. 2016, "V-Net: fully convolutional neural networks for volumetric medical image segmentation" (arXiv
1606.04797), with batch normalisation as MedicalZoo has it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from autoseg.catalogue import Settings
from autoseg.errors import PlanError
from autoseg.networks.fitted import fitted_topology
from autoseg.networks.layers import (
    KINDS,
    Nonlinearity,
    Normalisation,
    convolution,
    doubling,
    halving,
    nonlinearity,
    normalisation,
    pointwise,
)
from autoseg.plans import ConfigurationPlan, Topology

KERNEL = 5
ENCODER_CONVOLUTIONS = (1, 2, 3, 2)
DECODER_CONVOLUTIONS = (1, 1, 2, 2)
"""Of each level below the finest, finer first; those from the fourth on have as many as the fourth."""

DROPOUT_FROM = 3
"""The level from which on features are left out, the finest being 0."""


@dataclass(frozen=True, slots=True, kw_only=True)
class VLayers:
    """What every level is made of."""

    normalisation: Normalisation
    nonlinearity: Nonlinearity
    dropout: float

    def after(self, layer: nn.Module, width: int, dimensions: int) -> nn.Sequential:
        """A layer with normalisation and nonlinearity."""
        return nn.Sequential(
            layer, normalisation(self.normalisation, width, dimensions), nonlinearity(self.nonlinearity, width)
        )

    def convolutions(self, width: int, kernel: Sequence[int], number: int) -> nn.Sequential:
        """So many, one after the other."""
        return nn.Sequential(
            *(self.after(convolution(width, width, kernel), width, len(kernel)) for _ in range(number))
        )

    def dropping(self, dimensions: int, *, wanted: bool) -> nn.Module:
        """Leaves out channels, where it is wanted."""
        return KINDS[dimensions].channel_dropout(self.dropout) if wanted and self.dropout else nn.Identity()


class VStart(nn.Module):
    """A convolution to the first level's width, added to the input's channels, repeated in turn to as many."""

    def __init__(self, layers: VLayers, in_channels: int, width: int, kernel: Sequence[int]) -> None:
        super().__init__()
        self.width = width
        self.layers = nn.Sequential(
            convolution(in_channels, width, kernel), normalisation(layers.normalisation, width, len(kernel))
        )
        self.last = nonlinearity(layers.nonlinearity, width)

    def forward(self, image: Tensor) -> Tensor:
        channels = torch.arange(self.width, device=image.device) % image.shape[1]
        output: Tensor = self.last(self.layers(image) + image[:, channels])
        return output


class VDown(nn.Module):
    """A strided convolution to twice the channels, and convolutions that are added to what it gave."""

    def __init__(self, layers: VLayers, width: int, topology: Topology, level: int) -> None:
        super().__init__()
        stride, dimensions = topology.strides[level], topology.dimensions
        self.down = layers.after(halving(width // 2, width, stride), width, dimensions)
        self.dropout = layers.dropping(dimensions, wanted=level >= DROPOUT_FROM)
        self.layers = layers.convolutions(width, topology.kernels[level], _number(ENCODER_CONVOLUTIONS, level))
        self.last = nonlinearity(layers.nonlinearity, width)

    def forward(self, features: Tensor) -> Tensor:
        down = self.down(features)
        output: Tensor = self.last(self.layers(self.dropout(down)) + down)
        return output


class VUp(nn.Module):
    """A transposed convolution joined with the skip, and convolutions that are added to both.

    Args:
        below: Channels of what comes from the level below.
        skip: Channels of the skip; twice as many go on.
        level: The one that is left, the finest being 0.
    """

    def __init__(self, layers: VLayers, below: int, skip: int, topology: Topology, level: int) -> None:
        super().__init__()
        dimensions = topology.dimensions
        self.dropout = layers.dropping(dimensions, wanted=level >= DROPOUT_FROM)
        self.skip_dropout = layers.dropping(dimensions, wanted=True)
        self.up = layers.after(doubling(below, skip, topology.strides[level]), skip, dimensions)
        self.layers = layers.convolutions(2 * skip, topology.kernels[level - 1], _number(DECODER_CONVOLUTIONS, level))
        self.last = nonlinearity(layers.nonlinearity, 2 * skip)

    def forward(self, features: Tensor, skip: Tensor) -> Tensor:
        joined = torch.cat((self.up(self.dropout(features)), self.skip_dropout(skip)), dim=1)
        output: Tensor = self.last(self.layers(joined) + joined)
        return output


class VNet(nn.Module):
    """Input `(B, C, *patch)`, output raw scores `(B, outputs, *patch)`.

    Args:
        topology: Strides and kernels of the levels, finest first.
        width: Channels of the finest level of the encoder.
    """

    def __init__(self, layers: VLayers, *, topology: Topology, in_channels: int, out_channels: int, width: int) -> None:
        super().__init__()
        levels, dimensions = len(topology.strides), topology.dimensions
        widths = [width * 2**level for level in range(levels)]
        self.encoder = nn.ModuleList(
            (
                VStart(layers, in_channels, width, topology.kernels[0]),
                *(VDown(layers, widths[level], topology, level) for level in range(1, levels)),
            )
        )
        below = [*(2 * skip for skip in widths[1:-1]), widths[-1]]
        self.decoder = nn.ModuleList(
            VUp(layers, below[level - 1], widths[level - 1], topology, level) for level in range(levels - 1, 0, -1)
        )
        self.last = layers.after(convolution(2 * width, out_channels, topology.kernels[0]), out_channels, dimensions)
        self.heads = nn.ModuleList([pointwise(out_channels, out_channels, dimensions)])

    def forward(self, image: Tensor) -> Tensor:
        features, skips = image, []
        for stage in self.encoder:
            features = stage(features)
            skips.append(features)
        skips.pop()
        for stage in self.decoder:
            features = stage(features, skips.pop())
        scores: Tensor = self.heads[0](self.last(features))
        return scores


@dataclass(frozen=True, slots=True, kw_only=True)
class VNetSettings(Settings):
    """The V-Net, also of slices, for any number of channels.

    Attributes:
        width: Channels of the finest level; each level has twice as many as the one above.
        levels: Resolutions, the finest counted.
        normalisation: Of the batch, of each sample, of groups of channels, or none.
        nonlinearity: After each of them.
        dropout: Share of channels that the coarse levels and all skips leave out.

    Source: Milletari et al. 2016 (arXiv 1606.04797).
    """

    width: int = 16
    levels: int = 5
    normalisation: Normalisation = "batch"
    nonlinearity: Nonlinearity = "prelu"
    dropout: float = 0.5

    def build(self, plan: ConfigurationPlan, in_channels: int, out_channels: int) -> nn.Module:
        """The network of a plan."""
        if self.levels < 2:
            raise PlanError(f"{plan.name}: vnet needs at least 2 levels, found {self.levels}")
        return VNet(
            VLayers(normalisation=self.normalisation, nonlinearity=self.nonlinearity, dropout=self.dropout),
            topology=fitted_topology(plan, "vnet", levels=self.levels, kernel=KERNEL),
            in_channels=in_channels,
            out_channels=out_channels,
            width=self.width,
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class VNetLightSettings(Settings):
    """The V-Net without its deepest level, a quarter of the parameters.

    Attributes:
        width: Channels of the finest level; each level has twice as many as the one above.
        normalisation: Of the batch, of each sample, of groups of channels, or none.
        nonlinearity: After each of them.
        dropout: Share of channels that the coarse levels and all skips leave out.

    Source: Milletari et al. 2016 (arXiv 1606.04797); four levels as in MedicalZoo.
    """

    width: int = 16
    normalisation: Normalisation = "batch"
    nonlinearity: Nonlinearity = "prelu"
    dropout: float = 0.5

    def build(self, plan: ConfigurationPlan, in_channels: int, out_channels: int) -> nn.Module:
        """The network of a plan."""
        deeper = VNetSettings(
            width=self.width,
            levels=4,
            normalisation=self.normalisation,
            nonlinearity=self.nonlinearity,
            dropout=self.dropout,
        )
        return deeper.build(plan, in_channels, out_channels)


def _number(of_levels: Sequence[int], level: int) -> int:
    return of_levels[min(level, len(of_levels)) - 1]
