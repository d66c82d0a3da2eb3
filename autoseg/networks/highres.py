"""HighRes3DNet: full resolution throughout, residual pairs of ever more dilated convolutions.

Source: Li et al. 2017, "On the compactness, efficiency, and representation of 3D convolutional networks" (arXiv 1707.01992).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

from torch import Tensor, nn
from torch.nn import functional as F

from autoseg.networks.fitted import fitted_topology
from autoseg.networks.layers import KINDS, convolution, normalisation, pointwise
from autoseg.plans import ConfigurationPlan

STAGES = ((1, 1), (2, 2), (4, 4))
"""Channels in units of the first width, and dilation."""

PAIRS = 3
"""Of each stage."""

LAST = 5
"""Channels before the head, in units of the first width."""


class DilatedPair(nn.Module):
    """Two units of normalisation, ReLU and convolution, added to what comes in.

    Where channels grow, what comes in gets channels of zeros on both sides, or passes a unit of size 1.
    """

    def __init__(
        self, before: int, width: int, kernel: Sequence[int], dilation: int, shortcut: Literal["zeros", "convolution"]
    ) -> None:
        super().__init__()
        dimensions = len(kernel)
        self.layers = nn.Sequential(
            *_unit(before, convolution(before, width, kernel, dilation=dilation), dimensions),
            *_unit(width, convolution(width, width, kernel, dilation=dilation), dimensions),
        )
        self.missing = 0 if shortcut == "convolution" else width - before
        is_fitted = shortcut == "convolution" and before != width
        self.fit = (
            nn.Sequential(*_unit(before, pointwise(before, width, dimensions), dimensions))
            if is_fitted
            else nn.Identity()
        )

    def forward(self, features: Tensor) -> Tensor:
        first = self.missing // 2
        sides = (*(0,) * 2 * (features.ndim - 2), first, self.missing - first)
        output: Tensor = self.layers(features) + self.fit(F.pad(features, sides))
        return output


class HighResNet(nn.Module):
    """Input `(B, C, *patch)`, output raw scores `(B, outputs, *patch)`."""

    def __init__(self, encoder: nn.Module, last: nn.Module, head: nn.Module) -> None:
        super().__init__()
        self.encoder, self.last = encoder, last
        self.heads = nn.ModuleList([head])

    def forward(self, image: Tensor) -> Tensor:
        scores: Tensor = self.heads[0](self.last(self.encoder(image)))
        return scores


def highres(
    plan: ConfigurationPlan,
    in_channels: int,
    out_channels: int,
    *,
    width: int = 16,
    dropout: float = 0.5,
    shortcut: Literal["zeros", "convolution"] = "zeros",
) -> nn.Module:
    """Full resolution throughout: residual pairs of convolutions, undilated, dilated by two, and by four.

    Args:
        width: Channels of the first pairs; the next have twice, the last four times as many.
        dropout: Share of channels that is left out before the head.
        shortcut: What a skip gets where channels grow: channels of zeros, or a convolution of size 1.

    Source: Li et al. 2017 (arXiv 1707.01992).
    """
    kernel = fitted_topology(plan, "highres", levels=1).kernels[0]
    dimensions = plan.dimensions
    encoder = nn.Sequential(
        convolution(in_channels, width, kernel), normalisation("batch", width, dimensions), nn.ReLU(inplace=True)
    )
    before = width
    for unit, dilation in STAGES:
        for _ in range(PAIRS):
            encoder.append(DilatedPair(before, unit * width, kernel, dilation, shortcut))
            before = unit * width
    last = nn.Sequential(
        pointwise(before, LAST * width, dimensions),
        KINDS[dimensions].channel_dropout(dropout),
        normalisation("batch", LAST * width, dimensions),
        nn.ReLU(inplace=True),
    )
    return HighResNet(encoder, last, pointwise(LAST * width, out_channels, dimensions))


def _unit(channels: int, layer: nn.Module, dimensions: int) -> tuple[nn.Module, ...]:
    return normalisation("batch", channels, dimensions), nn.ReLU(), layer
