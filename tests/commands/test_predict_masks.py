"""Masks that may overlap, from their files to predictions, the mean of two models, and scores: each in files of its own."""

from __future__ import annotations

import csv
import json
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from autoseg.commands import (
    apply_postprocessing,
    ensemble,
    evaluate_folder,
    export_model,
    find_best_configuration,
    install_model,
    plan_and_preprocess,
    predict,
    train,
)
from autoseg.dataset.target import Masks
from autoseg.images import read_image, write_image
from autoseg.inference.probabilities import load_probabilities
from autoseg.postprocessing.rules import Rule, save_rules

TASK = "Task001_Balls"
SHORT = (
    "--epochs 1 --iterations_per_epoch 1 --batch_size 2 --seed 1 --num_workers 0 -device cpu --precision fp32".split()
)
COMPUTING = ("-device", "cpu", "--precision", "fp32", "--disable_tta", "--engine", "torch")
NAMES = ("whole", "core")


def run(main: Any, home: Path, *words: str) -> int:
    code: int = main([*words, "--home", str(home)])
    return code


@pytest.fixture(scope="module")
def home(make_task: Any, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A task of which fold 0 of two configurations is trained; of one case the core was not drawn."""
    home = tmp_path_factory.mktemp("home")
    task = make_task(TASK, parent=home / "raw_data", cases=5, test_cases=1, labels=("background", "shell", "core"))
    described = json.loads((task / "dataset.json").read_text())
    del described["labels"]
    (task / "dataset.json").write_text(json.dumps({**described, "masks": NAMES}))
    for number, path in enumerate(sorted((task / "labelsTr").iterdir())):
        image = read_image(path)
        for name, least in zip(NAMES[: 1 if number == 4 else 2], (1, 2), strict=False):
            mask = (image.data >= least).astype(np.uint8)
            write_image(path.with_name(path.name.replace(".nii.gz", f"_{name}.nii.gz")), mask, image.geometry)
        path.unlink()
    assert run(plan_and_preprocess.main, home, "-t", "1") == 0
    for configuration in ("2d", "3d_fullres"):
        assert run(train.main, home, configuration, "Trainer", "1", "0", "--npz", *SHORT) == 0
    return home


def masks(folder: Path, case: str) -> np.ndarray:
    return np.stack([read_image(folder / f"{case}_{name}.nii.gz").data for name in NAMES])


def test_masks_are_predicted_averaged_and_kept_in_files_of_their_own(
    home: Path, tmp_path: Path, select: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ("-t", "1", "-i", str(home / "raw_data" / TASK / "imagesTs"), "--save_npz", *COMPUTING)
    folders = [tmp_path / configuration for configuration in ("2d", "3d_fullres")]
    for folder in folders:
        assert run(predict.main, home, *words, "-m", folder.name, "-o", str(folder)) == 0
    assert run(ensemble.main, home, "-f", *map(str, folders), "-o", str(tmp_path / "mean"), "--npz") == 0
    select(home, "2d", "3d_fullres")
    assert run(predict.main, home, "--best", *words, "-o", str(tmp_path / "best")) == 0

    (archive,) = (tmp_path / "mean").glob("*.npz")
    case = archive.stem
    files = {f"{case}.npz", *(f"{case}_{name}.nii.gz" for name in NAMES)}
    assert {path.name for path in folders[0].iterdir()} - {"prediction.json", "report.json"} == files
    assert {path.name for path in (tmp_path / "best").iterdir()} - {"selection.json", "report.json"} == files
    mean = sum(load_probabilities(folder / archive.name) for folder in folders) / 2
    clear = np.abs(mean - 0.5) > 1e-5
    assert clear.mean() > 0.99 and 0 < (mean > 0.5).mean() < 1
    for folder in ("mean", "best"):
        np.testing.assert_array_equal(masks(tmp_path / folder, case)[clear], (mean > 0.5)[clear])

    capsys.readouterr()
    before = [path.stat().st_mtime_ns for path in sorted(folders[0].glob("*.nii.gz"))]
    assert run(predict.main, home, *words, "-m", "2d", "-o", str(folders[0])) == 0
    assert "1 of 1 case: predicted already" in capsys.readouterr().err
    assert [path.stat().st_mtime_ns for path in sorted(folders[0].glob("*.nii.gz"))] == before
    assert run(ensemble.main, home, "-f", *map(str, folders), "-o", str(tmp_path / "mean"), "--npz") == 0
    assert "1 of 1 case current, and kept" in capsys.readouterr().err


def test_one_case_is_predicted_fast_and_scored_by_a_command(home: Path, tmp_path: Path) -> None:
    raw = home / "raw_data" / TASK
    image = sorted((raw / "imagesTr").iterdir())[4]
    case = image.name.replace("_0000.nii.gz", "")
    out = tmp_path / "out" / f"{case}.nii.gz"
    assert (
        run(predict.main, home, "-t", "1", "-m", "2d", "-i", str(image), "-o", str(out), "--mode", "fast", *COMPUTING)
        == 0
    )
    assert sorted(path.name for path in out.parent.iterdir()) == [f"{case}_core.nii.gz", f"{case}_whole.nii.gz"]

    assert run(evaluate_folder.main, home, "-t", "1", "-pred", str(out.parent), "--common") == 0
    (scores,) = json.loads((out.parent / "summary.json").read_text())["results"]["all"]
    truth = read_image(raw / "labelsTr" / f"{case}_whole.nii.gz").data
    ours = masks(out.parent, case)[0]
    assert scores["1"]["Dice"] == pytest.approx(2 * (ours & truth).sum() / (ours.sum() + truth.sum()))
    assert scores["2"]["Dice"] is None, "nobody drew it"


def test_models_of_masks_are_compared_postprocessed_and_handed_on(
    home: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(find_best_configuration.main, home, "-t", "1") == 0
    told = capsys.readouterr().out
    assert "3 candidates on 1 case of fold 0" in told and "1 whole" in told and "2 core" in told
    task = home / "results" / "selections" / TASK
    scores = list(csv.DictReader((task / "summary.csv").open()))
    alone = json.loads(
        (home / "results" / "2d" / TASK / "Trainer__autoseg" / "fold_0" / "validation_raw" / "summary.json").read_text()
    )
    rows = {row["name"]: row for row in scores if row["candidate"] == "2d"}
    for number, name in enumerate(NAMES, 1):
        assert float(rows[name]["raw_mean"]) == pytest.approx(alone["results"]["mean"][str(number)]["Dice"])

    images = str(home / "raw_data" / TASK / "imagesTs")
    assert run(predict.main, home, "--best", "-t", "1", "-i", images, "-o", str(tmp_path / "best"), *COMPUTING) == 0
    archive = tmp_path / "model.zip"
    assert run(export_model.main, home, "-t", "1", "--best", "-o", str(archive)) == 0
    with zipfile.ZipFile(archive) as packed:
        card = packed.read("model_card.md").decode()
    assert "- Masks (a file each): 1 whole, 2 core\n" in card and "| 1 whole |" in card and "| 2 core |" in card
    other = tmp_path / "other"
    assert run(install_model.main, other, str(archive)) == 0
    assert run(predict.main, other, "--best", "-t", "1", "-i", images, "-o", str(tmp_path / "there"), *COMPUTING) == 0
    files = sorted(path.name for path in (tmp_path / "best").glob("*.nii.gz"))
    assert len(files) == 2 and files == sorted(path.name for path in (tmp_path / "there").glob("*.nii.gz"))
    for name in files:
        ours, theirs = (read_image(tmp_path / where / name).data for where in ("best", "there"))
        np.testing.assert_array_equal(ours, theirs)


def test_rules_are_applied_to_each_mask(home: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    own = home / "results" / "2d" / TASK / "Trainer__autoseg" / "postprocessing.json"
    kept = own.read_bytes() if own.is_file() else None
    rule = Rule(kind="remove_small", labels=(2,), minimum_mm3=1e9)
    words = ("-t", "1", "-m", "2d", "-i", str(home / "raw_data" / TASK / "imagesTs"), *COMPUTING)
    assert run(predict.main, home, *words, "-o", str(tmp_path / "raw"), "--disable_postprocessing") == 0
    case = next((tmp_path / "raw").glob("*_core.nii.gz")).name.removesuffix("_core.nii.gz")
    raw = masks(tmp_path / "raw", case)
    assert raw[1].any()
    try:
        save_rules((rule,), own, target=Masks(names=NAMES))
        assert run(predict.main, home, *words, "-o", str(tmp_path / "ruled")) == 0
        (tmp_path / "rules.json").write_bytes(own.read_bytes())
        save_rules((rule,), own, target=Masks(names=("core", "whole")))
        assert run(predict.main, home, *words, "-o", str(tmp_path / "none")) == 1
    finally:
        own.unlink()
        if kept is not None:
            own.write_bytes(kept)
    assert (
        "its rules are of core, whole, but the model predicts whole, core, or tells them otherwise"
        in capsys.readouterr().err
    )
    assert not list((tmp_path / "none").glob("*.nii.gz"))
    applied = ("-i", str(tmp_path / "raw"), "-o", str(tmp_path / "applied"), "-pp", str(tmp_path / "rules.json"))
    assert apply_postprocessing.main(applied) == 0
    assert capsys.readouterr().out.splitlines()[-1] == f"written: 2 segmentations in {tmp_path / 'applied'}"
    for folder in ("ruled", "applied"):
        np.testing.assert_array_equal(masks(tmp_path / folder, case), [raw[0], np.zeros_like(raw[0])])

    (tmp_path / "raw" / f"{case}_core.nii.gz").unlink()
    assert apply_postprocessing.main(applied) == 1
    assert f"no {case}_core.nii.gz here; each output (whole, core) has a file of its own" in capsys.readouterr().err
