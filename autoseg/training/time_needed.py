"""How long a training will take, told once its first batches are done: they are timed as they happen."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from dataclasses import dataclass

from torch import Tensor

from autoseg.training.sampling.batches import BatchKey
from autoseg.training.sampling.samples import TRAINING
from autoseg.words import DAY, agreeing, counted, rough_time, short_time

log = logging.getLogger(__name__)

BATCHES_TIMED = 5
"""After the first one, in which kernels are chosen and workers start."""

LONGEST_WAIT = 60.0
"""Seconds; where batches take longer than a minute, one of them tells enough."""

VALIDATION_SHARE = 1 / 3
"""Of a training batch's time: the gradient takes about twice as long as the outputs that validation needs alone."""

WORTH_TELLING = 600.0
"""Seconds; what is shorter is soon done."""

SHORTEST_EPOCHS = 10
"""Of a training that is worth it; below, its epochs are made shorter instead."""

REACHED = "10 epochs of 50 batches reached a mean Dice of 0.87 on hippocampi, and 0.85 after 10 of 30 (batches of 2)"
"""Measured (documentation/decisions_training.md)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Length:
    """What is left of a training.

    Attributes:
        epochs: Of the whole training, `done` of them.
        training, validation: Batches of an epoch.
        device: Type of the device.
    """

    epochs: int
    done: int
    training: int
    validation: int
    device: str

    @property
    def batches_worth(self) -> float:
        """What an epoch takes, in training batches."""
        return self.training + VALIDATION_SHARE * self.validation


class BatchTimer:
    """Times training batches that follow each other, once.

    Args:
        clock: Seconds, from anywhere.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._timed = -1
        self._begun = self._last = 0.0
        self._is_done = False

    def batch_done(self, key: BatchKey, loss: Tensor) -> float | None:
        """The seconds of a batch, once they are known; None before and afterwards."""
        if self._is_done:
            return None
        if key.stream == TRAINING:
            loss.item()  # a GPU is only then done with the batch
            self._last = self._clock()
            self._timed += 1
            if self._timed == 0:
                self._begun = self._last
        spent = self._last - self._begun
        self._is_done = key.stream != TRAINING or self._timed >= BATCHES_TIMED or spent > LONGEST_WAIT
        return spent / self._timed if self._is_done and self._timed > 0 else None


def say_time_needed(length: Length, batch_seconds: float) -> None:
    """Say how long the training takes, and where that is more than a day, what shortens it."""
    epoch = batch_seconds * length.batches_worth
    left = epoch * (length.epochs - length.done)
    if left < WORTH_TELLING:
        return
    whole = f"{counted(length.epochs, 'epoch')} of {counted(length.training, 'batch', 'batches')}"
    what = (
        f"{whole} {agreeing(length.epochs, 'takes', 'take')}" if length.done == 0 else f"what is left of {whole} takes"
    )
    told = f"a batch takes {short_time(batch_seconds)}, so {what} about {rough_time(left)}"
    if left <= DAY:
        log.info("%s", told)
    else:
        log.warning("%s. %s", told, _advice(length, epoch))


def within_a_day(length: Length, epoch: float) -> str:
    """What to say for a training that ends within a day, where an epoch takes so many seconds now."""
    if (epochs := int(DAY / epoch)) >= SHORTEST_EPOCHS:
        return f"`epochs={epochs}` takes a day"
    batches = max(1, int(length.training * DAY / (SHORTEST_EPOCHS * epoch)))
    return f"`epochs={SHORTEST_EPOCHS}, iterations_per_epoch={batches}` takes a day"


def _advice(length: Length, epoch: float) -> str:
    gpu = "" if length.device == "cuda" else "a GPU (`device=cuda`), "
    return (
        f"What shortens it: {gpu}`epochs`, `iterations_per_epoch` or `batch_size`; {within_a_day(length, epoch)}. "
        f"A short one is not wasted: {REACHED}. To change it, stop with Ctrl-C and start anew with `overwrite=True`"
    )
