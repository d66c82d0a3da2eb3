"""What a network's scores say, by the activation that the target names: probabilities, losses, and what is decided.

All that knows softmax, one-hot channels or the highest score stands here; networks themselves return raw scores.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from functools import reduce
from typing import ClassVar, Protocol, TypeAlias

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from autoseg.dataset.coding import BACKGROUND, IGNORED, WHOLE
from autoseg.dataset.overlapping import THRESHOLD
from autoseg.dataset.target import Exclusive, Masks, Regions, Target
from autoseg.networks.region_parts import RegionPart, parts_of

ROUNDING = 1e-5
"""Relative; interpolated values may leave the range of those they are made of by single precision's rounding."""

Enlarge: TypeAlias = Callable[[Tensor], Iterable[tuple[int, Tensor]]]
"""Scores `(K, r, X)` to the interpolated `(n, R, X')`, some of the K at a time, each with the first's index."""


CERTAIN = 100.0
"""A score that leaves nothing to others in single precision, and is far from its limits."""

SURE = -1e-7
"""Greatest logarithm of a probability beside which that of its complement is taken."""


class Scoring(Protocol):
    """What a loss asks of an activation.

    Labels are whole numbers `(B, *space)`, outputs' indices, or shares of each output `(B, C, *space)` from 0 to 1.
    """

    scored: ClassVar[slice]

    @property
    def parts(self) -> tuple[RegionPart, ...]:
        """Labels that outputs share."""

    def probabilities(self, logits: Tensor) -> Tensor:
        """Of `(B, C, *space)`."""

    def log_probabilities(self, logits: Tensor) -> tuple[Tensor, Tensor]:
        """Natural logarithms of them, and of what they lack to 1, each `(B, C, *space)`."""

    def encode(self, labels: Tensor, zeros: Tensor) -> Tensor:
        """What the probabilities of labels should be, in place of `zeros` `(B, C, *space)`."""

    def with_parts(self, shares: Tensor) -> Tensor:
        """Shares or probabilities `(B, C, *space)`, followed by what they say of the parts `(B, C + parts, *space)`."""

    def cross_entropy(self, logits: Tensor, labels: Tensor) -> Tensor:
        """The mean over all voxels."""

    def cross_entropies(self, logits: Tensor, labels: Tensor) -> Tensor:
        """Of each voxel, `(B, *space)`."""


@dataclass(frozen=True, slots=True)
class Softmax:
    """One output a label, of which exactly one holds; labels are whole numbers `(B, *space)`, outputs' indices.

    Attributes:
        soft: Whether what is decided is not which holds, but the fraction of the one label above the background.
    """

    soft: bool = False

    scored: ClassVar = slice(BACKGROUND + 1, None)
    """Of the outputs, all but the background."""

    parts: ClassVar[tuple[RegionPart, ...]] = ()
    """Each label has an output to itself."""

    def probabilities(self, logits: Tensor) -> Tensor:
        """Of `(B, C, *space)`, summing to 1 over the outputs."""
        return torch.softmax(logits, dim=1)

    def scores_of(self, probabilities: Tensor) -> Tensor:
        """Scores `(outputs,)` that say these, which sum to 1."""
        return probabilities.log()

    def log_probabilities(self, logits: Tensor) -> tuple[Tensor, Tensor]:
        """Natural logarithms of them, and of what they lack to 1, each `(B, C, *space)`."""
        found = torch.log_softmax(logits, dim=1)
        return found, torch.log(-torch.expm1(found.clamp(max=SURE)))

    def encode(self, labels: Tensor, zeros: Tensor) -> Tensor:
        """What the probabilities of labels `(B, *space)` should be: `zeros` `(B, outputs, *space)`, with ones in place."""
        return _encoded(labels, zeros)

    def with_parts(self, shares: Tensor) -> Tensor:
        """The shares as they are: there are no parts."""
        return shares

    def learned(self, labels: Tensor, *, dimensions: int) -> Tensor:
        """What samples hold, as losses take it: a map as it is, one plane as the shares of background and label."""
        if labels.ndim == 1 + dimensions:
            return labels.long()
        shares = _shares(labels)
        return torch.cat([(1 - shares).where(shares >= 0, float(IGNORED)), shares], dim=1)

    def refined(self, maps: Tensor, outputs: int) -> Tensor:
        """Of one map of labels `(B, 1, *space)` what it says of each scored output, 0 or 1; of a plane its fractions."""
        if self.soft:
            return maps / WHOLE
        zeros = maps.new_zeros((len(maps), outputs, *maps.shape[2:]))
        return self.encode(maps[:, 0], zeros)[:, self.scored]

    def left_out(self, logits: Tensor, labels: Tensor, drawn: Tensor | None) -> tuple[Tensor, Tensor, Tensor]:
        """Scores and labels that agree, without a gradient, where nobody knows, and where somebody does `(B, 1, *space)`.

        Labels that were not drawn in a case count as one with its background there: the marginal loss of Shi et al. 2021,
        "Marginal loss and exclusion loss for partially supervised multi-organ segmentation" (arXiv 2007.03868).
        """
        known = _known(labels, logits).all(dim=1, keepdim=True)
        if drawn is not None:
            drawn = drawn.reshape(*drawn.shape, *[1] * (logits.ndim - 2))
            background = logits.where(~drawn, -CERTAIN)
            background[:, BACKGROUND] = logits[:, BACKGROUND]
            together = background.logsumexp(dim=1, keepdim=True)
            logits = torch.cat([together, logits[:, 1:].where(drawn[:, 1:], -CERTAIN)], dim=1)
        certain = torch.full_like(logits, -CERTAIN)
        certain[:, BACKGROUND] = CERTAIN
        if labels.ndim == logits.ndim:
            background = torch.zeros_like(labels)
            background[:, BACKGROUND] = 1
            return logits.where(known, certain), labels.where(known, background), known
        return logits.where(known, certain), labels.clamp(min=BACKGROUND), known

    def cross_entropy(self, logits: Tensor, labels: Tensor) -> Tensor:
        """The mean over all voxels."""
        if _is_repeatable(logits):
            return self.cross_entropies(logits, labels).mean()
        return F.cross_entropy(logits, labels)

    def cross_entropies(self, logits: Tensor, labels: Tensor) -> Tensor:
        """Of each voxel, `(B, *space)`; labels may be shares `(B, C, *space)`."""
        if _is_repeatable(logits):
            return repeatable_cross_entropies(logits, labels)
        return F.cross_entropy(logits, labels, reduction="none")

    def found_and_there(self, logits: Tensor, labels: Tensor) -> Iterator[tuple[Tensor, Tensor]]:
        """Of each scored output, the voxels `(B, *space)` where it is decided and those where it is true."""
        decided = _highest(logits, dim=1)
        for label in range(logits.shape[1])[self.scored]:
            there = labels == label if labels.ndim < logits.ndim else labels[:, label] > THRESHOLD
            yield decided == label, there

    def decide(self, scores: Tensor, *, dim: int) -> Tensor:
        """The label of the highest score along an axis, the first of several; if soft, of probabilities the fraction in bytes."""
        return _as_bytes(scores.select(dim, BACKGROUND + 1)) if self.soft else _highest(scores, dim)

    def decide_interpolated(self, scores: Tensor, enlarge: Enlarge, shape: tuple[int, int]) -> Tensor:
        """The labels `shape` of scores `(K, r, X)` after linear interpolation, which only those that can win undergo.

        If soft, the fractions.
        """
        if self.soft:
            return _interpolated_fractions(scores[self.scored], enlarge, shape)[0]
        contenders = _contenders(scores)
        if len(contenders) == 1:
            return torch.full(shape, int(contenders[0]))
        best: Tensor | None = None
        winners = torch.zeros(0)
        for first, enlarged in enlarge(scores[contenders] if len(contenders) < len(scores) else scores):
            highest = enlarged.amax(dim=0)
            labels = contenders[_first_places(enlarged == highest) + first]
            winners = labels if best is None else torch.where(highest > best, labels, winners)
            best = highest if best is None else torch.maximum(highest, best)
        return winners


@dataclass(frozen=True, slots=True)
class Sigmoid:
    """Outputs that each hold or do not, whatever the others say.

    Attributes:
        members: The labels of a map that each output covers; None where labels are shares of each output.
        order: The label that each output writes into a map, over those before it; None where each has a map of its own.
        soft: Whether what is decided is not whether an output holds, but its fraction.
    """

    members: tuple[tuple[int, ...], ...] | None = None
    order: tuple[int, ...] | None = None
    soft: bool = False

    scored: ClassVar = slice(None)
    """Of the outputs, all."""

    @property
    def parts(self) -> tuple[RegionPart, ...]:
        """Of regions that share labels, the labels that none has to itself; none of masks, which need not share any."""
        return () if self.members is None else parts_of(self.members)

    def probabilities(self, logits: Tensor) -> Tensor:
        """Of `(B, C, *space)`, each by itself."""
        return torch.sigmoid(logits)

    def scores_of(self, probabilities: Tensor) -> Tensor:
        """Scores `(outputs,)` that say these, each by itself; for certain ones the greatest that are told apart from it."""
        return torch.logit(probabilities, eps=torch.finfo(probabilities.dtype).eps)

    def log_probabilities(self, logits: Tensor) -> tuple[Tensor, Tensor]:
        """Natural logarithms of them, and of what they lack to 1, each `(B, C, *space)`."""
        return F.logsigmoid(logits), F.logsigmoid(-logits)

    def encode(self, labels: Tensor, zeros: Tensor) -> Tensor:
        """Shares `(B, C, *space)` as they are; of a map `(B, *space)` the outputs that cover each voxel's label."""
        if labels.ndim == zeros.ndim or self.members is None:
            return _encoded(labels, zeros)
        for output, members in enumerate(self.members):
            for label in members:
                zeros[:, output] += labels == label
        return zeros

    def with_parts(self, shares: Tensor) -> Tensor:
        """Shares or probabilities `(B, C, *space)`, and of each part the product of what its outputs say."""
        parts = [
            reduce(torch.mul, [*(shares[:, one] for one in holding), *(1 - shares[:, one] for one in others)])
            for holding, others in self.parts
        ]
        return torch.cat([shares, torch.stack(parts, dim=1)], dim=1) if parts else shares

    def learned(self, labels: Tensor, *, dimensions: int) -> Tensor:
        """What samples hold, as losses take it: a map as it is, planes `(B, C, *space)` as shares from 0 to 1."""
        return labels.long() if labels.ndim == 1 + dimensions else _shares(labels)

    def refined(self, maps: Tensor, outputs: int) -> Tensor:
        """Of the maps of a segmentation, labels or planes `(B, maps, *space)`, what they say of each output, from 0 to 1."""
        if self.members is None:
            return maps / WHOLE
        return self.encode(maps[:, 0], maps.new_zeros((len(maps), outputs, *maps.shape[2:])))

    def left_out(self, logits: Tensor, labels: Tensor, drawn: Tensor | None) -> tuple[Tensor, Tensor, Tensor]:
        """Scores and shares that agree, without a gradient, where nobody knows, and where somebody does `(B, 1 or C, *space)`."""
        known = _known(labels, logits)
        if drawn is not None:
            known = known & drawn.reshape(*drawn.shape, *[1] * (logits.ndim - 2))
        truth = self.encode(labels.clamp(min=BACKGROUND), torch.zeros_like(logits))
        return logits.where(known, -CERTAIN), truth.where(known, 0.0), known

    def cross_entropy(self, logits: Tensor, labels: Tensor) -> Tensor:
        """The mean over all voxels and outputs."""
        return self.cross_entropies(logits, labels).mean()

    def cross_entropies(self, logits: Tensor, labels: Tensor) -> Tensor:
        """Of each voxel `(B, *space)`, the mean over its outputs."""
        truth = self.encode(labels, torch.zeros_like(logits))
        return F.binary_cross_entropy_with_logits(logits, truth, reduction="none").mean(1)

    def found_and_there(self, logits: Tensor, labels: Tensor) -> Iterator[tuple[Tensor, Tensor]]:
        """Of each output, the voxels `(B, *space)` where it is decided and those where it is true."""
        truth = self.encode(labels, torch.zeros_like(logits))
        for output in range(logits.shape[1]):
            yield logits[:, output] > 0, truth[:, output] > THRESHOLD

    def decide(self, scores: Tensor, *, dim: int) -> Tensor:
        """The map of probabilities, each output's label written over those before it; or a mask, or fractions, of each output."""
        if self.soft:
            return _as_bytes(scores)
        held = scores > THRESHOLD
        if self.order is None:
            return held
        labels = torch.zeros_like(held.select(dim, 0), dtype=torch.int64)
        for output, label in enumerate(self.order):
            labels.masked_fill_(held.select(dim, output), label)
        return labels

    def decide_interpolated(self, scores: Tensor, enlarge: Enlarge, shape: tuple[int, int]) -> Tensor:
        """The same `shape`, or `(K, *shape)`, of scores `(K, r, X)` after linear interpolation, of those that hold somewhere.

        Interpolation keeps within the range of what it is made of, so an output that is nowhere probable is not looked at.
        """
        if self.soft:
            return _interpolated_fractions(scores, enlarge, shape)
        somewhere = torch.nonzero(scores.amax(dim=(1, 2)) > THRESHOLD).flatten().tolist()
        masks = (
            torch.zeros((len(scores), *shape), dtype=torch.bool, device=scores.device) if self.order is None else None
        )
        labels = torch.zeros(shape, dtype=torch.int64, device=scores.device)
        for first, enlarged in enlarge(scores[somewhere]) if somewhere else ():
            for output, probabilities in zip(somewhere[first:], enlarged, strict=False):
                if masks is not None:
                    masks[output] = probabilities > THRESHOLD
                elif self.order is not None:
                    labels.masked_fill_(probabilities > THRESHOLD, self.order[output])
        return labels if masks is None else masks


Activation: TypeAlias = Softmax | Sigmoid
"""Every one there is."""

SOFTMAX = Softmax()
SIGMOID = Sigmoid()


def activation_of(target: Target) -> Activation:
    """What the scores of a network with this target say."""
    match target:
        case Exclusive(soft=True):
            return Softmax(soft=True)
        case Exclusive():
            return SOFTMAX
        case Regions(members=members, order=order):
            return Sigmoid(members=members, order=order)
        case Masks(soft=soft):
            return Sigmoid(soft=soft)


def repeatable_cross_entropies(logits: Tensor, labels: Tensor) -> Tensor:
    """Torch's, from its deterministic steps alone: its own function has none on a GPU, where space has axes."""
    if labels.ndim == logits.ndim:
        return -(torch.log_softmax(logits, dim=1) * labels).sum(dim=1)
    classes = torch.arange(logits.shape[1], device=logits.device).reshape(-1, *[1] * (logits.ndim - 2))
    return -torch.log_softmax(logits, dim=1).where(labels[:, None] == classes, 0.0).sum(dim=1)


def _encoded(labels: Tensor, zeros: Tensor) -> Tensor:
    if labels.ndim == zeros.ndim:
        return labels.to(zeros.dtype)
    return zeros.scatter_(1, labels.long()[:, None], 1.0)


def _highest(scores: Tensor, dim: int) -> Tensor:
    return scores.max(dim=dim).indices  # many times faster than argmax on a CPU


def _as_bytes(fractions: Tensor) -> Tensor:
    """Fractions from 0 to 1 as `dataset.coding` tells them in planes."""
    return fractions.clamp(0, 1).mul(WHOLE).round_().to(torch.uint8)


def _interpolated_fractions(fractions: Tensor, enlarge: Enlarge, shape: tuple[int, int]) -> Tensor:
    """Fractions `(K, r, X)` after linear interpolation, as bytes `(K, *shape)`; what is nowhere a byte is not looked at."""
    planes = torch.zeros((len(fractions), *shape), dtype=torch.uint8, device=fractions.device)
    somewhere = torch.nonzero(fractions.amax(dim=(1, 2)) >= 1 / (2 * WHOLE)).flatten().tolist()
    for first, enlarged in enlarge(fractions[somewhere]) if somewhere else ():
        for output, one in zip(somewhere[first:], enlarged, strict=False):
            planes[output] = _as_bytes(one)
    return planes


def _shares(planes: Tensor) -> Tensor:
    """Signed planes from 0 to `WHOLE` as shares from 0 to 1; what nobody knows stays negative."""
    return (planes.float() / WHOLE).where(planes >= 0, float(IGNORED))


def _known(labels: Tensor, logits: Tensor) -> Tensor:
    known = labels != IGNORED
    return known if labels.ndim == logits.ndim else known[:, None]


def _is_repeatable(logits: Tensor) -> bool:
    return logits.is_cuda and torch.are_deterministic_algorithms_enabled()


def _first_places(there: Tensor) -> Tensor:
    """`(K, r, X)`, somewhere True for each voxel, to the first index where it is: a third of the time of `max(dim=0)`."""
    number = len(there)
    kind = torch.uint8 if number <= np.iinfo(np.uint8).max else torch.int32
    ranks = torch.arange(number, 0, -1, device=there.device, dtype=kind)
    return number - (there * ranks[:, None, None]).amax(dim=0).long()


def _contenders(scores: Tensor) -> Tensor:
    """Outputs, ascending, that can be highest somewhere in `(K, r, X)` after linear interpolation.

    The highest of several scores is never below their mean, and interpolation keeps both within the range they have
    there; so an output whose greatest score stays below the smallest mean is nowhere the highest.
    """
    floor = scores.mean(dim=0).amin()
    peaks = scores.amax(dim=(1, 2))
    return torch.nonzero(peaks >= floor - ROUNDING * floor.abs()).flatten()
