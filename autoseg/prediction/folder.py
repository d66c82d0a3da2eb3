"""A folder that a selection predicts into: whose predictions it holds, which nothing else may fill up."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from autoseg.ensembling.selection import Selection, is_selection, load_selection, save_selection
from autoseg.errors import WorkspaceError
from autoseg.files.layout import PREDICTION_FILE, SELECTION_FILE
from autoseg.files.locking import create_json
from autoseg.inference.record import is_prediction_record
from autoseg.inference.settings import PredictionSettings
from autoseg.outputs import holds_segmentations, require_own_file


def require_same_selection(
    folder: Path, selection: Selection | None, settings: PredictionSettings, outputs: Sequence[Path]
) -> None:
    """Refuse to fill up a folder in which something else predicted; of what is to be replaced the record goes.

    Whether one model's predictions are of the same model and settings, their own record says later.

    Raises:
        WorkspaceError: The folder holds predictions by another selection or by a single model, or other processes may
            be filling it by these; or a record there is none of ours.
        ModelError: The record there cannot be read.
    """
    several, single = folder / SELECTION_FILE, folder / PREDICTION_FILE
    by_one = selection is None or len(selection.members) == 1
    if settings.overwrite or (settings.parts == 1 and not holds_segmentations(folder, outputs)):
        if not settings.overwrite:
            _require_records(several, single)
        (several if by_one else single).unlink(missing_ok=True)
    elif by_one:
        if several.is_file() and not single.is_file():
            raise _made_otherwise(several)
    elif selection and several.is_file() and not _is_recorded(as_used(selection, settings), several):
        raise _made_otherwise(several)
    elif single.is_file() and not several.is_file():
        raise _made_otherwise(single)


def _require_records(several: Path, single: Path) -> None:
    """Refuse to replace files that only have a record's name."""
    require_own_file(several, is_selection)
    require_own_file(single, is_prediction_record)


def claim_folder(folder: Path, selection: Selection, settings: PredictionSettings) -> None:
    """Write down by what a folder is predicted; of processes that share one the first decides for all."""
    several, single = folder / SELECTION_FILE, folder / PREDICTION_FILE
    if settings.parts > 1 and not settings.overwrite:
        created = create_json(several, selection)
        if created and len(selection.members) > 1 and single.is_file():  # a single model was as fast
            several.unlink()
            raise _made_otherwise(single)
        if not created and not _is_recorded(selection, several):
            raise _made_otherwise(several)
    save_selection(selection, several)


def as_used(selection: Selection, settings: PredictionSettings) -> Selection:
    """The selection, without its rules where none are to be applied."""
    return selection if settings.postprocess else replace(selection, rules=())


def _is_recorded(selection: Selection, record: Path) -> bool:
    found = load_selection(record)
    return (found.task, found.members, found.rules) == (selection.task, selection.members, selection.rules)


def _made_otherwise(record: Path) -> WorkspaceError:
    return WorkspaceError(
        f"{record.parent}: holds predictions made with something else ({record.name} says with what); "
        "name another folder, or predict all of them again with `overwrite`"
    )
