"""What the commands write over: no input, and nothing that somebody else made; each tried with the file it could harm."""

from __future__ import annotations

import json
import shutil
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from autoseg.commands import (
    apply_postprocessing,
    ensemble,
    evaluate_folder,
    export_model,
    plan_and_preprocess,
    plot_task,
    predict,
    train,
)
from autoseg.commands import run as whole_run
from autoseg.geometry import Geometry
from autoseg.images import read_image, write_image
from autoseg.postprocessing.rules import Rule, save_rules

TASK = "Task001_Balls"
TRAINING = (
    "--epochs 1 --iterations_per_epoch 1 --batch_size 2 --seed 1 --num_workers 0 -device cpu --precision fp32".split()
)
FAST = ("-m", "2d", "-device", "cpu", "--precision", "fp32", "--disable_tta")
GRID = Geometry(spacing=(1.0, 1.0, 1.0))
Told = pytest.CaptureFixture[str]
Contents = dict[str, bytes]


@pytest.fixture(scope="module")
def home(make_task: Any, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A task of which fold 0 of 2d is trained, and its test images predicted into `A` and `B`."""
    folder = tmp_path_factory.mktemp("home")
    make_task(TASK, parent=folder / "raw_data", cases=5, test_cases=2)
    words = ["--home", str(folder)]
    assert plan_and_preprocess.main(["-t", "1", "-tf", "1", "-pl3d", "None", *words]) == 0
    assert train.main(["2d", "Trainer", "1", "0", *TRAINING, *words]) == 0
    images = folder / "raw_data" / TASK / "imagesTs"
    assert predict.main(["-i", str(images), "-o", str(folder / "A"), "--save_npz", *FAST, *words]) == 0
    shutil.copytree(folder / "A", folder / "B")
    return folder


@pytest.fixture
def rules(tmp_path: Path) -> Path:
    save_rules((Rule(kind="keep_largest", labels=(1,)),), tmp_path / "rules.json")
    return tmp_path / "rules.json"


def contents(folder: Path) -> Contents:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def drawn(path: Path) -> bytes:
    """A segmentation that somebody drew."""
    path.parent.mkdir(parents=True, exist_ok=True)
    write_image(path, np.ones((12, 16, 14), np.uint8), GRID)
    return path.read_bytes()


def run(main: Callable[[list[str]], int], *words: object) -> int:
    return main([str(word) for word in words])


# ------------------------------------------------------------------------------------ ensembles


@pytest.mark.parametrize("name", ["{B}", "{B}/../B", "{link}", "{A}"])
def test_an_ensemble_does_not_go_into_what_it_is_made_of(home: Path, tmp_path: Path, capsys: Told, name: str) -> None:
    places = {"A": home / "A", "B": home / "B", "link": tmp_path / "link"}
    places["link"].symlink_to(home / "B")
    before = contents(home)

    words = ("-f", home / "A", home / "B", "-o", name.format(**places), "--workers", 1)
    for more in ((), ("--overwrite_existing",)):
        assert run(ensemble.main, *words, *more) == 1
        assert capsys.readouterr().err == (
            f"autoseg_ensemble: {name.format(**places)}: is one of the folders to average; name one of its own\n"
        )
    assert contents(home) == before


def test_an_ensemble_keeps_what_was_drawn_until_it_is_told_to_replace_it(
    home: Path, tmp_path: Path, capsys: Told, rules: Path
) -> None:
    out = tmp_path / "out"
    before = drawn(out / "test_005.nii.gz")
    words = ("-f", home / "A", home / "B", "-o", out, "--workers", 1)

    assert run(ensemble.main, *words) == 0
    assert "test_005.nii.gz: there already and kept, though nothing says what made it" in capsys.readouterr().err
    assert (out / "test_005.nii.gz").read_bytes() == before
    assert (out / "test_006.nii.gz").is_file()

    assert run(ensemble.main, *words, "-pp", rules, "--overwrite_existing") == 0
    np.testing.assert_array_equal(
        read_image(out / "test_006.nii.gz").data.any(), read_image(home / "A" / "test_006.nii.gz").data.any()
    )
    assert (out / "test_005.nii.gz").read_bytes() != before
    assert run(ensemble.main, *words) == 0, "other rules than before: what it made itself is made again"


def test_an_ensemble_replaces_no_predictions(home: Path, tmp_path: Path, capsys: Told) -> None:
    out = shutil.copytree(home / "A", tmp_path / "out")
    before = contents(out)
    assert run(ensemble.main, "-f", home / "A", home / "B", "-o", out, "--workers", 1) == 1
    assert "test_005.nii.gz, test_006.nii.gz: not made by averaging; name another output" in capsys.readouterr().err
    assert contents(out) == before


def test_probabilities_stay_where_their_mean_cannot_be_made(home: Path, tmp_path: Path) -> None:
    damaged = shutil.copytree(home / "B", tmp_path / "damaged")
    words = ("-f", home / "A", damaged, "-o", tmp_path / "out", "--npz", "--workers", 1)
    assert run(ensemble.main, *words) == 0
    before = contents(tmp_path / "out")
    with np.load(damaged / "test_005.npz") as arrays:
        spoilt = {**arrays, "content": arrays["content"][::-1], "classes": np.array(3)}
    np.savez(damaged / "test_005.npz", **spoilt)

    assert run(ensemble.main, *words[:-3], "--overwrite_existing", "--workers", 1) == 1
    after = contents(tmp_path / "out")
    assert (after["test_005.npz"], after["test_005.nii.gz"]) == (before["test_005.npz"], before["test_005.nii.gz"])
    assert "test_006.npz" not in after, "it was replaced by labels alone"


def test_the_copy_of_the_rules_replaces_no_other_rules(home: Path, tmp_path: Path, capsys: Told, rules: Path) -> None:
    own = tmp_path / "out" / "rules.json"
    own.parent.mkdir()
    own.write_text('{"my": "notes"}')
    for main, words in (
        (ensemble.main, ("-f", home / "A", home / "B")),
        (apply_postprocessing.main, ("-i", home / "A")),
    ):
        assert run(main, *words, "-o", own.parent, "-pp", rules, "--workers", 1) == 1
        assert f"{own}: another file than {rules}, a copy of which would take its place" in capsys.readouterr().err
    assert contents(own.parent) == {"rules.json": b'{"my": "notes"}'}


# ------------------------------------------------------------------------------- postprocessing


def test_postprocessing_does_not_go_into_its_own_input(home: Path, tmp_path: Path, capsys: Told, rules: Path) -> None:
    before = contents(home)
    (tmp_path / "link").symlink_to(home / "A")
    for output in (home / "A", home / "B" / ".." / "A", tmp_path / "link"):
        assert run(apply_postprocessing.main, "-i", home / "A", "-o", output, "-pp", rules) == 1
        assert capsys.readouterr().err == (
            f"autoseg_apply_postprocessing: {output}: is the folder of the segmentations; name one of its own\n"
        )
    assert contents(home) == before


def test_postprocessing_keeps_what_was_drawn_or_predicted(
    home: Path, tmp_path: Path, capsys: Told, rules: Path
) -> None:
    out = tmp_path / "out"
    before = drawn(out / "test_006.nii.gz")
    words = ("-i", home / "A", "-o", out, "-pp", rules, "--workers", 1)
    assert run(apply_postprocessing.main, *words) == 0
    said = capsys.readouterr()
    assert "test_006.nii.gz: there already and kept" in said.err
    assert said.out.endswith(f"written: 1 segmentation in {out}\n")
    assert (out / "test_006.nii.gz").read_bytes() == before
    assert run(apply_postprocessing.main, *words, "--overwrite_existing") == 0
    assert (out / "test_006.nii.gz").read_bytes() != before

    save_rules((Rule(kind="remove_small", labels=(1,), minimum_mm3=1e9),), rules)
    assert run(apply_postprocessing.main, *words) == 0, "what it made itself it makes again by other rules"
    assert not read_image(out / "test_005.nii.gz").data.any()
    assert (out / "rules.json").read_bytes() == rules.read_bytes()

    predictions = shutil.copytree(home / "B", tmp_path / "predictions")
    assert run(apply_postprocessing.main, "-i", home / "A", "-o", predictions, "-pp", rules) == 1
    assert "test_005.nii.gz, test_006.nii.gz: not made by applying rules" in capsys.readouterr().err
    assert contents(predictions) == contents(home / "B")


def test_one_case_in_two_formats_is_not_postprocessed_into_one_file(tmp_path: Path, capsys: Told, rules: Path) -> None:
    for name in ("a.nii", "a.nii.gz", "b.nii"):
        drawn(tmp_path / "in" / name)
    assert run(apply_postprocessing.main, "-i", tmp_path / "in", "-o", tmp_path / "out", "-pp", rules) == 1
    assert capsys.readouterr().err.endswith("a.nii.gz: a.nii has the same name; keep one of the two\n")


# ----------------------------------------------------------------------------------- prediction


@pytest.mark.parametrize("place", ["labelsTr", "imagesTr", "labelsTr/mine", "results", "selection"])
def test_predictions_do_not_go_into_a_tasks_own_folders(home: Path, capsys: Told, select: Any, place: str) -> None:
    raw = home / "raw_data" / TASK
    selected = select(home, "2d")
    output = {
        "results": home / "results" / "2d" / TASK / "Trainer__autoseg" / "fold_0" / "validation_raw",
        "selection": selected.parent,
    }.get(place, raw / place)
    before = contents(home)
    try:
        words = ("-i", raw / "imagesTs", "-o", output, "--overwrite_existing", *FAST, "--home", home)
        assert run(predict.main, *words) == 1
        said = capsys.readouterr().err
        assert f"autoseg_predict: {output}: is " in said
        assert "; name " in said
        assert contents(home) == before
    finally:
        shutil.rmtree(selected.parent)


def test_a_folder_named_by_l_is_an_input(home: Path, capsys: Told) -> None:
    images = home / "raw_data" / TASK / "imagesTs"
    words = ("-i", images, "-o", home / "B", "-l", home / "A" / ".." / "B")
    assert run(predict.main, *words, *FAST, "--home", home) == 1
    assert f"{home / 'B'}: is the folder that -l names; name one of its own\n" in capsys.readouterr().err


@pytest.mark.parametrize("name", ["prediction.json", "selection.json", "test_005.npz"])
def test_prediction_replaces_no_file_of_another_program(home: Path, tmp_path: Path, capsys: Told, name: str) -> None:
    (tmp_path / name).write_text('{"answer": 42}')
    words = ("-i", home / "raw_data" / TASK / "imagesTs", "-o", tmp_path, *FAST, "--home", home)
    assert run(predict.main, *words) == 1
    assert f"{name}: there already, and " in capsys.readouterr().err
    assert contents(tmp_path) == {name: b'{"answer": 42}'}

    assert run(predict.main, *words, "--overwrite_existing") == 0
    assert (tmp_path / "test_005.nii.gz").is_file()
    assert b'"answer"' not in (tmp_path / name).read_bytes() if (tmp_path / name).exists() else True


def test_a_prediction_that_fails_leaves_what_it_was_to_replace(home: Path, tmp_path: Path) -> None:
    images = shutil.copytree(home / "raw_data" / TASK / "imagesTs", tmp_path / "images")
    out = shutil.copytree(home / "A", tmp_path / "out")
    before = contents(out)
    (images / "test_005_0000.nii.gz").write_bytes((images / "test_006_0000.nii.gz").read_bytes()[:400])

    words = ("-i", images, "-o", out, "--overwrite_existing", *FAST, "--home", home)
    assert run(predict.main, *words) == 1

    after = contents(out)
    assert (after["test_005.nii.gz"], after["test_005.npz"]) == (before["test_005.nii.gz"], before["test_005.npz"])
    assert "test_006.npz" not in after


# ------------------------------------------------------------------- scores, pictures, archives


def test_scores_do_not_go_into_true_labels_nor_over_another_programs(home: Path, tmp_path: Path, capsys: Told) -> None:
    drawn(tmp_path / "true" / "a.nii.gz")
    shutil.copytree(tmp_path / "true", tmp_path / "predicted")
    theirs = tmp_path / "predicted" / "summary.json"
    theirs.write_text(json.dumps({"author": "another", "results": {"all": [], "mean": {}}}))
    before = theirs.read_bytes()

    words = ("-l", 1, "--workers", 1)
    assert run(evaluate_folder.main, "-ref", tmp_path / "true", "-pred", tmp_path / "predicted", *words) == 1
    assert f"{theirs}: there already, and not written by autoseg" in capsys.readouterr().err
    assert theirs.read_bytes() == before
    for again in range(2):
        overwrite = ("--overwrite_existing",) * (again == 0)
        both = ("-ref", tmp_path / "true", "-pred", tmp_path / "predicted")
        assert run(evaluate_folder.main, *both, *words, *overwrite) == 0
    assert json.loads(theirs.read_text())["author"] == "autoseg"

    capsys.readouterr()
    (tmp_path / "link").symlink_to(tmp_path / "true")
    assert run(evaluate_folder.main, "-ref", tmp_path / "true", "-pred", tmp_path / "link", *words) == 1
    assert "link: is the folder of the true labels; name that of the predictions\n" in capsys.readouterr().err
    labels = home / "raw_data" / TASK / "labelsTr"
    shutil.copytree(labels, tmp_path / "again")
    assert run(evaluate_folder.main, "-ref", tmp_path / "again", "-pred", labels, *words) == 1
    assert "which holds a task's own data" in capsys.readouterr().err
    assert not (labels / "summary.json").exists()


def test_pictures_replace_pictures_of_autoseg_only(home: Path, tmp_path: Path, capsys: Told) -> None:
    words = ("-t", 1, "-o", tmp_path, "--workers", 1, "--home", home)
    (tmp_path / "case_003.png").write_bytes(b"my own photograph")
    assert run(plot_task.main, *words) == 0
    said = capsys.readouterr()
    assert "case_003.png: there already and kept" in said.err
    assert "written: 4 pictures" in said.out
    assert (tmp_path / "case_003.png").read_bytes() == b"my own photograph"

    assert run(plot_task.main, *words) == 0
    assert "written: 4 pictures" in capsys.readouterr().out, "its own it draws again"
    assert run(plot_task.main, *words, "--overwrite_existing") == 0
    assert (tmp_path / "case_003.png").read_bytes().startswith(b"\x89PNG")
    raw = home / "raw_data" / TASK
    assert run(plot_task.main, "-t", 1, "-o", raw / "imagesTr", "--home", home) == 1
    assert "imagesTr, which holds a task's own data; name another output\n" in capsys.readouterr().err


def test_an_archive_replaces_an_archive_of_models_only(home: Path, tmp_path: Path, capsys: Told) -> None:
    backup = tmp_path / "backup.zip"
    with zipfile.ZipFile(backup, "w") as archive:
        archive.writestr("thesis.tex", "years of work")
    before = backup.read_bytes()
    words = ("-t", 1, "-o", backup, "--home", home)
    assert run(export_model.main, *words) == 1
    assert f"{backup}: there already, and not written by autoseg" in capsys.readouterr().err
    assert run(whole_run.main, "-t", 1, "-o", backup, "--home", home) == 1
    assert f"{backup}: there already, and no archive of models; name another file\n" in capsys.readouterr().err
    assert backup.read_bytes() == before
    assert run(export_model.main, *words, "--overwrite_existing") == 0
    assert run(export_model.main, *words) == 0, "its own it replaces"
