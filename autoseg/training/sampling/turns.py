"""Which of several tasks a training batch is of."""

from __future__ import annotations

from bisect import bisect
from dataclasses import dataclass, replace
from itertools import accumulate
from typing import Literal, NamedTuple, TypeAlias

from autoseg.training.sampling.ahead import Note, ignore
from autoseg.training.sampling.batches import AnyBatch, Batches, BatchKey, Failure
from autoseg.training.sampling.samples import TRAINING

TaskOrder: TypeAlias = Literal["turns", "sizes"]

GOLDEN = 0.6180339887498949
"""Fractions of its multiples fill the range from 0 to 1 as evenly as any, however many there are."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Turns:
    """How training batches are shared out; those of the validation are of the first task alone.

    Attributes:
        sizes: Of each task, how many cases it trains on.
        order: "turns": each task in its turn; "sizes": each as often as it has cases.
    """

    sizes: tuple[int, ...]
    order: TaskOrder = "turns"

    def task_of(self, key: BatchKey) -> int:
        """The number of a batch's task."""
        if key.stream != TRAINING or len(self.sizes) == 1:
            return 0
        if self.order == "turns":
            return key.number % len(self.sizes)
        place = (key.number + 0.5) * GOLDEN % 1 * sum(self.sizes)
        return min(bisect(list(accumulate(self.sizes)), place), len(self.sizes) - 1)


class Asked(NamedTuple):
    """A batch that is to be made.

    Attributes:
        foreground: Share of it that must hold foreground.
    """

    key: BatchKey
    foreground: float


@dataclass(frozen=True, slots=True, kw_only=True)
class BatchesInTurn:
    """The batches of several tasks, as they are asked for; picklable. Of one task they are its own."""

    tasks: tuple[Batches, ...]
    turns: Turns

    def bytes_of_one(self, channels: int) -> int:
        """Of the largest; see `Batches`."""
        return max(batches.bytes_of_one(channels) for batches in self.tasks)

    def make(self, asked: Asked, note: Note = ignore) -> AnyBatch | Failure:
        """One batch; see `Batches`."""
        batches = self.tasks[self.turns.task_of(asked.key)]
        return replace(batches, foreground_fraction=asked.foreground).make(asked.key, note)
