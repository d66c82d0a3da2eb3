"""Schedules by name: the learning rate as a pure function of how far a training is and what its epochs brought."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from autoseg.catalogue import Catalogue, Settings, Within
from autoseg.errors import TrainingError
from autoseg.training.fold.history import EpochRecord
from autoseg.training.watching import Watched, epochs_in_vain, values_of

POLY_EXPONENT = 0.9
"""Isensee et al. 2021, "Blueprint parameters"."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Moment:
    """How far a training is.

    Attributes:
        epoch: From 0; with a fraction where a training's length is counted in hours.
        epochs: Of the whole training.
        share: Of the epoch's training batches that is done, from 0 to 1.
        records: What the epochs before brought.
    """

    epoch: float
    epochs: float
    share: float = 0.0
    records: Sequence[EpochRecord] = ()

    @property
    def place(self) -> float:
        """Epochs that are done, the part of the present one included."""
        return self.epoch + self.share


@dataclass(frozen=True, slots=True, kw_only=True)
class Schedule(Settings):
    """What all schedules share.

    Attributes:
        warm_up: Epochs before it, in which the rate grows linearly.
    """

    warm_up: int = 0

    def __post_init__(self) -> None:
        if self.warm_up < 0:
            raise TrainingError(f"warm_up: 0 epochs or more, found {self.warm_up}")

    def build(
        self, epoch: float, epochs: float, initial: float, share: float = 0.0, records: Sequence[EpochRecord] = ()
    ) -> float:
        """The rate; `initial` is that of the first epoch after the warm-up."""
        if epoch < self.warm_up:
            return initial * (epoch + 1) / (self.warm_up + 1)
        left = epochs - self.warm_up if epochs > self.warm_up else 1
        after = Moment(epoch=epoch - self.warm_up, epochs=left, share=share, records=records)
        return float(initial * self.height(after))

    def height(self, moment: Moment) -> float:
        """Share of the initial rate; the moment counts from the end of the warm-up, its records do not."""
        raise NotImplementedError


@dataclass(frozen=True, slots=True, kw_only=True)
class Constant(Schedule):
    """The same rate in every epoch."""

    def height(self, moment: Moment) -> float:  # noqa: ARG002
        """Always 1."""
        return 1.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Poly(Schedule):
    """From the first rate nearly linearly down to almost nothing.

    Attributes:
        exponent: 1 falls linearly, a smaller one later.
    """

    exponent: float = POLY_EXPONENT

    def height(self, moment: Moment) -> float:
        """By the epoch."""
        return float(max(0.0, 1 - moment.epoch / moment.epochs) ** self.exponent)


@dataclass(frozen=True, slots=True, kw_only=True)
class Cosine(Schedule):
    """Half a cosine down to almost nothing (Loshchilov and Hutter 2017)."""

    def height(self, moment: Moment) -> float:
        """By the epoch."""
        return _half_cosine(moment.epoch / moment.epochs)


@dataclass(frozen=True, slots=True, kw_only=True)
class CosineRestarts(Schedule):
    """Half a cosine again and again, each beginning at the full rate (Loshchilov and Hutter 2017).

    Attributes:
        first: Epochs of the first one.
        growth: How many times as long as the one before each next one is.
    """

    first: int = 10
    growth: int = 1

    def __post_init__(self) -> None:
        Schedule.__post_init__(self)
        if self.first < 1 or self.growth < 1:
            raise TrainingError(f"first and growth: 1 or more, found {self.first} and {self.growth}")

    def height(self, moment: Moment) -> float:
        """By the epoch."""
        begun, length = 0, self.first
        while moment.epoch >= begun + length:
            begun, length = begun + length, length * self.growth
        return _half_cosine((moment.epoch - begun) / length)


@dataclass(frozen=True, slots=True, kw_only=True)
class Cyclic(Schedule):
    """Up to the rate and down again, linearly and batch by batch (Smith 2017).

    Attributes:
        rise: Epochs from the lowest to the highest rate, and as many down again.
        lowest: Share of the rate at which it begins and ends.
        halved: Whether each cycle rises half as far as the one before.
    """

    rise: float = 2.0
    lowest: float = 0.001
    halved: bool = True

    def __post_init__(self) -> None:
        Schedule.__post_init__(self)
        if not self.rise > 0 or not 0 <= self.lowest < 1:
            raise TrainingError(f"rise: above 0, and lowest: from 0 to below 1, found {self.rise} and {self.lowest}")

    def height(self, moment: Moment) -> float:
        """By the batch."""
        cycle, place = divmod(moment.place / self.rise, 2)
        height = (1 - abs(place - 1)) / (2**cycle if self.halved else 1)
        return self.lowest + (1 - self.lowest) * height


@dataclass(frozen=True, slots=True, kw_only=True)
class StepSchedule(Schedule):
    """The same rate for some epochs, then less, and so on.

    Attributes:
        every: Epochs at one rate.
        factor: What the rate is multiplied by.
    """

    every: int = 100
    factor: float = 0.1

    def __post_init__(self) -> None:
        Schedule.__post_init__(self)
        _require_factor(self.factor)
        if self.every < 1:
            raise TrainingError(f"every: 1 epoch or more, found {self.every}")

    def height(self, moment: Moment) -> float:
        """By the epoch."""
        return float(self.factor ** (moment.epoch // self.every))


@dataclass(frozen=True, slots=True, kw_only=True)
class Exponential(Schedule):
    """In every epoch the same part of the rate before.

    Attributes:
        factor: What the rate is multiplied by.
    """

    factor: float = 0.99

    def __post_init__(self) -> None:
        Schedule.__post_init__(self)
        _require_factor(self.factor)

    def height(self, moment: Moment) -> float:
        """By the epoch."""
        return float(self.factor**moment.epoch)


@dataclass(frozen=True, slots=True, kw_only=True)
class OneCycle(Schedule):
    """Once up to the rate and down to almost nothing, batch by batch, each along half a cosine (Smith and Topin 2018).

    Attributes:
        rise: Share of the training in which it rises.
        first: Share of the rate at which it begins.
        last: Share of the rate at which it ends.
    """

    rise: float = 0.3
    first: float = 0.04
    last: float = 4e-6

    def __post_init__(self) -> None:
        Schedule.__post_init__(self)
        if not 0 < self.rise < 1:
            raise TrainingError(f"rise: a share of the training between 0 and 1, found {self.rise}")

    def height(self, moment: Moment) -> float:
        """By the batch."""
        done = min(1.0, moment.place / moment.epochs)
        if done < self.rise:
            return 1 - (1 - self.first) * _half_cosine(done / self.rise)
        return self.last + (1 - self.last) * _half_cosine((done - self.rise) / (1 - self.rise))


@dataclass(frozen=True, slots=True, kw_only=True)
class OnPlateau(Schedule):
    """A part of the rate whenever some epochs brought nothing better.

    Attributes:
        patience: Such epochs that are waited for.
        factor: What the rate is multiplied by.
        watch: What must become better, the validation's "loss" or "dice".
        least_improvement: By how much it must become better to count.
    """

    patience: int = 30
    factor: float = 0.2
    watch: Watched = "loss"
    least_improvement: float = 1e-3

    def __post_init__(self) -> None:
        Schedule.__post_init__(self)
        _require_factor(self.factor)
        if self.patience < 1 or self.least_improvement < 0:
            raise TrainingError(
                "patience: 1 epoch or more, and least_improvement: 0 or more, found "
                f"{self.patience} and {self.least_improvement}"
            )

    def height(self, moment: Moment) -> float:
        """By what the epochs brought."""
        in_vain = epochs_in_vain(values_of(moment.records, self.watch), self.least_improvement)
        lowered = sum(1 for number in in_vain if number and number % self.patience == 0)
        return float(self.factor**lowered)


def _half_cosine(done: float) -> float:
    """From 1 to 0."""
    return (1 + math.cos(math.pi * done)) / 2


def _require_factor(factor: float) -> None:
    if not 0 < factor <= 1:
        raise TrainingError(f"factor: above 0, at most 1, found {factor}")


LARGEST_EXPONENT = 100
"""What is beyond is a slip."""

SCHEDULES = Catalogue(
    kind="schedule",
    entries={
        "poly": Poly,
        "cosine": Cosine,
        "constant": Constant,
        "cosine_restarts": CosineRestarts,
        "cyclic": Cyclic,
        "step": StepSchedule,
        "exponential": Exponential,
        "one_cycle": OneCycle,
        "on_plateau": OnPlateau,
    },
    given=("epoch", "epochs", "initial", "share", "records"),
    within={
        "exponent": Within(0, LARGEST_EXPONENT),
        "one_cycle.first": Within(0, 1),
        "one_cycle.last": Within(0, 1),
    },
)
