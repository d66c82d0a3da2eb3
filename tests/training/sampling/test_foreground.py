"""The share of training batches that must hold foreground, from the recall of the epochs before."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import pytest

from autoseg.plans import Plans, Views
from autoseg.preprocessing.store import PreparedCases
from autoseg.training import Split, Trainer, TrainingSettings, find_trainer
from autoseg.training.fold.data import FoldData
from autoseg.training.fold.history import EpochRecord, MeasuredEpoch, mean_recall, next_record
from autoseg.training.previous_stage import Gathered
from autoseg.training.sampling.batches import BatchKey, Supply
from autoseg.training.sampling.foreground import share_of, training_share, within_an_epoch
from autoseg.training.sampling.samples import TRAINING, VALIDATION
from autoseg.training.sampling.source import open_batches
from autoseg.training.start import new_state

CASES = tuple(f"ball_{number}" for number in range(6))

MakeTrainer = Callable[..., Trainer]


@pytest.fixture
def trainer(store: PreparedCases, tmp_path: Path, plans: Plans) -> MakeTrainer:
    def make(**recipe: object) -> Trainer:
        path = tmp_path / "mine.json"
        path.write_text(json.dumps({"iterations_per_epoch": 30, "validation_batches": 2, "batch_size": 4, **recipe}))
        data = FoldData(
            plans=plans,
            configuration="3d_fullres",
            cases=store,
            split=Split(training=CASES[:4], validation=CASES[4:]),
            output=tmp_path / "fold_0",
            references=tmp_path,
        )
        settings = TrainingSettings(seed=3, workers=0)
        return find_trainer(str(path)).build(data, settings=settings, device="cpu")

    return make


def history(recalls: Sequence[float | None]) -> list[EpochRecord]:
    records: list[EpochRecord] = []
    for recall in recalls:
        measured = MeasuredEpoch(
            learning_rate=0.1, loss=1.0, validation_loss=1.0, dice_per_class=(), seconds=1.0, recall=recall
        )
        records.append(next_record(records, measured))
    return records


@pytest.mark.parametrize(
    ("epoch", "recalls", "share"),
    [
        (0, [], 0.33),
        (1, [0.2], 0.33),
        (2, [0.2, 0.9], 0.8),
        (3, [0.2, 0.9, 0.5], 0.1),
        (3, [0.2, 0.9], 0.1),  # asked while epoch 2 is still trained
        (4, [0.2, 0.9, 1.0, 0.5], 0.01),
        (4, [0.2, 0.9, None, 0.5], 0.1),
        (2, [None, 0.9], 0.33),
        (2, [0.0, 0.9], 1.0),
    ],
)
def test_the_share_is_what_was_missed_two_epochs_before(
    trainer: MakeTrainer, epoch: int, recalls: list[float | None], share: float
) -> None:
    following, fixed = trainer(foreground_by_recall=True), trainer()
    records = history(recalls)

    assert training_share(following, epoch, records) == pytest.approx(share)
    assert share_of(following, BatchKey(TRAINING, epoch, 7), records) == pytest.approx(share)
    assert share_of(following, BatchKey(VALIDATION, epoch, 1), records) == 0.33
    assert training_share(fixed, epoch, records) == 0.33


def test_recall_is_of_the_labels_that_are_there() -> None:
    assert mean_recall([(30, 5, 10), (0, 7, 0), (1, 0, 3)]) == pytest.approx(0.5)
    assert mean_recall([(0, 7, 0)]) is None


@pytest.mark.parametrize(("recall", "expected"), [(0.0, 120), (1.0, None)])
def test_batches_hold_as_much_foreground_as_the_recall_asks_for(
    trainer: MakeTrainer, plans: Plans, recall: float, expected: int | None
) -> None:
    plan = plans.configuration("3d_fullres")
    small = replace(plan, sampling=replace(plan.sampling, patch_size=(4, 4, 4)))
    held = {}
    for name, recipe in (("following", {"foreground_by_recall": True}), ("free", {"foreground_fraction": 0.0})):
        made = trainer(epochs=3, augmentation="none", mirror=False, **recipe)
        made.data = replace(made.data, plans=replace(plans, configurations={"3d_fullres": small}))
        state = new_state(made, 3)
        state.epoch, state.records = 2, history([recall, 0.5])
        batches, _ = open_batches(made, 3, state, Gathered())
        with closing(batches):
            training = [batch for batch in batches if batch.key.stream == TRAINING]
        held[name] = sum(bool((labels > 0).any()) for batch in training for labels in batch.targets[0])  # type: ignore[union-attr]

    assert held["free"] < 120
    assert held["following"] == (held["free"] if expected is None else expected)


def test_along_views_at_least_half_is_planned_but_recall_may_ask_for_less(trainer: MakeTrainer, plans: Plans) -> None:
    made = trainer(foreground_by_recall=True)
    views = Views(directions=((1.0, 0.0, 0.0),), span=40.0)
    from_views = replace(made.plan, sampling=replace(made.plan.sampling, patch_size=(8, 8, 8), views=views))
    made.data = replace(made.data, plans=replace(plans, configurations={"3d_fullres": from_views}))

    assert training_share(made, 1, []) == 0.5
    assert training_share(made, 2, history([0.75, 0.5])) == pytest.approx(0.25)


def test_no_batch_is_asked_for_before_its_share_is_known() -> None:
    assert within_an_epoch(Supply(workers=8, ahead=32), 3) == Supply(workers=3, ahead=3)
    assert within_an_epoch(Supply(workers=8, ahead=32), 300) == Supply(workers=8, ahead=32)
