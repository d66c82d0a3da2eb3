"""How a trained model is named on a command line: the command that trains it, and the options that choose it."""

from __future__ import annotations

import shlex

from autoseg.files.layout import DEFAULT_PLANS
from autoseg.files.model_folder import ModelKey


def training_words(model: ModelKey, fold: str, *options: str) -> tuple[str, ...]:
    """The command line that trains a fold, or does what the options say."""
    plans = () if model.plans == DEFAULT_PLANS else ("-p", model.plans)
    return ("autoseg_train", model.configuration, model.named_trainer, model.task, fold, *options, *plans)


def training_command(model: ModelKey, fold: str, *options: str) -> str:
    """The same in one line."""
    return shlex.join(training_words(model, fold, *options))


def choosing_words(model: ModelKey) -> str:
    """The options that choose one of several models of a task."""
    return f"-m {model.configuration} -tr {model.trainer} -p {model.plans}"
