"""`autoseg_train`: real trainings of a second, and everything that is refused, continued, interrupted or the user's own."""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

from autoseg.commands import plan_and_preprocess, predict, train
from autoseg.files.locking import Holder
from autoseg.files.storage import write_json
from autoseg.inference.model import load_weights
from autoseg.machine.processes import ProcessIdentity
from autoseg.plans import load_plans, save_plans

TASK = "Task001_Balls"
CASES = [f"case_00{number}" for number in range(5)]
COMPUTING = ("--num_workers", "0", "-device", "cpu", "--precision", "fp32")
TINY = ("--iterations_per_epoch", "1", "--batch_size", "2", "--seed", "1", *COMPUTING)
SHORT = ("--epochs", "1", *TINY)

MY_FILE = """
import os, signal
from torch import nn
from autoseg.training import Trainer
from autoseg.training.losses import CrossEntropy

class MyTrainer(Trainer):
    epochs = 2
    iterations_per_epoch = 1

    def build_loss(self):
        return CrossEntropy()

class OwnNetwork(MyTrainer):
    @classmethod
    def build_network(cls, plan, in_channels, classes):
        return nn.Conv3d(in_channels, classes, 3, padding=1)

class Broken(MyTrainer):
    def build_loss(self):
        return CrossEntropy() / 2

class Misleading(MyTrainer):
    @classmethod
    def build_network(cls, plan, in_channels, classes):
        return "no network"

class ToldToStop(MyTrainer):
    sent = signal.SIGTERM

    def validate(self, **settings):
        os.kill(os.getpid(), self.sent)
        signal.pause()

class StoppedByHand(ToldToStop):
    sent = signal.SIGINT
"""


@pytest.fixture(scope="module")
def prepared(make_task: Any, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A task of five cases, planned and prepared for 2d and 3d_fullres."""
    home = tmp_path_factory.mktemp("home")
    make_task(TASK, parent=home / "raw_data", cases=5, test_cases=1)
    assert plan_and_preprocess.main(["-t", "1", "-tf", "1", "--home", str(home)]) == 0
    return home


@pytest.fixture
def results(prepared: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Results of this test alone, for the prepared task; returns the folder of the task's 3d_fullres models."""
    monkeypatch.setenv("AUTOSEG_HOME", str(prepared))
    monkeypatch.setenv("AUTOSEG_RESULTS", str(tmp_path / "results"))
    return tmp_path / "results" / "3d_fullres" / TASK


@pytest.fixture
def splits(prepared: Path) -> Iterator[Path]:
    """The file of splits, restored afterwards."""
    path = prepared / "preprocessed" / TASK / "splits_final.json"
    before = path.read_text() if path.is_file() else None
    path.unlink(missing_ok=True)
    yield path
    path.unlink(missing_ok=True)
    if before is not None:
        path.write_text(before)


@pytest.fixture
def my_file(tmp_path: Path) -> str:
    (tmp_path / "my.py").write_text(MY_FILE)
    return str(tmp_path / "my.py")


Told = pytest.CaptureFixture[str]


def run(fold: str, *words: str, trainer: str = "Trainer", configuration: str = "3d_fullres") -> int:
    return train.main([configuration, trainer, "1", fold, *words])


def history(fold: Path) -> list[dict[str, Any]]:
    epochs: list[dict[str, Any]] = json.loads((fold / "history.json").read_text())["epochs"]
    return epochs


def record(fold: Path) -> dict[str, Any]:
    content: dict[str, Any] = json.loads((fold / "run.json").read_text())
    return content


def same_weights(one: Path, other: Path) -> bool:
    first, second = (load_weights(fold / "weights_final.pt").weights for fold in (one, other))
    return first.keys() == second.keys() and all(torch.equal(first[name], second[name]) for name in first)


# ------------------------------------------------------------------------------ one training


def test_a_fold_is_trained_validated_and_left_with_all_its_files(results: Path, capsys: Told) -> None:
    assert run("0", *SHORT) == 0

    fold = results / "Trainer__autoseg" / "fold_0"
    assert {path.name for path in fold.iterdir()} - {"tensorboard"} == set(
        "architecture.png architecture.txt checkpoint.pt debug.json history.csv history.json patch.gif patch.png progress.png "
        "run.json training.log validation_raw weights_best.pt weights_final.pt".split()
    )
    (case,) = record(fold)["validation"]
    assert record(fold)["sessions"][0]["command"] == ["autoseg_train", "3d_fullres", "Trainer", "1", "0", *SHORT]
    assert sorted(path.name for path in (fold / "validation_raw").iterdir()) == [
        f"{case}.nii.gz",
        "prediction.json",
        "summary.csv",
        "summary.json",
    ]
    summary = json.loads((fold / "validation_raw" / "summary.json").read_text())
    dice = summary["results"]["mean"]["1"]["Dice"]
    assert summary["results"]["n"]["1"]["Dice"] == 1
    assert 0 < dice < 1
    told = capsys.readouterr()
    assert told.out.splitlines()[0] == (
        f"{TASK}: 3d_fullres, Trainer, fold 0: 4 cases to train, 1 case to validate; 1 epoch of 1 batch of 2, "
        "patch 12 x 16 x 14, on cpu in fp32"
    )
    assert f"\n1 ball      1   {dice:.4f}  " in told.out
    assert f"\nwritten: {fold}\nnext: autoseg_train 3d_fullres Trainer {TASK} 1 {' '.join(SHORT)}\nor: " in told.out
    assert f"validation: Dice of ball {dice:.4f}" in (fold / "training.log").read_text()


def test_a_seed_decides_the_weights_and_without_one_it_is_drawn_and_kept(results: Path) -> None:
    runs = {}
    words = {
        "one": ("--seed", "5"),
        "same": ("--seed", "5", "--deterministic"),
        "drawn": (),
        "fixed": ("--deterministic",),
    }
    for name, seed in words.items():
        assert run("0", "--epochs", "1", "--iterations_per_epoch", "1", *COMPUTING, *seed) == 0
        runs[name] = shutil.move(results / "Trainer__autoseg" / "fold_0", results / name)

    assert same_weights(runs["one"], runs["same"])
    assert not same_weights(runs["one"], runs["drawn"])
    assert [record(runs[name])["seed"] for name in ("one", "same", "fixed")] == [5, 5, 0]
    assert [record(run)["sessions"][0]["deterministic"] for run in runs.values()] == [False, True, False, True]
    hashes = [record(run)["weights_sha256"] for run in runs.values()]
    assert hashes[0] == hashes[1] and len(set(hashes)) == 3
    assert torch.load(runs["drawn"] / "checkpoint.pt", weights_only=True)["seed"] == record(runs["drawn"])["seed"] != 5


def test_what_was_trained_is_neither_lost_nor_repeated(results: Path, capsys: Told) -> None:
    fold = results / "Trainer__autoseg" / "fold_0"
    assert run("0", "-c", *SHORT) == 0
    assert f"{fold}: nothing was trained here yet, starting anew\n" in capsys.readouterr().err
    first = history(fold)

    assert run("0", *SHORT) == 1
    assert capsys.readouterr().err == (
        f"autoseg_train: {fold}: a training lies here already; continue it with -c, or discard it with --overwrite\n"
    )

    assert run("0", "-c", *SHORT) == 0
    told = capsys.readouterr().err
    assert "1 epoch trained already, nothing is left to train: 1 epoch is done\n" in told
    assert "continuing" not in told
    assert history(fold) == first

    assert run("0", "-c", "--epochs", "2", *TINY) == 0
    assert "continuing in epoch 2 after 0 batches\n" in capsys.readouterr().err
    assert history(fold)[:1] == first
    assert len(history(fold)) == 2

    assert run("0", "--overwrite", *SHORT) == 0
    assert len(history(fold)) == 1
    assert history(fold)[0]["loss"] == first[0]["loss"]


def test_c_alone_takes_the_settings_of_the_training_that_it_continues(results: Path, capsys: Told) -> None:
    fold = results / "Trainer__autoseg" / "fold_0"
    first = "--epochs 2 --iterations_per_epoch 3 --batch_size 2 --learning_rate 0.02 --seed 5 --deterministic"
    assert run("0", *first.split(), *COMPUTING) == 0
    trained = record(fold)
    capsys.readouterr()

    assert run("0", "-c", "-device", "cpu") == 0
    told = capsys.readouterr()
    assert "2 epochs of 3 batches of 2," in told.out and "on cpu in fp32\n" in told.out
    assert "2 epochs trained already, nothing is left to train" in told.err
    assert record(fold) == trained

    assert run("0", "-c", "--epochs", "3", "-device", "cpu") == 0
    longer = record(fold)
    kept = ("iterations_per_epoch", "batch_size", "seed", "learning_rate")
    assert [longer[name] for name in kept] == [trained[name] for name in kept] == [3, 2, 5, 0.02]
    assert (longer["epochs"], longer["sessions"][1]["precision"]) == (3, "fp32")
    assert longer["sessions"][1]["deterministic"] is True

    assert run("0", "-c", "--batch_size", "1", "-device", "cpu") == 1
    assert "batch_size was 2, now 1" in capsys.readouterr().err
    (fold / "run.json").unlink()
    assert run("0", "-c", "-device", "cpu", "--precision", "fp32") == 0
    assert "3 epochs of 3 batches of 2," in capsys.readouterr().out


@pytest.mark.usefixtures("results")
def test_a_run_asks_for_its_own_settings_when_it_continues(capsys: Told) -> None:
    assert run("0", *SHORT) == 0
    capsys.readouterr()
    assert run("0", "-c", "--own_settings", *COMPUTING, trainer="Trainer") == 1
    told = capsys.readouterr()

    assert "1000 epochs of 250 batches of" in told.out
    assert "iterations_per_epoch was 1, now 250" in told.err


@pytest.mark.usefixtures("results")
@pytest.mark.parametrize(
    ("words", "advice"),
    [
        ([], ""),
        (["--valbest"], "; to only validate what it left, -val --valbest"),
        (["--npz", "--valbest"], "; to only validate what it left, -val --valbest --npz"),
    ],
)
def test_a_finished_fold_is_told_before_a_training_is_announced(capsys: Told, words: list[str], advice: str) -> None:
    assert run("0", *SHORT) == 0
    capsys.readouterr()

    assert run("0", *SHORT, *words) == 1
    told = capsys.readouterr()
    assert told.out == ""
    assert told.err.endswith(
        f"fold_0: a training lies here already; continue it with -c, or discard it with --overwrite{advice}\n"
    )
    assert run("0", *SHORT, "-val", *words) == 0


def test_where_overwriting_was_killed_c_goes_on_with_what_was_there_and_its_settings(
    results: Path, capsys: Told
) -> None:
    fold = results / "Trainer__autoseg" / "fold_0"
    assert run("0", *SHORT) == 0
    (fold / ".replaced").mkdir()
    for name in ("checkpoint.pt", "run.json", "weights_final.pt", "weights_best.pt"):
        (fold / name).rename(fold / ".replaced" / name)
    capsys.readouterr()

    assert run("0", "-c", "-device", "cpu") == 0
    told = capsys.readouterr()
    assert "1 epoch of 1 batch of 2" in told.out
    assert "what was trained before is put back" in told.err
    assert "1 epoch trained already, nothing is left to train" in told.err


def test_a_wrong_file_of_weights_costs_nothing_with_overwrite(results: Path, tmp_path: Path, capsys: Told) -> None:
    fold = results / "Trainer__autoseg" / "fold_0"
    assert run("0", *SHORT) == 0
    before = {path.name: path.read_bytes() for path in fold.iterdir() if path.suffix in (".pt", ".json")}
    (tmp_path / "wrong.pt").write_bytes(b"no weights")

    assert run("0", "--overwrite", "-pretrained_weights", str(tmp_path / "wrong.pt"), *SHORT) == 1
    assert {path.name: path.read_bytes() for path in fold.iterdir() if path.suffix in (".pt", ".json")} == before
    assert "what was trained before is put back" in capsys.readouterr().err


def test_single_slices_are_told_to_take_2d(make_task: Any, tmp_path: Path, capsys: Told) -> None:
    make_task(TASK, parent=tmp_path / "raw_data", shape=(1, 16, 14))
    words = ["-t", "1", "-tf", "1", "--home", str(tmp_path)]
    assert plan_and_preprocess.main([*words, "-pl2d", "None"]) == 1
    assert (
        "every case is a single slice, of which only 2d can be planned; leave away -pl2d None"
        in capsys.readouterr().err
    )
    assert plan_and_preprocess.main(words) == 0

    for configuration in ("3d_fullres", "3d_lowres", "3d_cascade_fullres"):
        assert run("0", "--home", str(tmp_path), *SHORT, configuration=configuration) == 1
        assert capsys.readouterr().err.endswith(
            f"autoseg_train: {TASK}: every case is a single slice, of which {configuration} learns nothing and is not "
            "planned; take 2d\n"
        )


def test_other_conditions_are_named_when_continuing(results: Path, capsys: Told) -> None:
    assert run("0", *SHORT) == 0
    assert run("0", "-c", "--epochs", "2", *TINY, "--batch_size", "3") == 1
    assert "checkpoint.pt: this training began under other conditions: batch_size was 2, now 3; " in (
        capsys.readouterr().err
    )
    assert results.is_dir()


def test_folds_of_one_model_share_their_plans(results: Path, capsys: Told) -> None:
    assert run("0", *SHORT) == 0
    model = results / "Trainer__autoseg"
    plans = load_plans(model / "plans.pkl")
    plan = plans.configuration("3d_fullres")
    other = replace(plan, batch_dice=not plan.batch_dice)
    save_plans(replace(plans, configurations={"3d_fullres": other}), model / "plans.pkl")

    assert run("1", *SHORT) == 1
    assert (
        f"{model / 'plans.pkl'}: fold_0 was trained with other plans than these; train with the same, or give the new "
        "plans another name (-p) so that they get a folder of their own\n"
    ) in capsys.readouterr().err
    assert run("0", "-val", *COMPUTING) == 1
    assert (
        f"{model / 'plans.pkl'}: this model was trained with other plans than those now in the task's folder; "
        "name the plans it was trained with (-p), or train it anew with --overwrite\n"
    ) in capsys.readouterr().err


def test_all_is_every_case(results: Path, my_file: str) -> None:
    assert run("all", *SHORT, trainer=f"{my_file}:OwnNetwork") == 0
    fold = results / "OwnNetwork__autoseg" / "all"
    assert record(fold)["training"] == record(fold)["validation"] == CASES
    assert len(list((fold / "validation_raw").glob("*.nii.gz"))) == 5


# --------------------------------------------------------------------------------- validation


def test_validation_alone_with_final_or_best_weights_and_probabilities(results: Path, capsys: Told) -> None:
    fold = results / "Trainer__autoseg" / "fold_0"
    assert run("0", "-val", *COMPUTING) == 1
    assert f"{fold / 'weights_final.pt'}: no weights here; train this fold with autoseg_train first" in (
        capsys.readouterr().err
    )

    assert run("0", *SHORT, "--npz") == 0
    (case,) = record(fold)["validation"]
    assert (fold / "validation_raw" / f"{case}.npz").is_file()
    before = (fold / "weights_final.pt").read_bytes()
    shutil.rmtree(fold / "validation_raw")

    assert run("0", "-val", *COMPUTING) == 0
    assert sorted(path.name for path in (fold / "validation_raw").iterdir()) == [
        f"{case}.nii.gz",
        "prediction.json",
        "summary.csv",
        "summary.json",
    ]
    assert run("0", "-val", "--valbest", *COMPUTING) == 0
    best, final = (
        json.loads((fold / folder / "summary.json").read_text())["results"]["mean"]
        for folder in ("validation_raw_best", "validation_raw")
    )
    assert best == final, "the first epoch's weights are the last and the best"
    assert (fold / "weights_final.pt").read_bytes() == before


def test_pretrained_weights_are_started_from(results: Path, tmp_path: Path, capsys: Told) -> None:
    assert run("0", *SHORT) == 0
    source = tmp_path / "weights.pt"
    shutil.copy(results / "Trainer__autoseg" / "fold_0" / "weights_final.pt", source)
    capsys.readouterr()

    assert run("1", *SHORT, "--learning_rate", "1e-12", "-pretrained_weights", str(source)) == 0
    assert f"started from {source}; these start anew: heads.0.weight" in capsys.readouterr().err
    found, given = (
        load_weights(path).weights["encoder.0.0.0.weight"]
        for path in (results / "Trainer__autoseg" / "fold_1" / "weights_final.pt", source)
    )
    assert torch.allclose(found, given, atol=1e-7)

    assert run("2", *SHORT, "-pretrained_weights", str(tmp_path / "absent.pt")) == 1
    assert f"{tmp_path / 'absent.pt'}: no weights here; " in capsys.readouterr().err


# ------------------------------------------------------------------------------------- splits


def test_the_users_own_splits_are_honoured_however_many(
    results: Path, splits: Path, my_file: str, capsys: Told
) -> None:
    own = [{"train": CASES[number + 1 :] or CASES[:2], "val": [CASES[number]]} for number in range(4)] * 2
    splits.write_text(json.dumps(own))

    assert run("6", *SHORT, trainer=f"{my_file}:OwnNetwork") == 0
    fold = results / "OwnNetwork__autoseg" / "fold_6"
    assert record(fold)["training"] == ["case_003", "case_004"]
    assert record(fold)["validation"] == ["case_002"]
    assert json.loads(splits.read_text()) == own

    assert run("8", *SHORT) == 1
    assert f"fold 8: {splits} holds the folds 0, 1, 2, 3, 4, 5, 6, 7; use one of them, or all\n" in (
        capsys.readouterr().err
    )


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (
            [{"train": ["case_000", "lost"], "val": ["case_001"]}],
            "fold 0: train names cases that are not prepared: lost",
        ),
        ([{"train": CASES[:3], "val": CASES[2:]}], "fold 0: in training and validation at once: case_002; keep each"),
        ([{"train": CASES[:3]}], 'fold 0: expected an object such as {"train": ["a"], "val": ["b"]}'),
        ({"0": CASES}, 'expected a list of objects such as {"train": ["a"], "val": ["b"]}'),
    ],
)
def test_splits_that_do_not_fit_are_refused(
    results: Path, splits: Path, capsys: Told, content: Any, message: str
) -> None:
    splits.write_text(json.dumps(content))
    assert run("0", *SHORT) == 1
    assert f"{splits}: {message}" in capsys.readouterr().err
    assert not results.exists()


def test_cases_of_a_patient_stay_in_one_fold(make_task: Any, tmp_path: Path, my_file: str, capsys: Told) -> None:
    raw = make_task(TASK, parent=tmp_path / "raw_data", cases=7, test_cases=0)
    patients = {f"case_00{number}": f"patient_{number // 2 if number < 4 else number}" for number in range(7)}
    (raw / "patients.json").write_text(json.dumps(patients))
    home = ["--home", str(tmp_path)]
    assert plan_and_preprocess.main(["-t", "1", "-tf", "1", "-pl2d", "None", *home]) == 0

    assert train.main(["3d_fullres", f"{my_file}:OwnNetwork", "1", "0", *SHORT, *home]) == 0

    assert f"{raw / 'patients.json'}: 5 patients, each kept in one fold\n" in capsys.readouterr().err
    folds = json.loads((tmp_path / "preprocessed" / TASK / "splits_final.json").read_text())
    held_out = [{patients[case] for case in fold["val"]} for fold in folds]
    assert [len(group) for group in held_out] == [1] * 5
    assert sorted(case for fold in folds for case in fold["val"]) == sorted(patients)


# -------------------------------------------------------------------- what cannot be done, and why


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (
            "3d_lowres Trainer 1 0",
            f"{TASK}: 3d_lowres is not planned; planned are 2d, 3d_fullres; train one of these, or",
        ),
        ("3d_fullres Trainer 1 0 -p other", "other_plans_3D.pkl: no plans here; run autoseg_plan_and_preprocess first"),
        ("3d_fullres Trainer 7 0", "'7': no task of that name in "),
        ("3d_fullres Trainer 1 9", "holds the folds 0, 1, 2, 3, 4; use one of them, or all"),
        ("3d_fullres Trainr 1 0", "no trainer is called 'Trainr'; known: Trainer, "),
        ("3d_fullres absent.py:Mine 1 0", "absent.py: no such file; name a class of your own as path/to/file.py:Class"),
        (
            "3d_fullres Trainer 1 0 --learning_rate 20",
            "learning_rate: between 0 and 10, found 20.0; the usual value is",
        ),
        ("3d_fullres Trainer 1 0 -device cpu --precision fp16", "precision fp16: not in this cpu device's hardware"),
    ],
)
def test_what_the_user_can_put_right_is_said(results: Path, capsys: Told, words: str, message: str) -> None:
    assert train.main(words.split()) == 1
    told = capsys.readouterr().err
    assert message in told
    assert "Traceback" not in told
    assert not list(results.glob("*/*/*.pt"))


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ("3d_fullres Trainer 1 0 --epoch 3", "unknown option --epoch; did you mean --epochs?"),
        ("3d_fullres Trainer 1 0 -seed 3", "unknown option -seed; did you mean --seed?"),
        ("3d_fullres Trainer 1 0 --c", "unknown option --c; did you mean -c?"),
        ("3d_fullres Trainer 1 0 -c --overwrite", "argument --overwrite: not allowed with argument -c"),
        ("3d_fullres Trainer 1 0 --epochs 0", "argument --epochs: expected a whole number from 1, found '0'"),
        ("3d_fullres Trainer 1 0 -device gpu", "argument -device: expected cpu, cuda, cuda:1 or mps, found 'gpu'"),
        ("3d_fullres Trainer 1 first", "argument FOLD: expected 0 to 4, or all, found 'first'"),
        ("3d_fullres Trainer 1", "the following arguments are required: FOLD"),
        (
            "3d/x Trainer 1 0",
            "argument CONFIGURATION: expected a name of letters, digits, ., - and _, such as 3d_fullres",
        ),
    ],
)
def test_a_mistyped_command_line_is_code_2(results: Path, capsys: Told, words: str, message: str) -> None:
    assert train.main(words.split()) == 2
    assert f"autoseg_train: error: {message}" in capsys.readouterr().err
    assert not results.exists()


def test_cases_that_are_not_prepared_are_named(make_task: Any, tmp_path: Path, capsys: Told) -> None:
    make_task(TASK, parent=tmp_path / "raw_data", cases=5, test_cases=0)
    home = ["--home", str(tmp_path)]
    assert plan_and_preprocess.main(["-t", "1", "-tf", "1", "-pl2d", "None", *home]) == 0
    folder = tmp_path / "preprocessed" / TASK / "autoseg_3d_fullres"
    (folder / "case_003.json").unlink()

    assert train.main(["3d_fullres", "Trainer", "1", "0", *SHORT, *home]) == 1
    assert f"{folder}: 4 of 5 cases are prepared here (case_003); run autoseg_plan_and_preprocess first\n" in (
        capsys.readouterr().err
    )


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU here")
def test_a_device_that_is_not_there_is_refused(results: Path, capsys: Told) -> None:
    assert run("0", *SHORT, "-device", "cuda") == 1
    assert "device cuda: torch " in (told := capsys.readouterr().err)
    assert "finds 0 CUDA devices; check the driver and nvidia-smi, or use -device cpu\n" in told
    assert not results.exists()


# ------------------------------------------------------------------------------ the user's own file


def test_a_recipe_of_the_users_own_trains_and_predicts(
    results: Path, prepared: Path, tmp_path: Path, my_file: str
) -> None:
    assert run("0", *COMPUTING, "--batch_size", "2", "--seed", "1", trainer=f"{my_file}:MyTrainer") == 0
    own = history(results / "MyTrainer__autoseg" / "fold_0")
    assert len(own) == 2
    assert run("0", "--epochs", "2", *TINY) == 0
    assert history(results / "Trainer__autoseg" / "fold_0")[0]["loss"] != pytest.approx(own[0]["loss"], rel=0.01)

    images = str(prepared / "raw_data" / TASK / "imagesTs")
    for number, name in enumerate(("MyTrainer", f"{my_file}:MyTrainer")):
        out = tmp_path / f"out_{number}"
        assert predict.main(["-i", images, "-o", str(out), "-t", "1", "-tr", name, "-device", "cpu"]) == 0
        assert json.loads((out / "prediction.json").read_text())["trainer"] == "MyTrainer"
    assert (tmp_path / "out_0" / "test_005.nii.gz").read_bytes() == (
        tmp_path / "out_1" / "test_005.nii.gz"
    ).read_bytes()


def test_a_network_of_the_users_own_needs_its_file_in_prediction(
    results: Path, prepared: Path, tmp_path: Path, my_file: str, capsys: Told
) -> None:
    assert run("0", *SHORT, trainer=f"{my_file}:OwnNetwork") == 0
    weights = results / "OwnNetwork__autoseg" / "fold_0" / "weights_final.pt"
    assert sum(tensor.numel() for tensor in load_weights(weights).weights.values()) == 2 * 27 + 2
    words = ["-i", str(prepared / "raw_data" / TASK / "imagesTs"), "-o", str(tmp_path / "out"), "-device", "cpu"]

    assert predict.main([*words, "-tr", "OwnNetwork"]) == 1
    assert (
        f"{weights}: OwnNetwork built a network of its own, which the file does not hold; "
        "name the trainer's file: -tr path/to/file.py:OwnNetwork "
    ) in capsys.readouterr().err
    assert predict.main([*words, "-tr", f"{my_file}:OwnNetwork"]) == 0
    assert (tmp_path / "out" / "test_005.nii.gz").is_file()


@pytest.mark.usefixtures("results")
def test_an_error_in_the_users_own_file_is_theirs(my_file: str, capsys: Told) -> None:
    assert run("0", *SHORT, trainer=f"{my_file}:Broken") == 1
    told = capsys.readouterr().err
    line = MY_FILE.splitlines().index("        return CrossEntropy() / 2") + 1
    assert told.endswith(
        f"autoseg_train: {my_file}, line {line}: TypeError: unsupported operand type(s) for /: 'CrossEntropy' and 'int'; "
        "correct it there\n"
    )
    assert "bug of autoseg" not in told


def test_a_bug_that_the_users_class_may_have_led_to_is_code_3_and_says_so(
    results: Path, my_file: str, capsys: Told
) -> None:
    assert run("0", *SHORT, trainer=f"{my_file}:Misleading") == 3
    told = capsys.readouterr().err
    assert "Traceback (most recent call last)" in told
    assert f"this is a bug of autoseg, or of {my_file}:Misleading; please report it with the lines above\n" in told
    assert not list(results.glob("*/*/*.pt"))


# ---------------------------------------------------------------------------------------- signals


@pytest.mark.parametrize(("sent", "code"), [(signal.SIGTERM, 75), (signal.SIGINT, 130)])
def test_a_signal_saves_the_state_and_says_how_to_go_on(
    results: Path, capsys: Told, sent: signal.Signals, code: int
) -> None:
    fold = results / "Trainer__autoseg" / "fold_0"
    threading.Thread(target=send_once_training, args=(fold, sent)).start()

    assert run("0", "--epochs", "1000", *TINY) == code

    told = capsys.readouterr().err
    assert "warning: stopping after this batch and saving the state; once more stops at once\n" in told
    assert told.splitlines()[-1].startswith(f"autoseg_train: {fold}: stopped after ")
    assert told.endswith("the state is saved, continue with -c\n")
    assert told.endswith(f": {logged(fold)[-1]}\n")
    done = len(history(fold))
    assert run("0", "-c", "--epochs", str(done + 1), *TINY) == 0
    assert len(history(fold)) == done + 1


def send_once_training(fold: Path, sent: signal.Signals) -> None:
    deadline = time.monotonic() + 30
    while not (fold / "checkpoint.pt").is_file() and time.monotonic() < deadline:
        time.sleep(0.02)
    os.kill(os.getpid(), sent)


@pytest.mark.parametrize(("name", "code"), [("ToldToStop", 75), ("StoppedByHand", 130)])
def test_a_signal_during_validation_says_that_c_is_wanted(
    results: Path, my_file: str, capsys: Told, name: str, code: int
) -> None:
    assert run("0", *SHORT, trainer=f"{my_file}:{name}") == code
    fold = results / f"{name}__autoseg" / "fold_0"
    assert capsys.readouterr().err.endswith(f"autoseg_train: {fold}: stopped at once; continue with -c\n")


def test_a_signal_to_all_processes_of_a_real_training_leaves_it_resumable(results: Path) -> None:
    """As schedulers and `timeout` send it: to the group, loader workers included, and to the process once more."""
    fold = results / "Trainer__autoseg" / "fold_0"
    words = ["3d_fullres", "Trainer", "1", "0", *TINY, "--num_workers", "1", "--epochs"]
    command = [sys.executable, "-m", "autoseg", "train", *words, "1000"]
    process = subprocess.Popen(command, stderr=subprocess.PIPE, text=True, start_new_session=True)
    deadline = time.monotonic() + 180
    while not (fold / "checkpoint.pt").is_file() and time.monotonic() < deadline:
        time.sleep(0.05)

    os.killpg(process.pid, signal.SIGTERM)
    time.sleep(0.05)
    process.send_signal(signal.SIGTERM)
    sent = time.monotonic()
    told = process.communicate(timeout=60)[1]

    assert process.returncode == 75, told
    slowest = max(epoch["seconds"] for epoch in history(fold))
    assert time.monotonic() - sent < 5 + 2 * slowest, "five seconds, or an iteration where that is longer"
    assert "Traceback" not in told
    assert told.endswith("the state is saved, continue with -c\n")
    done = len(history(fold))
    assert train.main([*words, str(done + 1), "-c"]) == 0
    assert [epoch["epoch"] for epoch in history(fold)] == list(range(done + 1))


# ---------------------------------------------------------------------------- one process at a time


def test_a_fold_that_another_process_works_on_is_refused_and_a_dead_ones_lock_is_taken(
    results: Path, capsys: Told
) -> None:
    assert run("0", *SHORT) == 0
    fold = results / "Trainer__autoseg" / "fold_0"
    other = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE)
    write_json(fold / "lock.json", Holder(process=ProcessIdentity.of(other.pid), since="2026-11-04T12:00:00"))
    weights = (fold / "weights_final.pt").read_bytes()
    capsys.readouterr()

    for words in (("-c",), ("--overwrite",), ("-val",)):
        assert run("0", *SHORT, *words) == 1
        assert capsys.readouterr().err == (
            f"autoseg_train: {fold}: training or validation of this fold is already being done by process {other.pid} "
            f"on {socket.gethostname()}, since 2026-11-04T12:00:00; wait for it, or stop it with Ctrl-C there\n"
        )
    assert (fold / "weights_final.pt").read_bytes() == weights
    assert run("1", *SHORT) == 0, "other folds are free"

    other.kill()
    other.wait()
    assert run("0", *SHORT, "-val") == 0
    assert not (fold / "lock.json").exists()


# ------------------------------------------------------------------------------ training.log


def said(told: Any) -> set[str]:
    """Every line that was printed, without what only the terminal marks it with."""
    return {line.removeprefix("warning: ") for line in (told.out + told.err).splitlines()}


def logged(fold: Path) -> list[str]:
    """The lines of training.log without their time."""
    return [
        re.sub(r"^\d{4}-\d\d-\d\d \d\d:\d\d:\d\d,\d{3} ", "", line)
        for line in (fold / "training.log").read_text().splitlines()
    ]


@pytest.mark.usefixtures("splits")
def test_the_log_holds_all_that_is_said_once(results: Path, capsys: Told) -> None:
    fold = results / "Trainer__autoseg" / "fold_0"

    assert run("0", *SHORT) == 0

    lines = logged(fold)
    told = capsys.readouterr()
    assert said(told) == set(lines)
    assert len([line for line in lines if line.startswith((TASK, "written: ", "next: ", "label "))]) == 4
    assert lines[-1].startswith("or: autoseg_predict") and "5 folds of 5 cases written" in "".join(lines[:2])

    assert run("0", "-val", *COMPUTING) == 0
    more = logged(fold)
    assert more[: len(lines)] == lines and said(capsys.readouterr()) == set(more[len(lines) :])


def test_the_log_holds_why_a_training_ended(results: Path, capsys: Told, my_file: str) -> None:
    assert run("0", *SHORT, trainer=f"{my_file}:Broken") == 1

    assert logged(results / "Broken__autoseg" / "fold_0")[-1] in capsys.readouterr().err.splitlines()[-1]
