"""Schedules by name, the learning rate as a pure function of the epoch; and how it starts in a training that is short."""

from __future__ import annotations

import math
from typing import NamedTuple

from autoseg.catalogue import Catalogue

POLY_EXPONENT = 0.9
"""Isensee et al. 2021, "Blueprint parameters"."""

MEMORIES = 25
"""How many times the memory of the momentum, 1 / (1 - momentum) steps, must fit into a training. With 0.99 that takes 2500
steps. Hippocampus, 2d, 500 steps of 40 slices: mean Dice 0.84 with this, 0.77 with 0.99 (`documentation/decisions_training.md`)."""

LEAST_MOMENTUM = 0.9
"""The memory of the shortest training: 10 steps, the usual momentum of plain SGD."""


class Pace(NamedTuple):
    """How SGD starts."""

    learning_rate: float
    momentum: float


def poly_learning_rate(epoch: int, epochs: int, initial: float, *, exponent: float = POLY_EXPONENT) -> float:
    """The learning rate of `epoch` (from 0) of `epochs`: from `initial` nearly linearly down to almost nothing.

    Args:
        exponent: 1 falls linearly, a smaller one later.
    """
    return float(initial * (1 - epoch / epochs) ** exponent)


def cosine_learning_rate(epoch: int, epochs: int, initial: float, *, warm_up: int = 0) -> float:
    """Half a cosine from `initial` down to almost nothing (Loshchilov and Hutter 2017).

    Args:
        warm_up: Epochs before it, in which the rate grows linearly.
    """
    if epoch < warm_up:
        return initial * (epoch + 1) / (warm_up + 1)
    return initial * (1 + math.cos(math.pi * (epoch - warm_up) / max(1, epochs - warm_up))) / 2


def constant_learning_rate(initial: float) -> float:
    """The same rate in every epoch."""
    return initial


def fit_to_length(pace: Pace, steps: int) -> Pace:
    """Shorten the memory of the momentum where a training is short beside it; a long one keeps its pace.

    Momentum adds up the gradients of its memory, so a training that is not much longer has hardly begun to move when its
    rate falls. The way that a lasting gradient leads, learning rate / (1 - momentum) a step, stays the same.

    Args:
        steps: Training batches in all.
    """
    forgotten = max(1 - pace.momentum, min(MEMORIES / steps, 1 - LEAST_MOMENTUM))
    if forgotten == 1 - pace.momentum:
        return pace
    return Pace(pace.learning_rate * forgotten / (1 - pace.momentum), 1 - forgotten)


SCHEDULES = Catalogue(
    kind="schedule",
    entries={"poly": poly_learning_rate, "cosine": cosine_learning_rate, "constant": constant_learning_rate},
    given=("epoch", "epochs", "initial"),
)
