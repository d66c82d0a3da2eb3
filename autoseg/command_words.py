"""Command lines as words: what trains, prepares, selects and predicts, whole or with what only the user knows left open."""

from __future__ import annotations

import shlex

from autoseg.files.layout import DEFAULT_PLANS, DEFAULT_TRAINER
from autoseg.files.model_folder import ModelKey

Words = tuple[str, ...]

INPUT, OUTPUT, TRUE_LABELS, OWN_FOLDER = "INPUT_FOLDER", "OUTPUT_FOLDER", "TRUE_LABELS", "YOUR_FOLDER"
"""What only the user knows, to be put in."""

PREDICTING_BY_SELECTION = "autoseg_predict --best"
NAMING_TRAINER_FILE = "-tr path/to/file.py:{name} or path/to/{name}.json"


def training_words(model: ModelKey, fold: str, *options: str) -> Words:
    """The command line that trains a fold, or does what the options say."""
    words = ("autoseg_train", model.configuration, model.named_trainer, model.task, fold, *options)
    return (*words, *_unless(DEFAULT_PLANS, "-p", model.plans))


def training_command(model: ModelKey, fold: str, *options: str) -> str:
    """The same in one line."""
    return shlex.join(training_words(model, fold, *options))


def preparing_words(task: str, plans: str) -> Words:
    """Preparing a task's cases for plans as they are."""
    words = ("autoseg_plan_and_preprocess", "-t", task, "-pl3d", "None", "-pl2d", "None")
    return (*words, *_unless(DEFAULT_PLANS, "-p", plans))


def selecting_command(task: str) -> str:
    """Selecting the best of a task's models, in one line."""
    return shlex.join(("autoseg_find_best_configuration", "-t", task))


def predict_words(task: str, *options: str, output: str = OUTPUT) -> Words:
    """Predicting new images; the options say with what."""
    return ("autoseg_predict", "-i", INPUT, "-o", output, "-t", task, *options)


def predicting_command(key: ModelKey) -> str:
    """The same with one model, as its card shows it."""
    return shlex.join(
        ("autoseg_predict", "-i", "IN", "-o", "OUT", "-t", key.task, "-m", key.configuration, *model_words(key))
    )


def selected_command(task: str) -> str:
    """The same with the task's selection."""
    return shlex.join((*PREDICTING_BY_SELECTION.split(), "-i", "IN", "-o", "OUT", "-t", task))


def model_words(key: ModelKey) -> Words:
    """`-tr` and `-p`, where trainer or plans are not those that are taken anyhow."""
    return (*_unless(DEFAULT_TRAINER, "-tr", key.named_trainer), *_unless(DEFAULT_PLANS, "-p", key.plans))


def _unless(default: str, option: str, value: str) -> Words:
    return () if value == default else (option, value)
