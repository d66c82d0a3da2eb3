"""The models of a results folder, their folds and their scores."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from autoseg.errors import ModelError
from autoseg.paths import find_models
from autoseg.sharing.models import LabelDice, dice_by_label, load_cross_validation


def test_models_are_found_by_configuration_task_trainer_and_plans(tmp_path: Path, train_model) -> None:
    train_model(tmp_path, "3d_fullres", folds=("0",), trainer="MyTrainer", task="Task005_Cubes")
    train_model(tmp_path, "3d_fullres", folds=("2", "0", "all", "10"))
    train_model(tmp_path, "2d", folds=())
    (tmp_path / "2d" / "notes.txt").write_text("not a model")
    (tmp_path / "selections" / "Task004_Balls").mkdir(parents=True)
    (tmp_path / "2d" / "Cubes" / "Trainer__autoseg").mkdir(parents=True)

    models = find_models(tmp_path)

    assert [(m.key.configuration, m.key.task, m.key.trainer, m.key.plans, m.folds()) for m in models] == [
        ("2d", "Task004_Balls", "Trainer", "autoseg", ()),
        ("3d_fullres", "Task004_Balls", "Trainer", "autoseg", ("0", "2", "10", "all")),
        ("3d_fullres", "Task005_Cubes", "MyTrainer", "autoseg", ("0",)),
    ]
    assert models[1].key.place == "3d_fullres/Task004_Balls/Trainer__autoseg"
    assert [model.key.task for model in find_models(tmp_path, "Task005_Cubes")] == ["Task005_Cubes"]
    assert find_models(tmp_path / "nowhere") == ()


def test_scores_are_pooled_over_the_cases_of_all_folds(tmp_path: Path, train_model) -> None:
    train_model(tmp_path, folds=("0", "1", "4", "all"))
    (model,) = find_models(tmp_path)

    scored, summary = load_cross_validation(model, model.folds())

    # Dice 0.5, 0.6 and 0.9: mean 2/3, sample deviation sqrt(0.13 / 3)
    assert scored == ("0", "1", "4")
    assert dice_by_label(summary, ("background", "ball")) == (
        LabelDice(label=1, name="ball", mean=pytest.approx(2 / 3), std=pytest.approx(0.2081666), number=3),
    )


def test_a_model_without_scores_has_none(tmp_path: Path, train_model) -> None:
    train_model(tmp_path, folds=("all",))
    (model,) = find_models(tmp_path)

    scored, summary = load_cross_validation(model, model.folds())

    assert (scored, summary, dice_by_label(summary, ("background", "ball"))) == ((), None, ())


def test_folds_scored_on_different_labels_are_not_mixed(tmp_path: Path, train_model) -> None:
    folder = train_model(tmp_path, folds=("0", "1"))
    path = folder / "fold_1" / "validation_raw" / "summary.json"
    path.write_text(json.dumps(json.loads(path.read_text().replace('"1":', '"2":'))))
    (model,) = find_models(tmp_path)

    with pytest.raises(ModelError, match=r"the folds were scored on different labels; run `Trainer.validate` anew"):
        load_cross_validation(model, model.folds())
