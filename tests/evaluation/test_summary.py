"""Summaries of folders: exact values, what is left out, and what is refused."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from autoseg.dataset.facts import Facts
from autoseg.errors import CasesFailed, DatasetError, StorageError
from autoseg.evaluation.metrics import Counted
from autoseg.evaluation.summary import load_summary, save_summary, score_folder
from autoseg.geometry import Geometry
from autoseg.images import write_image

GEOMETRY = Geometry(spacing=(2.0, 1.0, 1.0))
CASES_OF_LABEL_2 = {
    "Dice": 2,
    "Jaccard": 2,
    "Recall": 2,
    "False Negative Rate": 2,
    "Precision": 1,
    "False Discovery Rate": 1,
}


def write(path: Path, values: list[int], geometry: Geometry = GEOMETRY, kind: type = np.uint8) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    write_image(path, np.array(values, dtype=kind).reshape(2, 2, -1), geometry)


@pytest.fixture
def folders(tmp_path: Path) -> tuple[Path, Path]:
    """Three cases; label 2 is absent from both images of `b`, and from the prediction of `c`."""
    predictions, references = tmp_path / "pred", tmp_path / "ref"
    write(predictions / "a.nii.gz", [0, 1, 1, 1, 2, 2, 0, 0])
    write(references / "a.nii.gz", [0, 0, 1, 1, 2, 2, 2, 2])
    write(predictions / "b.nii.gz", [1, 1, 0, 0, 0, 0, 0, 0])
    write(references / "b.nii.gz", [1, 1, 0, 0, 0, 0, 0, 0])
    write(predictions / "c.nii.gz", [1, 0, 0, 0, 0, 0, 0, 0])
    write(references / "c.nii.gz", [1, 0, 0, 0, 0, 0, 2, 2], kind=np.float32)
    return predictions, references


def test_means_are_over_the_cases_where_a_metric_is_defined(folders: tuple[Path, Path]) -> None:
    summary = score_folder(*folders, Counted.of([1, 2]), workers=1)

    assert summary.mean[1]["Dice"] == pytest.approx((0.8 + 1 + 1) / 3)
    assert summary.std[1]["Dice"] == pytest.approx(np.std([0.8, 1, 1], ddof=1))
    assert summary.mean[2]["Dice"] == pytest.approx((2 / 3 + 0) / 2)
    assert summary.mean[2]["Precision"] == 1.0
    assert summary.std[2]["Precision"] is None
    assert summary.number[2] == {**dict.fromkeys(summary.number[2], 3), **CASES_OF_LABEL_2}
    assert summary.foreground_mean["Dice"] == pytest.approx((2.8 / 3 + 1 / 3) / 2)


def test_the_background_does_not_enter_the_foreground_mean(folders: tuple[Path, Path]) -> None:
    with_background = score_folder(*folders, Counted.of([0, 1, 2]), workers=1)

    assert with_background.mean[0]["Dice"] == pytest.approx((2 / 5 + 1 + 10 / 12) / 3)
    assert with_background.foreground_mean == score_folder(*folders, Counted.of([1, 2]), workers=1).foreground_mean


def test_what_is_known_of_cases_stands_beside_the_results_and_comes_back(
    folders: tuple[Path, Path], tmp_path: Path
) -> None:
    plain = score_folder(*folders, Counted.of([1, 2]), workers=1)
    summary = plain.with_facts(
        {"b": Facts(known=(("site", "unf"), ("age", "61"))), "other": Facts(known=(("age", "1"),))}
    )

    save_summary(summary, tmp_path / "summary.json")
    save_summary(plain, tmp_path / "plain.json")

    written = json.loads((tmp_path / "summary.json").read_text())
    before = json.loads((tmp_path / "plain.json").read_text())
    assert written.pop("facts") == {"b": {"site": "unf", "age": "61"}}
    assert written["results"] == before["results"]
    assert "facts" not in before
    assert [case.facts.get("site") for case in load_summary(tmp_path / "summary.json").cases] == [None, "unf", None]
    assert load_summary(tmp_path / "summary.json") == summary
    assert load_summary(tmp_path / "plain.json") == plain


@pytest.mark.parametrize("facts", [["b"], {"b": "unf"}])
def test_facts_of_another_form_are_no_summary(folders: tuple[Path, Path], tmp_path: Path, facts: object) -> None:
    path = tmp_path / "summary.json"
    save_summary(score_folder(*folders, Counted.of([1, 2]), workers=1), path)
    path.write_text(json.dumps({**json.loads(path.read_text()), "facts": facts}))

    with pytest.raises(StorageError, match=r"summary\.json: not a summary of scores"):
        load_summary(path)


def test_summary_json_has_the_documented_structure(folders: tuple[Path, Path], tmp_path: Path) -> None:
    path = tmp_path / "summary.json"

    summary = replace(score_folder(*folders, Counted.of([1, 2]), workers=2), task="Task001_Test", name="mine")
    save_summary(summary, path)

    text = path.read_text()
    content = json.loads(text)
    assert "NaN" not in text
    assert list(content) == ["name", "description", "timestamp", "task", "author", "results", "id"]
    assert (content["name"], content["task"], content["author"]) == ("mine", "Task001_Test", "autoseg")
    assert "absent from both" in content["description"]
    assert len(content["id"]) == 12
    results = content["results"]
    assert list(results) == ["all", "mean", "std", "n", "foreground_mean"]
    assert [Path(entry["test"]).name for entry in results["all"]] == ["a.nii.gz", "b.nii.gz", "c.nii.gz"]
    assert results["all"][0].keys() == {"1", "2", "test", "reference"}
    assert results["all"][0]["1"]["Dice"] == 0.8
    assert results["all"][1]["2"]["Dice"] is None
    assert results["mean"]["2"]["Dice"] == pytest.approx(1 / 3)
    assert results["n"]["2"]["Dice"] == 2


def test_a_saved_summary_loads_as_it_was(folders: tuple[Path, Path], tmp_path: Path) -> None:
    summary = score_folder(*folders, Counted.of([1, 2]), workers=1, surface_distances=True)
    save_summary(summary, tmp_path / "summary.json")

    loaded = load_summary(tmp_path / "summary.json")

    assert loaded == summary
    assert loaded.foreground_mean == summary.foreground_mean
    assert loaded.cases[0].scores[1]["Hausdorff Distance 95"] is not None


def test_only_the_named_cases_are_scored_when_some_are_named(folders: tuple[Path, Path]) -> None:
    (folders[0] / "b.nii.gz").unlink()

    summary = score_folder(*folders, Counted.of([1]), workers=1, cases=["c", "a"])

    assert [Path(case.test).name for case in summary.cases] == ["c.nii.gz", "a.nii.gz"]


def test_folders_with_different_cases_are_refused_listing_both_sides(folders: tuple[Path, Path]) -> None:
    predictions, references = folders
    (predictions / "b.nii.gz").unlink()
    write(predictions / "d.nii.gz", [0] * 8)

    with pytest.raises(DatasetError) as error:
        score_folder(predictions, references, Counted.of([1]), workers=1)

    assert str(error.value) == (
        f"{predictions} and {references}: the two folders must hold the same cases\n"
        f"  not in {predictions}: b\n"
        f"  not in {references}: d\n"
        "Add what is missing or move what is not to be scored, or score the cases that both hold (`common`)."
    )


def test_an_empty_and_a_missing_folder_are_named(tmp_path: Path) -> None:
    empty = tmp_path / "empty"
    empty.mkdir()

    with pytest.raises(DatasetError, match=r"empty: no segmentation \(\.nii\.gz\) to score here; predict first"):
        score_folder(empty, empty, Counted.of([1]), workers=1)
    with pytest.raises(DatasetError, match="absent: no such folder; name a folder of segmentations"):
        score_folder(tmp_path / "absent", empty, Counted.of([1]), workers=1)


def test_cases_on_different_grids_or_with_fractions_are_named_and_the_others_tried(folders: tuple[Path, Path]) -> None:
    predictions, references = folders
    write(predictions / "a.nii.gz", [0] * 8, Geometry(spacing=(2.5, 1.0, 1.0)))
    write(predictions / "b.nii.gz", [0] * 12)
    write_image(predictions / "c.nii.gz", np.full((2, 2, 2), 0.5, np.float32), GEOMETRY)

    with pytest.raises(CasesFailed) as error:
        score_folder(predictions, references, Counted.of([1]), workers=1)

    assert [case for case, _ in error.value.failures] == ["a", "b", "c"]
    text = str(error.value)
    assert "lie on different grids: spacing (2.5, 1, 1) and (2, 1, 1); resample one onto the other" in text
    assert "lie on different grids: size (2, 2, 3) and (2, 2, 2) voxels (z, y, x); resample" in text
    assert "c.nii.gz: a segmentation holds whole numbers only, found 0.5; correct the file" in text


def test_two_files_of_one_name_are_refused_by_name(folders: tuple[Path, Path]) -> None:
    predictions, references = folders
    for folder in (references, predictions):
        write(folder / "b.nii", [0] * 8)
        with pytest.raises(DatasetError) as error:
            score_folder(predictions, references, Counted.of([1]), workers=1)
        assert str(error.value) == f"{folder}/b.nii.gz: b.nii has the same name; keep one of the two"
        (folder / "b.nii").unlink()


def test_large_numbers_are_scored_whatever_type_holds_them(tmp_path: Path) -> None:
    """Numbers of the Allen atlas; 526157192 is one of those that float32 holds exactly."""
    for name, kind in (("a", np.uint32), ("b", np.int64), ("c", np.float64), ("d", np.float32), ("e", np.uint64)):
        write(tmp_path / "pred" / f"{name}.nii.gz", [0, 997, 997, 526157192, 0, 0, 0, 7], kind=kind)
        write(tmp_path / "ref" / f"{name}.nii.gz", [0, 997, 526157192, 526157192, 0, 0, 0, 7], kind=kind)

    summary = score_folder(tmp_path / "pred", tmp_path / "ref", Counted.of([997, 526157192, 614454277]), workers=1)

    assert summary.mean[997]["Dice"] == summary.mean[526157192]["Dice"] == pytest.approx(2 / 3)
    assert summary.number[997]["Dice"] == 5
    assert summary.mean[614454277]["Dice"] is None


def test_floats_beyond_64_bits_are_no_labels(tmp_path: Path) -> None:
    for folder in ("pred", "ref"):
        write(tmp_path / folder / "a.nii.gz", [0] * 7 + [10**20], kind=np.float64)
    with pytest.raises(CasesFailed, match=r"a\.nii\.gz: holds 1e\+20, which is no label's number; correct the file"):
        score_folder(tmp_path / "pred", tmp_path / "ref", Counted.of([1]), workers=1)


@pytest.mark.parametrize("content", ["{}", '{"results": {"mean": {"mean": {}}, "all": []}}', "[1]"])
def test_a_file_that_is_no_summary_is_refused(tmp_path: Path, content: str) -> None:
    path = tmp_path / "summary.json"
    path.write_text(content)

    with pytest.raises(StorageError, match=r"summary\.json: not a summary of scores .*; evaluate the folder again"):
        load_summary(path)


def test_of_what_nobody_drew_in_a_case_nothing_is_said(folders: tuple[Path, Path]) -> None:
    whole = score_folder(*folders, Counted.of([1, 2]), workers=1)
    first = whole.cases[0].identifier
    summary = whole.without({first: (2,)})

    assert set(summary.cases[0].scores[2].values()) == {None}
    assert summary.cases[0].scores[1] == whole.cases[0].scores[1] and summary.cases[1:] == whole.cases[1:]
    assert summary.number[2]["Dice"] == sum(case.scores[2]["Dice"] is not None for case in whole.cases[1:])
