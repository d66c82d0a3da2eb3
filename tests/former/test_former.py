"""A workspace of an earlier version (`make.py` says which, and how it was made) is used by today's, and nothing is made anew."""

from __future__ import annotations

import json
import zipfile
from pathlib import Path

import numpy as np
import pytest
import torch

from autoseg.commands import find_best_configuration, plan_and_preprocess, predict, train, verify_dataset
from autoseg.ensembling.selection import load_selection
from autoseg.evaluation.summary import load_summary
from autoseg.files.storage import file_hash
from autoseg.images import read_image
from autoseg.networks.tensors import read_tensors
from autoseg.postprocessing.rules import load_rules

ARCHIVE = Path(__file__).parent / "workspace.zip"
TASK = "Task901_Former"
MODELS = f"results/3d_fullres/{TASK}"
COMPUTING = "-device cpu --precision fp32".split()
STOPPED = "3d_fullres TrainerDice 901 0 -p tiny --num_workers 0".split()
PREPARING = "-t 901 -pl3d None -pl2d None -p tiny".split()
SHORT = "--epochs 2 --iterations_per_epoch 3 --batch_size 2 --seed 1".split()
Told = pytest.CaptureFixture[str]


@pytest.fixture
def home(tmp_path: Path) -> Path:
    with zipfile.ZipFile(ARCHIVE) as archive:
        archive.extractall(tmp_path / "home")
    return tmp_path / "home"


def hashes(folder: Path) -> dict[str, str]:
    """Of all files."""
    return {str(path.relative_to(folder)): file_hash(path) for path in folder.rglob("*") if path.is_file()}


@pytest.mark.parametrize(
    ("expected", "words"),
    [
        ("Trainer", "-m 3d_fullres -p tiny -tr Trainer --disable_postprocessing"),
        ("TrainerBatchNorm", "-m 3d_fullres -p tiny -tr TrainerBatchNorm --disable_postprocessing"),
        ("best", "--best"),
    ],
)
def test_it_predicts_the_same_in_every_voxel(home: Path, expected: str, words: str) -> None:
    image, output = home / "raw_data" / TASK / "imagesTs" / "case_4_0000.nii.gz", home / "predicted.nii.gz"
    asked = ["-t", "901", "-i", str(image), "-o", str(output), "--engine", "torch", *COMPUTING, "--home", str(home)]
    assert predict.main([*asked, *words.split()]) == 0

    then, now = (read_image(path) for path in (home / "expected" / f"{expected}.nii.gz", output))
    np.testing.assert_array_equal(now.data, then.data)
    assert then.geometry.differences(now.geometry) == ()
    assert len(np.unique(then.data)) > 1, "a prediction of background alone would compare nothing"


def test_nothing_is_planned_or_measured_anew(home: Path) -> None:
    before = hashes(home / "preprocessed")
    assert verify_dataset.main(["-t", "901", "--home", str(home)]) == 0
    assert plan_and_preprocess.main([*PREPARING, "-no_pp", "--home", str(home)]) == 0
    assert hashes(home / "preprocessed") == before


def test_cases_prepared_anew_are_the_same_but_for_rounding_and_a_training_by_the_former_ones_says_so(
    home: Path, capsys: Told
) -> None:
    """Channels are normalised in double precision now, and kept in half."""
    before = {path.name: np.load(path) for path in prepared_files(home)}
    assert plan_and_preprocess.main([*PREPARING, "--home", str(home)]) == 0
    again = {path.name: np.load(path) for path in prepared_files(home)}
    assert before.keys() == again.keys()
    for name, array in before.items():
        np.testing.assert_allclose(again[name], array, rtol=1e-3, atol=1e-3 if name.count("_") == 1 else 0)

    assert train.main([*STOPPED, *SHORT, *COMPUTING, "-c", "--home", str(home)]) == 1
    assert "the prepared data changed" in capsys.readouterr().err


def prepared_files(home: Path) -> list[Path]:
    return sorted((home / "preprocessed" / TASK / "tiny_3d_fullres").glob("*.npy"))


def test_a_training_that_was_stopped_goes_on_to_what_it_would_have_come_to(home: Path) -> None:
    assert train.main([*STOPPED, *SHORT, *COMPUTING, "-c", "--home", str(home)]) == 0
    fold = home / MODELS / "TrainerDice__tiny" / "fold_0"
    then = json.loads((home / "expected" / "TrainerDice.json").read_text())
    now = json.loads((fold / "history.json").read_text())
    assert len(then["epochs"]) == len(now["epochs"]) == 2
    assert then["epochs"][0].items() <= now["epochs"][0].items(), "what it had done stays"
    for name in ("loss", "validation_loss", "dice", "learning_rate"):
        assert now["epochs"][1][name] == pytest.approx(then["epochs"][1][name], rel=1e-4)
    assert (fold / "weights_final.pt").is_file()


def test_it_goes_on_under_no_other_conditions(home: Path, capsys: Told) -> None:
    before = hashes(home / MODELS)
    asked = [*STOPPED, *SHORT, "--batch_size", "3", *COMPUTING, "-c", "--home", str(home)]
    assert train.main(asked) == 1
    assert "batch_size was 2, now 3" in capsys.readouterr().err
    assert hashes(home / MODELS).items() >= before.items()


def test_a_finished_training_is_left_as_it_is(home: Path) -> None:
    weights = home / MODELS / "Trainer__tiny" / "fold_0" / "weights_final.pt"
    before = read_tensors(weights)["weights"]
    asked = ["3d_fullres", "Trainer", "901", "0", "-c", "-p", "tiny", "--num_workers", "0", *SHORT, *COMPUTING]
    assert train.main([*asked, "--home", str(home)]) == 0
    after = read_tensors(weights)["weights"]
    assert before.keys() == after.keys()
    assert all(torch.equal(before[name], after[name]) for name in before)


def test_its_selection_summaries_and_rules_are_read(home: Path) -> None:
    selection = load_selection(home / "results" / "selections" / TASK / "selection.json")
    assert (selection.name, selection.cases) == ("3d_fullres", 4)
    load_rules(home / MODELS / "Trainer__tiny" / "postprocessing.json")
    for fold in "01":
        summary = load_summary(home / MODELS / "Trainer__tiny" / f"fold_{fold}" / "validation_raw" / "summary.json")
        assert len(summary.cases) == 2

    assert find_best_configuration.main(["-t", "901", "-p", "tiny", "--home", str(home)]) == 0
    again = load_selection(home / "results" / "selections" / TASK / "selection.json")
    assert (again.name, again.scores) == (selection.name, selection.scores)
