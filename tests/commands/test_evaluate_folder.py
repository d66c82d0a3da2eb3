"""Scoring two folders as a user does."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pytest

from autoseg.commands import evaluate_folder
from autoseg.geometry import Geometry
from autoseg.images import write_image


def write(path: Path, voxels: int) -> None:
    """A label image whose first `voxels` voxels are 1, and one voxel of 2."""
    data = np.zeros((2, 3, 4), np.uint8)
    data.reshape(-1)[:voxels] = 1
    data[1, 2, 3] = 2
    write_image(path, data, Geometry(spacing=(1.0, 1.0, 1.0)))


@pytest.fixture
def folders(tmp_path: Path) -> tuple[Path, Path]:
    for name, reference, prediction in (("a", 4, 4), ("b", 4, 12)):
        write(tmp_path / "ref" / f"{name}.nii.gz", reference)
        write(tmp_path / "pred" / f"{name}.nii.gz", prediction)
    return tmp_path / "ref", tmp_path / "pred"


def test_scores_are_printed_and_written(folders: tuple[Path, Path], capsys: pytest.CaptureFixture[str]) -> None:
    reference, prediction = folders

    assert evaluate_folder.main(["-ref", str(reference), "-pred", str(prediction), "-l", "2", "1", "3"]) == 0

    # Dice of label 1: 1 and 2 * 4 / (4 + 12) = 0.5
    assert capsys.readouterr().out == (
        "label      n     Dice      std    true ml   found ml\n"
        "1          2   0.7500   0.3536      0.004      0.008\n"
        "2          2   1.0000   0.0000      0.001      0.001\n"
        "3          0        -        -      0.000      0.000\n"
        "mean           0.8750\n"
        f"written: {prediction}/summary.json\n"
    )
    mean = json.loads((prediction / "summary.json").read_text())["results"]["mean"]
    assert mean["1"]["Dice"] == 0.75
    assert mean["3"]["Dice"] is None


def test_folders_that_do_not_match_are_refused(folders: tuple[Path, Path], capsys: pytest.CaptureFixture[str]) -> None:
    reference, prediction = folders
    shutil.move(prediction / "b.nii.gz", prediction / "c.nii.gz")

    assert evaluate_folder.main(["-ref", str(reference), "-pred", str(prediction), "-l", "1"]) == 1

    told = capsys.readouterr().err
    assert f"not in {prediction}: b" in told
    assert f"not in {reference}: c" in told
    assert not (prediction / "summary.json").exists()


@pytest.fixture
def home(make_task, tmp_path: Path) -> Path:
    """A task of three cases, and predictions that are the labels themselves."""
    raw = make_task(
        "Task007_Balls",
        parent=tmp_path / "home" / "raw_data",
        cases=3,
        labels=("background", "LV", "rechter Ventrikel"),
    )
    shutil.copytree(raw / "labelsTr", tmp_path / "pred")
    return tmp_path / "home"


def test_a_task_tells_where_its_labels_lie_and_what_they_are_called(home: Path, tmp_path: Path, capsys) -> None:
    command = ["-t", "7", "-pred", str(tmp_path / "pred"), "--home", str(home)]
    assert evaluate_folder.main(command) == 0
    table = capsys.readouterr().out.splitlines()
    assert [line.split("  ")[0] for line in table[1:3]] == ["1 LV", "2 rechter Ventrikel"]
    assert all("1.0000" in line for line in table[1:4])

    assert evaluate_folder.main([*command, "-l", "Rechter ventrikel"]) == 0
    told = capsys.readouterr().out.splitlines()
    assert (len(told), told[-1].split()[:2]) == (4, ["next:", "autoseg_plot_task"])
    assert list(json.loads((tmp_path / "pred" / "summary.json").read_text())["results"]["mean"]) == ["2"]
    assert evaluate_folder.main([*command, "-l", "LV", "2", "1"]) == 0
    assert list(json.loads((tmp_path / "pred" / "summary.json").read_text())["results"]["mean"]) == ["1", "2"]


def test_what_a_task_knows_of_its_cases_goes_with_their_scores(home: Path, tmp_path: Path) -> None:
    raw = home / "raw_data" / "Task007_Balls"
    (raw / "metadata.tsv").write_text("case\tsite\ncase_000\tunf\ncase_001\tn/a\ncase_002\tmni\n")
    (raw / "patients.json").write_text('{"case_000": "Ann"}')

    assert evaluate_folder.main(["-t", "7", "-pred", str(tmp_path / "pred"), "--home", str(home)]) == 0

    assert json.loads((tmp_path / "pred" / "summary.json").read_text())["facts"] == {
        "case_000": {"site": "unf", "patient": "Ann"},
        "case_002": {"site": "mni"},
    }


def test_a_folder_of_references_wins_over_the_tasks_own(home: Path, tmp_path: Path, capsys) -> None:
    shutil.copytree(tmp_path / "pred", tmp_path / "other")
    (tmp_path / "other" / "case_000.nii.gz").unlink()
    command = ["-t", "7", "-ref", str(tmp_path / "other"), "-pred", str(tmp_path / "pred"), "--home", str(home)]
    assert evaluate_folder.main(command) == 1
    assert f"not in {tmp_path / 'other'}: case_000" in capsys.readouterr().err


def test_common_cases_are_scored_on_request_and_the_others_told(home: Path, tmp_path: Path, capsys) -> None:
    shutil.move(tmp_path / "pred" / "case_001.nii.gz", tmp_path / "pred" / "new.nii.gz")
    command = ["-t", "7", "-pred", str(tmp_path / "pred"), "--home", str(home)]

    assert evaluate_folder.main(command) == 1
    told = capsys.readouterr().err
    assert "Add what is missing or move what is not to be scored, or score the cases that both hold (--common)." in told
    assert evaluate_folder.main([*command, "--common"]) == 0
    told = capsys.readouterr()
    assert "left out, for one of the folders lacks them: case_001, new" in told.err
    assert told.out.splitlines()[1].split()[2] == "2"

    for name in ("case_000", "case_002"):
        (tmp_path / "pred" / f"{name}.nii.gz").unlink()
    assert evaluate_folder.main([*command, "--common"]) == 1
    assert "labelsTr: no case is in both; files of one case have equal names" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("words", "reason"),
    [
        ("-t 7 -l Myokard", "-l Myokard: the task has no such label; it has 0 background, 1 LV, 2 rechter Ventrikel"),
        ("-t 7 -l 3", "-l 3: the task has no such label; it has 0 background, 1 LV, 2 rechter Ventrikel"),
        ("-ref labels -l LV", "-l LV: names are known of a task only; name it (-t), or the label's number"),
        ("-ref labels", "which labels? Name their numbers (-l), or the task that they belong to (-t)"),
        ("-l 1", "what are the true labels? Name their folder (-ref), or the task that they belong to (-t)"),
    ],
)
def test_labels_that_nobody_knows(home: Path, tmp_path: Path, words: str, reason: str, capsys) -> None:
    assert evaluate_folder.main([*words.split(), "-pred", str(tmp_path / "pred"), "--home", str(home)]) == 1
    assert capsys.readouterr().err == f"autoseg_evaluate_folder: {reason}\n"


def test_distances_and_volumes_stand_in_the_table(tmp_path: Path, capsys) -> None:
    """Blocks of 2 x 2 x 2 voxels of 5 x 1 x 2 mm, one a voxel to the side in x (2 mm), one two slices up (10 mm)."""
    true = np.zeros((8, 8, 8), np.uint8)
    true[2:4, 2:4, 2:4], true[2:4, 5:7, 5:7] = 1, 2
    found = np.zeros_like(true)
    found[2:4, 2:4, 3:5], found[4:6, 5:7, 5:7] = 1, 2
    empty = np.zeros_like(true)
    grid = Geometry(spacing=(5.0, 1.0, 2.0))
    for case, prediction in (("a", found), ("b", empty)):
        write_image(tmp_path / "ref" / f"{case}.nii.gz", true, grid)
        write_image(tmp_path / "pred" / f"{case}.nii.gz", prediction, grid)

    command = ["-ref", str(tmp_path / "ref"), "-pred", str(tmp_path / "pred"), "-l", "1", "2", "3"]
    assert evaluate_folder.main([*command, "--surface_distances"]) == 0

    assert capsys.readouterr().out.splitlines()[:-1] == [
        "label      n     Dice      std  HD95 mm      n    true ml   found ml",
        "1          2   0.2500   0.3536     2.00      1      0.080      0.040",
        "2          2   0.0000   0.0000    10.00      1      0.080      0.040",
        "3          0        -        -        -      0      0.000      0.000",
        "mean           0.1250              6.00",
    ]
    (a, b) = json.loads((tmp_path / "pred" / "summary.json").read_text())["results"]["all"]
    assert (a["1"]["Volume Reference"], a["1"]["Volume Test"]) == (0.08, 0.08)
    assert (b["1"]["Volume Test"], b["1"]["Hausdorff Distance 95"]) == (0.0, None)


@pytest.mark.parametrize("label", ["-1", "1.5", "+2", "9999999999999999999"])
def test_labels_are_whole_numbers(label: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert evaluate_folder.main(["-ref", "a", "-pred", "b", "-l", label]) == 2
    assert f"argument -l: expected a whole number from 0, found '{label}'" in capsys.readouterr().err
