"""U-Nets that climb by linear interpolation to the size of the skip, whatever that is: ivadomed's and MedicalZoo's.

Source: Ronneberger et al. 2015, "U-Net: convolutional networks for biomedical image segmentation" (arXiv 1505.04597), in the
forms that both have of it.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import TypeAlias

from torch import nn

from autoseg.catalogue import Settings
from autoseg.networks.fitted import fitted_topology
from autoseg.networks.layers import (
    KINDS,
    AttentionGate,
    Enlarge,
    Nonlinearity,
    Normalisation,
    convolution,
    nonlinearity,
    normalisation,
    pointwise,
    pool,
)
from autoseg.networks.pooling_unet import Decoding, PoolingUNet, coarse_levels
from autoseg.plans import ConfigurationPlan, Topology

Layers: TypeAlias = Callable[[int, int, Sequence[int]], tuple[nn.Module, ...]]
"""Of channels before and after, and the kernel."""


@dataclass(frozen=True, slots=True, kw_only=True)
class LinearLevels:
    """What such a U-Net has on its levels.

    Attributes:
        widths: Channels of the encoder, finest level first.
        climbed: Channels of the decoder, finest level first, one fewer.
        layers: What each level of both has twice, one after the other.
        gated: Whether skips pass attention gates.
        skip_first: Whether the skip's channels come before those from below.
    """

    topology: Topology
    widths: Sequence[int]
    climbed: Sequence[int]
    layers: Layers
    gated: bool
    skip_first: bool

    def build(self, in_channels: int, heads: Sequence[nn.Module]) -> PoolingUNet:
        """The network."""

        def block(before: int, width: int, kernel: Sequence[int]) -> nn.Module:
            return nn.Sequential(*self.layers(before, width, kernel), *self.layers(width, width, kernel))

        strides, kernels = self.topology.strides, self.topology.kernels
        encoder = [
            nn.Sequential(pool(stride), block(before, width, kernel))
            for (before, width), stride, kernel in zip(
                pairwise((in_channels, *self.widths)), strides, kernels, strict=True
            )
        ]
        below = (*self.climbed[1:], self.widths[-1])
        decoder = [
            Decoding(
                enlarge=Enlarge("linear", self.topology.dimensions),
                stage=block(below[level] + self.widths[level], self.climbed[level], kernels[level]),
                gate=AttentionGate(self.widths[level], below[level], strides[level + 1]) if self.gated else None,
                skip_first=self.skip_first,
            )
            for level in reversed(range(len(self.climbed)))
        ]
        return PoolingUNet(encoder, decoder, heads)


@dataclass(frozen=True, slots=True, kw_only=True)
class UNetDropoutSettings(Settings):
    """ivadomed's U-Net, whose convolutions each end with dropout: what it is unsure of can be drawn.

    Attributes:
        width: Channels of the finest level; each level but the deepest has twice as many as the one above.
        levels: Resolutions, the finest counted.
        dropout: Share of channels that each convolution leaves out.
        normalisation: Of the batch, of each sample, of groups of channels, or none; null takes the batch's for slices and
            each sample's, without scale and shift, for volumes.
        nonlinearity: Before it.
        attention_gates: Whether skips are weighed by what the level below sees.
        coarse_outputs: Whether the coarser levels of the decoder answer too, for deep supervision.

    Source: Gros et al. 2021, "ivadomed" (arXiv 2010.09984); Ronneberger et al. 2015 (arXiv 1505.04597).
    """

    width: int = 64
    levels: int = 4
    dropout: float = 0.3
    normalisation: Normalisation | None = None
    nonlinearity: Nonlinearity = "relu"
    attention_gates: bool = False
    coarse_outputs: bool = False

    def build(self, plan: ConfigurationPlan, in_channels: int, out_channels: int) -> nn.Module:
        """The network of a plan."""
        widths = _doubled(self.width, self.levels)
        shape = LinearLevels(
            topology=fitted_topology(plan, "unet_dropout", levels=self.levels, remedy=None),
            widths=(*widths, widths[-1])[: self.levels],
            climbed=widths[: self.levels - 1],
            layers=self.layers,
            gated=self.attention_gates,
            skip_first=False,
        )
        kernel = shape.topology.kernels[0]
        heads = [
            convolution(own, out_channels, kernel)
            for own in widths[: 1 + (coarse_levels(plan, self.levels) if self.coarse_outputs else 0)]
        ]
        return shape.build(in_channels, heads)

    def layers(self, before: int, width: int, kernel: Sequence[int]) -> tuple[nn.Module, ...]:
        """One convolution and what follows it."""
        dimensions = len(kernel)
        chosen = self.normalisation or ("batch" if dimensions == 2 else "instance")
        affine = self.normalisation is not None or dimensions == 2
        return (
            convolution(before, width, kernel),
            nonlinearity(self.nonlinearity, width),
            normalisation(chosen, width, dimensions, affine=affine),
            KINDS[dimensions].channel_dropout(self.dropout),
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class UNetBilinearSettings(Settings):
    """The U-Net of slices as MedicalZoo has it, also of volumes.

    Attributes:
        width: Channels of the finest level; each level but the deepest has twice as many as the one above.
        levels: Resolutions, the finest counted.
        normalisation: Of the batch, of each sample, of groups of channels, or none.
        nonlinearity: After it.
        attention_gates: Whether skips are weighed by what the level below sees.

    Source: Ronneberger et al. 2015 (arXiv 1505.04597).
    """

    width: int = 64
    levels: int = 5
    normalisation: Normalisation = "batch"
    nonlinearity: Nonlinearity = "relu"
    attention_gates: bool = False

    def build(self, plan: ConfigurationPlan, in_channels: int, out_channels: int) -> nn.Module:
        """The network of a plan."""
        widths = _doubled(self.width, self.levels)
        shape = LinearLevels(
            topology=fitted_topology(plan, "unet_bilinear", levels=self.levels, remedy=None),
            widths=(*widths, widths[-1])[: self.levels],
            climbed=(self.width, *widths)[: self.levels - 1],
            layers=self.layers,
            gated=self.attention_gates,
            skip_first=True,
        )
        return shape.build(in_channels, [pointwise(self.width, out_channels, plan.dimensions)])

    def layers(self, before: int, width: int, kernel: Sequence[int]) -> tuple[nn.Module, ...]:
        """One convolution and what follows it."""
        return (
            convolution(before, width, kernel),
            normalisation(self.normalisation, width, len(kernel)),
            nonlinearity(self.nonlinearity, width),
        )


def _doubled(width: int, levels: int) -> list[int]:
    """Channels of all levels but the deepest, which has as many as the one above it."""
    return [width * 2**level for level in range(levels - 1)] or [width]
