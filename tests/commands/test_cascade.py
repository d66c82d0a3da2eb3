"""The cascade from the command line: both stages trained, and predicted in one command or in two."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from autoseg.commands import plan_and_preprocess, predict, train
from autoseg.images import read_image, write_image

TASK = "Task001_Balls"
SHORT = (
    "--epochs 1 --iterations_per_epoch 1 --batch_size 2 --seed 1 --num_workers 0 -device cpu --precision fp32".split()
)
CASCADE = "3d_cascade_fullres"


@pytest.fixture(scope="module")
def home(make_task: Any, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A task with a zero border, two folds, a trained low resolution, and the cascade of fold 0."""
    folder = tmp_path_factory.mktemp("home")
    make_task(TASK, parent=folder / "raw_data", cases=4, test_cases=2, shape=(18, 24, 22), border=2, seed=3)
    run(plan_and_preprocess.main, folder, "-t", "1", "--force_lowres", "-pl2d", "None")
    cases = [f"case_00{number}" for number in range(4)]
    splits = [{"train": cases[2:], "val": cases[:2]}, {"train": cases[:2], "val": cases[2:]}]
    (folder / "preprocessed" / TASK / "splits_final.json").write_text(json.dumps(splits))
    for fold in "01":
        run(train.main, folder, "3d_lowres", "Trainer", "1", fold, *SHORT)
    run(train.main, folder, CASCADE, "Trainer", "1", "0", *SHORT)
    return folder


def run(main: Any, home: Path, *words: str) -> None:
    assert main([*words, "--home", str(home)]) == 0


def model(home: Path, configuration: str) -> Path:
    return home / "results" / configuration / TASK / "Trainer__autoseg"


def predict_cascade(home: Path, *words: str) -> int:
    code: int = predict.main(
        [*words, "-t", "1", "-m", CASCADE, "-device", "cpu", "--precision", "fp32", "--home", str(home)]
    )
    return code


def test_both_stages_are_predicted_in_one_command_or_in_two(home: Path, tmp_path: Path) -> None:
    images = str(home / "raw_data" / TASK / "imagesTs")
    fast = ("--disable_tta", "-i")
    assert predict_cascade(home, *fast, images, "-o", str(tmp_path / "out")) == 0

    first = tmp_path / "out" / "3d_lowres_predictions"
    assert sorted(path.name for path in first.iterdir()) == ["prediction.json", "test_004.nii.gz", "test_005.nii.gz"]
    assert json.loads((first / "prediction.json").read_text())["folds"] == ["0"]
    assert json.loads((tmp_path / "out" / "prediction.json").read_text())["lowres_segmentations"] == str(first)

    assert predict_cascade(home, *fast, images, "-o", str(tmp_path / "again"), "-l", str(first)) == 0
    for name in ("test_004.nii.gz", "test_005.nii.gz"):
        assert (tmp_path / "again" / name).read_bytes() == (tmp_path / "out" / name).read_bytes()
    assert not (tmp_path / "again" / "3d_lowres_predictions").exists()

    one = Path(images) / "test_004_0000.nii.gz"
    assert predict_cascade(home, *fast, str(one), "-o", str(tmp_path / "alone" / "mine.nii.gz")) == 0
    np.testing.assert_array_equal(
        read_image(tmp_path / "alone" / "mine.nii.gz").data, read_image(tmp_path / "out" / "test_004.nii.gz").data
    )
    assert [path.name for path in (tmp_path / "alone").iterdir()] == ["mine.nii.gz"]


def test_prediction_does_what_the_final_validation_did(home: Path, tmp_path: Path) -> None:
    """From prepared cases and gathered maps there, from image files here: the very same segmentations."""
    (tmp_path / "images").mkdir()
    for name in ("case_000_0000.nii.gz", "case_001_0000.nii.gz"):
        (tmp_path / "images" / name).write_bytes((home / "raw_data" / TASK / "imagesTr" / name).read_bytes())
    lowres = model(home, "3d_lowres") / "fold_0" / "validation_raw"

    assert predict_cascade(home, "-i", str(tmp_path / "images"), "-o", str(tmp_path / "out"), "-l", str(lowres)) == 0

    for name in ("case_000.nii.gz", "case_001.nii.gz"):
        validated = model(home, CASCADE) / "fold_0" / "validation_raw" / name
        np.testing.assert_array_equal(read_image(tmp_path / "out" / name).data, read_image(validated).data)


def test_a_case_that_fails_in_the_first_stage_is_named_and_the_others_go_through_both(
    home: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "images").mkdir()
    whole = (home / "raw_data" / TASK / "imagesTs" / "test_004_0000.nii.gz").read_bytes()
    (tmp_path / "images" / "broken_0000.nii.gz").write_bytes(b"junk")
    (tmp_path / "images" / "whole_0000.nii.gz").write_bytes(whole)

    assert predict_cascade(home, "-i", str(tmp_path / "images"), "-o", str(tmp_path / "out")) == 1

    said = capsys.readouterr().err
    assert "predicting: 1 of 2 cases failed; the others are finished\n  broken: " in said
    assert (tmp_path / "out" / "whole.nii.gz").is_file()


def test_missing_folds_of_the_first_stage_are_named_before_anything_is_predicted(
    home: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ("-i", str(home / "raw_data" / TASK / "imagesTs"), "-o", str(tmp_path / "out"))
    weights, lowres = model(home, "3d_lowres") / "fold_0" / "weights_final.pt", home / "results" / "3d_lowres"
    weights.rename(weights.with_name("hidden"))
    assert predict_cascade(home, *words) == 1
    weights.with_name("hidden").rename(weights)
    assert (
        f"no weights of fold 0 here; train it with: autoseg_train 3d_lowres Trainer {TASK} 0" in capsys.readouterr().err
    )

    lowres.rename(tmp_path / "hidden")
    assert predict_cascade(home, *words) == 1
    (tmp_path / "hidden").rename(lowres)
    said = capsys.readouterr().err
    assert "3d_cascade_fullres refines what 3d_lowres predicts; train it, install it with the cascade, or give" in said
    assert not (tmp_path / "out").exists()


def test_training_the_cascade_names_the_folds_it_lacks(home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    fold = model(home, "3d_lowres") / "fold_1"
    fold.rename(fold.with_name("all"))
    code = train.main([CASCADE, "Trainer", "1", "1", *SHORT, "--home", str(home)])
    fold.with_name("all").rename(fold)

    said = capsys.readouterr().err
    assert code == 1
    assert f"  fold 1 (case_002, case_003): run autoseg_train 3d_lowres Trainer {TASK} 1\n" in said
    assert "Fold all of 3d_lowres cannot stand in: it was trained on the very cases it predicts" in said


def test_lowres_segmentations_belong_to_the_cascade_alone(
    home: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    images = str(home / "raw_data" / TASK / "imagesTs")
    words = ["-i", images, "-o", str(tmp_path / "out"), "-t", "1", "-device", "cpu", "--home", str(home)]

    assert predict.main([*words, "-m", "3d_lowres", "-l", str(tmp_path)]) == 1
    assert "3d_lowres is no cascade and refines nothing; leave" in capsys.readouterr().err
    assert predict.main([*words, "-m", CASCADE, "--lowres_segmentations", str(tmp_path)]) == 1
    assert "2 of 2 cases have no segmentation here; predict them with 3d_lowres" in capsys.readouterr().err


@pytest.mark.parametrize("kind", ["masks", "regions", "fractions"])
def test_outputs_that_lie_in_each_other_are_refined_too(make_task: Any, tmp_path: Path, kind: str) -> None:
    shape = (12, 16, 16)
    task = make_task(
        TASK, parent=tmp_path / "raw_data", cases=4, test_cases=1, shape=shape, labels=("background", "shell", "core")
    )
    described = json.loads((task / "dataset.json").read_text())
    if kind == "regions":
        described |= {"labels": {"background": 0, "whole": [1, 2], "core": 2}, "regions_class_order": [1, 2]}
    elif kind == "fractions":
        described |= {"labels": {"0": "background", "1": "whole"}, "soft_labels": True}
        for path in sorted((task / "labelsTr").iterdir()):
            image = read_image(path)
            write_image(path, (image.data / 2).astype(np.float32), image.geometry)
    else:
        described = {**{key: value for key, value in described.items() if key != "labels"}, "masks": ["whole", "core"]}
        for path in sorted((task / "labelsTr").iterdir()):
            image = read_image(path)
            for name, least in (("whole", 1), ("core", 2)):
                mask = (image.data >= least).astype(np.uint8)
                write_image(path.with_name(path.name.replace(".nii.gz", f"_{name}.nii.gz")), mask, image.geometry)
            path.unlink()
    (task / "dataset.json").write_text(json.dumps(described))
    run(plan_and_preprocess.main, tmp_path, "-t", "1", "--force_lowres", "-pl2d", "None")
    cases = [f"case_00{number}" for number in range(4)]
    splits = [{"train": cases[2:], "val": cases[:2]}, {"train": cases[:2], "val": cases[2:]}]
    (tmp_path / "preprocessed" / TASK / "splits_final.json").write_text(json.dumps(splits))
    for fold in "01":
        run(train.main, tmp_path, "3d_lowres", "Trainer", "1", fold, *SHORT)
    run(train.main, tmp_path, CASCADE, "Trainer", "1", "0", *SHORT)

    images, out = str(task / "imagesTs"), tmp_path / "out"
    fast = ("--disable_tta", "--engine", "torch", "-i", images)
    assert predict_cascade(tmp_path, *fast, "-o", str(out)) == 0
    first = out / "3d_lowres_predictions"
    assert predict_cascade(tmp_path, *fast, "-o", str(tmp_path / "again"), "-l", str(first)) == 0
    files = ["test_004_core.nii.gz", "test_004_whole.nii.gz"] if kind == "masks" else ["test_004.nii.gz"]
    for folder in (out, first, tmp_path / "again"):
        assert sorted(path.name for path in folder.glob("*.nii.gz")) == files
    for name in files:
        assert (out / name).read_bytes() == (tmp_path / "again" / name).read_bytes()
