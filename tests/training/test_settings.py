from __future__ import annotations

from typing import Any

import pytest

from autoseg.errors import TrainingError
from autoseg.training.settings import TrainingSettings


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"epochs": 0}, "epochs: at least 1, found 0"),
        ({"iterations_per_epoch": -1}, "iterations_per_epoch: at least 1, found -1"),
        ({"batch_size": 0}, "batch_size: at least 1, found 0"),
        ({"learning_rate": 0.0}, "learning_rate: between 0 and 10, found 0.0"),
        ({"learning_rate": float("nan")}, "learning_rate: between 0 and 10, found nan"),
        ({"seed": -3}, "seed: a whole number from 0"),
        ({"checkpoint_minutes": -1.0}, "checkpoint_minutes: 0 or more, found -1"),
        ({"workers": -1}, "workers: 0 or more, found -1"),
    ],
)
def test_impossible_settings_are_refused(values: dict[str, Any], message: str) -> None:
    with pytest.raises(TrainingError, match=message):
        TrainingSettings(**values)
