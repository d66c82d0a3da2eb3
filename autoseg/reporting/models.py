"""The trained models of a results folder as a table to read."""

from __future__ import annotations

from pathlib import Path

from autoseg.errors import AutosegError
from autoseg.files.layout import CHECKPOINTS
from autoseg.files.model_folder import ModelFolder
from autoseg.paths import find_models
from autoseg.reporting.columns import in_columns
from autoseg.sharing.models import load_cross_validation
from autoseg.words import counted

COLUMNS = ("task", "configuration", "trainer", "plans", "folds", "Dice", "MB")


def models_table(results: Path) -> str:
    """A line for each model: its folds, the mean cross-validated Dice over labels, the size of its weights."""
    models = sorted(find_models(results), key=lambda model: model.key.task)
    if not models:
        return f"{results}: no model yet; train one with autoseg_train, or install one with autoseg_install_model"
    return "\n".join(in_columns([COLUMNS, *map(_row, models)], "<0 " * len(COLUMNS)))


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
    try:
        scored, summary = load_cross_validation(model, folds)
    except AutosegError:
        return "damaged"  # autoseg_model_info says what is wrong; the other models are still listed
    value = summary.foreground_mean.get("Dice") if summary else None
    if value is None:
        return "-"
    return f"{value:.4f} ({counted(len(scored), 'fold')})"
