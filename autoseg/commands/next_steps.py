"""What comes next: at the end of a step the command lines that may follow it, each to be run as it is printed."""

from __future__ import annotations

import os
import shlex
from collections.abc import Collection
from pathlib import Path

from autoseg.commands.folds import listed_cases
from autoseg.commands.running import tell
from autoseg.dataset import image_files
from autoseg.files.layout import DEFAULT_PLANS, DEFAULT_TRAINER
from autoseg.files.model_folder import ModelKey
from autoseg.jobs.child import STEP_OF_RUN
from autoseg.paths import Workspace

Words = tuple[str, ...]

INPUT, OUTPUT, TRUE_LABELS, OWN_FOLDER = "INPUT_FOLDER", "OUTPUT_FOLDER", "TRUE_LABELS", "YOUR_FOLDER"
"""What only the user knows, to be put in."""


def say_next(*commands: Words, home: Path | None = None, where: str = "") -> None:
    """Print the commands that may follow, a line each; nothing where there is none, or where `autoseg_run` goes on itself.

    Args:
        home: As the user gave it, to be given again.
        where: Where they are to be run, if not here.
    """
    if STEP_OF_RUN in os.environ:
        return
    everywhere = () if home is None else ("--home", str(home))
    for number, command in enumerate(commands):
        tell(f"{'or' if number else 'next'}{where}: {shlex.join([*command, *everywhere])}")


def model_words(key: ModelKey) -> Words:
    """`-tr` and `-p`, where trainer or plans are not those that are taken anyhow."""
    return (*_unless(DEFAULT_TRAINER, "-tr", key.named_trainer), *_unless(DEFAULT_PLANS, "-p", key.plans))


def preparing_words(task: str, plans: str) -> Words:
    """Preparing a task's cases for plans as they are."""
    return (
        "autoseg_plan_and_preprocess",
        "-t",
        task,
        "-pl3d",
        "None",
        "-pl2d",
        "None",
        *_unless(DEFAULT_PLANS, "-p", plans),
    )


def predict_words(task: str, *options: str, output: str = OUTPUT) -> Words:
    """Predicting new images; the options say with what."""
    return ("autoseg_predict", "-i", INPUT, "-o", output, "-t", task, *options)


def after_prediction(task: str, workspace: Workspace, predictions: Path, labels: Collection[int] = ()) -> list[Words]:
    """Looking at a folder of predictions, and scoring it: training cases against the task's labels, any other against
    what the user has.

    Args:
        labels: Of the model, by which is scored where the task's dataset.json is not here.
    """
    training = {case.identifier for case in listed_cases(task, workspace)}
    truth: Words = ("-ref", TRUE_LABELS, "-t", task)
    if not workspace.task(task).dataset.is_file():
        truth = ("-ref", TRUE_LABELS, "-l", *map(str, labels))
    elif training.intersection(image_files(predictions)):
        truth = ("-t", task, "--common")
    scoring = ("autoseg_evaluate_folder", "-pred", str(predictions), *truth)
    return [*looking_words(task, workspace, predictions), scoring]


def looking_words(task: str, workspace: Workspace, predictions: Path) -> list[Words]:
    """Drawing predictions, where any is of a case of the task."""
    known = {case.identifier for case in listed_cases(task, workspace, with_test=True)}
    if not known.intersection(image_files(predictions)):
        return []
    pictures = predictions.with_name(f"{predictions.name}_pictures") if predictions.name else Path("pictures")
    return [("autoseg_plot_task", "-t", task, "-o", str(pictures), "-pred", str(predictions))]


def _unless(default: str, option: str, value: str) -> Words:
    return () if value == default else (option, value)
