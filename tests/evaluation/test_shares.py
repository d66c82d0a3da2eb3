"""Fractions and raters: exact small tables, and what holds of any shares."""

from __future__ import annotations

from functools import partial
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from autoseg.arrays import Array
from autoseg.dataset import Exclusive, Masks, Target
from autoseg.errors import CasesFailed
from autoseg.evaluation.folders import ScoringSettings, evaluate_folder
from autoseg.evaluation.metrics import Counted, count, score_arrays
from autoseg.evaluation.shares import Shares, compare_shares
from autoseg.evaluation.summary import Summary
from autoseg.geometry import Geometry
from autoseg.images import Told, write_image
from autoseg.reporting.scores import score_table

GEOMETRY = Geometry(spacing=(1.0, 1.0, 1.0))
LESION = Exclusive(names=("background", "lesion"), ignore=9, soft=True)
NAN = float("nan")


def compared(prediction: list[float], *raters: list[float]) -> Shares:
    ours, *theirs = (np.array(values, np.float32).reshape(1, 1, -1) for values in (prediction, *raters))
    return compare_shares(ours, theirs, lambda values: values)


def test_fractions_of_a_small_table() -> None:
    found = compared([0.2, 1, 0.6, 0, 0.9], [0.4, 1, 0.5, 0, NAN])

    assert found.soft_metrics == {
        "Soft Dice": pytest.approx(2 * (0.2 + 1 + 0.5) / (1.8 + 1.9)),
        "Mean Absolute Error": pytest.approx((0.2 + 0.1) / 4),
    }
    assert found.prediction.tolist() == [[[0, 1, 1, 0, 1]]]
    assert found.reference.tolist() == [[[0, 1, 0, 0, 2]]], "one half is not more than one half"
    assert found.agreement is None


def test_where_nothing_is_there_or_known_a_score_is_undefined() -> None:
    assert compared([0, 0], [0, 0]).soft_metrics == {"Soft Dice": None, "Mean Absolute Error": 0.0}
    assert compared([0.5, 0], [NAN, NAN]).soft_metrics == {"Soft Dice": None, "Mean Absolute Error": None}


def test_the_mean_of_raters_is_of_those_who_know_and_each_two_of_them_are_compared() -> None:
    raters = [np.array([[[1, 9, 9, 0]]]), np.array([[[1, 2, 9, 1]]]), np.array([[[0, 9, 9, 1]]])]
    counted = Counted(members={1: (1, 2), 2: (2,)}, ignore=9)

    found = compare_shares(np.array([[[1, 0, 2, 9]]]), raters, partial(counted.share_of, number=1))

    assert found.reference.tolist() == [[[1, 1, 2, 1]]]
    assert found.prediction.tolist() == [[[1, 0, 1, 0]]]
    assert found.agreement == pytest.approx((2 * 1 / 3 + 2 * 0 / 2 + 2 * 1 / 3) / 3)
    nobody = compare_shares(raters[0], raters[:2], partial(counted.share_of, number=2))
    assert nobody.agreement is None, "where both know, neither says it"
    assert compare_shares(raters[0], raters[:2], partial(counted.share_of, number=1)).reference.tolist() == [
        [[1, 1, 2, 0]]
    ]


@given(st.integers(0, 2**32 - 1))
def test_of_whole_voxels_the_soft_dice_is_the_dice(seed: int) -> None:
    ours, theirs = np.random.default_rng(seed).integers(0, 2, (2, 2, 3, 4)).astype(np.float32)
    counts = count(ours.astype(np.uint8), theirs.astype(np.uint8), Counted.of([1]))[1]

    found = compare_shares(ours, [theirs], lambda values: values).soft_metrics

    dice = score_arrays(ours.astype(np.uint8), theirs.astype(np.uint8), Counted.of([1]))[1]["Dice"]
    assert found["Soft Dice"] == (None if dice is None else pytest.approx(dice))
    assert found["Mean Absolute Error"] == pytest.approx((counts.false_positives + counts.false_negatives) / 24)


@given(st.integers(0, 2**32 - 1))
def test_equal_fractions_are_perfect_and_no_others(seed: int) -> None:
    generator = np.random.default_rng(seed)
    truth = generator.random((2, 3, 4), dtype=np.float32)
    other = np.clip(truth + generator.choice([-0.1, 0.1], truth.shape), 0, 1).astype(np.float32)

    perfect, moved = (compare_shares(one, [truth], lambda values: values).soft_metrics for one in (truth, other))

    assert perfect == {"Soft Dice": 1.0, "Mean Absolute Error": 0.0}
    assert moved["Soft Dice"] < 0.98 and 0 < moved["Mean Absolute Error"] <= 0.1001  # type: ignore[operator]


def write(folder: Path, *, step: float = 1, **files: Array) -> None:
    for name, data in files.items():
        write_image(folder / f"{name}.nii.gz", data.reshape(2, 2, -1), GEOMETRY, Told(step=step))


def scored(folder: Path, target: Target) -> Summary:
    return evaluate_folder(
        folder / "true", folder / "ours", ScoringSettings(counted=Counted.of_target(target)), workers=1
    )


def test_files_of_fractions_are_scored_as_they_are_and_thresholded(tmp_path: Path) -> None:
    """However each says them: from 0 to 1, of 255, or in bytes of a step; what is ignored is left out."""
    truth = np.array([0, 0.2, 0.4, 0.6, 0.8, 1, 1, 9], np.float32)
    write(tmp_path / "true", a=truth, b=np.array([0, 51, 102, 153, 204, 255, 255, 0], np.uint8))
    ours = np.array([0, 50, 100, 100, 200, 250, 250, 250], np.uint8)
    write(tmp_path / "ours", a=ours, b=ours, step=1 / 250)

    summary = scored(tmp_path, LESION)

    first, second = (case.scores[1] for case in summary.cases)
    assert first["Soft Dice"] == pytest.approx(2 * 3.8 / (3.8 + 4.0), abs=1e-6)
    assert first["Mean Absolute Error"] == pytest.approx(0.2 / 7, abs=1e-6)
    assert first["Dice"] == pytest.approx(2 * 3 / 7) and first["Total Positives Reference"] == 4
    assert second["Mean Absolute Error"] == pytest.approx(1.2 / 8, abs=1e-6)
    assert (first["Voxels Left Out"], second["Voxels Left Out"]) == (1, 0)
    assert first["Volume Test"] == pytest.approx(3e-3)
    lines = score_table(summary, LESION.names).splitlines()
    assert lines[0].split() == "label n Dice std soft Dice MAE true ml found ml".split()
    assert lines[-1] == "1 lesion: 1 voxel left out, which nobody knows"


def test_soft_masks_of_several_raters_are_scored_by_their_mean(tmp_path: Path) -> None:
    target = Masks(names=("axon", "myelin"), soft=True)
    one, other, mean = (np.full(8, value, np.float32) for value in (0.8, 0.4, 0.6))
    write(tmp_path / "true", a_axon_rater1=one, a_axon_rater2=other, b_axon=one, b_myelin=other)
    write(tmp_path / "ours", a_axon=mean, a_myelin=mean, b_axon=one, b_myelin=mean)

    summary = scored(tmp_path, target)

    first, second = (case.scores for case in summary.cases)
    assert first[1]["Soft Dice"] == pytest.approx(1) and first[1]["Dice"] == 1 and first[1]["Dice Between Raters"] == 0
    assert set(first[2].values()) == {None} and first[2].keys() == first[1].keys() == second[2].keys()
    assert second[2]["Soft Dice"] == pytest.approx(0.8) and second[2]["Dice"] == 0
    assert second[1]["Dice Between Raters"] is None


def test_the_background_has_what_the_fractions_lack(tmp_path: Path) -> None:
    write(tmp_path / "true", a=np.full(8, 0.25, np.float32))
    write(tmp_path / "ours", a=np.full(8, 0.5, np.float32))
    counted = Counted.of_target(LESION, [0, 1])

    summary = evaluate_folder(tmp_path / "true", tmp_path / "ours", ScoringSettings(counted=counted), workers=1)

    assert summary.mean[0]["Soft Dice"] == pytest.approx(2 * 0.5 / 1.25)
    assert summary.mean[1]["Soft Dice"] == pytest.approx(2 * 0.25 / 0.75)


def test_what_is_no_fraction_is_refused_by_file_and_fractions_of_labels_hint_at_the_task(tmp_path: Path) -> None:
    write(tmp_path / "true", a=np.full(8, 0.5, np.float32))
    write(tmp_path / "ours", a=np.full(8, 1.5, np.float32))

    with pytest.raises(
        CasesFailed, match=r"ours/a\.nii\.gz: holds 1\.5, which is no fraction; soft labels are from 0 to 1"
    ):
        scored(tmp_path, LESION)
    write(tmp_path / "ours", a=np.full(8, 1, np.uint8))
    with pytest.raises(
        CasesFailed,
        match=r"true/a.*found 0\.5; correct the file; soft labels are taken where the task, or a postprocessing",
    ):
        scored(tmp_path, Exclusive(names=("background", "lesion")))
