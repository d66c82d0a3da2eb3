"""Trainings by recipes that are interrupted, end early, or are counted in batches or hours."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from autoseg.errors import Interrupted
from autoseg.inference.model import load_weights
from autoseg.plans import Plans
from autoseg.preprocessing.store import PreparedCases
from autoseg.training import Split, Trainer, TrainingSettings, find_trainer
from autoseg.training.fold.data import FoldData

CASES = tuple(f"ball_{number}" for number in range(6))
SPLIT = Split(training=CASES[:4], validation=CASES[4:])
SHORT = {"epochs": 3, "iterations_per_epoch": 2, "validation_batches": 1, "batch_size": 2}

MakeTrainer = Callable[..., Trainer]


@pytest.fixture
def trainer(store: PreparedCases, references: Path, tmp_path: Path, plans: Plans) -> MakeTrainer:
    def make(recipe: dict[str, Any], name: str = "mine") -> Trainer:
        path = tmp_path / f"{name}.json"
        path.write_text(json.dumps(SHORT | recipe))
        data = FoldData(
            plans=plans,
            configuration="3d_fullres",
            cases=store,
            split=SPLIT,
            output=tmp_path / name / "fold_0",
            references=references,
        )
        settings = TrainingSettings(seed=3, workers=0, precision="fp32")
        return find_trainer(str(path)).build(data, settings=settings, device="cpu")

    return make


def epochs_of(trainer: Trainer) -> list[dict[str, Any]]:
    epochs: list[dict[str, Any]] = json.loads((trainer.output / "history.json").read_text())["epochs"]
    return [{key: value for key, value in epoch.items() if key not in ("seconds", "waited")} for epoch in epochs]


def run_with_a_break(trainer: Trainer, batches: int) -> None:
    left = iter(range(batches - 1))
    with pytest.raises(Interrupted):
        trainer.run(should_stop=lambda: next(left, None) is None)
    trainer.run(resume=True)


def assert_same(one: Trainer, other: Trainer) -> None:
    first, second = (load_weights(made.output / "weights_final.pt").weights for made in (one, other))
    assert all(torch.equal(first[name], second[name]) for name in first)
    assert epochs_of(one) == epochs_of(other)


@pytest.mark.parametrize(
    ("optimiser", "schedule"),
    [
        ("RMSprop", {"name": "one_cycle", "warm_up": 1}),
        ({"name": "AdamW", "betas": [0.5, 0.9]}, {"name": "on_plateau", "patience": 1, "least_improvement": 5.0}),
    ],
)
def test_a_break_in_the_middle_changes_nothing(trainer: MakeTrainer, optimiser: Any, schedule: Any) -> None:
    recipe = {"optimiser": optimiser, "schedule": schedule, "learning_rate": 0.001}
    whole, broken = trainer(recipe), trainer(recipe, "broken")
    whole.run()
    run_with_a_break(broken, 4)

    assert_same(whole, broken)
    assert len({epoch["learning_rate"] for epoch in epochs_of(whole)}) > 1
