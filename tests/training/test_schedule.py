from __future__ import annotations

import pytest

from autoseg.training.schedule import poly_learning_rate


@pytest.mark.parametrize(
    ("epoch", "epochs", "expected"),
    [(0, 1000, 0.01), (500, 1000, 0.0053589), (999, 1000, 1.9953e-5), (1, 2, 0.0053589), (9, 10, 0.0012589)],
)
def test_the_learning_rate_falls_polynomially(epoch: int, epochs: int, expected: float) -> None:
    assert poly_learning_rate(epoch, epochs, 0.01) == pytest.approx(expected, rel=1e-4)
