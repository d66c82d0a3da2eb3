"""The U of the networks that pool: an encoder, a decoder that climbs it again and joins its levels, and heads."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from autoseg.networks.layers import pointwise
from autoseg.plans import ConfigurationPlan


@dataclass(frozen=True, slots=True, kw_only=True)
class Decoding:
    """One level of a decoder.

    Attributes:
        enlarge: Called with the features from below and the size of the skip.
        stage: What the joined features pass.
        gate: Called with the skip and the features from below; None takes the skip as it is.
        added: Whether the features from below are added to the skip; they are concatenated else.
        skip_first: Whether the skip's channels come before those from below.
    """

    enlarge: nn.Module
    stage: nn.Module
    gate: nn.Module | None = None
    added: bool = False
    skip_first: bool = False


class PoolingUNet(nn.Module):
    """An encoder's levels, the decoder's, and a head on the finest, or on each.

    Input `(B, C, *patch)`. Output: raw scores `(B, outputs, *patch)`; with heads on coarser levels and
    `deep_supervision` a list of them, finest first, each at its level's resolution.

    Args:
        encoder: One module for each level, finest first, which begins with the pooling from the level above.
        decoder: From the level above the deepest up to the finest.
        heads: Of the finest level, and, where they are to learn too, of those below it, up to all of the decoder's.
    """

    def __init__(self, encoder: Iterable[nn.Module], decoder: Sequence[Decoding], heads: Iterable[nn.Module]) -> None:
        super().__init__()
        self.deep_supervision = True
        self.encoder = nn.ModuleList(encoder)
        self.enlarging = nn.ModuleList(level.enlarge for level in decoder)
        self.gates = nn.ModuleList(level.gate or nn.Identity() for level in decoder)
        self.decoder = nn.ModuleList(level.stage for level in decoder)
        self.heads = nn.ModuleList(heads)
        self.levels = tuple(decoder_level(level) for level in decoder)

    def forward(self, image: Tensor) -> Tensor | list[Tensor]:
        features, skips = image, []
        for stage in self.encoder:
            features = stage(features)
            skips.append(features)
        skips.pop()
        decoded = [features]
        for (gated, added, skip_first), gate, enlarge, stage in zip(
            self.levels, self.gates, self.enlarging, self.decoder, strict=True
        ):
            skip = skips.pop()
            skip = gate(skip, features) if gated else skip
            below = enlarge(features, skip.shape[2:])
            pair = (skip, below) if skip_first else (below, skip)
            features = stage(skip + below if added else torch.cat(pair, dim=1))
            decoded.insert(0, features)
        if len(self.heads) == 1 or not self.deep_supervision:
            finest: Tensor = self.heads[0](decoded[0])
            return finest
        return [head(level) for head, level in zip(self.heads, decoded, strict=False)]


def decoder_level(level: Decoding) -> tuple[bool, bool, bool]:
    """How a level joins: gated, added, skip first."""
    return level.gate is not None, level.added, level.skip_first


def coarse_levels(plan: ConfigurationPlan, levels: int) -> int:
    """How many levels of a decoder below the finest have labels of their size in the plan, of a network of so many levels.

    The deepest level has no decoder, and so none.
    """
    return max(0, min(levels, len(plan.topology.strides)) - 2)


def heads_of(widths: Sequence[int], outputs: int, dimensions: int, *, coarse: int) -> list[nn.Module]:
    """A convolution of size 1 for the finest level, and for so many coarser ones."""
    return [pointwise(width, outputs, dimensions) for width in widths[: 1 + coarse]]
