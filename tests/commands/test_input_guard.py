"""The input guard of `autoseg_predict`: what is warned of or refused, for one model, a pair, parts, and installed models."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import SimpleITK as sitk

from autoseg.commands import export_model, install_model, plan_and_preprocess, predict, train
from autoseg.images import read_image, write_image
from autoseg.inference.guard import InputReport, load_report

TASK = "Task001_Balls"
SHORT = (
    "--epochs 1 --iterations_per_epoch 1 --batch_size 2 --seed 1 --num_workers 0 -device cpu --precision fp32".split()
)
FAST = ("-device", "cpu", "--precision", "fp32", "--disable_tta")
SPACING = "case odd: voxel size in mm far from the training cases': z 10 (theirs 1); check the voxel size in its header"
Told = pytest.CaptureFixture[str]


@pytest.fixture(scope="module")
def home(make_task: Any, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A task of which fold 0 of 2d and 3d_fullres is trained."""
    folder = tmp_path_factory.mktemp("home")
    make_task(TASK, parent=folder / "raw_data", cases=5, test_cases=2)
    assert plan_and_preprocess.main(["-t", "1", "-tf", "1", "--home", str(folder)]) == 0
    for configuration in ("2d", "3d_fullres"):
        assert train.main([configuration, "Trainer", "1", "0", *SHORT, "--home", str(folder)]) == 0
    return folder


@pytest.fixture
def images(home: Path, tmp_path: Path) -> Path:
    """Two images like the training cases, and one whose slices are ten times as thick."""
    folder = shutil.copytree(home / "raw_data" / TASK / "imagesTs", tmp_path / "images")
    image = sitk.ReadImage(folder / "test_005_0000.nii.gz")
    image.SetSpacing((1.0, 1.0, 10.0))
    sitk.WriteImage(image, folder / "odd_0000.nii.gz")
    return folder


@pytest.fixture
def copied(home: Path, tmp_path: Path) -> Path:
    """A home with a copy of the results alone."""
    shutil.copytree(home / "results", tmp_path / "copied" / "results")
    return tmp_path / "copied"


def run(home: Path, inputs: Path, output: Path, *words: str) -> int:
    return predict.main(["-i", str(inputs), "-o", str(output), *words, *FAST, "--home", str(home)])


def report(folder: Path) -> InputReport:
    return load_report(folder / "report.json")


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir() if path.name.endswith(".nii.gz"))


def warnings(folder: Path) -> dict[str, list[str]]:
    return {name: [warning.name for warning in case.warnings] for name, case in report(folder).cases.items()}


def test_what_is_far_off_is_warned_of_and_predicted(home: Path, images: Path, tmp_path: Path, capsys: Told) -> None:
    assert run(home, images, tmp_path / "out", "-m", "3d_fullres") == 0

    told = capsys.readouterr()
    assert told.err.count(SPACING) == 1
    assert "case test_00" not in told.err
    assert (
        f"unlike the training cases: 1 of 3 cases; {tmp_path / 'out' / 'report.json'} says in what\n"
        f"written: {tmp_path / 'out'}\n"
    ) in told.out
    assert names(tmp_path / "out") == ["odd.nii.gz", "test_005.nii.gz", "test_006.nii.gz"]
    assert warnings(tmp_path / "out") == {"odd": ["spacing", "size"], "test_005": [], "test_006": []}
    assert report(tmp_path / "out").cases["odd"].values["spacing_z"] == 10
    assert report(tmp_path / "out").remark is None


def test_strict_inputs_refuse_it_and_finish_the_others(home: Path, images: Path, tmp_path: Path, capsys: Told) -> None:
    assert run(home, images, tmp_path / "out", "-m", "3d_fullres", "--strict_inputs") == 1

    told = capsys.readouterr()
    assert (
        "autoseg_predict: predicting: 1 of 3 cases failed; the others are finished\n"
        "  odd: voxel size in mm far from the training cases': z 10 (theirs 1); "
    ) in told.err
    assert told.err.endswith(
        "It is not predicted, as --strict_inputs asks; leave that out to predict it all the same\n"
    )
    assert names(tmp_path / "out") == ["test_005.nii.gz", "test_006.nii.gz"]
    assert {name: case.refused for name, case in report(tmp_path / "out").cases.items()} == {
        "odd": True,
        "test_005": False,
        "test_006": False,
    }

    assert run(home, images, tmp_path / "out", "-m", "3d_fullres") == 0
    assert not report(tmp_path / "out").cases["odd"].refused
    assert "odd.nii.gz" in names(tmp_path / "out")

    assert run(home, images, tmp_path / "out", "-m", "3d_fullres", "--strict_inputs") == 1
    assert capsys.readouterr().err.endswith("It was predicted before, without --strict_inputs\n")


def test_noise_on_a_right_grid_is_warned_of_and_refused_where_inputs_are_strict(
    home: Path, images: Path, tmp_path: Path, capsys: Told
) -> None:
    image = read_image(images / "test_005_0000.nii.gz")
    noise = np.random.default_rng(0).uniform(image.data.min(), image.data.max(), image.data.shape)
    (tmp_path / "noise").mkdir()
    write_image(tmp_path / "noise" / "noise_0000.nii.gz", noise.astype(np.float32), image.geometry)

    assert run(home, tmp_path / "noise", tmp_path / "out", "-m", "3d_fullres") == 0
    assert "correlation of neighbouring voxels" in capsys.readouterr().err
    assert warnings(tmp_path / "out") == {"noise": ["channel_0"]}

    assert run(home, tmp_path / "noise", tmp_path / "strict", "-m", "3d_fullres", "--strict_inputs") == 1
    assert names(tmp_path / "strict") == []


def test_of_a_fingerprint_without_likeness_all_else_is_compared(
    home: Path, copied: Path, images: Path, tmp_path: Path, capsys: Told
) -> None:
    content = json.loads((home / "preprocessed" / TASK / "fingerprint.json").read_text())
    del content["likenesses"]
    path = copied / "results" / "3d_fullres" / TASK / "Trainer__autoseg" / "fingerprint.json"
    path.write_text(json.dumps(content))

    assert run(copied, images, tmp_path / "out", "-m", "3d_fullres", "--strict_inputs") == 1

    told = capsys.readouterr().err
    assert f"{path}: noise cannot be told from an image: the fingerprint is of an earlier version; plan again\n" in told
    assert warnings(tmp_path / "out") == {"odd": ["spacing", "size"], "test_005": [], "test_006": []}


def test_parts_that_fill_one_folder_share_its_report(home: Path, images: Path, tmp_path: Path) -> None:
    for part in "012":
        words = ("-m", "3d_fullres", "--num_parts", "3", "--part_id", part)
        assert run(home, images, tmp_path / "out", *words) == 0
    assert warnings(tmp_path / "out") == {"odd": ["spacing", "size"], "test_005": [], "test_006": []}


def test_one_case_is_told_on_the_terminal_and_leaves_no_report(
    home: Path, images: Path, tmp_path: Path, capsys: Told
) -> None:
    words = ("-m", "3d_fullres")
    assert run(home, images / "odd_0000.nii.gz", tmp_path / "deep" / "odd.nii.gz", *words) == 0
    told = capsys.readouterr()
    assert SPACING in told.err
    assert "unlike the training cases: 1 of 1 case; as told above\n" in told.out
    assert names(tmp_path / "deep") == ["odd.nii.gz"]

    assert run(home, images / "odd_0000.nii.gz", tmp_path / "strict.nii.gz", *words, "--strict_inputs") == 1
    assert "predicting: 1 of 1 case failed\n  odd: voxel size" in capsys.readouterr().err
    assert not (tmp_path / "strict.nii.gz").exists()


def test_a_pair_of_models_tells_a_case_once_and_refuses_it_for_both(
    home: Path, copied: Path, images: Path, tmp_path: Path, capsys: Told, select: Any
) -> None:
    select(copied, "2d", "3d_fullres")
    for configuration in ("2d", "3d_fullres"):
        model = copied / "results" / configuration / TASK / "Trainer__autoseg"
        shutil.copy(home / "preprocessed" / TASK / "fingerprint.json", model)

    assert run(copied, images, tmp_path / "out") == 0
    assert capsys.readouterr().err.count(SPACING) == 1
    assert warnings(tmp_path / "out") == {"odd": ["spacing", "size"], "test_005": [], "test_006": []}

    assert run(copied, images, tmp_path / "strict", "--strict_inputs") == 1
    assert capsys.readouterr().err.count("\n  odd: ") == 1
    assert names(tmp_path / "strict") == ["test_005.nii.gz", "test_006.nii.gz"]


def test_an_installed_model_guards_as_where_it_was_trained(
    home: Path, images: Path, tmp_path: Path, capsys: Told
) -> None:
    archive, elsewhere = tmp_path / "model.zip", tmp_path / "elsewhere"
    assert export_model.main(["-t", "1", "-m", "3d_fullres", "-o", str(archive), "--home", str(home)]) == 0
    assert install_model.main([str(archive), "--home", str(elsewhere)]) == 0
    assert not (elsewhere / "preprocessed").exists()

    assert run(home, images, tmp_path / "here", "-m", "3d_fullres") == 0
    assert run(elsewhere, images, tmp_path / "there", "-m", "3d_fullres") == 0

    assert report(tmp_path / "there") == report(tmp_path / "here")
    assert capsys.readouterr().err.count(SPACING) == 2


# -------------------------------------------------------------------- what cannot be compared


def test_without_a_fingerprint_it_is_said_once_and_predicted(
    copied: Path, images: Path, tmp_path: Path, capsys: Told
) -> None:
    model = copied / "results" / "3d_fullres" / TASK / "Trainer__autoseg"
    remark = (
        f"{model}: images are not compared with the training cases: there is no fingerprint.json here, nor "
        f"{copied / 'preprocessed' / TASK / 'fingerprint.json'}; copy it here from where this was trained"
    )
    assert run(copied, images, tmp_path / "out", "-m", "3d_fullres") == 0
    assert capsys.readouterr().err.count(f"{remark}\n") == 1
    assert (report(tmp_path / "out").remark, report(tmp_path / "out").training) == (remark, None)
    assert warnings(tmp_path / "out") == {"odd": [], "test_005": [], "test_006": []}

    assert run(copied, images, tmp_path / "strict", "-m", "3d_fullres", "--strict_inputs") == 1
    assert capsys.readouterr().err.endswith(f"autoseg_predict: --strict_inputs: {remark}\n")
    assert not (tmp_path / "strict").exists()


def test_of_an_earlier_fingerprint_voxel_and_image_size_are_compared(
    home: Path, copied: Path, images: Path, tmp_path: Path, capsys: Told
) -> None:
    content = json.loads((home / "preprocessed" / TASK / "fingerprint.json").read_text())
    del content["directions"], content["intensity_ranges"]
    path = copied / "results" / "3d_fullres" / TASK / "Trainer__autoseg" / "fingerprint.json"
    path.write_text(json.dumps(content))

    assert run(copied, images, tmp_path / "out", "-m", "3d_fullres") == 0

    remark = (
        f"{path}: only voxel and image size can be compared with the training cases': the fingerprint is of an earlier "
        "version; run autoseg_plan_and_preprocess again"
    )
    assert capsys.readouterr().err.count(f"{remark}\n") == 1
    assert report(tmp_path / "out").remark == remark
    assert warnings(tmp_path / "out")["odd"] == ["spacing", "size"]


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("{", "images are not compared with the training cases: {path}: not valid JSON: "),
        (
            '{"sizes": [[1, 1, 1]], "spacings": [[1, 1, 1]], "modalities": ["T1", "T2"], "num_classes": 1, '
            '"size_reductions": [1]}',
            "{path}: images are not compared with the training cases: it is of the channels T1, T2, but the model's are "
            "MRI; copy the file that it was planned with to {folder}\n",
        ),
    ],
)
def test_a_fingerprint_that_cannot_be_used_does_not_stop_the_prediction(
    copied: Path, images: Path, tmp_path: Path, capsys: Told, content: str, message: str
) -> None:
    folder = copied / "results" / "3d_fullres" / TASK / "Trainer__autoseg"
    (folder / "fingerprint.json").write_text(content)

    assert run(copied, images, tmp_path / "out", "-m", "3d_fullres") == 0

    assert message.format(path=folder / "fingerprint.json", folder=folder) in capsys.readouterr().err
    assert report(tmp_path / "out").training is None


def test_someone_elses_report_is_not_written_over(home: Path, images: Path, tmp_path: Path, capsys: Told) -> None:
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "report.json").write_text('{"mine": 1}')

    assert run(home, images, tmp_path / "out", "-m", "3d_fullres") == 1

    assert capsys.readouterr().err.endswith(
        f"autoseg_predict: {tmp_path / 'out' / 'report.json'}: a report of format None, but this autoseg reads format 1; "
        "move the file away, or name another folder\n"
    )
    assert (tmp_path / "out" / "report.json").read_text() == '{"mine": 1}'


def test_a_wrong_voxel_size_is_refused_before_it_fills_the_memory(
    home: Path, images: Path, tmp_path: Path, capsys: Told
) -> None:
    """In metres: resampled to the plan's millimetres the image would have 3e12 voxels."""
    image = sitk.GetImageFromArray(np.random.default_rng(0).normal(50, 10, (12, 16, 14)).astype(np.float32))
    image.SetSpacing((1000.0, 1000.0, 1000.0))
    sitk.WriteImage(image, images / "odd_0000.nii.gz")

    assert run(home, images, tmp_path / "out", "-m", "3d_fullres", "--strict_inputs") == 1

    assert "  odd: voxel size in mm far from the training cases': z 1000 (theirs 1), y 1000" in capsys.readouterr().err
    assert names(tmp_path / "out") == ["test_005.nii.gz", "test_006.nii.gz"]
