"""Prediction with what was selected: one model or a pair, the selected rules in place of the models' own."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from autoseg.commands import ensemble, plan_and_preprocess, predict, train
from autoseg.ensembling.selection import Member
from autoseg.images import read_image
from autoseg.inference.probabilities import load_probabilities
from autoseg.postprocessing.rules import Rule, save_rules

TASK = "Task001_Balls"
SHORT = (
    "--epochs 1 --iterations_per_epoch 1 --batch_size 2 --seed 1 --num_workers 0 -device cpu --precision fp32".split()
)
KEEP = (Rule(kind="keep_largest", labels=(1,)),)
COMPUTING = ("-device", "cpu", "--precision", "fp32", "--disable_tta")


@pytest.fixture(scope="module")
def home(make_task: Any, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A task of which fold 0 of 2d and 3d_fullres is trained."""
    folder = tmp_path_factory.mktemp("home")
    make_task(TASK, parent=folder / "raw_data", cases=5, test_cases=2, seed=5)
    run(plan_and_preprocess.main, folder, "-t", "1")
    for configuration in ("2d", "3d_fullres"):
        run(train.main, folder, configuration, "Trainer", "1", "0", *SHORT)
    return folder


def run(main: Any, home: Path, *words: str) -> None:
    assert main([*words, "--home", str(home)]) == 0


def contents(folder: Path) -> dict[str, Any]:
    return {path.name: read_image(path).data.tolist() for path in folder.glob("*.nii.gz")}


def test_a_selected_pair_is_predicted_averaged_and_postprocessed_in_one_command(
    home: Path, tmp_path: Path, select: Any
) -> None:
    select(home, "2d", "3d_fullres", rules=KEEP)
    images = str(home / "raw_data" / TASK / "imagesTs")
    run(predict.main, home, "--best", "-t", "1", "-i", images, "-o", str(tmp_path / "best"), *COMPUTING)

    for name in ("2d", "3d_fullres"):
        words = ("-t", "1", "-m", name, "--save_npz", "--disable_postprocessing", "-i", images)
        run(predict.main, home, *words, "-o", str(tmp_path / name), *COMPUTING)
    save_rules(KEEP, tmp_path / "rules.json")
    folders = (str(tmp_path / "2d"), str(tmp_path / "3d_fullres"))
    run(ensemble.main, home, "-f", *folders, "-o", str(tmp_path / "manual"), "-pp", str(tmp_path / "rules.json"))

    assert contents(tmp_path / "best") == contents(tmp_path / "manual")
    names = sorted(path.name for path in (tmp_path / "best").iterdir() if not path.name.startswith("labels_"))
    assert names == ["report.json", "selection.json", "test_005.nii.gz", "test_006.nii.gz"]


def test_what_a_selected_pair_has_predicted_is_not_predicted_again(home: Path, tmp_path: Path, select: Any) -> None:
    select(home, "2d", "3d_fullres", rules=KEEP)
    images = str(home / "raw_data" / TASK / "imagesTs")
    run(predict.main, home, "--best", "-t", "1", "-i", images, "-o", str(tmp_path), *COMPUTING)
    before = (tmp_path / "test_006.nii.gz").stat().st_mtime_ns
    (tmp_path / "test_005.nii.gz").unlink()

    run(predict.main, home, "--best", "-t", "1", "-i", images, "-o", str(tmp_path), *COMPUTING)

    assert (tmp_path / "test_006.nii.gz").stat().st_mtime_ns == before
    assert (tmp_path / "test_005.nii.gz").is_file()


def test_one_case_is_predicted_by_a_pair_without_traces(home: Path, tmp_path: Path, select: Any) -> None:
    select(home, "2d", "3d_fullres", rules=KEEP)
    image = home / "raw_data" / TASK / "imagesTs" / "test_005_0000.nii.gz"
    run(predict.main, home, "--best", "-t", "1", "-i", str(image), "-o", str(tmp_path / "mine.nii.gz"), *COMPUTING)
    assert [path.name for path in tmp_path.iterdir()] == ["mine.nii.gz"]


def test_the_selection_is_the_default_and_its_rules_win_over_the_models_own(
    home: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], select: Any
) -> None:
    select(home, "2d", rules=KEEP)
    image = home / "raw_data" / TASK / "imagesTs" / "test_005_0000.nii.gz"
    own = home / "results" / "2d" / TASK / "Trainer__autoseg" / "postprocessing.json"
    save_rules((Rule(kind="remove_small", labels=(1,), minimum_mm3=1e9),), own)
    try:
        words = ("-i", str(image), *COMPUTING)
        run(predict.main, home, *words, "-o", str(tmp_path / "selected.nii.gz"))
        assert "predicting with the selection 2d" in capsys.readouterr().err
        run(predict.main, home, *words, "-m", "2d", "-o", str(tmp_path / "own.nii.gz"))
    finally:
        own.unlink()
    assert read_image(tmp_path / "selected.nii.gz").data.any()
    assert not read_image(tmp_path / "own.nii.gz").data.any()


def test_best_and_a_model_of_the_users_own_contradict_each_other(
    home: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], select: Any
) -> None:
    select(home, "2d", rules=KEEP)
    words = ["--best", "-m", "2d", "-t", "1", "-i", str(home), "-o", str(tmp_path / "out"), "--home", str(home)]
    assert predict.main(words) == 1
    assert "--best predicts with what was selected; leave out -m" in capsys.readouterr().err


def test_best_without_a_selection_says_how_to_make_one(
    home: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], select: Any
) -> None:
    select(home, "2d", rules=KEEP).unlink()
    words = ["--best", "-t", "1", "-i", str(home), "-o", str(tmp_path / "out"), "--home", str(home)]
    assert predict.main(words) == 1
    assert "nothing is selected yet; run autoseg_find_best_configuration" in capsys.readouterr().err


# ----------------------------------------------------------------- two models of one configuration


@pytest.fixture(scope="module")
def twins(home: Path) -> Path:
    """The same home, in which 2d is trained by another trainer too; its weights are drawn far enough apart to matter."""
    run(train.main, home, "2d", "TrainerDice", "1", "0", *SHORT, "--seed", "7")
    return home


TWINS = tuple(
    Member(configuration="2d", trainer=name, plans="autoseg", folds=("0",)) for name in ("Trainer", "TrainerDice")
)


def test_two_models_of_one_configuration_are_both_in_the_mean(twins: Path, tmp_path: Path, select: Any) -> None:
    select(twins, "2d", members=TWINS)
    images = str(twins / "raw_data" / TASK / "imagesTs")
    words = ("-t", "1", "-i", images, "--save_npz", *COMPUTING)
    run(predict.main, twins, "--best", *words, "-o", str(tmp_path / "best"))
    for name in ("Trainer", "TrainerDice"):
        run(predict.main, twins, *words, "-m", "2d", "-tr", name, "-o", str(tmp_path / name))

    for case in ("test_005", "test_006"):
        one, other, mean = (
            load_probabilities(tmp_path / name / f"{case}.npz") for name in ("Trainer", "TrainerDice", "best")
        )
        assert np.abs(one - other).mean() > 1e-3, "or the test would not notice"
        np.testing.assert_allclose(mean, (one + other) / 2, atol=4e-6)
    assert {path.suffix for path in (tmp_path / "best").iterdir()} <= {".gz", ".npz", ".json", ".txt", ".csv"}, (
        "no member's folder stays"
    )


def test_a_pair_of_twins_goes_on_after_an_interruption(twins: Path, tmp_path: Path, select: Any) -> None:
    """Each twin keeps what it predicted in a folder of its own until the mean is there."""
    select(twins, "2d", members=TWINS)
    words = ("--best", "-t", "1", "-i", str(twins / "raw_data" / TASK / "imagesTs"), "-o", str(tmp_path), *COMPUTING)
    (tmp_path / "test_005.nii.gz").mkdir()  # averaging fails here, and what the members predicted stays
    assert predict.main([*words, "--home", str(twins)]) == 1
    folders = sorted(path.name for path in tmp_path.iterdir() if path.name.endswith("_predictions"))
    assert folders == ["2d__TrainerDice__autoseg_predictions", "2d__Trainer__autoseg_predictions"]

    (tmp_path / "test_005.nii.gz").rmdir()
    run(predict.main, twins, *words)
    assert not [path for path in tmp_path.iterdir() if path.name.endswith("_predictions")]
