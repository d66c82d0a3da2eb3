"""What comes next where images were predicted or scored, or models installed: the command lines that may follow."""

from __future__ import annotations

from collections.abc import Collection
from pathlib import Path
from typing import TYPE_CHECKING

from autoseg.command_words import TRUE_LABELS, Words, model_words, predict_words
from autoseg.dataset import image_files
from autoseg.dataset.task_folds import listed_cases
from autoseg.files.layout import PREDICTION_FILE
from autoseg.files.storage import read_json
from autoseg.files.task_folder import TaskFolder
from autoseg.paths import Workspace

if TYPE_CHECKING:
    from autoseg.sharing.card import ModelCard


def after_prediction(task: TaskFolder, predictions: Path, labels: Collection[int] = ()) -> list[Words]:
    """Looking at a folder of predictions, and scoring it: training cases against the task's labels, any other against
    what the user has.

    Args:
        labels: Of the model, by which is scored where the task's dataset.json is not here.
    """
    training = {case.identifier for case in listed_cases(task)}
    truth: Words = ("-ref", TRUE_LABELS, "-t", task.name)
    if not task.dataset.is_file():
        truth = ("-ref", TRUE_LABELS, "-l", *map(str, labels))
    elif training.intersection(image_files(predictions)):
        truth = ("-t", task.name, "--common")
    scoring = ("autoseg_evaluate_folder", "-pred", str(predictions), *truth)
    return [*after_scoring(task, predictions), scoring]


def after_ensembling(folder: Path, predictions: Path, workspace: Workspace) -> list[Words]:
    """The same of a folder of averages; nothing where the task is not here, or not known.

    Args:
        folder: One of those that were averaged, whose record names the task.
    """
    record = folder / PREDICTION_FILE
    content = read_json(record) if record.is_file() else None
    name = content.get("dataset") if isinstance(content, dict) else None
    if not isinstance(name, str) or not workspace.task(name).dataset.is_file():
        return []
    return after_prediction(workspace.task(name), predictions)


def after_scoring(task: TaskFolder, predictions: Path) -> list[Words]:
    """Drawing predictions, where any is of a case of the task."""
    known = {case.identifier for case in listed_cases(task, with_test=True)}
    if not known.intersection(image_files(predictions)):
        return []
    pictures = predictions.with_name(f"{predictions.name}_pictures") if predictions.name else Path("pictures")
    return [("autoseg_plot_task", "-t", task.name, "-o", str(pictures), "-pred", str(predictions))]


def after_installing(card: ModelCard) -> list[Words]:
    """Predicting by the selection that came along, else by each model that predicts for its own sake; its user's network
    needs a file."""
    if card.selection:
        return [predict_words(card.task, "--best")]
    refined = {model.key(card.task).of(model.previous) for model in card.models if model.previous}
    return [
        predict_words(card.task, "-m", model.configuration, *model_words(model.key(card.task)))
        for model in card.models
        if not model.custom_network and model.key(card.task) not in refined
    ]
