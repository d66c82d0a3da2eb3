"""Fractions, from their files to predictions, the mean of two models, and scores: fractions throughout."""

from __future__ import annotations

import csv
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from autoseg.commands import (
    ensemble,
    evaluate_folder,
    find_best_configuration,
    plan_and_preprocess,
    predict,
    train,
    verify_dataset,
)
from autoseg.images import read_header, read_image, write_image
from autoseg.inference.probabilities import load_probabilities

TASK = "Task001_Balls"
SHORT = (
    "--epochs 1 --iterations_per_epoch 1 --batch_size 2 --seed 1 --num_workers 0 -device cpu --precision fp32".split()
)
COMPUTING = ("-device", "cpu", "--precision", "fp32", "--disable_tta")


def run(main: Any, home: Path, *words: str) -> int:
    code: int = main([*words, "--home", str(home)])
    return code


@pytest.fixture(scope="module")
def home(make_task: Any, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A task of which fold 0 of two configurations is trained; label files are of 1, of 255, and of two raters."""
    home = tmp_path_factory.mktemp("home")
    task = make_task(TASK, parent=home / "raw_data", cases=5, test_cases=1, labels=("background", "ball"))
    described = json.loads((task / "dataset.json").read_text())
    (task / "dataset.json").write_text(json.dumps({**described, "soft_labels": True}))
    for number, path in enumerate(sorted((task / "labelsTr").iterdir())):
        image = read_image(path)
        fractions = (image.data > 0) * np.float32(0.75)
        if number == 0:
            fractions = np.rint(fractions * 255).astype(np.uint8)
        names = ("_rater1", "_rater2") if number == 4 else ("",)
        path.unlink()
        for name in names:
            write_image(path.with_name(path.name.replace(".nii.gz", f"{name}.nii.gz")), fractions, image.geometry)
    assert run(verify_dataset.main, home, "-t", "1") == 0
    assert run(plan_and_preprocess.main, home, "-t", "1") == 0
    for configuration in ("2d", "3d_fullres"):
        assert run(train.main, home, configuration, "Trainer", "1", "0", "--npz", *SHORT) == 0
    return home


def test_fractions_are_predicted_and_averaged(home: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    words = ("-t", "1", "-i", str(home / "raw_data" / TASK / "imagesTs"), "--save_npz", *COMPUTING)
    folders = [tmp_path / configuration for configuration in ("2d", "3d_fullres")]
    for folder in folders:
        assert run(predict.main, home, *words, "-m", folder.name, "-o", str(folder)) == 0
    assert run(ensemble.main, home, "-f", *map(str, folders), "-o", str(tmp_path / "mean"), "--npz") == 0

    (archive,) = (tmp_path / "mean").glob("*.npz")
    name = archive.name.replace(".npz", ".nii.gz")
    probabilities = [load_probabilities(folder / archive.name)[1] for folder in folders]
    assert len(np.unique(probabilities[0].round(2))) > 5
    for folder, expected in zip([*folders, tmp_path / "mean"], [*probabilities, sum(probabilities) / 2], strict=True):
        assert read_header(folder / name).voxel_type == np.uint8, "a byte a voxel"
        np.testing.assert_allclose(read_image(folder / name).data, expected, atol=0.5 / 250 + 1e-5)

    capsys.readouterr()
    assert run(predict.main, home, *words, "-m", "2d", "-o", str(folders[0])) == 0
    assert "1 of 1 case: predicted already" in capsys.readouterr().err
    assert run(ensemble.main, home, "-f", *map(str, folders), "-o", str(tmp_path / "mean"), "--npz") == 0
    assert "1 of 1 case current, and kept" in capsys.readouterr().err


def test_one_case_is_predicted_fast_and_scored_by_a_command(
    home: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    raw = home / "raw_data" / TASK
    image = sorted((raw / "imagesTr").iterdir())[4]
    case = image.name.replace("_0000.nii.gz", "")
    words = ("-t", "1", "-m", "2d", "-i", str(image), *COMPUTING)
    fast, usual = (tmp_path / name / f"{case}.nii.gz" for name in ("fast", "usual"))
    assert run(predict.main, home, *words, "-o", str(fast), "--mode", "fast") == 0
    assert run(predict.main, home, *words, "-o", str(usual)) == 0
    np.testing.assert_allclose(read_image(fast).data, read_image(usual).data, atol=2 / 250)

    capsys.readouterr()
    assert run(evaluate_folder.main, home, "-t", "1", "-pred", str(usual.parent), "--common") == 0

    (scores,) = json.loads((usual.parent / "summary.json").read_text())["results"]["all"]
    truth = read_image(raw / "labelsTr" / f"{case}_rater1.nii.gz").data
    ours = read_image(usual).data
    assert scores["1"]["Mean Absolute Error"] == pytest.approx(np.abs(ours - truth).mean(), rel=1e-5)
    assert scores["1"]["Dice Between Raters"] == 1
    table = capsys.readouterr().out.splitlines()
    assert table[0].split() == "label n Dice std soft Dice MAE raters n true ml found ml".split()


def test_models_are_compared_by_what_is_more_than_half(home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (file,) = (home / "results" / "2d" / TASK).rglob("summary.json")
    results = json.loads(file.read_text())["results"]
    assert results["n"]["1"]["Mean Absolute Error"] == len(results["all"])
    assert 0 < results["mean"]["1"]["Mean Absolute Error"] < 0.75

    assert run(find_best_configuration.main, home, "-t", "1") == 0

    assert "3 candidates on 1 case of fold 0" in capsys.readouterr().out
    lines = list(csv.DictReader((home / "results" / "selections" / TASK / "summary.csv").open()))
    (raw,) = [line["raw_mean"] for line in lines if line["candidate"] == "2d" and line["name"] == "ball"]
    assert float(raw) == pytest.approx(results["mean"]["1"]["Dice"])
    (mean,) = (home / "results" / "selections" / TASK).rglob("*.nii.gz")
    assert read_header(mean).voxel_type == np.uint8 and read_image(mean).data.dtype == np.float32
