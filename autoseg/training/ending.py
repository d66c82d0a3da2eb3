"""When a training ends before its last epoch: nothing better comes, its batches are done, or its time is up."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

from autoseg.catalogue import Catalogue, Settings
from autoseg.errors import TrainingError
from autoseg.training.fold.history import EpochRecord
from autoseg.training.watching import Watched, epochs_in_vain, values_of
from autoseg.words import counted, rough_time

VALIDATION_RESERVE = 0.6
"""Of a training batch's time, kept for each validation batch: more than it takes where the network's time decides (1/3), as
making batches takes either the same."""

SECONDS_OF_AN_HOUR = 3600.0


class Verdict(NamedTuple):
    """What the epochs so far say of the next one.

    Attributes:
        reason: Why there is none, in words; empty where there is.
        rate: What its learning rate is multiplied by.
    """

    reason: str = ""
    rate: float = 1.0


def never() -> Verdict:
    """Every epoch is trained."""
    return Verdict()


@dataclass(frozen=True, slots=True, kw_only=True)
class Early(Settings):
    """The training ends once some epochs brought nothing better; after half of them it goes on with a lower rate.

    Attributes:
        patience: Such epochs that are waited for, since the best one.
        least_improvement: By how much an epoch must be better than the best before to count.
        watch: What must become better, the validation's "loss" or "dice".
        factor: What the learning rate is multiplied by at half the patience; 1 leaves it.
    """

    patience: int = 20
    least_improvement: float = 0.0
    watch: Watched = "loss"
    factor: float = 0.75

    def __post_init__(self) -> None:
        if self.patience < 1:
            raise TrainingError(f"patience: 1 epoch or more, found {self.patience}")
        if self.least_improvement < 0:
            raise TrainingError(f"least_improvement: 0 or more, found {self.least_improvement}")
        if not 0 < self.factor <= 1:
            raise TrainingError(f"factor: above 0, at most 1, found {self.factor}")

    def build(self, records: Sequence[EpochRecord]) -> Verdict:
        """By what the epochs brought."""
        in_vain = epochs_in_vain(values_of(records, self.watch), self.least_improvement)
        lowered = sum(1 for number in in_vain if number == (self.patience + 1) // 2)
        gone = bool(in_vain) and in_vain[-1] >= self.patience
        reason = f"{counted(self.patience, 'epoch')} brought no better {_NAMES[self.watch]}" if gone else ""
        return Verdict(reason=reason, rate=float(self.factor**lowered))


_NAMES = {"loss": "validation loss", "dice": "validation Dice"}

STOPPINGS = Catalogue(kind="stopping", entries={"never": never, "early": Early}, given=("records",))


@dataclass(frozen=True, slots=True, kw_only=True)
class Spent:
    """What a training has taken so far.

    Attributes:
        epochs: That are done, the part of the present one included.
        iterations: Training batches.
        seconds: Of all epochs.
    """

    epochs: float
    iterations: int
    seconds: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Bounds:
    """What a training may take, whichever ends first.

    Attributes:
        epochs: Of so many training and validation batches each.
    """

    epochs: int
    iterations_per_epoch: int
    validation_batches: int
    max_iterations: int | None
    max_hours: float | None

    @property
    def seconds(self) -> float | None:
        """Those that it may take; None: as long as it wants."""
        return None if self.max_hours is None else self.max_hours * SECONDS_OF_AN_HOUR

    @property
    def batches(self) -> int:
        """Training batches, if there is time for them."""
        most = self.epochs * self.iterations_per_epoch
        return most if self.max_iterations is None else min(most, self.max_iterations)

    def in_words(self, batch_size: int) -> str:
        """Such as "3 epochs of 40 batches of 2, 100 in all, at most 6 min"."""
        epochs, batches = counted(self.epochs, "epoch"), counted(self.iterations_per_epoch, "batch", "batches")
        limits = [f"{epochs} of {batches} of {batch_size}"]
        if self.batches < self.epochs * self.iterations_per_epoch:
            limits.append(f"{self.batches} in all")
        if self.seconds is not None:
            limits.append(f"at most {rough_time(self.seconds)}")
        return ", ".join(limits)

    def foreseen_epochs(self, spent: Spent) -> float:
        """How many epochs it will have, by what the batches so far took."""
        foreseen = self.batches / self.iterations_per_epoch
        if self.seconds is not None and spent.epochs > 0:
            foreseen = min(foreseen, spent.epochs * (self.seconds - self._last(spent)) / spent.seconds)
        return foreseen

    def reason(self, spent: Spent) -> str:
        """Why no other training batch follows, in words; empty where one does."""
        if self.max_iterations is not None and spent.iterations >= self.max_iterations:
            return f"{counted(self.max_iterations, 'batch is', 'batches are')} done"
        if self.seconds is not None and spent.iterations > 0 and spent.seconds + self._last(spent) >= self.seconds:
            return f"{rough_time(self.seconds)} are over"
        return ""

    def _last(self, spent: Spent) -> float:
        """Seconds of one more training batch and the validation after it."""
        batches = spent.iterations + VALIDATION_RESERVE * self.validation_batches * int(spent.epochs)
        return spent.seconds / max(1.0, batches) * (1 + VALIDATION_RESERVE * self.validation_batches)
