"""`autoseg_list_models`: what is trained or installed here."""

from __future__ import annotations

import argparse
from functools import partial
from pathlib import Path

from autoseg.commands.running import Command, Parser, run_command
from autoseg.errors import AutosegError
from autoseg.files.layout import CHECKPOINTS
from autoseg.files.model_folder import ModelFolder
from autoseg.paths import Workspace
from autoseg.words import counted

COLUMNS = ("task", "configuration", "trainer", "plans", "folds", "Dice", "MB")


def add_arguments(parser: Parser) -> None:
    """The command has no options of its own."""


def run(arguments: argparse.Namespace, workspace: Workspace) -> None:  # noqa: ARG001
    """Print a line for each model."""
    print(models_table(workspace.results))


def models_table(results: Path) -> str:
    """A line for each model: its folds, the mean cross-validated Dice over labels, the size of its weights."""
    from autoseg.paths import find_models

    models = sorted(find_models(results), key=lambda model: model.key.task)
    if not models:
        return f"{results}: no model yet; train one with autoseg_train, or install one with autoseg_install_model"
    rows = [COLUMNS, *(_row(model) for model in models)]
    widths = [max(len(row[column]) for row in rows) for column in range(len(COLUMNS))]
    return "\n".join(
        "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows
    )


def _row(model: ModelFolder) -> tuple[str, ...]:
    folds = tuple(dict.fromkeys(fold for checkpoint in CHECKPOINTS for fold in model.folds(checkpoint)))
    size = sum(path.stat().st_size for path in model.all_weights())
    return (
        model.key.task,
        model.key.configuration,
        model.key.trainer,
        model.key.plans,
        " ".join(folds) or "-",
        _dice(model, folds),
        f"{size / 1e6:.1f}",
    )


def _dice(model: ModelFolder, folds: tuple[str, ...]) -> str:
    from autoseg.sharing.models import load_cross_validation

    try:
        scored, summary = load_cross_validation(model, folds)
    except AutosegError:
        return "damaged"  # autoseg_model_info says what is wrong; the other models are still listed
    value = summary.foreground_mean.get("Dice") if summary else None
    if value is None:
        return "-"
    return f"{value:.4f} ({counted(len(scored), 'fold')})"


COMMAND = Command(
    name="autoseg_list_models",
    summary="list the models that are trained or installed here",
    reads="results/",
    writes="nothing; prints a line for each model: folds, mean cross-validated Dice, size of the weights",
    example="autoseg_list_models",
    add_arguments=add_arguments,
    run=run,
)
main = partial(run_command, COMMAND)
