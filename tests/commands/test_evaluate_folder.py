"""Scoring two folders as a user does."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pytest

from autoseg.commands import evaluate_folder
from autoseg.geometry import Geometry
from autoseg.imageio import write_image


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
        "label      n     Dice      std\n"
        "1          2   0.7500   0.3536\n"
        "2          2   1.0000   0.0000\n"
        "3          0        -        -\n"
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


@pytest.mark.parametrize("label", ["-1", "one", "1.5"])
def test_labels_are_whole_numbers(label: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert evaluate_folder.main(["-ref", "a", "-pred", "b", "-l", label]) == 2
    assert f"argument -l: expected a whole number from 0, found '{label}'" in capsys.readouterr().err
