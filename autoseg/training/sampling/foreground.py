"""Which share of a training batch must hold foreground: the recipe's, or what the recall of the epochs before asks for.

Source: the Multi-Planar U-Net's software (Perslev et al. 2019, arXiv 1911.01764).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from autoseg.training.fold.history import EpochRecord
from autoseg.training.parts import Parts
from autoseg.training.sampling.batches import BatchKey, Supply
from autoseg.training.sampling.samples import TRAINING
from autoseg.training.sampling.views import LEAST_FOREGROUND

LEAST_BY_RECALL = 0.01
"""Where everything is found."""

EPOCHS_AFTER = 2
"""From an epoch to the first one whose batches its recall decides. Those of the very next one are made while it is still
looked at, and would have to be waited for."""


def planned_share(parts: Parts) -> float:
    """Of every batch, where recall does not decide it."""
    return max(parts.foreground_fraction, LEAST_FOREGROUND if parts.plan.sampling.views else 0.0)


def training_share(parts: Parts, epoch: int, records: Sequence[EpochRecord]) -> float:
    """Of an epoch's training batches, which follows from nothing but the recipe and the epochs long enough before.

    Args:
        records: Of the epochs before; those too close to it are not looked at.
    """
    if not parts.recipe.foreground_by_recall:
        return planned_share(parts)
    long_enough = records[: max(0, epoch - EPOCHS_AFTER + 1)]
    known = [record.recall for record in long_enough if record.recall is not None]
    return max(LEAST_BY_RECALL, 1 - known[-1]) if known else planned_share(parts)


def share_of(parts: Parts, key: BatchKey, records: Sequence[EpochRecord]) -> float:
    """Of one batch; validation batches, by which epochs are compared, and those of other tasks keep the planned one."""
    if key.stream != TRAINING or parts.turns.task_of(key) != 0:
        return planned_share(parts)
    return training_share(parts, key.epoch, records)


def within_an_epoch(supply: Supply, batches: int) -> Supply:
    """So few batches ahead that, when the first one of an epoch is asked for, the epoch before the last is done.

    Args:
        batches: Of an epoch, training and validation together.
    """
    return replace(supply, workers=min(supply.workers, batches), ahead=min(supply.ahead, batches))
