"""The settings of a training that is continued: those it began with, where nothing else is asked for."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from autoseg.files.model_folder import FoldFolder
from autoseg.training.fold.checkpoint import load_checkpoint
from autoseg.training.fold.replacing import set_aside_in
from autoseg.training.fold.run_record import read_run_record
from autoseg.training.settings import TrainingSettings

KEPT = ("epochs", "iterations_per_epoch", "batch_size", "learning_rate", "seed")


def settings_to_continue(settings: TrainingSettings, fold: FoldFolder, *, device: str) -> TrainingSettings:
    """What is asked for, and for the rest what the fold's training had.

    Epochs that the recipe said then are the recipe's to say again, so that a longer one goes on with what a shorter one ended.
    Precision is kept on the kind of device that it was chosen on; on another, the default is taken.

    Args:
        device: Type of the device that goes on.
    """
    places = [place for place in (fold, *set_aside_in(fold)) if place.checkpoint.is_file()]
    if not places:
        return settings
    record = read_run_record(places[0])
    if record is None:
        content = load_checkpoint(places[0].checkpoint)
        return _filled(settings, {name: content.get(name) for name in KEPT})
    kept = _filled(settings, {name: getattr(record, name) for name in KEPT if name != "epochs" or record.epochs_asked})
    if not record.sessions:
        return kept
    last = record.sessions[-1]
    is_same = last.device.partition(" ")[0].partition(":")[0] == device
    precision = last.precision if kept.precision == "auto" and is_same else kept.precision
    return replace(kept, precision=precision, deterministic=kept.deterministic or last.deterministic)


def _filled(settings: TrainingSettings, known: dict[str, Any]) -> TrainingSettings:
    return replace(settings, **{name: value for name, value in known.items() if getattr(settings, name) is None})
