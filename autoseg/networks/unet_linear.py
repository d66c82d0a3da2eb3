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

from autoseg.networks.fitted import fitted_topology
from autoseg.networks.layers import (
    KINDS,
    AttentionGate,
    Enlarge,
    Nonlinearity,
    Normalisation,
    convolution,
    pointwise,
    pool,
)
from autoseg.networks.layers import nonlinearity as activated
from autoseg.networks.layers import normalisation as normalised
from autoseg.networks.pooling_unet import Decoding, PoolingUNet, coarse_levels
from autoseg.plans import ConfigurationPlan, Topology

Block: TypeAlias = Callable[[int, int, Sequence[int]], nn.Module]
"""Of channels before and after, and the kernel."""


@dataclass(frozen=True, slots=True, kw_only=True)
class LinearLevels:
    """What such a U-Net has on its levels.

    Attributes:
        widths: Channels of the encoder, finest level first.
        climbed: Channels of the decoder, finest level first, one fewer.
        block: What each level of both consists of.
        gated: Whether skips pass attention gates.
        skip_first: Whether the skip's channels come before those from below.
    """

    topology: Topology
    widths: Sequence[int]
    climbed: Sequence[int]
    block: Block
    gated: bool
    skip_first: bool

    def build(self, in_channels: int, heads: Sequence[nn.Module]) -> PoolingUNet:
        """The network."""
        strides, kernels = self.topology.strides, self.topology.kernels
        encoder = [
            nn.Sequential(pool(stride), self.block(before, width, kernel))
            for (before, width), stride, kernel in zip(
                pairwise((in_channels, *self.widths)), strides, kernels, strict=True
            )
        ]
        below = (*self.climbed[1:], self.widths[-1])
        decoder = [
            Decoding(
                enlarge=Enlarge("linear", self.topology.dimensions),
                stage=self.block(below[level] + self.widths[level], self.climbed[level], kernels[level]),
                gate=AttentionGate(self.widths[level], below[level], strides[level + 1]) if self.gated else None,
                skip_first=self.skip_first,
            )
            for level in reversed(range(len(self.climbed)))
        ]
        return PoolingUNet(encoder, decoder, heads)


def unet_dropout(
    plan: ConfigurationPlan,
    in_channels: int,
    out_channels: int,
    *,
    width: int = 64,
    levels: int = 4,
    dropout: float = 0.3,
    normalisation: Normalisation | None = None,
    nonlinearity: Nonlinearity = "relu",
    attention_gates: bool = False,
    coarse_outputs: bool = False,
) -> nn.Module:
    """ivadomed's U-Net, whose convolutions each end with dropout: what it is unsure of can be drawn.

    Args:
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
    dimensions = plan.dimensions
    chosen = normalisation or ("batch" if dimensions == 2 else "instance")

    def block(before: int, width: int, kernel: Sequence[int]) -> nn.Module:
        layers = nn.Sequential()
        for channels in (before, width):
            layers.extend(
                [
                    convolution(channels, width, kernel),
                    activated(nonlinearity, width),
                    normalised(chosen, width, dimensions, affine=normalisation is not None or dimensions == 2),
                    KINDS[dimensions].channel_dropout(dropout),
                ]
            )
        return layers

    widths = [width * 2**level for level in range(levels - 1)] or [width]
    shape = LinearLevels(
        topology=fitted_topology(plan, "unet_dropout", levels=levels, remedy=None),
        widths=(*widths, widths[-1])[:levels],
        climbed=widths[: levels - 1],
        block=block,
        gated=attention_gates,
        skip_first=False,
    )
    kernel = shape.topology.kernels[0]
    heads = [
        convolution(own, out_channels, kernel)
        for own in widths[: 1 + (coarse_levels(plan, levels) if coarse_outputs else 0)]
    ]
    return shape.build(in_channels, heads)


def unet_bilinear(
    plan: ConfigurationPlan,
    in_channels: int,
    out_channels: int,
    *,
    width: int = 64,
    levels: int = 5,
    normalisation: Normalisation = "batch",
    nonlinearity: Nonlinearity = "relu",
    attention_gates: bool = False,
) -> nn.Module:
    """The U-Net of slices as MedicalZoo has it, also of volumes.

    Args:
        width: Channels of the finest level; each level but the deepest has twice as many as the one above.
        levels: Resolutions, the finest counted.
        normalisation: Of the batch, of each sample, of groups of channels, or none.
        nonlinearity: After it.
        attention_gates: Whether skips are weighed by what the level below sees.

    Source: Ronneberger et al. 2015 (arXiv 1505.04597).
    """

    def block(before: int, width: int, kernel: Sequence[int]) -> nn.Module:
        layers = nn.Sequential()
        for channels in (before, width):
            layers.extend(
                [
                    convolution(channels, width, kernel),
                    normalised(normalisation, width, plan.dimensions),
                    activated(nonlinearity, width),
                ]
            )
        return layers

    widths = [width * 2**level for level in range(levels - 1)] or [width]
    shape = LinearLevels(
        topology=fitted_topology(plan, "unet_bilinear", levels=levels, remedy=None),
        widths=(*widths, widths[-1])[:levels],
        climbed=(width, *widths)[: levels - 1],
        block=block,
        gated=attention_gates,
        skip_first=True,
    )
    return shape.build(in_channels, [pointwise(width, out_channels, plan.dimensions)])
