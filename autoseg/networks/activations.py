"""What a network's scores say, by the activation that the target names: probabilities, losses, and what is decided.

All that knows softmax, one-hot channels or the highest score stands here; networks themselves return raw scores.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import ClassVar, Protocol, TypeAlias

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from autoseg.dataset.target import BACKGROUND, Target
from autoseg.errors import DatasetError
from autoseg.words import first_few

ROUNDING = 1e-5
"""Relative; interpolated values may leave the range of those they are made of by single precision's rounding."""

Enlarge: TypeAlias = Callable[[Tensor], Iterable[tuple[int, Tensor]]]
"""Scores `(K, r, X)` to the interpolated `(n, R, X')`, some of the K at a time, each with the first's index."""


SURE = -1e-7
"""Greatest logarithm of a probability beside which that of its complement is taken."""


class Scoring(Protocol):
    """What a loss asks of an activation.

    Labels are whole numbers `(B, *space)`, outputs' indices, or shares of each output `(B, C, *space)` from 0 to 1.
    """

    scored: ClassVar[slice]

    def probabilities(self, logits: Tensor) -> Tensor:
        """Of `(B, C, *space)`."""

    def log_probabilities(self, logits: Tensor) -> tuple[Tensor, Tensor]:
        """Natural logarithms of them, and of what they lack to 1, each `(B, C, *space)`."""

    def encode(self, labels: Tensor, zeros: Tensor) -> Tensor:
        """What the probabilities of labels should be, in place of `zeros` `(B, C, *space)`."""

    def cross_entropy(self, logits: Tensor, labels: Tensor) -> Tensor:
        """The mean over all voxels."""

    def cross_entropies(self, logits: Tensor, labels: Tensor) -> Tensor:
        """Of each voxel, `(B, *space)`."""


@dataclass(frozen=True, slots=True)
class Softmax:
    """One output a label, of which exactly one holds; labels are whole numbers `(B, *space)`, outputs' indices."""

    scored: ClassVar = slice(BACKGROUND + 1, None)
    """Of the outputs, all but the background."""

    def probabilities(self, logits: Tensor) -> Tensor:
        """Of `(B, C, *space)`, summing to 1 over the outputs."""
        return torch.softmax(logits, dim=1)

    def log_probabilities(self, logits: Tensor) -> tuple[Tensor, Tensor]:
        """Natural logarithms of them, and of what they lack to 1, each `(B, C, *space)`."""
        found = torch.log_softmax(logits, dim=1)
        return found, torch.log(-torch.expm1(found.clamp(max=SURE)))

    def encode(self, labels: Tensor, zeros: Tensor) -> Tensor:
        """What the probabilities of labels `(B, *space)` should be: `zeros` `(B, outputs, *space)`, with ones in place."""
        return _encoded(labels, zeros)

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
        decided = self.decide(logits, dim=1)
        for label in range(logits.shape[1])[self.scored]:
            yield decided == label, labels == label

    def decide(self, scores: Tensor, *, dim: int) -> Tensor:
        """The label of the highest score along an axis, the first of several."""
        return scores.max(dim=dim).indices  # many times faster than argmax on a CPU

    def decide_interpolated(self, scores: Tensor, enlarge: Enlarge, shape: tuple[int, int]) -> Tensor:
        """The labels `shape` of scores `(K, r, X)` after linear interpolation, which only those that can win undergo."""
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
    """Outputs that each hold or do not, whatever the others say; what losses ask of it."""

    scored: ClassVar = slice(None)
    """Of the outputs, all."""

    def probabilities(self, logits: Tensor) -> Tensor:
        """Of `(B, C, *space)`, each by itself."""
        return torch.sigmoid(logits)

    def log_probabilities(self, logits: Tensor) -> tuple[Tensor, Tensor]:
        """Natural logarithms of them, and of what they lack to 1, each `(B, C, *space)`."""
        return F.logsigmoid(logits), F.logsigmoid(-logits)

    def encode(self, labels: Tensor, zeros: Tensor) -> Tensor:
        """Masks `(B, C, *space)` as they are; of whole numbers `(B, *space)` the output of each voxel."""
        return _encoded(labels, zeros)

    def cross_entropy(self, logits: Tensor, labels: Tensor) -> Tensor:
        """The mean over all voxels and outputs."""
        return self.cross_entropies(logits, labels).mean()

    def cross_entropies(self, logits: Tensor, labels: Tensor) -> Tensor:
        """Of each voxel `(B, *space)`, the mean over its outputs."""
        truth = self.encode(labels, torch.zeros_like(logits))
        return F.binary_cross_entropy_with_logits(logits, truth, reduction="none").mean(1)


Activation: TypeAlias = Softmax
"""Every one there is; those to come join it with `|`."""

SOFTMAX = Softmax()
SIGMOID = Sigmoid()
ACTIVATIONS: Mapping[str, Activation] = {"softmax": SOFTMAX}


def activation_of(target: Target) -> Activation:
    """What the scores of a network with this target say.

    Raises:
        DatasetError: No network learns such a target yet.
    """
    if target.activation not in ACTIVATIONS or target.soft or target.ignore is not None:
        raise DatasetError(
            f"{first_few(target.outputs)}: outputs that overlap, ignored voxels and soft labels can be verified and prepared, "
            "but not trained and predicted yet; declare exclusive labels"
        )
    return ACTIVATIONS[target.activation]


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
