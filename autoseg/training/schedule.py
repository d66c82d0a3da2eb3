"""The learning rate as a pure function of the epoch."""

from __future__ import annotations

POLY_EXPONENT = 0.9
"""Isensee et al. 2021, "Blueprint parameters"."""


def poly_learning_rate(epoch: int, epochs: int, initial: float, *, exponent: float = POLY_EXPONENT) -> float:
    """The learning rate of `epoch` (from 0) of `epochs`: from `initial` nearly linearly down to almost nothing."""
    return float(initial * (1 - epoch / epochs) ** exponent)
