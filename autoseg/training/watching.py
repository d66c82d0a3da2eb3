"""Whether the epochs of a training still bring something better."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Literal, TypeAlias

from autoseg.training.fold.history import EpochRecord

Watched: TypeAlias = Literal["loss", "dice"]
"""Of the validation."""


def values_of(records: Sequence[EpochRecord], watch: Watched) -> list[float]:
    """What is watched of each epoch, so that smaller is better; infinite where there is no Dice."""
    if watch == "loss":
        return [record.validation_loss for record in records]
    return [math.inf if record.dice is None else -record.dice for record in records]


def epochs_in_vain(values: Sequence[float], least_improvement: float) -> list[int]:
    """For each epoch, how many there were since the best one, itself included; 0 for one that is the best so far.

    Args:
        values: Smaller is better.
        least_improvement: By how much one must be better than the best before to count.
    """
    best, since = math.inf, 0
    in_vain = []
    for value in values:
        is_better = value < best - least_improvement if math.isfinite(best) else value < best
        best, since = (value, 0) if is_better else (best, since + 1)
        in_vain.append(since)
    return in_vain
