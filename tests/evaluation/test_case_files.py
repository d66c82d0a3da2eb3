"""Cases of several files: a pair for each mask, raters against their mean, and what is missing by name."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from autoseg.dataset import Exclusive, Masks, Regions, Target
from autoseg.errors import DatasetError
from autoseg.evaluation.case_files import common_cases
from autoseg.evaluation.folders import ScoringSettings, evaluate_folder
from autoseg.evaluation.metrics import Counted, mean_of_raters
from autoseg.evaluation.summary import Summary, load_summary
from autoseg.geometry import Geometry
from autoseg.images import write_image
from autoseg.reporting.scores import score_table

MASKS = Masks(names=("axon", "myelin"))
GEOMETRY = Geometry(spacing=(1.0, 1.0, 1.0))
FULL, HALF, QUARTER = (np.repeat([1, 0], [count, 8 - count]).astype(np.uint8).reshape(2, 2, 2) for count in (8, 4, 2))


def write(folder: Path, **files: np.ndarray) -> Path:
    for name, data in files.items():
        write_image(folder / f"{name}.nii.gz", data, GEOMETRY)
    return folder


def scored(tmp_path: Path, target: Target, *, surface_distances: bool = False) -> Summary:
    scoring = ScoringSettings(counted=Counted.of_target(target), surface_distances=surface_distances)
    return evaluate_folder(tmp_path / "true", tmp_path / "ours", scoring, workers=1)


@pytest.mark.parametrize("surface_distances", [False, True])
def test_each_mask_is_scored_in_its_file_and_one_that_was_not_drawn_has_no_score(
    tmp_path: Path, surface_distances: bool
) -> None:
    write(tmp_path / "true", a_axon=HALF, a_myelin=FULL, b_axon=FULL)
    write(tmp_path / "ours", a_axon=QUARTER, a_myelin=FULL, b_axon=FULL, b_myelin=HALF)

    summary = scored(tmp_path, MASKS, surface_distances=surface_distances)

    assert [case.identifier for case in summary.cases] == ["a", "b"]
    dice = [[case.scores[number]["Dice"] for number in (1, 2)] for case in summary.cases]
    assert dice == [[pytest.approx(2 / 3), 1.0], [1.0, None]]
    first, second = (case.scores[2] for case in summary.cases)
    assert first.keys() == second.keys() and set(second.values()) == {None}
    assert load_summary(tmp_path / "ours" / "summary.json").number[2]["Dice"] == 1


def test_raters_are_scored_by_their_mean(tmp_path: Path) -> None:
    write(tmp_path / "true", a_axon_rater1=FULL, a_axon_rater2=HALF, a_axon_rater3=QUARTER, a_myelin=HALF)
    write(tmp_path / "ours", a_axon=HALF, a_myelin=HALF)

    summary = scored(tmp_path, MASKS)

    assert [metrics["Dice"] for metrics in summary.mean.values()] == [1.0, 1.0]
    between = {number: metrics["Dice Between Raters"] for number, metrics in summary.mean.items()}
    assert between == {1: pytest.approx((2 * 4 / 12 + 2 * 2 / 10 + 2 * 2 / 6) / 3), 2: None}
    assert [summary.number[number]["Dice Between Raters"] for number in (1, 2)] == [1, 0]
    lines = score_table(summary, MASKS.labels).splitlines()
    assert lines[0].split() == "label n Dice std raters n true ml found ml".split()
    assert [line.split()[3:7] for line in lines[1:3]] == [["1.0000", "-", "0.5778", "1"], ["1.0000", "-", "-", "0"]]


def test_raters_of_a_map_are_scored_label_by_label_where_anybody_knows(tmp_path: Path) -> None:
    target = Exclusive(names=("background", "one", "two"), ignore=9)
    write(tmp_path / "true", a_rater1=FULL, a_rater2=np.where(HALF, np.uint8(2), np.uint8(9)))
    write(tmp_path / "ours", a=np.where(HALF, np.uint8(0), np.uint8(1)))

    scores = scored(tmp_path, target).cases[0].scores

    assert [scores[number]["Dice"] for number in (1, 2)] == [1.0, None], "a half is not more than a half"
    assert scores[1]["Dice Between Raters"] == 0 and scores[1]["Voxels Left Out"] == 0


def test_the_mean_of_raters_is_of_those_who_know() -> None:
    raters = [np.array([[[1, 9, 9, 0]]]), np.array([[[1, 2, 9, 1]]]), np.array([[[0, 9, 9, 1]]])]

    assert mean_of_raters(raters, (1, 2), 9).tolist() == [[[1, 1, 2, 1]]]
    assert mean_of_raters(raters[:2], (1,), None).tolist() == [[[1, 0, 0, 0]]]


def test_a_case_that_is_called_as_a_rater_is_a_case_of_its_own(tmp_path: Path) -> None:
    write(tmp_path / "true", a=HALF, a_rater1=FULL)
    write(tmp_path / "ours", a=HALF, a_rater1=FULL)
    target = Regions(names=("whole",), members=((1,),), order=(1,))

    summary = scored(tmp_path, target)

    assert [(case.identifier, case.scores[1]["Dice"]) for case in summary.cases] == [("a", 1.0), ("a_rater1", 1.0)]


def test_what_is_missing_is_named_by_file(tmp_path: Path) -> None:
    write(tmp_path / "true", a_axon=HALF, b_axon=HALF)
    write(tmp_path / "ours", a_axon=HALF, a_myelin=HALF, b_axon=HALF, c_axon=HALF, c_myelin=HALF)

    with pytest.raises(DatasetError) as error:
        scored(tmp_path, MASKS)

    assert f"  not in {tmp_path / 'ours'}: b_myelin\n  not in {tmp_path / 'true'}: c\n" in str(error.value)
    assert common_cases(tmp_path / "ours", tmp_path / "true", Counted.of_target(MASKS)) == (["a", "b"], ["c"])
