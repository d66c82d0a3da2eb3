"""Scores of what is said in shares of each voxel: fractions, and what several raters say on average.

Shares are compared as they are, and beyond one half they count as the whole voxel for the metrics of labels.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import combinations
from typing import TypeAlias

import numpy as np

from autoseg.arrays import Array, Float32Array, LabelArray, Mask
from autoseg.dataset.overlapping import THRESHOLD
from autoseg.dataset.planes import ROUNDING
from autoseg.evaluation.metrics import ABSOLUTE_ERROR, SOFT_DICE, UNKNOWN, Counts, Metrics, mean_of

ShareOf: TypeAlias = Callable[[Array], Float32Array]
"""From the values of a file to shares of the same shape, from 0 to 1; NaN where nobody knows."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Shares:
    """A prediction beside the mean of what is said of an image.

    Attributes:
        prediction: `(Z, Y, X)`: 1 where more than half is predicted, else 0.
        reference: The same of the mean, `UNKNOWN` where nobody knows.
        absolute: The sum of the differences' sizes, of known voxels.
        total: The sum of both sides' shares, likewise.
        agreement: The mean Dice of each two raters, where both know; None where there is one, or where no two say anything.
    """

    prediction: LabelArray
    reference: LabelArray
    absolute: float
    total: float
    agreement: float | None

    @property
    def soft_metrics(self) -> Metrics:
        """How near the shares are: 1 and 0 exactly where they are equal; None where nothing is known, or there.

        The overlap is the smaller of both shares, which makes it the Dice of labels where shares are 0 and 1. The product,
        which losses take, is highest for other shares than the true ones. Source: Wang et al. 2023, "Dice semimetric
        losses: optimizing the Dice score with soft labels" (arXiv 2303.16296).
        """
        known = int(np.count_nonzero(self.reference != UNKNOWN))
        return {
            SOFT_DICE: 1 - self.absolute / self.total if self.total else None,
            ABSOLUTE_ERROR: self.absolute / known if known else None,
        }


def compare_shares(prediction: Array, references: Sequence[Array], share_of: ShareOf) -> Shares:
    """Compare a prediction with the mean of those who know, slice by slice.

    Args:
        prediction: `(Z, Y, X)` values as in a file.
        references: Of each rater the same.
    """
    held = np.zeros(prediction.shape, dtype=np.uint8)
    truth = np.zeros_like(held)
    absolute = total = 0.0
    pairs = list(combinations(range(len(references)), 2))
    counts: Counts = np.zeros((len(pairs), 2), dtype=np.int64)
    for place, values in enumerate(prediction):
        ours, theirs = share_of(values), np.stack([share_of(reference[place]) for reference in references])
        mean, says = _mean(theirs)
        known = says.any(axis=0)
        held[place] = _beyond_half(ours)
        truth[place] = np.where(known, _beyond_half(mean), UNKNOWN)
        absolute += float(np.abs(ours - mean)[known].sum(dtype=np.float64))
        total += float((ours + mean)[known].sum(dtype=np.float64))
        counts += _common(_beyond_half(theirs), says, pairs)
    dice = [2 * both / either if either else None for both, either in counts.tolist()]
    return Shares(prediction=held, reference=truth, absolute=absolute, total=total, agreement=mean_of(dice))


def more_than_half(raters: Sequence[Float32Array]) -> LabelArray:
    """1 where the mean of those who know is more than one half, else 0; `UNKNOWN` where nobody knows.

    Args:
        raters: Of each the shares `(Z, Y, X)`, NaN where that one does not know.
    """
    most = np.zeros(raters[0].shape, dtype=np.uint8)
    for place, plane in enumerate(most):
        mean, says = _mean(np.stack([rater[place] for rater in raters]))
        plane[...] = np.where(says.any(axis=0), _beyond_half(mean), UNKNOWN)
    return most


def _mean(raters: Float32Array) -> tuple[Float32Array, Mask]:
    """Of those `(raters, Y, X)` who know, 0 where none does; and who knows."""
    says = ~np.isnan(raters)
    return np.where(says, raters, 0).sum(axis=0) / says.sum(axis=0).clip(min=1), says


def _beyond_half(shares: Float32Array) -> Mask:
    beyond: Mask = shares > THRESHOLD + ROUNDING
    return beyond


def _common(held: Mask, says: Mask, pairs: Sequence[tuple[int, int]]) -> Counts:
    """`(pairs, 2)`: voxels that both hold, and the sum of what each holds, where both know; masks are `(raters, Y, X)`."""
    rows = []
    for first, other in pairs:
        both = says[first] & says[other]
        ours, theirs = held[first] & both, held[other] & both
        rows.append((np.count_nonzero(ours & theirs), np.count_nonzero(ours) + np.count_nonzero(theirs)))
    return np.array(rows, dtype=np.int64).reshape(-1, 2)
