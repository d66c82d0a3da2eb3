"""Parts that share a folder: each holds to what the first began with, whichever starts when."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from autoseg.commands import plan_and_preprocess, predict, train
from autoseg.ensembling.selection import Member
from autoseg.outputs import read_origin

TASK = "Task001_Balls"
SHORT = (
    "--epochs 1 --iterations_per_epoch 1 --batch_size 2 --seed 1 --num_workers 0 -device cpu --precision fp32".split()
)
COMPUTING = ("-device", "cpu", "--precision", "fp32", "--disable_tta", "--engine", "torch")
Told = pytest.CaptureFixture[str]


@pytest.fixture(scope="module")
def home(make_task: Any, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A task of which folds 0 and 1 of 2d are trained, and fold 0 by another trainer."""
    folder = tmp_path_factory.mktemp("home")
    make_task(TASK, parent=folder / "raw_data", cases=5, test_cases=2, seed=5)
    words = ["--home", str(folder)]
    assert plan_and_preprocess.main(["-t", "1", "-pl3d", "None", *words]) == 0
    for trainer, fold in (("Trainer", "0"), ("Trainer", "1"), ("TrainerDice", "0")):
        assert train.main(["2d", trainer, "1", fold, *SHORT, *words]) == 0
    return folder


def command(home: Path, output: Path, part: int, *words: str) -> list[str]:
    images = home / "raw_data" / TASK / "imagesTs"
    parts = ("--num_parts", "2", "--part_id", str(part))
    return ["-i", str(images), "-o", str(output), *parts, *words, *COMPUTING, "--home", str(home)]


def cases(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.glob("*.nii.gz"))


@pytest.mark.parametrize(
    ("other", "told"),
    [
        (("-m", "2d", "-tr", "TrainerDice"), "trainer was Trainer, now TrainerDice"),
        (("-m", "2d", "-f", "1"), "folds was ['0', '1'], now ['1']"),
        (("-m", "2d", "-chk", "best"), "checkpoint was final, now best"),
        (("-m", "2d", "--step_size", "1"), "step_size was 0.5, now 1.0"),
    ],
)
def test_a_part_by_something_else_is_refused(
    home: Path, tmp_path: Path, capsys: Told, other: tuple[str, ...], told: str
) -> None:
    assert predict.main(command(home, tmp_path, 0, "-m", "2d")) == 0
    record = (tmp_path / "prediction.json").read_bytes()

    assert predict.main(command(home, tmp_path, 1, *other)) == 1
    said = capsys.readouterr().err
    assert f"autoseg_predict: {tmp_path}: holds predictions made with something else (" in said
    assert told in said
    assert (cases(tmp_path), (tmp_path / "prediction.json").read_bytes()) == (["test_005.nii.gz"], record)

    assert predict.main(command(home, tmp_path, 1, "-m", "2d")) == 0
    assert cases(tmp_path) == ["test_005.nii.gz", "test_006.nii.gz"]
    assert len({origin.model for path in tmp_path.glob("*.nii.gz") if (origin := read_origin(path))}) == 1


def test_a_part_that_has_only_begun_counts(home: Path, tmp_path: Path, capsys: Told) -> None:
    """Its record is there and no prediction yet."""
    assert predict.main(command(home, tmp_path, 0, "-m", "2d")) == 0
    (tmp_path / "test_005.nii.gz").unlink()
    assert predict.main(command(home, tmp_path, 1, "-m", "2d", "-tr", "TrainerDice")) == 1
    assert "trainer was Trainer, now TrainerDice" in capsys.readouterr().err

    alone = command(home, tmp_path, 0, "-m", "2d", "-tr", "TrainerDice")
    del alone[4:8]
    assert predict.main(alone) == 0, "without parts an empty folder is anybody's"


def test_parts_that_start_together_agree_on_one_model(home: Path, tmp_path: Path) -> None:
    started = [
        subprocess.Popen(
            [sys.executable, "-m", "autoseg", "predict", *command(home, tmp_path, part, "-m", "2d", "-tr", trainer)],
            stderr=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
        )
        for part, trainer in ((0, "Trainer"), (1, "TrainerDice"))
    ]
    codes = [process.wait(timeout=300) for process in started]
    assert 1 in codes
    written = {path.name: read_origin(path) for path in tmp_path.glob("*.nii.gz")}
    recorded = json.loads((tmp_path / "prediction.json").read_text())["trainer"]
    if codes != [1, 1]:
        assert list(written) == [{"Trainer": "test_005.nii.gz", "TrainerDice": "test_006.nii.gz"}[recorded]]


def test_a_folder_of_two_models_that_an_older_version_left_is_refused(home: Path, tmp_path: Path, capsys: Told) -> None:
    """The record names the second; the first one's case lies in another part."""
    assert predict.main(command(home, tmp_path / "out", 0, "-m", "2d", "-tr", "TrainerDice")) == 0
    assert predict.main(command(home, tmp_path / "other", 1, "-m", "2d")) == 0
    for name in ("test_006.nii.gz", "prediction.json"):
        shutil.copy(tmp_path / "other" / name, tmp_path / "out" / name)

    assert predict.main(command(home, tmp_path / "out", 1, "-m", "2d")) == 1
    assert "out: test_005.nii.gz: predicted with other weights or settings" in capsys.readouterr().err

    assert predict.main(command(home, tmp_path / "out", 1, "-m", "2d", "--overwrite_existing")) == 0
    assert "test_005.nii.gz: predicted with other weights or settings, and not among the cases" in (
        capsys.readouterr().err
    )


def test_another_folder_of_images_does_not_add_another_models_predictions(
    home: Path, tmp_path: Path, capsys: Told
) -> None:
    images = home / "raw_data" / TASK / "imagesTs"
    for number in (5, 6):
        (tmp_path / str(number)).mkdir()
        shutil.copy(images / f"test_00{number}_0000.nii.gz", tmp_path / str(number))
    words = ("-o", str(tmp_path / "out"), "-m", "2d", *COMPUTING, "--home", str(home))
    assert predict.main(["-i", str(tmp_path / "5"), *words]) == 0
    assert predict.main(["-i", str(tmp_path / "6"), *words, "-tr", "TrainerDice"]) == 1
    assert "holds predictions made with something else (trainer was Trainer" in capsys.readouterr().err
    assert predict.main(["-i", str(tmp_path / "6"), *words]) == 0


def test_parts_by_a_selection_and_by_a_model_or_another_selection_are_not_mixed(
    home: Path, tmp_path: Path, capsys: Told, select: Any
) -> None:
    members = tuple(
        Member(configuration="2d", trainer=trainer, plans="autoseg", folds=("0",))
        for trainer in ("Trainer", "TrainerDice")
    )
    selected = select(home, "2d", members=members)
    try:
        assert predict.main(command(home, tmp_path, 0, "--best", "-t", "1")) == 0
        for words in (("-m", "2d"), ("--best", "--step_size", "1"), ("--best", "--disable_postprocessing")):
            code = predict.main(command(home, tmp_path, 1, "-t", "1", *words))
            said = capsys.readouterr().err
            if "--disable_postprocessing" in words:
                assert code == 0, "there are no rules to leave away"
            else:
                assert code == 1
                assert "selection.json says with what" in said or "predicted with other weights or settings" in said
        select(home, "2d", members=members[:1])
        assert predict.main(command(home, tmp_path, 0, "-t", "1", "--best")) == 1
        assert "selection.json says with what" in capsys.readouterr().err
        assert cases(tmp_path) == ["test_005.nii.gz", "test_006.nii.gz"]
    finally:
        selected.unlink()
