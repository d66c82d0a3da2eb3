"""`autoseg_predict`: models really trained for a second, folders and files in, segmentations out, and what is refused."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import SimpleITK as sitk
import torch

import autoseg
from autoseg.commands import plan_and_preprocess, predict, train
from autoseg.ensembling.selection import load_selection
from autoseg.inference.probabilities import load_probabilities
from autoseg.postprocessing.rules import Rule, save_rules

TASK = "Task001_Balls"
TRAINING = (
    "--epochs 2 --iterations_per_epoch 1 --batch_size 2 --seed 1 --num_workers 0 -device cpu --precision fp32".split()
)
FAST = ("-device", "cpu", "--precision", "fp32", "--disable_tta")
Told = pytest.CaptureFixture[str]

MY_FILE = """
import os, signal
from torch import nn
from autoseg.training import Trainer

class Small(Trainer):
    @classmethod
    def build_network(cls, plan, in_channels, classes):
        return nn.Conv3d(in_channels, classes, 3, padding=1)

class Stopped(nn.Conv3d):
    calls = 0

    def forward(self, data):
        Stopped.calls += 1
        if Stopped.calls == 2:
            os.kill(os.getpid(), signal.SIGTERM)
        return super().forward(data)
"""


@pytest.fixture(scope="module")
def home(make_task: Any, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A task of which fold 0 of 2d and folds 0 and 1 of 3d_fullres are trained."""
    folder = tmp_path_factory.mktemp("home")
    make_task(TASK, parent=folder / "raw_data", cases=5, test_cases=2)
    assert plan_and_preprocess.main(["-t", "1", "-tf", "1", "--home", str(folder)]) == 0
    for configuration, fold in (("2d", "0"), ("3d_fullres", "0"), ("3d_fullres", "1")):
        assert train.main([configuration, "Trainer", "1", fold, *TRAINING, "--home", str(folder)]) == 0
    return folder


@pytest.fixture
def images(home: Path) -> Path:
    """Two test images of the task."""
    return home / "raw_data" / TASK / "imagesTs"


@pytest.fixture
def copied(home: Path, tmp_path: Path) -> Path:
    """A home with a copy of the results alone, to be changed."""
    shutil.copytree(home / "results", tmp_path / "copied" / "results")
    return tmp_path / "copied"


def run(home: Path, inputs: Path, output: Path, *words: str) -> int:
    return predict.main(["-i", str(inputs), "-o", str(output), *words, *FAST, "--home", str(home)])


def names(folder: Path) -> list[str]:
    """What lies there beside the two tables of labels."""
    return sorted({path.name for path in folder.iterdir()} - {"labels_itksnap.txt", "labels_slicer.csv"})


def record(folder: Path) -> dict[str, Any]:
    content: dict[str, Any] = json.loads((folder / "prediction.json").read_text())
    return content


def labels(path: Path) -> np.ndarray:
    return sitk.GetArrayFromImage(sitk.ReadImage(path))


# ------------------------------------------------------------------------------ which model


def test_the_only_task_and_every_trained_fold_are_the_default(
    home: Path, images: Path, tmp_path: Path, capsys: Told
) -> None:
    assert run(home, images, tmp_path / "out") == 0

    told = capsys.readouterr()
    assert f"{TASK}: the only task with a trained model\n" in told.err
    assert told.out.startswith(
        f"{TASK}: 3d_fullres, folds 0, 1, final weights, 2 cases, on cpu in fp32\nwritten: {tmp_path / 'out'}\nnext: autoseg_"
    )
    assert names(tmp_path / "out") == ["prediction.json", "report.json", "test_005.nii.gz", "test_006.nii.gz"]
    said = record(tmp_path / "out")
    assert (said["configuration"], said["folds"], said["checkpoint"]) == ("3d_fullres", ["0", "1"], "final")
    assert (said["mirror_axes"], said["mode"], said["step_size"]) == ([], "normal", 0.5)
    assert labels(tmp_path / "out" / "test_005.nii.gz").shape == (12, 16, 14)


def test_without_a_model_it_says_how_to_get_one(tmp_path: Path, images: Path, capsys: Told) -> None:
    empty = tmp_path / "empty"
    (empty / "results" / "3d_fullres" / TASK / "Trainer__autoseg" / "fold_0").mkdir(parents=True)
    assert run(empty, images, tmp_path / "out") == 1
    assert capsys.readouterr().err == (
        f"autoseg_predict: {empty / 'results'}: no trained model here; train one with autoseg_train, or set --home\n"
    )
    assert run(empty, images, tmp_path / "out", "-t", "1", "-m", "2d", "-p", "mine") == 1
    assert (
        f"{empty / 'results' / '2d' / TASK / 'Trainer__mine'}: no such model; train it with: "
        f"autoseg_train 2d Trainer {TASK} 0 -p mine\n"
    ) in capsys.readouterr().err


def test_of_several_tasks_one_must_be_chosen(copied: Path, images: Path, tmp_path: Path, capsys: Told) -> None:
    models = copied / "results" / "3d_fullres"
    shutil.copytree(models / TASK, models / "Task002_Other")
    assert run(copied, images, tmp_path / "out") == 1
    assert f"several tasks have models; choose one with -t: {TASK}, Task002_Other\n" in capsys.readouterr().err
    assert run(copied, images, tmp_path / "out", "-t", "Task001") == 0


def test_what_is_trained_instead_is_listed(home: Path, images: Path, tmp_path: Path, capsys: Told) -> None:
    for words in (("-m", "3d_lowres"), ("-tr", "Other"), ("-p", "mine")):
        assert run(home, images, tmp_path / "out", *words) == 1
        assert (
            "no such model; trained are:\n  -m 2d -tr Trainer -p autoseg\n  -m 3d_fullres -tr Trainer -p autoseg\n"
            in capsys.readouterr().err
        )
    assert run(home, images, tmp_path / "out", "-t", "8") == 1
    assert f"'8': no task of that name in {home / 'raw_data'}, " in capsys.readouterr().err


def test_the_only_model_that_is_trained_is_taken_and_said(
    copied: Path, images: Path, tmp_path: Path, capsys: Told
) -> None:
    results = copied / "results"
    assert run(copied, images, tmp_path / "usual") == 0
    said = f"{TASK}: predicting with -m 3d_fullres -tr Trainer -p autoseg; also trained: -m 2d -tr Trainer -p autoseg\n"
    assert said in capsys.readouterr().err

    shutil.rmtree(results / "3d_fullres")
    mine = results / "2d" / TASK / "Mine__own"
    (results / "2d" / TASK / "Trainer__autoseg").rename(mine)
    only = f"{TASK}: predicting with the only model that is trained: -m 2d -tr Mine -p own\n"
    for number, words in enumerate(((), ("-m", "2d"), ("-tr", "Mine"), ("-p", "own"), ("-t", "1", "-f", "0"))):
        assert run(copied, images, tmp_path / str(number), *words) == 0
        told = capsys.readouterr()
        assert only in told.err
        assert f"{TASK}: 2d, fold 0, " in told.out
    for words in (("-m", "3d_fullres"), ("-tr", "Trainer"), ("-p", "autoseg")):
        assert run(copied, images, tmp_path / "out", *words) == 1
        assert "no such model; trained are:\n  -m 2d -tr Mine -p own\n" in capsys.readouterr().err

    (mine / "fold_0" / "weights_best.pt").unlink()
    assert run(copied, images, tmp_path / "out", "-chk", "best") == 1


def test_of_several_models_none_of_them_the_usual_one_is_chosen_by_the_user(
    copied: Path, images: Path, tmp_path: Path, capsys: Told, select: Any
) -> None:
    for name in ("2d", "3d_fullres"):
        folder = copied / "results" / name / TASK
        (folder / "Trainer__autoseg").rename(folder / "Mine__autoseg")
    listed = (
        f"autoseg_predict: {TASK}: 2 models are trained; choose one with\n"
        "  -m 2d -tr Mine -p autoseg\n  -m 3d_fullres -tr Mine -p autoseg\n"
    )
    assert run(copied, images, tmp_path / "out") == 1
    assert capsys.readouterr().err.endswith(listed)
    select(copied, "2d")
    assert run(copied, images, tmp_path / "out", "-f", "0") == 1
    assert capsys.readouterr().err.endswith(f"{listed}  --best\n")
    assert run(copied, images, tmp_path / "out", "-m", "2d") == 0


def test_folds_and_weights_are_chosen_and_missing_ones_named(
    copied: Path, images: Path, tmp_path: Path, capsys: Told
) -> None:
    assert run(copied, images, tmp_path / "one", "-f", "1", "1", "-chk", "best") == 0
    assert f"{TASK}: 3d_fullres, fold 1, best weights, 2 cases" in capsys.readouterr().out
    assert (record(tmp_path / "one")["folds"], record(tmp_path / "one")["checkpoint"]) == (["1"], "best")

    assert run(copied, images, tmp_path / "out", "-f", "0", "3", "7") == 1
    assert "no weights of fold 3, 7 here; train it with: autoseg_train 3d_fullres Trainer " in capsys.readouterr().err
    for weights in list(copied.rglob("weights_best.pt")):
        weights.unlink()
    assert run(copied, images, tmp_path / "out", "-chk", "best") == 1
    assert "no fold here has weights_best.pt; train it with: " in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


def test_a_model_of_a_newer_version_is_refused_with_both_versions(
    copied: Path, images: Path, tmp_path: Path, capsys: Told
) -> None:
    path = copied / "results" / "3d_fullres" / TASK / "Trainer__autoseg" / "fold_1" / "weights_final.pt"
    content = torch.load(path, weights_only=True)
    torch.save(content | {"format": 2, "version": "9.1"}, path)

    assert run(copied, images, tmp_path / "out") == 1
    assert capsys.readouterr().err.endswith(
        f"autoseg_predict: {path}: weights of format 2 (autoseg 9.1), but this is autoseg {autoseg.__version__}, "
        "which reads format 1; install a matching version or train again\n"
    )
    assert not (tmp_path / "out").exists()
    assert run(copied, images, tmp_path / "out", "-f", "0") == 0


# -------------------------------------------------------------------------------- in and out


def test_one_case_goes_to_a_file_and_nothing_else(home: Path, images: Path, tmp_path: Path) -> None:
    assert run(home, images, tmp_path / "all") == 0
    assert run(home, images / "test_006_0000.nii.gz", tmp_path / "deep" / "mine.nii.gz") == 0

    assert names(tmp_path / "deep") == ["mine.nii.gz"]
    np.testing.assert_array_equal(
        labels(tmp_path / "deep" / "mine.nii.gz"), labels(tmp_path / "all" / "test_006.nii.gz")
    )


def test_the_grid_of_an_oblique_anisotropic_image_is_kept_to_the_bit(home: Path, tmp_path: Path) -> None:
    image = sitk.GetImageFromArray(np.random.default_rng(0).normal(100, 30, (7, 21, 17)).astype(np.float32))
    image.SetSpacing((0.7123, 0.9371, 2.6113))
    image.SetOrigin((-101.37, 33.913, 7.7))
    turn = sitk.Euler3DTransform()
    turn.SetRotation(0.31, -0.17, 0.53)
    image.SetDirection(turn.GetMatrix())
    given = tmp_path / "images" / "oblique_0000.nii.gz"
    given.parent.mkdir()
    sitk.WriteImage(image, given)

    assert run(home, given.parent, tmp_path / "out") == 0

    image, written = sitk.ReadImage(given), sitk.ReadImage(tmp_path / "out" / "oblique.nii.gz")
    assert written.GetSize() == image.GetSize()
    assert written.GetSpacing() == image.GetSpacing()
    assert written.GetOrigin() == image.GetOrigin()
    assert written.GetDirection() == image.GetDirection()
    assert written.GetPixelID() == sitk.sitkUInt8


@pytest.mark.parametrize(
    ("inputs", "output", "message"),
    [
        (["{images}"], "{images}", "{images}: is the folder of the images; name one of its own\n"),
        (["{image}"], "{image}", "{image}: is one of the images; give the segmentation a name of its own\n"),
        (["{images}"], "{out}.nii.gz", "{out}.nii.gz: for a folder of images, -o names a folder, not a file\n"),
        (["{image}"], "{out}", "{out}: for the files of one case, -o names a file; let it end in .nii.gz\n"),
        (
            ["{image}"],
            "{out}.jpg",
            "{out}.jpg: segmentations are written as .nii.gz, .nii, .seg.nrrd, .nrrd, .mha, .png, .tif, .tiff",
        ),
        (["{out}"], "{out}_2", "{out}: no such file or folder; name a folder of images, or the files of one case\n"),
        (["{image}", "{image}"], "{out}.nii", "2 files given, but the model takes 1 channel; give one file for each"),
    ],
)
def test_inputs_and_outputs_that_do_not_fit_are_refused(
    home: Path, images: Path, tmp_path: Path, capsys: Told, inputs: list[str], output: str, message: str
) -> None:
    places = {"images": images, "image": images / "test_005_0000.nii.gz", "out": tmp_path / "out"}
    before = {path: path.read_bytes() for path in images.iterdir()}

    words = ["-i", *(word.format(**places) for word in inputs), "-o", output.format(**places), "--overwrite_existing"]
    assert predict.main([*words, *FAST, "--home", str(home)]) == 1

    assert message.format(**places) in capsys.readouterr().err
    assert {path: path.read_bytes() for path in images.iterdir()} == before


def test_channels_that_are_missing_or_too_many_are_named(
    home: Path, images: Path, tmp_path: Path, capsys: Told
) -> None:
    folder = shutil.copytree(images, tmp_path / "images")
    shutil.copy(folder / "test_005_0000.nii.gz", folder / "test_005_0001.nii.gz")
    (folder / "test_006_0000.nii.gz").rename(folder / "test_006_0001.nii.gz")

    assert run(home, folder, tmp_path / "out") == 1
    assert capsys.readouterr().err.endswith(
        f"autoseg_predict: {folder}: 2 cases without exactly the channels needed; give each <case>_0000 and no other\n"
        "  test_005: expected channels [0], found [0, 1]\n  test_006: expected channels [0], found [1]\n"
    )
    assert not (tmp_path / "out").exists()


def test_a_damaged_image_is_named_and_the_others_are_finished(
    home: Path, images: Path, tmp_path: Path, capsys: Told
) -> None:
    folder = shutil.copytree(images, tmp_path / "images")
    (folder / "a_0000.nii.gz").write_bytes((images / "test_005_0000.nii.gz").read_bytes()[:400])

    assert run(home, folder, tmp_path / "out") == 1
    assert (
        "autoseg_predict: predicting: 1 of 3 cases failed; the others are finished\n"
        f"  a: {folder / 'a_0000.nii.gz'}: is truncated or damaged"
    ) in capsys.readouterr().err
    assert names(tmp_path / "out") == ["prediction.json", "report.json", "test_005.nii.gz", "test_006.nii.gz"]

    assert run(home, folder / "a_0000.nii.gz", tmp_path / "a.nii.gz") == 1
    assert "autoseg_predict: predicting: 1 of 1 case failed\n  a: " in capsys.readouterr().err


def test_images_without_channel_numbers_are_predicted_as_those_with(
    home: Path, images: Path, tmp_path: Path, capsys: Told
) -> None:
    """As they lie in the folder `images` that a newcomer trained from."""
    (tmp_path / "images").mkdir()
    for path in images.iterdir():
        shutil.copy(path, tmp_path / "images" / path.name.replace("_0000", ""))
    assert run(home, images, tmp_path / "numbered") == 0
    assert run(home, tmp_path / "images", tmp_path / "plain") == 0

    for name in ("test_005.nii.gz", "test_006.nii.gz"):
        assert (tmp_path / "plain" / name).read_bytes() == (tmp_path / "numbered" / name).read_bytes()
    capsys.readouterr()
    shutil.copy(images / "test_005_0000.nii.gz", tmp_path / "images")
    assert run(home, tmp_path / "images", tmp_path / "mixed") == 1
    assert "(with: test_005_0000.nii.gz; without: test_005.nii.gz, test_006.nii.gz)" in capsys.readouterr().err


# ------------------------------------------------------------------------------- going on


def test_what_is_there_is_kept_unless_it_is_to_be_overwritten(
    home: Path, images: Path, tmp_path: Path, capsys: Told
) -> None:
    assert run(home, images, tmp_path) == 0
    kept, missing = tmp_path / "test_005.nii.gz", tmp_path / "test_006.nii.gz"
    predicted = kept.read_bytes()
    kept.write_bytes(b"mine")
    missing.unlink()

    assert run(home, images, tmp_path) == 0
    assert "test_005.nii.gz: there already and kept, though nothing says what made it" in capsys.readouterr().err
    assert kept.read_bytes() == b"mine"
    assert missing.is_file()

    assert run(home, images, tmp_path, "--overwrite_existing") == 0
    assert kept.read_bytes() == predicted


def test_a_folder_holds_the_predictions_of_one_model_with_one_setting(
    home: Path, images: Path, tmp_path: Path, capsys: Told
) -> None:
    assert run(home, images, tmp_path, "-f", "0") == 0
    (tmp_path / "test_006.nii.gz").unlink()

    assert run(home, images, tmp_path, "-f", "1", "--mode", "fast") == 1
    assert capsys.readouterr().err.endswith(
        f"autoseg_predict: {tmp_path}: holds predictions made with something else (folds was ['0'], now ['1']; mode was "
        "normal, now fast); name another folder, or predict all of them again with --overwrite_existing\n"
    )
    assert not (tmp_path / "test_006.nii.gz").exists()
    assert run(home, images, tmp_path, "-f", "1", "--mode", "fast", "--overwrite_existing") == 0
    assert (record(tmp_path)["folds"], record(tmp_path)["mode"]) == (["1"], "fast")


def test_predictions_of_several_models_and_of_one_are_not_mixed(
    copied: Path, images: Path, tmp_path: Path, capsys: Told, select: Any
) -> None:
    pair, out = select(copied, "2d", "3d_fullres", rules=(Rule(kind="keep_largest", labels=(1,)),)), tmp_path / "out"
    assert run(copied, images, out) == 0
    assert names(out) == ["report.json", "selection.json", "test_005.nii.gz", "test_006.nii.gz"]
    assert run(copied, images, out) == 0, "the same again is nothing to do"

    words: tuple[tuple[str, ...], ...] = (("-m", "3d_fullres"), ("--disable_postprocessing",))
    for other in words:
        assert run(copied, images, out, *other) == 1
        assert f"{out}: holds predictions made with something else (selection.json says with what); name another" in (
            capsys.readouterr().err
        )
    assert load_selection(out / "selection.json") == load_selection(pair)

    assert run(copied, images, out, "-m", "3d_fullres", "--overwrite_existing") == 0
    assert names(out) == ["prediction.json", "report.json", "test_005.nii.gz", "test_006.nii.gz"]
    assert run(copied, images, out) == 1
    assert "(prediction.json says with what)" in capsys.readouterr().err


def test_a_pair_is_not_averaged_in_mode_fast(
    copied: Path, images: Path, tmp_path: Path, capsys: Told, select: Any
) -> None:
    select(copied, "2d", "3d_fullres")
    assert run(copied, images, tmp_path / "out", "--mode", "fast") == 1
    assert capsys.readouterr().err.endswith(
        "--mode fast makes no probabilities by which several models are averaged; use --mode normal\n"
    )


def test_parts_share_a_folder(home: Path, images: Path, tmp_path: Path, capsys: Told) -> None:
    expected = {"0": ["test_005.nii.gz"], "1": ["test_006.nii.gz"], "2": []}
    for part, files in expected.items():
        assert run(home, images, tmp_path / part, "--num_parts", "3", "--part_id", part) == 0
        assert f"part {part} of 3: {len(files)} of 2 cases\n" in capsys.readouterr().err
        assert [path.name for path in (tmp_path / part).glob("*.nii.gz")] == files
    assert run(home, images, tmp_path / "out", "--num_parts", "2", "--part_id", "2") == 1
    assert "part 2 of 2: parts are numbered from 0 to 1; check --part_id\n" in capsys.readouterr().err


def test_sigterm_ends_a_prediction_and_the_same_command_goes_on(
    home: Path, images: Path, tmp_path: Path, capsys: Told
) -> None:
    (tmp_path / "my.py").write_text(MY_FILE)
    trainer = f"{tmp_path / 'my.py'}:Small"
    assert train.main(["3d_fullres", trainer, "1", "0", *TRAINING, "--home", str(home)]) == 0
    try:
        words = (home, images, tmp_path / "out", "-tr", trainer, "--num_threads_nifti_save", "1")
        (tmp_path / "my.py").write_text(MY_FILE.replace("return nn.Conv3d", "return Stopped"))
        assert run(*words) == 75
        assert capsys.readouterr().err.endswith("stopped by SIGTERM; run the same command again to go on\n")
        assert not (tmp_path / "out" / "test_006.nii.gz").exists()

        (tmp_path / "my.py").write_text(MY_FILE)
        assert run(*words) == 0
        assert names(tmp_path / "out") == ["prediction.json", "report.json", "test_005.nii.gz", "test_006.nii.gz"]
    finally:
        shutil.rmtree(home / "results" / "3d_fullres" / TASK / "Small__autoseg")


# -------------------------------------------------------------------------- what is done to them


def test_the_models_postprocessing_is_applied_unless_disabled(copied: Path, images: Path, tmp_path: Path) -> None:
    model = copied / "results" / "3d_fullres" / TASK / "Trainer__autoseg"
    rule = Rule(kind="remove_small", labels=(1,), minimum_mm3=1e9)
    save_rules((rule,), model / "postprocessing.json")

    assert run(copied, images, tmp_path / "applied") == 0
    assert run(copied, images, tmp_path / "disabled", "--disable_postprocessing") == 0

    assert not labels(tmp_path / "applied" / "test_005.nii.gz").any()
    assert labels(tmp_path / "disabled" / "test_005.nii.gz").any()
    assert record(tmp_path / "applied")["postprocessing"][0]["kind"] == "remove_small"
    assert record(tmp_path / "disabled")["postprocessing"] == []


def test_probabilities_mirroring_mode_and_step_are_as_asked(home: Path, images: Path, tmp_path: Path) -> None:
    assert run(home, images, tmp_path / "npz", "-f", "0", "--save_npz") == 0
    assert names(tmp_path / "npz") == sorted(
        [
            "prediction.json",
            "report.json",
            *(f"test_00{number}.{ending}" for number in (5, 6) for ending in ("nii.gz", "npz")),
        ]
    )
    probabilities = load_probabilities(tmp_path / "npz" / "test_005.npz")
    np.testing.assert_array_equal(probabilities.argmax(axis=0), labels(tmp_path / "npz" / "test_005.nii.gz"))

    words = ["-i", str(images), "-o", str(tmp_path / "tta"), "-f", "0", "--save_npz", *FAST[:4], "--home", str(home)]
    assert predict.main([*words, "--step_size", "1"]) == 0
    assert (record(tmp_path / "tta")["mirror_axes"], record(tmp_path / "tta")["step_size"]) == ([0, 1, 2], 1.0)
    mirrored = load_probabilities(tmp_path / "tta" / "test_005.npz")
    assert 0.001 < np.abs(mirrored - probabilities).mean() < 0.5

    assert run(home, images, tmp_path / "fast", "-f", "0", "--mode", "fast") == 0
    np.testing.assert_array_equal(
        labels(tmp_path / "fast" / "test_005.nii.gz"), labels(tmp_path / "npz" / "test_005.nii.gz")
    )


def test_mode_fast_makes_no_probabilities(home: Path, images: Path, tmp_path: Path, capsys: Told) -> None:
    assert run(home, images, tmp_path / "out", "--mode", "fast", "--save_npz") == 1
    assert capsys.readouterr().err == (
        "autoseg_predict: --mode fast makes no probabilities for --save_npz to keep; use --mode normal\n"
    )


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ("--step_size 1.5", "argument --step_size: expected a number above 0 and at most 1, found '1.5'"),
        ("--step_size 0", "argument --step_size: expected a number above 0, found '0'"),
        ("--mode quick", "argument --mode: invalid choice: 'quick'"),
        ("-chk last", "argument -chk: invalid choice: 'last'"),
        ("-f x", "argument -f: expected 0 to 4, or all, found 'x'"),
        ("--disable-tta", "unknown option --disable-tta; did you mean --disable_tta?"),
        ("-num_parts 2", "unknown option -num_parts; did you mean --num_parts?"),
        ("-z", "unknown option -z"),
        ("--num_threads_nifti_save 0", "argument --num_threads_nifti_save: expected a whole number from 1, found '0'"),
    ],
)
def test_a_mistyped_command_line_is_code_2(home: Path, tmp_path: Path, capsys: Told, words: str, message: str) -> None:
    assert predict.main(["-i", str(home), "-o", str(tmp_path / "out"), *words.split()]) == 2
    assert f"autoseg_predict: error: {message}" in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


class TestEvaluate:
    """`--evaluate`: scored as soon as predicted."""

    def test_a_folder_is_scored_with_all_its_cases(
        self, home: Path, images: Path, tmp_path: Path, capsys: Told
    ) -> None:
        labels = tmp_path / "labels"
        assert run(home, images, tmp_path / "truth", "-m", "2d") == 0
        shutil.copytree(tmp_path / "truth", labels, ignore=shutil.ignore_patterns("*.json", "*.txt", "*.csv"))
        capsys.readouterr()

        assert run(home, images, tmp_path / "out", "-m", "2d", "--evaluate", str(labels)) == 0

        said = capsys.readouterr().out
        found = json.loads((tmp_path / "out" / "summary.json").read_text())["results"]["all"]
        assert len(found) == 2 and (tmp_path / "out" / "summary.csv").is_file()
        assert all(one["1"]["Dice"] in (1.0, None) for one in found)
        assert "label" in said and f"written: {tmp_path / 'out' / 'summary.json'}" in said

    def test_a_file_is_scored_against_a_file(self, home: Path, images: Path, tmp_path: Path, capsys: Told) -> None:
        image, label = sorted(images.iterdir())[0], tmp_path / "label.nii.gz"
        assert run(home, image, label, "-m", "2d") == 0
        array = sitk.ReadImage(str(label))
        sitk.WriteImage(array * 0 + 1, str(label))
        capsys.readouterr()

        assert run(home, image, tmp_path / "out.nii.gz", "-m", "2d", "--evaluate", str(label)) == 0

        predicted = sitk.GetArrayFromImage(sitk.ReadImage(str(tmp_path / "out.nii.gz"))) == 1
        dice = 2 * predicted.sum() / (predicted.sum() + predicted.size)
        assert f"{dice:.4f}" in capsys.readouterr().out
        assert sorted(path.name for path in tmp_path.iterdir()) == ["label.nii.gz", "out.nii.gz"]

    @pytest.mark.parametrize(
        ("labels", "output", "more", "said"),
        [
            (
                "none",
                "out",
                (),
                "none: no such file or folder; name the true labels that predictions are scored against",
            ),
            (
                ".",
                "out.nii.gz",
                (),
                "a folder, but one case is predicted into a file; name the file of its true labels",
            ),
            ("a.nii.gz", "out", (), "a.nii.gz: a file, but a folder is predicted; name the folder of true labels"),
            (".", "out", ("--num_parts", "2"), "a part of the cases is not scored alone; score all with"),
        ],
    )
    def test_what_is_refused_before_anything_is_predicted(
        self, home: Path, images: Path, tmp_path: Path, capsys: Told, labels: str, output: str, more: Any, said: str
    ) -> None:
        (tmp_path / "a.nii.gz").touch()
        inputs = sorted(images.iterdir())[0] if output.endswith(".gz") else images

        assert run(home, inputs, tmp_path / output, "-m", "2d", "--evaluate", str(tmp_path / labels), *more) == 1
        assert said in capsys.readouterr().err
        assert not (tmp_path / output).exists()
