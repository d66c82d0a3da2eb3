"""Trainings by recipes that are interrupted, end early, or are counted in batches or hours."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

from autoseg.errors import Interrupted, TrainingError
from autoseg.inference.model import load_weights
from autoseg.plans import Plans
from autoseg.preprocessing.store import PreparedCases
from autoseg.training import Split, Trainer, TrainingSettings, find_trainer
from autoseg.training.fine_tuning import freeze
from autoseg.training.fold.continuing import settings_to_continue
from autoseg.training.fold.data import FoldData

CASES = tuple(f"ball_{number}" for number in range(6))
SPLIT = Split(training=CASES[:4], validation=CASES[4:])
SHORT = {"epochs": 3, "iterations_per_epoch": 2, "validation_batches": 1, "batch_size": 2}

MakeTrainer = Callable[..., Trainer]


@pytest.fixture
def trainer(store: PreparedCases, references: Path, tmp_path: Path, plans: Plans) -> MakeTrainer:
    def make(recipe: dict[str, Any], name: str = "mine", *, goes_on: bool = False, **asked: Any) -> Trainer:
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
        settings = TrainingSettings(seed=3, workers=asked.pop("workers", 0), precision="fp32", **asked)
        if goes_on:
            settings = settings_to_continue(settings, data.folder, device="cpu")
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


def test_a_training_that_brings_nothing_better_ends_early_and_has_nothing_left(
    trainer: MakeTrainer, caplog: pytest.LogCaptureFixture
) -> None:
    recipe = {"epochs": 9, "stopping": {"name": "early", "patience": 2, "least_improvement": 50.0, "factor": 0.1}}
    whole, broken = trainer(recipe), trainer(recipe, "broken")
    whole.run()
    run_with_a_break(broken, 5)

    assert_same(whole, broken)
    epochs = epochs_of(whole)
    assert [epoch["epoch"] for epoch in epochs] == [0, 1, 2]
    assert epochs[2]["learning_rate"] == pytest.approx(epochs[1]["learning_rate"] * 0.1 * (7 / 8) ** 0.9)
    assert load_weights(whole.output / "weights_final.pt").epoch == 3
    assert "the training ends after 3 epochs: 2 epochs brought no better validation loss" in caplog.text
    whole.run(resume=True)
    assert "3 epochs trained already, nothing is left to train: 2 epochs brought no better" in caplog.text
    assert (whole.output / "progress.png").is_file()


def test_foreground_follows_the_recall_two_epochs_before_whoever_makes_batches_and_whatever_breaks(
    trainer: MakeTrainer,
) -> None:
    recipe = {"epochs": 5, "foreground_by_recall": True, "batch_size": 4}
    whole, broken, ahead = trainer(recipe), trainer(recipe, "broken"), trainer(recipe, "ahead", workers=2)
    whole.run()
    run_with_a_break(broken, 10)
    ahead.run()

    assert_same(whole, broken)
    assert_same(whole, ahead)
    epochs = epochs_of(whole)
    assert [epoch["foreground"] for epoch in epochs[:2]] == [0.33, 0.33]
    assert [epoch["foreground"] for epoch in epochs[2:]] == [max(0.01, 1 - epoch["recall"]) for epoch in epochs[:3]]
    assert len({epoch["foreground"] for epoch in epochs}) > 2
    fixed = trainer({**recipe, "foreground_by_recall": False}, "fixed")
    fixed.run()
    assert [epoch["loss"] for epoch in epochs_of(fixed)[:2]] == [epoch["loss"] for epoch in epochs[:2]]
    assert epochs_of(fixed)[2]["loss"] != epochs[2]["loss"]
    assert "recall" not in epochs_of(fixed)[0]


def test_batches_may_be_the_unit_and_the_last_epoch_shorter(
    trainer: MakeTrainer, caplog: pytest.LogCaptureFixture
) -> None:
    recipe = {"epochs": 100, "validate_every": 3, "max_iterations": 5, "validation_batches": 2}
    whole, broken = trainer(recipe), trainer(recipe, "broken")
    whole.run()
    run_with_a_break(broken, 6)

    assert_same(whole, broken)
    epochs = epochs_of(whole)
    assert (len(epochs), whole.iterations_per_epoch) == (2, 3)
    assert epochs[1]["learning_rate"] == pytest.approx(whole.pace.learning_rate * (1 - 1 / (5 / 3)) ** 0.9)
    steps = torch.load(whole.output / "checkpoint.pt", weights_only=True)["optimizer"]["state"]
    assert steps
    whole.run(resume=True)
    assert "nothing is left to train: 2 epochs are done" in caplog.text


def test_more_batches_are_added_to_a_training_that_is_done(trainer: MakeTrainer) -> None:
    trainer({"epochs": 9, "max_iterations": 2}).run()
    more = trainer({"epochs": 9, "max_iterations": 4}, goes_on=True)
    more.run(resume=True)

    assert [epoch["epoch"] for epoch in epochs_of(more)] == [0, 1]


def test_epochs_that_were_asked_for_stay_where_those_of_the_recipe_may_change(trainer: MakeTrainer) -> None:
    trainer({"epochs": 9}, epochs=1).run()
    trainer({"epochs": 1}, "another").run()

    assert trainer({"epochs": 9}, goes_on=True).epochs == 1
    assert trainer({"epochs": 9}, goes_on=True, epochs=2).epochs == 2
    assert trainer({"epochs": 9}, "another", goes_on=True).epochs == 9


def test_hours_are_kept_and_leave_a_model(trainer: MakeTrainer, caplog: pytest.LogCaptureFixture) -> None:
    made = trainer({"epochs": 1000, "iterations_per_epoch": 50, "validation_batches": 2, "max_hours": 2 / 3600})
    made.run()
    epochs = json.loads((made.output / "history.json").read_text())["epochs"]

    assert all(epoch["loss"] for epoch in epochs), "each epoch learned from some batch"
    assert (made.pace, made.pace_of(100.5)) == ((0.01, 0.99), (pytest.approx(0.1), pytest.approx(0.9)))
    assert epochs[-1]["dice"] is not None
    assert "2 s are over" in caplog.text
    assert load_weights(made.output / "weights_final.pt").epoch == len(epochs)
    made.run(resume=True)
    assert "nothing is left to train: 2 s are over" in caplog.text


def test_weights_are_averaged_over_the_steps_and_the_average_is_kept(trainer: MakeTrainer) -> None:
    whole, broken, plain = (
        trainer({"weight_average": 0.5}),
        trainer({"weight_average": 0.5}, "broken"),
        trainer({}, "plain"),
    )
    whole.run()
    run_with_a_break(broken, 4)
    plain.run()

    assert_same(whole, broken)
    content = torch.load(whole.output / "checkpoint.pt", weights_only=True)
    assert content["average"]["n_averaged"] == 6
    kept = load_weights(whole.output / "weights_final.pt").weights
    learned = load_weights(plain.output / "weights_final.pt").weights
    assert all(torch.equal(content["network"][name], learned[name]) for name in learned)
    assert all(torch.equal(content["average"][f"module.{name}"], kept[name]) for name in kept)
    assert any(not torch.equal(kept[name], learned[name]) for name in kept)
    assert [one["loss"] for one in epochs_of(whole)] == [one["loss"] for one in epochs_of(plain)]
    assert [one["validation_loss"] for one in epochs_of(whole)] != [one["validation_loss"] for one in epochs_of(plain)]


STEPS = ["mixup", {"name": "blurred_labels", "sigma": 0.7}, "dilated_labels"]


@pytest.mark.parametrize("steps", [STEPS, "mixup"])
def test_a_training_of_mixed_batches_goes_on_as_if_never_interrupted(trainer: MakeTrainer, steps: Any) -> None:
    whole, broken = trainer({"batch_steps": steps}), trainer({"batch_steps": steps}, "broken")
    plain = trainer({}, "plain")
    whole.run()
    run_with_a_break(broken, 4)
    plain.run()

    assert_same(whole, broken)
    assert [one["loss"] for one in epochs_of(whole)] != [one["loss"] for one in epochs_of(plain)]
    with pytest.raises(TrainingError, match=r"batch_steps was mixup\(alpha=0.4\)"):
        trainer({}).run(resume=True)


def test_answers_begin_at_frequencies_only_where_they_can(trainer: MakeTrainer) -> None:
    made = trainer({"frequency_bias": True})
    with pytest.raises(
        TrainingError, match="frequency_bias: UNet ends in no layer with a bias for each of its 3 outputs"
    ):
        made.run()
    assert not made.output.exists()


def test_frozen_layers_stay_as_the_weights_have_them(trainer: MakeTrainer) -> None:
    trainer({}, "before").run()
    made = trainer({"frozen": 0.5, "fresh": True}, "tuned")
    with pytest.raises(
        TrainingError, match=r"tuned: its recipe leaves 50 % of the layers as they are \(frozen\), so they must"
    ):
        made.run()
    weights = made.output.parents[1] / "before" / "fold_0" / "weights_final.pt"
    made.settings = replace(made.settings, pretrained_weights=weights)
    made.run()

    names = freeze(made.new_network(), 0.5)
    old, new = (load_weights(path).weights for path in (weights, made.output / "weights_final.pt"))
    assert names and all(torch.equal(old[name], new[name]) for name in names)
    assert any(not torch.equal(old[name], new[name]) for name in new)
