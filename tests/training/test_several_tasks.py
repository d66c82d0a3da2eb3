"""Several tasks at once: one encoder, batches of each, and models that are as ordinary as any."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from autoseg.errors import Interrupted, TrainingError
from autoseg.files.model_folder import FoldFolder
from autoseg.images import write_image
from autoseg.inference.model import load_model, load_weights, weights_sha256
from autoseg.inference.predictor import Predictor
from autoseg.plans import Plans
from autoseg.preprocessing.label_arrays import sample_foreground
from autoseg.preprocessing.store import PreparedCases
from autoseg.training import Split, Trainer, TrainingSettings, find_trainer
from autoseg.training.fold.data import FoldData
from autoseg.training.fold.replacing import keep_new, recover
from autoseg.training.sampling.batches import BatchKey
from autoseg.training.sampling.samples import TRAINING, VALIDATION
from autoseg.training.sampling.turns import Turns
from autoseg.training.several_tasks import DataOfTasks, TrainerOfTasks

CASES = tuple(f"ball_{number}" for number in range(6))
SPLITS = Split(training=CASES[:2], validation=CASES[4:]), Split(training=CASES[1:4], validation=CASES[:1])
SHORT = {"epochs": 2, "iterations_per_epoch": 4, "validation_batches": 1, "batch_size": 2, "tasks": ["4", "44"]}

MakeTrainer = Callable[..., Trainer]


@pytest.fixture(scope="module")
def whole_balls(store: PreparedCases, tmp_path_factory: pytest.TempPathFactory) -> tuple[PreparedCases, Path]:
    """The same balls as cases of a task that knows no cores, and their files."""
    cases, files = PreparedCases(tmp_path_factory.mktemp("whole")), tmp_path_factory.mktemp("files")
    for identifier in CASES:
        case = store.load(identifier)
        assert case.segmentation is not None
        labels = np.minimum(case.segmentation, 1)
        cases.save(replace(case, segmentation=labels, foreground=sample_foreground(labels, [1])), "signature")
        write_image(files / f"{identifier}.nii.gz", labels.clip(min=0), case.properties.geometry)
    return cases, files


@pytest.fixture
def data(
    store: PreparedCases, references: Path, whole_balls: tuple[PreparedCases, Path], plans: Plans, tmp_path: Path
) -> Callable[..., DataOfTasks]:
    def make(name: str, other_plans: Plans | None = None) -> DataOfTasks:
        words = {"configuration": "3d_fullres", "cases": store, "references": references, "plans": plans}
        folder = tmp_path / name
        own = {**words, "split": SPLITS[0], "output": folder / "cores" / "fold_0"}
        balls = other_plans or replace(plans, dataset="Task044_Balls", labels=("background", "ball"))
        other = {**words, "split": SPLITS[1], "output": folder / "balls" / "fold_0", "plans": balls}
        other |= {"cases": whole_balls[0], "references": whole_balls[1]}
        return DataOfTasks(**own, others=(FoldData(**other),))

    return make


@pytest.fixture
def trainer(data: Callable[..., DataOfTasks], tmp_path: Path) -> MakeTrainer:
    def make(recipe: dict[str, Any] | None = None, name: str = "one", **words: Any) -> Trainer:
        path = tmp_path / "joint.json"
        path.write_text(json.dumps(SHORT | (recipe or {})))
        settings = words.pop("settings", TrainingSettings(seed=3, workers=0, precision="fp32"))
        return find_trainer(str(path)).build(data(name, **words), settings=settings, device="cpu")

    return make


def folders(trainer: Trainer) -> tuple[Path, Path]:
    return trainer.output, trainer.data.others[0].output  # type: ignore[attr-defined]


def test_each_task_has_its_turn_or_as_many_batches_as_cases() -> None:
    turns, sizes, alone = Turns(sizes=(10, 30)), Turns(sizes=(10, 30), order="sizes"), Turns(sizes=(5,))
    keys = [BatchKey(TRAINING, 3, number) for number in range(400)]

    assert [turns.task_of(key) for key in keys[:5]] == [0, 1, 0, 1, 0]
    assert sum(sizes.task_of(key) for key in keys) == pytest.approx(300, abs=2)
    assert sum(sizes.task_of(key) for key in keys[:20]) == pytest.approx(15, abs=1)
    assert {alone.task_of(key) for key in keys} == {0}
    assert sizes.task_of(BatchKey(VALIDATION, 0, 1)) == 0


@pytest.mark.parametrize("more", [{}, {"task_order": "sizes", "weight_average": 0.5, "batch_steps": "mixup"}])
def test_a_break_changes_nothing_and_each_task_gets_an_ordinary_model(trainer: MakeTrainer, more: Any) -> None:
    whole, broken = trainer(more), trainer(more, "broken")
    whole.run()
    left = iter(range(6))
    with pytest.raises(Interrupted):
        broken.run(should_stop=lambda: next(left, None) is None)
    broken.run(resume=True)

    files = [[load_weights(folder / "weights_final.pt") for folder in folders(one)] for one in (whole, broken)]
    assert [weights_sha256(file.weights) for file in files[0]] == [weights_sha256(file.weights) for file in files[1]]
    cores, balls = (file.weights for file in files[0])
    same = {name for name in cores if torch.equal(cores[name], balls[name])}
    assert {name for name in cores if name.startswith("encoder.")} <= same
    assert not any(name.startswith(("heads.", "decoder.0.0.0.weight")) for name in same)
    assert [len(weights["heads.0.weight"]) for weights in (cores, balls)] == [3, 2]
    for folder, outputs in zip(folders(whole), (3, 2), strict=True):
        model = load_model(folder.parent, "3d_fullres")
        scores = torch.cat(
            [
                slab.scores
                for slab in Predictor.from_folder(folder.parent, "3d_fullres").scores(whole.cases.load(CASES[0]))
            ],
            dim=1,
        )
        assert scores.shape[0] == outputs == len(model.plans.target.outputs)
        assert (folder / "run.json").is_file()
        assert json.loads((folder / "run.json").read_text())["weights_sha256"] is not None
    sessions = [json.loads((folder / "run.json").read_text())["sessions"] for folder in folders(broken)]
    assert [[(one["epoch"], one["iteration"]) for one in of_task] for of_task in sessions] == [[(0, 0), (1, 2)]] * 2


def test_every_task_learns_is_validated_and_scored(trainer: MakeTrainer, caplog: pytest.LogCaptureFixture) -> None:
    made = trainer({"epochs": 3, "iterations_per_epoch": 16})
    assert "; together with Task044_Balls (3 cases)" in made.describe()
    made.run()
    caplog.set_level("INFO")
    summary = made.validate()
    other = json.loads((folders(made)[1] / "validation_raw" / "summary.json").read_text())

    epochs = json.loads((made.output / "history.json").read_text())["epochs"]
    assert summary.foreground_mean["Dice"] > 0.5
    assert 0.5 < epochs[-1]["overlap_per_class"][0] < 1
    assert other["results"]["mean"]["1"]["Dice"] > 0.7
    assert "validation: Dice of ball 0." in caplog.text
    again = Trainer(made.data.others[0], recipe=made.recipe, name=made.name, device="cpu")  # type: ignore[attr-defined]
    assert again.validate().foreground_mean["Dice"] == pytest.approx(other["results"]["mean"]["1"]["Dice"])


def test_what_was_trained_is_replaced_in_every_task_or_in_none(trainer: MakeTrainer) -> None:
    made = trainer({"epochs": 1})
    made.run()
    before = [(folder / "weights_final.pt").read_bytes() for folder in folders(made)]
    with pytest.raises(TrainingError, match="balls/fold_0: finished weights lie here"):
        made.run()
    assert [(folder / "weights_final.pt").read_bytes() for folder in folders(made)] == before
    trainer({"epochs": 2}).run(overwrite=True)
    assert all((folder / "weights_final.pt").read_bytes() not in before for folder in folders(made))


def test_what_was_set_aside_in_another_task_comes_back_unless_the_first_one_saved_its_state(tmp_path: Path) -> None:
    first, other = (FoldFolder(folder=tmp_path / name) for name in ("first", "other"))

    def set_aside() -> None:
        other.replaced.folder.mkdir(parents=True)
        (other.replaced.folder / "weights_final.pt").write_text("before")

    set_aside()
    recover(other, saved_in=first)
    assert other.weights().read_text() == "before"
    other.weights().unlink()
    set_aside()
    first.folder.mkdir()
    first.checkpoint.write_text("new")
    recover(other, saved_in=first)
    assert not other.weights().exists() and other.replaced.folder.is_dir()
    keep_new(other)
    assert not other.replaced.folder.exists()


def test_what_another_task_has_is_not_replaced_where_nothing_is_continued(trainer: MakeTrainer) -> None:
    made = trainer({"epochs": 1})
    made.run()
    first, other = folders(made)
    shutil.rmtree(first)
    with pytest.raises(TrainingError, match="balls/fold_0: finished weights lie here, without the checkpoint"):
        made.run(resume=True)
    assert not (first / "checkpoint.pt").exists()
    assert (other / "weights_final.pt").is_file()


def test_a_failure_before_anything_is_saved_puts_back_what_every_task_had(trainer: MakeTrainer) -> None:
    made = trainer({"epochs": 1})
    made.run()
    before = [{path.name for path in folder.iterdir()} for folder in folders(made)]
    failing = trainer({"epochs": 2, "frozen": 0.5})
    with pytest.raises(TrainingError, match=r"must come from another training: name its weights"):
        failing.run(overwrite=True)
    assert [{path.name for path in folder.iterdir()} for folder in folders(made)] == before


def test_frozen_numbers_are_not_counted_as_trained_in_any_task(trainer: MakeTrainer, tmp_path: Path) -> None:
    made = trainer({"epochs": 1})
    made.run()
    kept = shutil.copy(made.output / "weights_final.pt", tmp_path / "kept.pt")
    settings = TrainingSettings(seed=3, workers=0, precision="fp32", pretrained_weights=Path(kept))
    again = trainer({"epochs": 1, "frozen": 0.5}, "again", settings=settings)
    again.run()
    counted = [
        [json.loads((folder / "run.json").read_text())["parameters"] for folder in folders(one)]
        for one in (made, again)
    ]
    assert all(0 < few < all_ for all_, few in zip(*counted, strict=True))


def test_plans_that_make_another_encoder_are_refused(trainer: MakeTrainer, plans: Plans) -> None:
    plan = plans.configuration("3d_fullres")
    wider = replace(plan, sampling=replace(plan.sampling, patch_size=(16, 16, 16)))
    other = replace(plans, dataset="Task044_Balls", configurations={"3d_fullres": wider})
    with pytest.raises(
        TrainingError,
        match=r"Task044_Balls cannot share an encoder with .*: patch 16x16x16, expected 8x12x8; plan it as that one is",
    ):
        trainer(other_plans=other)


def test_a_network_without_an_encoder_and_a_lone_task_are_refused(trainer: MakeTrainer) -> None:
    with pytest.raises(
        TrainingError, match=r"tasks: torch.nn:Conv3d has no encoder that several tasks could share; name another"
    ):
        trainer({"network": {"name": "torch.nn:Conv3d", "kernel_size": 3, "padding": 1}}).run()
    with pytest.raises(Exception, match=r"joint.json: tasks: two or more, each once, found 4$"):
        trainer({"tasks": ["4"]})


def test_the_data_of_all_tasks_are_a_condition(trainer: MakeTrainer) -> None:
    made = trainer()
    assert isinstance(made, TrainerOfTasks)
    alone = FoldData(**{name: getattr(made.data, name) for name in FoldData.__dataclass_fields__})
    assert made.data.signature != alone.signature
    assert made.data.signature == trainer().data.signature
