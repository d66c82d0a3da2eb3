from __future__ import annotations

import pytest

from autoseg.training.pace import Pace, fit_to_length


@pytest.mark.parametrize(
    ("steps", "learning_rate", "momentum"),
    [(250_000, 0.01, 0.99), (2500, 0.01, 0.99), (1250, 0.02, 0.98), (500, 0.05, 0.95), (250, 0.1, 0.9), (1, 0.1, 0.9)],
)
def test_a_short_training_has_a_shorter_memory(steps: int, learning_rate: float, momentum: float) -> None:
    assert fit_to_length(Pace(0.01, 0.99), steps) == pytest.approx((learning_rate, momentum), rel=1e-9)


def test_the_pace_of_a_long_training_is_kept_to_the_bit() -> None:
    assert fit_to_length(Pace(0.01, 0.99), 2500) == Pace(0.01, 0.99)


def test_momentum_that_forgets_quickly_already_is_kept() -> None:
    assert fit_to_length(Pace(0.3, 0.5), 10) == Pace(0.3, 0.5)
