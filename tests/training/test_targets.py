"""A fold of every kind of target: trained, continued, validated, predicted."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from torch import nn, optim

from autoseg.dataset.coding import IGNORED, OUTSIDE_PLANE, WHOLE
from autoseg.dataset.target import Exclusive, Masks, Regions, Target, stored_target
from autoseg.ensembling.averaging import average
from autoseg.errors import Interrupted, TrainingError
from autoseg.images import Told, read_image, write_image
from autoseg.inference.model import load_model, load_weights
from autoseg.inference.probabilities import load_packed
from autoseg.plans import Plans
from autoseg.preprocessing.store import PreparedCases
from autoseg.training import Split, Trainer, TrainingSettings, find_trainer
from autoseg.training.fold.data import FoldData

CASES = tuple(f"ball_{number}" for number in range(6))
SPLIT = Split(training=CASES[:4], validation=CASES[4:])
REGIONS = Regions(names=("whole", "core"), members=((1, 2), (2,)), order=(1, 2))
MASKS = Masks(names=("whole", "core"))
LESION = Exclusive(names=("background", "lesion"), soft=True)
IGNORING = Exclusive(names=("background", "shell", "core"), ignore=9)


class Quick(Trainer):
    """Learns within a hundred steps."""

    def build_optimizer(self, network: nn.Module) -> optim.Optimizer:
        return optim.Adam(network.parameters())


def plans_of(plans: Plans, target: Target) -> Plans:
    return replace(plans, labels=target.labels, target_kind=stored_target(target))


def sliced(store: PreparedCases, folder: Path) -> PreparedCases:
    """The same cases, of which only every fourth slice was labelled."""
    cases = PreparedCases(folder)
    for case in CASES:
        prepared = store.load(case)
        assert prepared.segmentation is not None
        labels = np.array(prepared.segmentation)
        labels[np.arange(len(labels)) % 4 != 2] = IGNORED
        foreground = {
            label: np.array([voxel for voxel in voxels if voxel[0] % 4 == 2], dtype=np.int32).reshape(-1, 3)
            for label, voxels in prepared.foreground.items()
        }
        cases.save(replace(prepared, segmentation=labels, foreground=foreground), "sliced")
    return cases


def trainer_of(plans: Plans, cases: PreparedCases, references: Path, output: Path, **settings: Any) -> Trainer:
    data = FoldData(
        plans=plans, configuration="3d_fullres", cases=cases, split=SPLIT, output=output, references=references
    )
    given = {"epochs": 2, "iterations_per_epoch": 50, "seed": 7, "workers": 0, "precision": "fp32", **settings}
    return Quick(data, settings=TrainingSettings(**given), device="cpu")


@pytest.mark.parametrize("target", [REGIONS, IGNORING], ids=["regions", "ignored"])
def test_a_fold_is_trained_continued_and_scored_by_output(
    target: Target, plans: Plans, store: PreparedCases, references: Path, tmp_path: Path
) -> None:
    cases = sliced(store, tmp_path / "prepared") if target.ignore is not None else store
    if target.ignore is not None:
        references = _sliced_references(references, tmp_path / "references")
    whole = trainer_of(plans_of(plans, target), cases, references, tmp_path / "whole" / "fold_0")
    whole.run()
    parts = trainer_of(plans_of(plans, target), cases, references, tmp_path / "parts" / "fold_0")
    stopping = iter([False] * 20 + [True] * 99)
    with pytest.raises(Interrupted):
        parts.run(should_stop=lambda: next(stopping))
    trainer_of(plans_of(plans, target), cases, references, tmp_path / "parts" / "fold_0").run(resume=True)
    weights = [load_weights(one.output / "weights_final.pt").weights for one in (whole, parts)]
    assert all(weights[0][name].equal(weights[1][name]) for name in weights[0])

    summary = whole.validate(save_probabilities=True)
    assert summary.labels == (1, 2) and all(metrics["Dice"] > 0.5 for metrics in summary.mean.values())  # type: ignore[operator]
    predicted = read_image(whole.output / "validation_raw" / "ball_4.nii.gz").data
    kept = load_packed(whole.output / "validation_raw" / "ball_4.npz")
    np.testing.assert_array_equal(average([kept]), predicted)
    reference = read_image(references / "ball_4.nii.gz").data
    known = reference != (-5 if target.ignore is None else target.ignore)
    for number, scores in summary.cases[0].scores.items():
        ours, theirs = (np.isin(image[known], target.members_of(number)) for image in (predicted, reference))
        assert scores["Dice"] == pytest.approx(2 * (ours & theirs).sum() / (ours.sum() + theirs.sum()))
    assert set(np.unique(predicted)) == {0, 1, 2}
    model = load_model(whole.output.parent, "3d_fullres")
    assert model.target == target and len(model.networks[0].state_dict()) == len(weights[0])


def test_a_fold_of_masks_is_trained_and_scored_file_by_file(
    plans: Plans, store: PreparedCases, references: Path, tmp_path: Path
) -> None:
    """The core of one case to train on, and of one to validate on, was not drawn."""
    cases, drawn = PreparedCases(tmp_path / "prepared"), tmp_path / "references"
    for case in CASES:
        prepared, reference = store.load(case), read_image(references / f"{case}.nii.gz")
        assert prepared.segmentation is not None
        number = 1 if case in ("ball_0", "ball_5") else 2
        planes = np.stack([prepared.segmentation >= least for least in (1, 2)][:number]) * np.uint8(WHOLE)
        planes[:, prepared.segmentation < 0] = OUTSIDE_PLANE
        foreground = {output: np.argwhere(plane == WHOLE).astype(np.int32) for output, plane in enumerate(planes, 1)}
        apart = replace(
            prepared,
            segmentation=planes,
            planes=((0,), (1,))[:number] + ((),) * (2 - number),
            annotated=MASKS.names[:number],
            foreground={1: np.zeros((0, 3), np.int32), 2: np.zeros((0, 3), np.int32), **foreground},
        )
        cases.save(apart, "masks")
        for name, least in zip(MASKS.names[:number], (1, 2), strict=False):
            write_image(drawn / f"{case}_{name}.nii.gz", (reference.data >= least).astype(np.uint8), reference.geometry)
    trainer = trainer_of(plans_of(plans, MASKS), cases, drawn, tmp_path / "model" / "fold_0", epochs=3)
    trainer.run()

    summary = trainer.validate(save_probabilities=True)

    folder = trainer.output / "validation_raw"
    assert {path.name for path in folder.iterdir()} == {
        *(f"{case}_{name}.nii.gz" for case in SPLIT.validation for name in MASKS.names),
        *(f"{case}.npz" for case in SPLIT.validation),
        "prediction.json",
        "summary.json",
        "summary.csv",
    }
    assert [case.identifier for case in summary.cases] == list(SPLIT.validation)
    assert summary.mean[1]["Dice"] > 0.8 and summary.mean[2]["Dice"] > 0.3  # type: ignore[operator]
    assert set(summary.cases[1].scores[2].values()) == {None} and summary.number[2]["Dice"] == 1
    predicted = [read_image(folder / f"ball_4_{name}.nii.gz").data for name in MASKS.names]
    for ours, (number, name) in zip(predicted, enumerate(MASKS.names, 1), strict=True):
        theirs = read_image(drawn / f"ball_4_{name}.nii.gz").data
        dice = 2 * (ours & theirs).sum() / (ours.sum() + theirs.sum())
        assert summary.cases[0].scores[number]["Dice"] == pytest.approx(dice)
    np.testing.assert_array_equal(average([load_packed(folder / "ball_4.npz")]), predicted)
    before = {path.name: path.stat().st_mtime_ns for path in folder.glob("*.nii.gz")}
    trainer.validate(save_probabilities=True)
    assert {path.name: path.stat().st_mtime_ns for path in folder.glob("*.nii.gz")} == before, "predicted already"


def test_a_fold_of_fractions_is_trained_continued_and_scored_by_how_near_they_are(
    plans: Plans, store: PreparedCases, references: Path, tmp_path: Path
) -> None:
    """Of the shell three fifths are a lesion. Two raters drew one of the validated cases, of whom one sees less in it."""
    cases, drawn = PreparedCases(tmp_path / "prepared"), tmp_path / "references"
    for case in CASES:
        prepared, reference = store.load(case), read_image(references / f"{case}.nii.gz")
        assert prepared.segmentation is not None
        planes = _faded(prepared.segmentation)[None]
        foreground = {1: np.argwhere(planes[0] > WHOLE / 2).astype(np.int32)}
        planes[0, prepared.segmentation < 0] = OUTSIDE_PLANE
        faded = replace(prepared, segmentation=planes, planes=((0,),), foreground=foreground)
        cases.save(faded, "faded")
        steps = _faded(reference.data)
        raters = (
            {"_rater1": steps, "_rater2": np.where(np.arange(len(steps)).reshape(-1, 1, 1) < 7, steps, 0)}
            if case == "ball_5"
            else {"": steps}
        )
        for name, rater in raters.items():
            write_image(drawn / f"{case}{name}.nii.gz", rater, reference.geometry, Told(step=1 / WHOLE))
    made = plans_of(plans, LESION)
    whole = trainer_of(made, cases, drawn, tmp_path / "whole" / "fold_0")
    whole.run()
    parts = trainer_of(made, cases, drawn, tmp_path / "parts" / "fold_0")
    stopping = iter([False] * 20 + [True] * 99)
    with pytest.raises(Interrupted):
        parts.run(should_stop=lambda: next(stopping))
    trainer_of(made, cases, drawn, tmp_path / "parts" / "fold_0").run(resume=True)
    weights = [load_weights(one.output / "weights_final.pt").weights for one in (whole, parts)]
    assert all(weights[0][name].equal(weights[1][name]) for name in weights[0])

    summary = whole.validate(save_probabilities=True)

    folder = whole.output / "validation_raw"
    first, second = (case.scores[1] for case in summary.cases)
    assert first["Soft Dice"] > 0.7 and first["Dice"] > 0.8 and first["Mean Absolute Error"] < 0.08  # type: ignore[operator]
    predicted = read_image(folder / "ball_4.nii.gz").data
    true = read_image(drawn / "ball_4.nii.gz").data
    assert first["Mean Absolute Error"] == pytest.approx(np.abs(predicted - true).mean(), abs=1e-6)
    within = [np.median(predicted[true.round(1) == value]) for value in (0, 0.6, 1)]
    assert within[0] < 0.1 and 0.4 < within[1] < 0.85 and within[2] > 0.9
    assert first["Dice Between Raters"] is None and 0.1 < second["Dice Between Raters"] < 0.9  # type: ignore[operator]
    mean = average([load_packed(folder / "ball_4.npz")]) / np.float32(WHOLE)
    np.testing.assert_allclose(mean, predicted, atol=1.01 / WHOLE)
    assert (np.abs(mean - predicted) > 1e-6).mean() < 1e-3
    assert load_model(whole.output.parent, "3d_fullres").target == LESION


@pytest.mark.parametrize("target", [LESION, MASKS], ids=["fractions", "masks"])
def test_a_loss_of_labels_is_refused_of_shares_before_anything_is_written(
    target: Target, plans: Plans, store: PreparedCases, references: Path, tmp_path: Path
) -> None:
    recipe, output = tmp_path / "focal.json", tmp_path / "model" / "fold_0"
    recipe.write_text('{"loss": "focal"}')
    made = FoldData(
        plans=plans_of(plans, target),
        configuration="3d_fullres",
        cases=store,
        split=SPLIT,
        output=output,
        references=references,
    )

    with pytest.raises(TrainingError, match=r"focal: weighs voxels by their label, .*; name binary_focal"):
        find_trainer(str(recipe)).build(made, settings=TrainingSettings(seed=1, workers=0), device="cpu").run()
    assert not output.exists()


def _faded(labels: Any) -> np.ndarray:
    """Fractions of shell and core in bytes of `WHOLE`."""
    return np.array([0, 0.6 * WHOLE, WHOLE], np.uint8)[labels.clip(min=0)]


def _sliced_references(references: Path, folder: Path) -> Path:
    folder.mkdir()
    for path in references.iterdir():
        image = read_image(path)
        labels = image.data.copy()
        labels[np.arange(len(labels)) % 4 != 2] = 9
        write_image(folder / path.name, labels, image.geometry)
    return folder


def test_labels_of_which_each_case_shows_one_are_all_learned(
    plans: Plans, store: PreparedCases, references: Path, tmp_path: Path
) -> None:
    """With what was not drawn counted as one with the background; taken for background, the shell is hardly learned."""
    target = Exclusive(names=("background", "shell", "core"))
    dice = {}
    for told in (True, False):
        cases = PreparedCases(tmp_path / f"told_{told}")
        for number, case in enumerate(CASES):
            prepared = store.load(case)
            assert prepared.segmentation is not None
            label = 1 + number % 2
            shown = np.where(prepared.segmentation == 3 - label, 0, prepared.segmentation).astype(np.int8)
            foreground = {**prepared.foreground, 3 - label: np.zeros((0, 3), dtype=np.int32)}
            annotated = (target.names[label],) if told else None
            if number < 4:
                prepared = replace(prepared, segmentation=shown, foreground=foreground, annotated=annotated)
            cases.save(prepared, f"told {told}")
        made = trainer_of(plans, cases, references, tmp_path / f"model_{told}" / "fold_0", iterations_per_epoch=60)
        made.run()
        dice[told] = [metrics["Dice"] or 0.0 for metrics in made.validate().mean.values()]
    assert min(dice[True]) > 0.6 and dice[False][0] < 0.4, dice
    assert sum(dice[True]) > sum(dice[False]) + 0.3, dice
