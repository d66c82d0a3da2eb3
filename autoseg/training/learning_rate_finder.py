"""Which learning rate to start with: train a little while it grows, and see where the loss falls and where it explodes.

Source: Smith 2017, "Cyclical learning rates for training neural networks", the range test; numbers of the reference
system.
"""

from __future__ import annotations

import logging
import math
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from autoseg.errors import TrainingError
from autoseg.files.storage import atomic_path
from autoseg.machine.progress import progress
from autoseg.training.fold_run import fold_lock, own_random_numbers
from autoseg.training.sampling.samples import TRAINING
from autoseg.training.sampling.source import open_batches
from autoseg.training.start import choose_seed, start_state
from autoseg.training.state import set_learning_rate
from autoseg.training.trainer import Trainer

log = logging.getLogger(__name__)

MOST_STEPS = 1000
LOWEST_RATE, HIGHEST_RATE = 1e-6, 10.0
SMOOTHING = 0.98
"""Share of the average so far in the next one."""

EXPLODED = 4.0
"""The test ends when the smoothed loss is so many times the best one, both counted from `LOWEST_LOSS`."""

LOWEST_LOSS = -1.0
"""No loss of ours is lower: that is a perfect Dice."""

SAFETY = 10.0
"""The suggestion is the rate of the lowest loss divided by this, since there the loss is about to rise."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RangeTest:
    """The learning rates that were tried and the smoothed loss at each; `suggestion` is one to start with."""

    rates: tuple[float, ...]
    losses: tuple[float, ...]

    @property
    def suggestion(self) -> float:
        """A tenth of the rate at which the loss was lowest."""
        return self.rates[min(range(len(self.losses)), key=self.losses.__getitem__)] / SAFETY


def find_learning_rate(trainer: Trainer) -> RangeTest:
    """Train from new weights while the rate grows from step to step; nothing but `lr_finder.png` is kept.

    It takes 1000 steps, or as many as the trainer's epochs have where these are fewer.

    Raises:
        TrainingError: A sample cannot be made, a worker died, or the very first loss is not finite.
        WorkspaceError: Another process trains or validates this fold.
    """
    steps = min(MOST_STEPS, trainer.epochs * trainer.iterations_per_epoch)
    with fold_lock(trainer.fold):
        with own_random_numbers(trainer.device), progress(steps, "rates") as bar:
            result = range_test(_losses(trainer, steps, bar), steps=steps)
        _draw(result, trainer.fold.learning_rates)
    log.info("the loss was lowest at a learning rate of %.2g", result.suggestion * SAFETY)
    return result


def range_test(losses: Iterable[float], *, steps: int) -> RangeTest:
    """Smooth losses as they come, and stop asking for more once they explode or the steps are done."""
    average, best = 0.0, math.inf
    smoothed: list[float] = []
    for number, loss in enumerate(losses, start=1):
        average = SMOOTHING * average + (1 - SMOOTHING) * loss
        corrected = average / (1 - SMOOTHING**number)
        if not math.isfinite(corrected) or corrected - LOWEST_LOSS > EXPLODED * (best - LOWEST_LOSS):
            break
        smoothed.append(corrected)
        best = min(best, corrected)
        if number == steps:
            break
    if not smoothed:
        raise TrainingError("the first loss is not finite, so there is no learning rate to find; look at the images")
    return RangeTest(rates=tuple(rate(number, steps) for number in range(len(smoothed))), losses=tuple(smoothed))


def rate(step: int, steps: int) -> float:
    """The learning rate of a step, from 0: grown by the same factor each time."""
    return float(LOWEST_RATE * (HIGHEST_RATE / LOWEST_RATE) ** (step / max(1, steps - 1)))


def _losses(trainer: Trainer, steps: int, bar: Any) -> Iterator[float]:
    """The loss of each training batch, before the step at that batch's rate."""
    seed = choose_seed(trainer.settings)
    state = start_state(trainer, seed)
    loss_function = trainer.build_supervision().to(trainer.device)
    batches, _ = open_batches(trainer, seed, state, trainer.data.previous_stage)
    training = (batch for batch in batches if batch.key.stream == TRAINING)
    for step, batch in enumerate(training):
        set_learning_rate(state.optimizer, rate(step, steps))
        yield trainer.training_step(state, batch, loss_function).item()
        bar.update()


def _draw(result: RangeTest, path: Path) -> None:
    from matplotlib.figure import Figure

    figure = Figure(figsize=(8, 5), layout="constrained")
    axes: Any = figure.add_subplot()
    axes.plot(result.rates, result.losses)
    axes.axvline(result.suggestion, color="tab:green", linestyle="--", label=f"start with {result.suggestion:.2g}")
    axes.set(xscale="log", xlabel="learning rate", ylabel="smoothed training loss", title="Learning-rate range test")
    figure.legend(loc="outside lower center")
    path.parent.mkdir(parents=True, exist_ok=True)
    with atomic_path(path) as temporary:
        figure.savefig(temporary, dpi=100)
