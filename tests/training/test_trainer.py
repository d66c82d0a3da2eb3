from __future__ import annotations

import json
import logging
import multiprocessing
import os
import re
import shutil
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from autoseg.dataset.facts import Facts
from autoseg.errors import DiskError, Interrupted, ModelError, StorageError, TrainingError
from autoseg.extensions import find_class
from autoseg.files.storage import write_json
from autoseg.images import read_image
from autoseg.inference.model import load_model, load_weights, weights_sha256
from autoseg.inference.record import predicted_with
from autoseg.networks.precision import Precision
from autoseg.plans import ConfigurationPlan, Plans, save_plans
from autoseg.preprocessing.store import PreparedCases
from autoseg.training import RECIPES, Split, Trainer, TrainingSettings
from autoseg.training.augmentation.default import Augmentation
from autoseg.training.determinism import deterministic_algorithms
from autoseg.training.fold.checkpoint import load_checkpoint, save_checkpoint
from autoseg.training.fold.data import FoldData
from autoseg.training.fold_run import FoldRun, tell_pace
from autoseg.training.losses import CrossEntropy
from autoseg.training.sampling.batches import Batch
from autoseg.training.sampling.samples import TRAINING
from autoseg.training.start import new_state, start_state
from autoseg.training.state import TrainingState

CASES = tuple(f"ball_{number}" for number in range(6))
SPLIT = Split(training=CASES[:4], validation=CASES[4:])
EPOCHS, TRAINING_BATCHES, VALIDATION_BATCHES = 3, 5, 1
BATCHES = TRAINING_BATCHES + VALIDATION_BATCHES

MakeTrainer = Callable[..., Trainer]


@pytest.fixture
def trainer(store: PreparedCases, references: Path, tmp_path: Path, plans: Plans) -> MakeTrainer:
    def make(kind: type[Trainer] = Trainer, *, fold: str = "fold_0", **changes: Any) -> Trainer:
        arguments = {"cases": store, "plans": plans, "configuration": "3d_fullres", "split": SPLIT, "device": "cpu"}
        arguments |= {name: changes.pop(name) for name in list(changes) if name in arguments}
        settings = {"epochs": EPOCHS, "iterations_per_epoch": TRAINING_BATCHES, "seed": 7, "workers": 0}
        device = arguments.pop("device")
        return kind(
            FoldData(references=references, output=tmp_path / "model" / fold, **arguments),
            settings=TrainingSettings(**{**settings, "precision": "fp32", **changes}),
            device=device,
        )

    return make


class StopAfter:
    """Says yes once so many batches are done."""

    def __init__(self, batches: int) -> None:
        self.left = batches

    def __call__(self) -> bool:
        self.left -= 1
        return self.left <= 0


def weights(trainer: Trainer, checkpoint: str = "final") -> dict[str, Tensor]:
    return load_weights(trainer.output / f"weights_{checkpoint}.pt").weights


def history(trainer: Trainer) -> list[dict[str, Any]]:
    epochs: list[dict[str, Any]] = json.loads((trainer.output / "history.json").read_text())["epochs"]
    return [{key: value for key, value in epoch.items() if key not in ("seconds", "waited")} for epoch in epochs]


def record(trainer: Trainer) -> dict[str, Any]:
    content: dict[str, Any] = json.loads((trainer.output / "run.json").read_text())
    return content


def assert_same(one: Trainer, other: Trainer) -> None:
    for checkpoint in ("final", "best"):
        first, second = weights(one, checkpoint), weights(other, checkpoint)
        assert all(torch.equal(first[name], second[name]) for name in first) and first.keys() == second.keys()
    assert history(one) == history(other)


# ---------------------------------------------------------------------------------- learning


class Quick(Trainer):
    """Momentum 0.99 is for thousands of steps; this learns within a hundred."""

    def build_optimizer(self, network: nn.Module) -> torch.optim.Optimizer:
        return torch.optim.Adam(network.parameters())


def test_it_learns(trainer: MakeTrainer) -> None:
    made = trainer(Quick, epochs=3, iterations_per_epoch=40)
    made.run()
    epochs, summary = history(made), made.validate()

    assert epochs[-1]["loss"] < epochs[0]["loss"] - 0.3
    assert epochs[-1]["dice"] > 0.7
    assert min(summary.mean[label]["Dice"] for label in (1, 2)) > 0.65
    assert made.fold.patch_picture.is_file() and made.fold.patch_film.is_file()
    for said in (epochs[-1]["overlap_per_class"], epochs[-1]["validation_overlap_per_class"]):
        assert 0.3 < min(said) < 1 and len(said) == 2
    assert min(epochs[-1]["overlap_per_class"]) > max(epochs[0]["overlap_per_class"])


def test_flat_patches_are_trained_too(trainer: MakeTrainer, plans: Plans) -> None:
    made = trainer(Quick, plans=plans, configuration="2d", epochs=3, iterations_per_epoch=50, batch_size=8)
    made.run()

    assert history(made)[-1]["dice"] > 0.7
    assert min(made.validate().mean[label]["Dice"] for label in (1, 2)) > 0.55


def test_what_a_training_leaves(trainer: MakeTrainer) -> None:
    made = trainer()
    made.run()
    summary = made.validate()

    names = {path.name for path in made.output.iterdir()} - {"tensorboard"}
    assert names == {
        "architecture.png",
        "architecture.txt",
        "checkpoint.pt",
        "debug.json",
        "history.csv",
        "history.json",
        "patch.gif",
        "patch.png",
        "progress.png",
        "run.json",
        "training.log",
        "validation_raw",
        "weights_best.pt",
        "weights_final.pt",
    }
    assert {path.name for path in made.output.parent.iterdir()} == {"fold_0", "plans.json", "plans.pkl"}
    assert [Path(case.test).name for case in summary.cases] == ["ball_4.nii.gz", "ball_5.nii.gz"]
    scores = json.loads((made.output / "validation_raw" / "summary.json").read_text())["results"]
    assert scores["mean"]["1"]["Dice"] == pytest.approx(summary.mean[1]["Dice"])
    log_text = (made.output / "training.log").read_text()
    assert log_text.count("validation loss") == EPOCHS and "Dice of core" in log_text


def test_the_record_of_a_run_says_what_was_trained_on_what_and_which_weights_came_of_it(trainer: MakeTrainer) -> None:
    with pytest.raises(Interrupted):
        trainer().run(should_stop=StopAfter(8), command=("autoseg_train", "3d_fullres", "--seed", "7"))
    begun = record(trainer())
    trainer().run(resume=True, command=("autoseg_train", "-c"))
    ended = record(trainer())

    assert (begun["weights_sha256"], begun["finished"]) == (None, None)
    assert ended["weights_sha256"] == weights_sha256(weights(trainer()))
    assert ended["finished"] >= ended["sessions"][1]["started"] >= ended["sessions"][0]["started"]
    same = ("trainer", "configuration", "seed", "epochs", "iterations_per_epoch", "batch_size", "previous")
    assert [ended[key] for key in same] == ["Trainer", "3d_fullres", 7, EPOCHS, TRAINING_BATCHES, 3, None]
    assert (ended["training"], ended["validation"]) == (list(CASES[:4]), list(CASES[4:]))
    first, second = ended["sessions"]
    assert begun["sessions"] == [first]
    assert (first["command"], second["command"]) == (
        ["autoseg_train", "3d_fullres", "--seed", "7"],
        ["autoseg_train", "-c"],
    )
    assert [(one["epoch"], one["iteration"]) for one in (first, second)] == [(0, 0), (1, 2)]
    assert (first["device"], first["precision"], first["deterministic"]) == ("cpu", "fp32", False)
    assert (first["versions"]["torch"], first["threads"]) == (torch.__version__, torch.get_num_threads())
    conditions = load_checkpoint(trainer().output / "checkpoint.pt")
    assert all(ended[key] == conditions[key] for key in ("plan", "data"))


def test_extending_a_finished_training_makes_the_record_unfinished_until_it_ends(
    trainer: MakeTrainer, untouched: Trainer
) -> None:
    before = record(untouched)
    trainer(fold="fold_1").run(resume=True)
    assert record(untouched) == before, "there was nothing left to do"
    with pytest.raises(Interrupted):
        trainer(fold="fold_1", epochs=5).run(resume=True, should_stop=StopAfter(2))
    assert (record(untouched)["weights_sha256"], record(untouched)["epochs"]) == (None, 5)
    trainer(fold="fold_1", epochs=5).run(resume=True)

    ended = record(untouched)
    assert ended["weights_sha256"] == weights_sha256(weights(untouched)) != before["weights_sha256"]
    assert [one["epoch"] for one in ended["sessions"]] == [0, EPOCHS, EPOCHS]


def test_the_recipe_is_written_down_with_all_its_numbers(trainer: MakeTrainer) -> None:
    made = trainer(OwnRecipe, epochs=1, learning_rate=0.5)
    made.run()
    debug = json.loads((made.output / "debug.json").read_text())

    assert debug["trainer"].endswith("test_trainer.OwnRecipe")
    assert (debug["settings"]["learning_rate"], debug["settings"]["batch_size"]) == (0.5, None)
    recipe = {name: debug["recipe"][name] for name in ("epochs", "initial_learning_rate", "momentum", "mirror_axes")}
    assert recipe == {"epochs": 1, "initial_learning_rate": 0.5, "momentum": 0.99, "mirror_axes": "()"}
    assert (debug["network"], debug["loss"]) == ("UNet", "CrossEntropy()")
    assert "weight_decay: 3e-05" in debug["optimizer"]


def test_a_damaged_record_is_named(trainer: MakeTrainer, untouched: Trainer) -> None:
    (untouched.output / "run.json").write_text("{}")
    with pytest.raises(
        StorageError, match=r"fold_1: expected format 2, found None; delete run\.json there, it is only a record"
    ):
        trainer(fold="fold_1", epochs=5).run(resume=True)


def test_the_weights_know_what_prediction_needs(trainer: MakeTrainer) -> None:
    made = trainer()
    made.run()
    file = load_weights(made.output / "weights_final.pt")

    assert (file.trainer, file.custom_network, file.mirror_axes, file.epoch) == ("Trainer", False, (0, 1, 2), EPOCHS)
    model = load_model(made.output.parent, "3d_fullres")
    assert model.folds == ("0",)
    assert all(torch.equal(tensor, file.weights[name]) for name, tensor in model.networks[0].state_dict().items())


def test_the_best_epochs_weights_are_kept(trainer: MakeTrainer) -> None:
    made = trainer(epochs=4)
    made.run()
    best = max(epoch["epoch"] for epoch in history(made) if epoch["best"])

    assert load_weights(made.output / "weights_best.pt").epoch == best + 1


def test_best_weights_are_validated_beside_the_final_ones(trainer: MakeTrainer) -> None:
    made = trainer()
    made.run()
    made.validate()
    made.validate(checkpoint="best", save_probabilities=True)

    assert {path.name for path in (made.output / "validation_raw").iterdir()} == {
        "ball_4.nii.gz",
        "ball_5.nii.gz",
        "prediction.json",
        "summary.csv",
        "summary.json",
    }
    assert (made.output / "validation_raw_best" / "ball_4.npz").is_file()


def test_only_what_these_weights_did_not_predict_is_validated_again(trainer: MakeTrainer) -> None:
    made = trainer()
    made.run()
    summary = made.validate()
    folder = made.output / "validation_raw"
    (folder / "ball_4.nii.gz").unlink()
    (folder / "summary.json").unlink()
    before = (folder / "ball_5.nii.gz").stat().st_mtime_ns

    assert made.validate().mean == summary.mean
    assert (folder / "ball_5.nii.gz").stat().st_mtime_ns == before
    assert predicted_with(predictions(folder), made.output / "weights_final.pt") == predictions(folder)

    longer = trainer(epochs=EPOCHS + 1)
    longer.run(resume=True)
    assert predicted_with(predictions(folder), made.output / "weights_final.pt") == ()
    longer.validate()
    assert (folder / "ball_5.nii.gz").stat().st_mtime_ns != before


def test_a_training_does_not_depend_on_what_is_known_and_its_validation_says_it(
    trainer: MakeTrainer, untouched: Trainer, store: PreparedCases
) -> None:
    made = trainer(cases=replace(store, facts={"ball_5": Facts(known=(("site", "unf"),))}))
    made.run()
    summary = made.validate()

    assert_same(made, untouched)
    assert [case.facts.get("site") for case in summary.cases] == [None, "unf"]
    written = json.loads((made.output / "validation_raw" / "summary.json").read_text())
    assert written["facts"] == {"ball_5": {"site": "unf"}}


def predictions(folder: Path) -> list[Path]:
    return sorted(folder.glob("*.nii.gz"))


def test_validation_is_what_prediction_makes_on_the_images_own_grid(trainer: MakeTrainer, store: PreparedCases) -> None:
    made = trainer()
    made.run()
    made.validate()
    image = read_image(made.output / "validation_raw" / "ball_4.nii.gz")

    assert image.data.shape == store.load("ball_4").data.shape[1:]
    assert set(np.unique(image.data)) <= {0, 1, 2}


def test_without_weights_there_is_nothing_to_validate(trainer: MakeTrainer) -> None:
    with pytest.raises(ModelError, match=r"weights_final\.pt: no weights here"):
        trainer().validate()


def test_fold_all_trains_and_validates_on_everything(trainer: MakeTrainer) -> None:
    made = trainer(split=Split(training=CASES, validation=CASES), fold="all", epochs=1)
    made.run()

    assert len(made.validate().cases) == len(CASES)
    assert load_model(made.output.parent, "3d_fullres", folds=["all"]).folds == ("all",)


# --------------------------------------------------------------------- resuming and repeating


@pytest.fixture
def untouched(trainer: MakeTrainer) -> Trainer:
    made = trainer(fold="fold_1")
    made.run()
    return made


@pytest.mark.parametrize("batches", [1, TRAINING_BATCHES, BATCHES, BATCHES + 2, EPOCHS * BATCHES - 1, EPOCHS * BATCHES])
def test_a_training_stopped_anywhere_ends_as_if_it_had_not_been(
    trainer: MakeTrainer, untouched: Trainer, batches: int
) -> None:
    first = trainer()
    with pytest.raises(
        Interrupted,
        match=r"stopped after \d epochs? and \d batch(es)?; the state is saved, continue with `resume=True`",
    ):
        first.run(should_stop=StopAfter(batches))
    second = trainer()
    second.run(resume=True)

    assert_same(second, untouched)


class CrashError(Exception):
    pass


@pytest.mark.parametrize(("minutes", "batches"), [(0.0, 3), (10.0, 9)])
def test_a_training_killed_anywhere_ends_as_if_it_had_not_been(
    trainer: MakeTrainer, untouched: Trainer, minutes: float, batches: int
) -> None:
    """Without a chance to save: from the last checkpoint, of the batch before or of the epoch before."""

    def crash() -> bool:
        stop()
        if stop.left <= 0:
            raise CrashError
        return False

    stop = StopAfter(batches)
    with pytest.raises(CrashError):
        trainer(checkpoint_minutes=minutes).run(should_stop=crash)
    saved = load_checkpoint(trainer().output / "checkpoint.pt")
    assert (saved["epoch"], saved["iteration"]) == ((0, 2) if minutes == 0 else (1, 0))
    resumed = trainer()
    resumed.run(resume=True)

    assert_same(resumed, untouched)


def test_reduced_precision_is_resumed_exactly_too(trainer: MakeTrainer) -> None:
    """Where the processor has bf16, which changes how tensors lie in memory; elsewhere this repeats fp32."""
    untouched = trainer(fold="fold_1", precision="auto")
    untouched.run()
    with pytest.raises(Interrupted):
        trainer(precision="auto").run(should_stop=StopAfter(8))
    resumed = trainer(precision="auto")
    resumed.run(resume=True)

    assert_same(resumed, untouched)


def test_the_same_seed_gives_the_same_training_with_any_number_of_workers(
    trainer: MakeTrainer, untouched: Trainer
) -> None:
    torch.manual_seed(99)
    again = trainer(fold="fold_2", workers=2)
    again.run()

    assert_same(again, untouched)


def test_another_seed_gives_another_training(trainer: MakeTrainer, untouched: Trainer) -> None:
    other = trainer(fold="fold_2", seed=8)
    other.run()

    assert history(other)[0]["loss"] != history(untouched)[0]["loss"]
    assert not torch.equal(weights(other)["heads.0.weight"], weights(untouched)["heads.0.weight"])


def test_a_seed_that_was_drawn_is_kept_when_resuming(trainer: MakeTrainer) -> None:
    with pytest.raises(Interrupted):
        trainer(seed=None).run(should_stop=StopAfter(2))
    seed = load_checkpoint(trainer().output / "checkpoint.pt")["seed"]
    trainer(seed=None).run(resume=True)
    repeated = trainer(seed=seed, fold="fold_2")
    repeated.run()

    assert_same(trainer(), repeated)


def test_torchs_own_generator_is_left_as_it_was(trainer: MakeTrainer) -> None:
    torch.manual_seed(3)
    expected = torch.rand(2)
    torch.manual_seed(3)
    trainer(epochs=1).run()

    assert torch.equal(torch.rand(2), expected)


class Dropout(Trainer):
    @classmethod
    def build_network(cls, _plan: ConfigurationPlan, in_channels: int, classes: int) -> nn.Module:
        return nn.Sequential(nn.Conv3d(in_channels, 6, 3, padding=1), nn.Dropout(0.5), nn.Conv3d(6, classes, 1))


def test_a_network_with_randomness_of_its_own_is_resumed_exactly_too(trainer: MakeTrainer) -> None:
    untouched = trainer(Dropout, fold="fold_1")
    untouched.run()
    with pytest.raises(Interrupted):
        trainer(Dropout).run(should_stop=StopAfter(8))
    resumed = trainer(Dropout)
    resumed.run(resume=True)

    assert_same(resumed, untouched)


def test_a_finished_training_has_nothing_left_to_do(
    trainer: MakeTrainer, untouched: Trainer, caplog: pytest.LogCaptureFixture
) -> None:
    before = weights(untouched)
    with caplog.at_level(logging.INFO, logger="autoseg"):
        trainer(fold="fold_1").run(resume=True)

    assert "3 epochs trained already, nothing is left to train" in caplog.text
    assert all(torch.equal(before[name], tensor) for name, tensor in weights(untouched).items())


def test_a_finished_training_can_be_extended(trainer: MakeTrainer, untouched: Trainer) -> None:
    longer = trainer(fold="fold_1", epochs=5)
    before = history(untouched)
    longer.run(resume=True)

    assert history(longer)[:EPOCHS] == before and len(history(longer)) == 5
    assert history(longer)[3]["learning_rate"] == pytest.approx(0.1 * (1 - 3 / 5) ** 0.9)  # few steps: a faster pace


def test_a_longer_training_goes_on_with_its_own_momentum(trainer: MakeTrainer, untouched: Trainer) -> None:
    checkpoint = load_checkpoint(untouched.output / "checkpoint.pt")
    longer = trainer(fold="fold_1", epochs=500, iterations_per_epoch=1000)
    state = start_state(longer, 0, checkpoint)

    assert checkpoint["optimizer"]["param_groups"][0]["momentum"] == pytest.approx(0.9)
    assert state.optimizer.param_groups[0]["momentum"] == 0.99


@pytest.mark.parametrize(
    ("settings", "pace"),
    [
        ({}, (0.1, 0.9)),
        ({"learning_rate": 0.01}, (0.01, 0.99)),
        ({"epochs": 1000, "iterations_per_epoch": 250}, (0.01, 0.99)),
    ],
)
def test_only_a_short_training_whose_rate_nobody_chose_is_paced(
    trainer: MakeTrainer, settings: dict[str, Any], pace: tuple[float, float], caplog: pytest.LogCaptureFixture
) -> None:
    made = trainer(**settings)
    with caplog.at_level(logging.INFO, logger="autoseg"):
        tell_pace(made)

    assert made.pace == pytest.approx(pace)
    assert [
        made.build_optimizer(nn.Linear(1, 1)).param_groups[0][name] for name in ("lr", "momentum")
    ] == pytest.approx(pace)
    assert ("learning rate 0.1 and momentum 0.9, where a long training has 0.01 and 0.99" in caplog.text) == (
        not settings
    )


class OwnOptimizer(Trainer):
    def build_optimizer(self, network: nn.Module) -> torch.optim.Optimizer:
        return torch.optim.AdamW(network.parameters(), lr=self.initial_learning_rate)


def test_an_optimizer_of_the_recipes_own_keeps_its_rate(trainer: MakeTrainer) -> None:
    made = trainer(OwnOptimizer)

    assert made.learning_rate(0) == 0.01 and made.pace == (0.01, 0.99)


def test_a_fold_that_holds_a_training_is_refused(trainer: MakeTrainer, untouched: Trainer) -> None:
    with pytest.raises(
        TrainingError,
        match="a training lies here already; continue it with `resume=True`, or discard it with `overwrite=True`",
    ):
        trainer(fold="fold_1").run()
    assert (untouched.output / "weights_final.pt").is_file()


def test_overwriting_discards_what_was_there(trainer: MakeTrainer, untouched: Trainer) -> None:
    untouched.validate()
    with pytest.raises(Interrupted):
        trainer(fold="fold_1", seed=9).run(overwrite=True, should_stop=StopAfter(1))

    assert not (untouched.output / "weights_final.pt").exists()
    assert not (untouched.output / "validation_raw").exists()
    assert "epoch 1/" not in (untouched.output / "training.log").read_text()


def files(folder: Path) -> dict[str, bytes]:
    paths = [path for path in sorted(folder.rglob("*")) if path.is_file() and path.name != "lock.json"]
    return {str(path.relative_to(folder)): path.read_bytes() for path in paths}


class NoLoss(Trainer):
    def build_loss(self) -> nn.Module:
        raise RuntimeError("a mistake in the user's file")


class NoFirstBatch(Trainer):
    def training_step(self, *_words: Any) -> Tensor:
        raise RuntimeError("a mistake in the user's file")


class AlwaysDiverges(Trainer):
    def training_step(self, state: TrainingState, batch: Batch, loss_function: nn.Module) -> Tensor:
        return super().training_step(state, batch, loss_function) * torch.nan


class RunOnFullDisk(FoldRun):
    def _save_checkpoint(self, *_words: Any) -> None:
        raise DiskError("the disk is full")


class FullDisk(Trainer):
    runs = RunOnFullDisk


@pytest.mark.parametrize(
    ("kind", "settings"),
    [
        (NoLoss, {}),
        (NoFirstBatch, {}),
        (AlwaysDiverges, {}),
        (FullDisk, {}),
        (Trainer, {"pretrained_weights": Path("absent.pt")}),
        (Trainer, {"device": "cuda:77"}),
    ],
)
def test_overwriting_loses_nothing_where_the_new_training_turns_out_to_be_impossible(
    trainer: MakeTrainer,
    untouched: Trainer,
    other_plans: Plans,
    kind: type[Trainer],
    settings: dict[str, Any],
    caplog: pytest.LogCaptureFixture,
) -> None:
    untouched.validate()
    before = files(untouched.output.parent)
    with pytest.raises((RuntimeError, TrainingError, ModelError, DiskError)):
        trainer(kind, fold="fold_1", plans=other_plans, **settings).run(overwrite=True)

    assert files(untouched.output.parent) == before
    assert "what was trained before is put back" in caplog.text


def test_overwriting_killed_before_the_new_training_saved_its_state_loses_nothing(
    trainer: MakeTrainer, untouched: Trainer
) -> None:
    before = files(untouched.output)
    entries = len([path for path in untouched.output.iterdir() if path.name != "lock.json"])
    for moment in (0, 5, entries, entries + 1):
        assert exit_code_of_overwriting(trainer, moment) == (IN_A_RENAME if moment <= entries else IN_A_BATCH)
        trainer(fold="fold_1").run(resume=True)
        now = files(untouched.output)
        assert {name for name in now if now[name] != before.get(name)} == {"training.log"}
        assert now.keys() == before.keys()


IN_A_RENAME, IN_A_BATCH = 77, 78


def exit_code_of_overwriting(trainer: MakeTrainer, renames: int) -> int | None:
    """Of a process of its own, which dies after so many renames, or in the first batch."""
    process = multiprocessing.get_context("fork").Process(target=overwrite_and_die, args=(trainer, renames))
    process.start()
    process.join()
    return process.exitcode


def overwrite_and_die(trainer: MakeTrainer, renames: int) -> None:
    left = iter(range(renames))
    rename = Path.rename

    def rename_or_die(path: Path, target: Path) -> Path:
        if next(left, None) is None:
            os._exit(IN_A_RENAME)
        return rename(path, target)

    def die() -> bool:
        os._exit(IN_A_BATCH)

    Path.rename = rename_or_die  # type: ignore[assignment, method-assign]
    trainer(fold="fold_1", seed=9).run(overwrite=True, should_stop=die)


def test_after_its_first_epoch_the_new_training_has_replaced_the_old_one(
    trainer: MakeTrainer, untouched: Trainer
) -> None:
    old = record(untouched)["seed"]

    def crash() -> bool:
        stop()
        if stop.left <= 0:
            raise CrashError
        return False

    stop = StopAfter(BATCHES + 2)
    with pytest.raises(CrashError):
        trainer(fold="fold_1", seed=9).run(overwrite=True, should_stop=crash)

    assert not [path.name for path in untouched.output.iterdir() if path.name.startswith(".")]
    assert (record(untouched)["seed"], old) == (9, 7)
    assert not (untouched.output / "weights_final.pt").exists()
    trainer(fold="fold_1", seed=9).run(resume=True)


def test_what_a_killed_process_had_set_aside_is_validated(trainer: MakeTrainer, untouched: Trainer) -> None:
    aside = untouched.output / ".replaced"
    aside.mkdir()
    for name in ("weights_final.pt", "checkpoint.pt", "run.json"):
        (untouched.output / name).rename(aside / name)

    assert len(trainer(fold="fold_1").validate().cases) == 2
    assert not aside.exists()


def test_a_training_of_days_says_so_before_its_first_epoch_ends(
    trainer: MakeTrainer, caplog: pytest.LogCaptureFixture
) -> None:
    endless = trainer(epochs=10**7, iterations_per_epoch=250)
    with caplog.at_level(logging.WARNING, logger="autoseg"), pytest.raises(Interrupted):
        endless.run(should_stop=StopAfter(8))

    assert re.search(r"so 10000000 epochs of 250 batches take about \d+ days\. What shortens it: a GPU", caplog.text)
    assert "What shortens it" in (endless.output / "training.log").read_text()


def test_resuming_nothing_starts_anew_and_says_so(trainer: MakeTrainer, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.INFO, logger="autoseg"):
        trainer(epochs=1).run(resume=True)

    assert "nothing was trained here yet, starting anew" in caplog.text


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"seed": 8}, "seed was 7, now 8"),
        ({"split": Split(training=CASES[:3], validation=CASES[3:])}, "the split changed; "),
        ({"batch_size": 2}, "batch_size was 3, now 2"),
        ({"iterations_per_epoch": 6}, "iterations_per_epoch was 5, now 6"),
    ],
)
def test_resuming_under_other_conditions_is_refused(
    trainer: MakeTrainer, changes: dict[str, Any], message: str
) -> None:
    with pytest.raises(Interrupted):
        trainer().run(should_stop=StopAfter(1))
    with pytest.raises(TrainingError, match=f"began under other conditions: {message}"):
        trainer(**changes).run(resume=True)


def test_other_plans_beside_trained_folds_are_refused(trainer: MakeTrainer, other_plans: Plans) -> None:
    trainer(fold="fold_1", epochs=1).run()
    with pytest.raises(TrainingError, match=r"plans\.pkl: fold_1 was trained with other plans than these"):
        trainer(plans=other_plans).run()
    with pytest.raises(
        TrainingError, match="began under other conditions: the plan changed; continue it with the same"
    ):
        trainer(plans=other_plans, fold="fold_1").run(resume=True)


def test_other_plans_beside_a_fold_that_is_still_being_trained_are_refused(
    trainer: MakeTrainer, other_plans: Plans
) -> None:
    """Or it would be averaged under them once it is finished."""
    with pytest.raises(Interrupted):
        trainer(fold="fold_1").run(should_stop=StopAfter(1))
    model = trainer().output.parent
    before = (model / "plans.pkl").read_bytes()

    with pytest.raises(TrainingError, match=r"plans\.pkl: fold_1 was trained with other plans than these"):
        trainer(plans=other_plans).run()
    assert (model / "plans.pkl").read_bytes() == before
    trainer(epochs=1).run()


def test_a_fold_is_not_validated_with_plans_it_was_not_trained_with(trainer: MakeTrainer, other_plans: Plans) -> None:
    """Though the plans beside it were replaced, as versions before let a fold do while another was being trained."""
    trainer(epochs=1).run()
    save_plans(other_plans, trainer().output.parent / "plans.pkl")
    with pytest.raises(TrainingError, match="this model was trained with other plans than those now"):
        trainer(plans=other_plans).validate()


OWN_TRAINER = """
from autoseg.training import Trainer
from own_losses import make_loss

class Mine(Trainer):
    {attribute}

    def build_loss(self):
        return make_loss()
"""
OWN_LOSSES = """
from autoseg.training.losses import CrossEntropy, TopKLoss

def make_loss():
    return {loss}{times}
"""


def write_own(folder: Path, *, attribute: str = "mirror = True", loss: str = "CrossEntropy()", times: str = "") -> Path:
    folder.mkdir(exist_ok=True)
    (folder / "own_losses.py").write_text(OWN_LOSSES.format(loss=loss, times=times))
    (folder / "mine.py").write_text(OWN_TRAINER.format(attribute=attribute))
    return folder / "mine.py"


def own(path: Path) -> type[Trainer]:
    sys.modules.pop("own_losses", None)
    return find_class(f"{path}:Mine", base=Trainer, modules=[])


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"attribute": "mirror = False"}, "the code in .*mine.py changed; mirror was True, now False"),
        ({"attribute": "def training_step(self, *words): pass"}, "the code in .*mine.py changed"),
        (
            {"loss": "TopKLoss(percent=5)"},
            r"the code in .*own_losses.py changed; loss was CrossEntropy\(\), now TopKLoss\(\)",
        ),
        ({"times": " if True else None"}, "the code in .*own_losses.py changed"),
    ],
)
def test_resuming_with_another_recipe_is_refused(
    trainer: MakeTrainer, tmp_path: Path, changes: dict[str, str], message: str
) -> None:
    with pytest.raises(Interrupted):
        trainer(own(write_own(tmp_path / "a"))).run(should_stop=StopAfter(1))
    changed = own(write_own(tmp_path / "a", **changes))

    with pytest.raises(TrainingError, match=f"began under other conditions: {message}; continue it with the same"):
        trainer(changed).run(resume=True)


def test_remarks_and_another_place_of_the_users_files_are_no_other_recipe(trainer: MakeTrainer, tmp_path: Path) -> None:
    with pytest.raises(Interrupted):
        trainer(own(write_own(tmp_path / "a"))).run(should_stop=StopAfter(1))
    moved = write_own(tmp_path / "b")
    moved.write_text("# a remark\n" + moved.read_text())

    trainer(own(moved)).run(resume=True)


def test_numbers_changed_from_outside_of_the_code_are_named(trainer: MakeTrainer) -> None:
    with pytest.raises(Interrupted):
        trainer().run(should_stop=StopAfter(1))
    changed = trainer()
    changed.gradient_clip = 1.0
    changed.augmentation = replace(changed.augmentation, rotation=5.0)

    with pytest.raises(
        TrainingError, match=r"augmentation\.rotation was 30\.0, now 5\.0; gradient_clip was 12\.0, now"
    ):
        changed.run(resume=True)


def test_folds_of_one_model_are_trained_with_the_same_code(trainer: MakeTrainer, tmp_path: Path) -> None:
    trainer(own(write_own(tmp_path / "a")), epochs=1, fold="fold_1").run()
    other = own(write_own(tmp_path / "b", attribute="gradient_clip = 1.0"))

    with pytest.raises(
        TrainingError,
        match=r"fold_1: was trained with another Mine: the code was that in .*a/mine\.py, now it is that in .*b/mine\.py; "
        r".*give the class another name.*or remove .*model to train every fold anew",
    ):
        trainer(other, epochs=1).run()
    assert not (trainer().output / "checkpoint.pt").exists()
    trainer(own(write_own(tmp_path / "c")), epochs=1).run()


def test_a_training_of_the_version_before_goes_on_with_a_warning(
    trainer: MakeTrainer, untouched: Trainer, caplog: pytest.LogCaptureFixture
) -> None:
    with pytest.raises(Interrupted):
        trainer().run(should_stop=StopAfter(8))
    path = trainer().output / "checkpoint.pt"
    before = {name: value for name, value in load_checkpoint(path).items() if name != "recipe"}
    save_checkpoint(path, before)
    run = record(trainer())
    write_json(trainer().output / "run.json", {name: run[name] for name in run if name != "recipe"} | {"format": 1})
    resumed = trainer()
    with caplog.at_level(logging.WARNING, "autoseg"):
        resumed.run(resume=True)

    assert "did not write down its recipe; nobody can tell whether the trainer is what it was" in caplog.text
    assert_same(resumed, untouched)
    assert (len(record(resumed)["sessions"]), record(resumed)["recipe"]["values"]["momentum"]) == (2, "0.99")


def test_a_damaged_recipe_in_a_checkpoint_is_refused(trainer: MakeTrainer) -> None:
    with pytest.raises(Interrupted):
        trainer().run(should_stop=StopAfter(1))
    path = trainer().output / "checkpoint.pt"
    save_checkpoint(path, load_checkpoint(path) | {"recipe": {"values": 3, "code": {}}})

    with pytest.raises(
        TrainingError, match=r"checkpoint\.pt: recipe\.values: expected .*start anew with `overwrite=True`"
    ):
        trainer().run(resume=True)


def test_resuming_with_data_prepared_from_other_images_is_refused(
    trainer: MakeTrainer, store: PreparedCases, tmp_path: Path
) -> None:
    with pytest.raises(Interrupted):
        trainer().run(should_stop=StopAfter(1))
    shutil.copytree(store.folder, tmp_path / "prepared")
    changed = PreparedCases(tmp_path / "prepared")
    resumed = trainer(cases=changed)
    changed.save(changed.load("ball_5"), "another signature")

    with pytest.raises(
        TrainingError, match="began under other conditions: the prepared data changed; continue it with"
    ):
        resumed.run(resume=True)


# --------------------------------------------------------------------------- the same in every bit


def test_deterministic_trainings_have_one_hash_with_any_number_of_workers(trainer: MakeTrainer) -> None:
    for fold, settings in (
        ("fold_1", {}),
        ("fold_2", {"workers": 2}),
        ("fold_3", {"seed": 0}),
        ("fold_4", {"seed": 1}),
    ):
        trainer(fold=fold, **{"seed": None, "deterministic": True, "epochs": 1, **settings}).run()
    assert not torch.are_deterministic_algorithms_enabled()

    records = [record(trainer(fold=f"fold_{number}")) for number in (1, 2, 3, 4)]
    assert [one["seed"] for one in records] == [0, 0, 0, 1]
    assert all(one["sessions"][0]["deterministic"] for one in records)
    assert len({one["weights_sha256"] for one in records[:3]}) == 1
    assert records[3]["weights_sha256"] != records[0]["weights_sha256"]


class Unsteady(Trainer):
    """Puts back what an index picked, which torch can only do in varying order where indices repeat."""

    def build_loss(self) -> nn.Module:
        class Loss(nn.Module):
            def forward(self, logits: Tensor, target: Tensor) -> Tensor:
                torch.zeros(1).put_(torch.tensor([0]), torch.zeros(1), accumulate=False)
                return F.cross_entropy(logits, target)

        return Loss()


def test_a_deterministic_training_writes_no_memory_twice() -> None:
    memory: Any = torch.utils.deterministic
    with deterministic_algorithms(True):
        assert torch.are_deterministic_algorithms_enabled()
        assert memory.fill_uninitialized_memory is False
    assert memory.fill_uninitialized_memory is True


@pytest.mark.parametrize("continued", [False, True])
def test_in_fp16_the_momentum_begins_at_zero(trainer: MakeTrainer, continued: bool) -> None:
    """Also where the training that is continued had not come as far as its first step."""
    earlier = trainer(fold="fold_1")
    scaled = trainer()
    scaled.__dict__["precision"] = Precision(name="fp16", device="cpu")

    state = start_state(scaled, 0, new_state(earlier, 0).to_checkpoint() if continued else None)

    gathered = [state.optimizer.state[parameter]["momentum_buffer"] for parameter in state.network.parameters()]
    assert gathered and not any(buffer.any() for buffer in gathered)


def test_what_cannot_be_computed_deterministically_is_named(trainer: MakeTrainer) -> None:
    message = (
        r"not every step can be computed deterministically on this device: put_ does not have .*without `deterministic`"
    )
    with pytest.raises(TrainingError, match=message):
        trainer(Unsteady, deterministic=True).run()
    assert not torch.are_deterministic_algorithms_enabled()
    trainer(Unsteady, epochs=1, deterministic=False, fold="fold_1").run()


# ------------------------------------------------------------------------- losses that are not finite


class Diverges(Trainer):
    """At one batch, unless it is careful."""

    epoch = 1

    def training_step(self, state: TrainingState, batch: Batch, loss_function: nn.Module) -> Tensor:
        loss = super().training_step(state, batch, loss_function)
        return loss * float("nan") if batch.key == (TRAINING, self.epoch, 2) and state.caution == 1 else loss


class DivergesEarly(Diverges):
    epoch = 0


class Careful(Trainer):
    def learning_rate(self, epoch: int) -> float:
        return super().learning_rate(epoch) * 0.1


def test_after_a_loss_that_is_not_finite_it_goes_on_more_carefully_from_the_last_checkpoint(
    trainer: MakeTrainer, untouched: Trainer, caplog: pytest.LogCaptureFixture
) -> None:
    made = trainer(Diverges)
    with caplog.at_level(logging.WARNING, logger="autoseg"):
        made.run()

    assert re.search(
        r"epoch 2, batch 3: the loss or its gradient is not finite; cases of the batch: ball_\d(, ball_\d)*\. Going back to epoch 2 after 0 "
        r"batches, with every learning rate times 0\.1 from now on",
        caplog.text,
    )
    epochs, before = history(made), history(untouched)
    assert epochs[0] == before[0]
    assert [one["learning_rate"] for one in epochs[1:]] == [
        pytest.approx(0.1 * one["learning_rate"]) for one in before[1:]
    ]
    assert epochs[1]["loss"] != before[1]["loss"]
    assert all(tensor.isfinite().all() for tensor in weights(made).values())


def test_before_the_first_checkpoint_it_begins_again(trainer: MakeTrainer) -> None:
    diverged, careful = trainer(DivergesEarly), trainer(Careful, fold="fold_1")
    diverged.run()
    careful.run()

    assert_same(diverged, careful)


@pytest.mark.parametrize("batches", [8, 9, BATCHES + 2 + BATCHES])
def test_a_training_that_became_careful_is_resumed_exactly_too(trainer: MakeTrainer, batches: int) -> None:
    untouched = trainer(Diverges, fold="fold_1")
    untouched.run()

    def crash() -> bool:
        stop()
        if stop.left <= 0:
            raise CrashError
        return False

    stop = StopAfter(batches)
    with pytest.raises(CrashError):
        trainer(Diverges).run(should_stop=crash)
    assert load_checkpoint(trainer().output / "checkpoint.pt")["caution"] == (1 if batches < 9 else 0.1)
    resumed = trainer(Diverges)
    resumed.run(resume=True)

    assert_same(resumed, untouched)


def test_a_spoilt_case_stops_the_training_the_second_time_and_is_named(
    trainer: MakeTrainer, store: PreparedCases, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    shutil.copytree(store.folder, tmp_path / "prepared")
    spoilt = np.load(tmp_path / "prepared" / "ball_2.npy")
    spoilt[:] = np.nan
    np.save(tmp_path / "prepared" / "ball_2.npy", spoilt)
    made = trainer()
    made.data = replace(made.data, cases=PreparedCases(tmp_path / "prepared"))

    message = (
        r"epoch 1, batch \d: the loss or its gradient is not finite; cases of the batch: .*ball_2.*\. The learning rate was lowered once "
        r"before for such a loss; look at these images, or continue from the last checkpoint \(`resume=True`\) with a lower "
        r"`learning_rate` or `precision=fp32`$"
    )
    with caplog.at_level(logging.WARNING, logger="autoseg"), pytest.raises(TrainingError, match=message):
        made.run()
    assert caplog.text.count("Going back to epoch 1 after 0 batches") == 1
    with pytest.raises(TrainingError, match=message):
        again = trainer()
        again.data = made.data
        again.run(resume=True)


class SteepLoss(Trainer):
    """The loss is finite, its gradient is not."""

    def build_loss(self) -> nn.Module:
        class Loss(nn.Module):
            def forward(self, logits: Tensor, target: Tensor) -> Tensor:
                return F.cross_entropy(logits, target) + (logits * 0).sum().sqrt()

        return Loss()


def test_a_gradient_that_spoils_the_weights_is_noticed_at_once(trainer: MakeTrainer) -> None:
    with pytest.raises(
        TrainingError, match=r"epoch 1, batch 1: the loss or its gradient is not finite.*lowered once before"
    ):
        trainer(SteepLoss).run()


# ------------------------------------------------------------------------------- a GPU too small


class Full(nn.Module):
    """A network on a GPU that holds no more than one sample at once."""

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network = network
        self.asked: list[int] = []

    def forward(self, image: Tensor) -> Any:
        self.asked.append(len(image))
        if len(image) > 1:
            raise torch.cuda.OutOfMemoryError("CUDA out of memory.")
        return self.network(image)


class SmallGpu(Trainer):
    @classmethod
    def build_network(cls, plan: ConfigurationPlan, in_channels: int, classes: int) -> nn.Module:
        return Full(super().build_network(plan, in_channels, classes))


class SmallGpuBatchNorm(SmallGpu):
    recipe = RECIPES["TrainerBatchNorm"]


def test_batch_normalisation_is_not_computed_in_parts(trainer: MakeTrainer) -> None:
    with pytest.raises(TrainingError, match="cannot be computed in parts, as the network normalises over the batch"):
        trainer(SmallGpuBatchNorm, epochs=1).run()


def test_a_gpu_too_small_for_the_batch_learns_the_same_sample_by_sample(
    trainer: MakeTrainer, caplog: pytest.LogCaptureFixture
) -> None:
    whole, small = trainer(epochs=1, precision="fp32"), trainer(SmallGpu, fold="fold_1", epochs=1, precision="fp32")
    whole.run()
    with caplog.at_level(logging.WARNING, logger="autoseg"):
        small.run()

    assert caplog.text.count("does not hold 3 samples at once, so from now on they are computed 1 at a time") == 1
    expected = weights(whole)
    for name, tensor in weights(small).items():
        assert torch.allclose(tensor, expected[name.removeprefix("network.")], rtol=1e-3, atol=1e-5)
    assert history(small)[0]["loss"] == pytest.approx(history(whole)[0]["loss"], rel=1e-5)
    assert history(small)[0]["dice_per_class"] == pytest.approx(history(whole)[0]["dice_per_class"], rel=0.02)


def test_a_batch_that_no_memory_of_a_computer_holds_is_refused_before_it_begins(trainer: MakeTrainer) -> None:
    with pytest.raises(
        TrainingError, match=r"takes at least \d+\.\d GB of memory, and .* are free; use a smaller `batch_size`"
    ):
        trainer(batch_size=10**9).run()


# ------------------------------------------------------------------------- recipes of one's own


class OwnRecipe(Trainer):
    epochs = 2
    mirror = False

    def build_loss(self) -> nn.Module:
        return CrossEntropy()

    def learning_rate(self, epoch: int) -> float:
        return 0.005 / (epoch + 1)

    def build_augmentation(self) -> Augmentation:
        return self.build_validation_augmentation()


def test_a_recipe_of_ones_own_is_a_few_lines(trainer: MakeTrainer) -> None:
    made = trainer(OwnRecipe, epochs=None)
    made.run()

    assert [epoch["learning_rate"] for epoch in history(made)] == [0.005, 0.0025]
    assert history(made)[0]["loss"] > 0
    assert load_weights(made.output / "weights_final.pt").mirror_axes == ()
    assert load_weights(made.output / "weights_final.pt").trainer == "OwnRecipe"


def test_settings_win_over_the_class(trainer: MakeTrainer) -> None:
    made = trainer(OwnRecipe, epochs=1, learning_rate=0.5, batch_size=1)
    assert (made.epochs, made.initial_learning_rate, made.batch_size) == (1, 0.5, 1)

    unset = trainer(OwnRecipe, epochs=None, iterations_per_epoch=None)
    assert (unset.epochs, unset.iterations_per_epoch, unset.batch_size) == (2, 250, 3)
    assert (unset.validation_batches, trainer(iterations_per_epoch=4).validation_batches) == (50, 1)


def test_a_network_of_ones_own_is_marked_in_the_weights(trainer: MakeTrainer) -> None:
    made = trainer(Dropout, epochs=1)
    made.run()

    assert load_weights(made.output / "weights_final.pt").custom_network
    assert made.validate().mean[1]["Dice"] is not None
    with pytest.raises(ModelError, match=r"`trainer=path/to/file\.py:Dropout`"):
        load_model(made.output.parent, "3d_fullres")


def test_training_starts_from_given_weights(trainer: MakeTrainer, untouched: Trainer) -> None:
    source = untouched.output / "weights_final.pt"
    made = trainer(pretrained_weights=source, learning_rate=1e-12, epochs=1, iterations_per_epoch=1)
    made.run()

    expected, found = weights(untouched), weights(made)
    assert torch.allclose(found["encoder.0.0.0.weight"], expected["encoder.0.0.0.weight"], atol=1e-7)
    assert not torch.allclose(found["heads.0.weight"], expected["heads.0.weight"], atol=1e-3)


@pytest.mark.parametrize("resume", [True, False])
def test_finished_weights_without_their_checkpoint_are_not_replaced(trainer: MakeTrainer, resume: bool) -> None:
    """As those of a model that was installed."""
    made = trainer(epochs=1, iterations_per_epoch=1)
    made.run()
    before = (made.output / "weights_final.pt").read_bytes()
    (made.output / "checkpoint.pt").unlink()

    with pytest.raises(
        TrainingError,
        match=r"fold_0: finished weights lie here, without the checkpoint that their training could be continued from; begin "
        r"from them \(`pretrained_weights`\) under another trainer's name, or discard them with `overwrite=True`$",
    ):
        trainer(epochs=1, iterations_per_epoch=1).run(resume=resume)
    assert (made.output / "weights_final.pt").read_bytes() == before
    trainer(epochs=1, iterations_per_epoch=1).run(overwrite=True)
