"""`run.json`: what a fold was trained on, with which program and on which machine, and which weights came of it."""

from __future__ import annotations

import platform
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Any

import numpy as np
import torch
from torch import Tensor

import autoseg
from autoseg.errors import StorageError, TrainingError
from autoseg.files.model_folder import FoldFolder
from autoseg.files.records import RecordFormat, decode_record, write_record
from autoseg.files.storage import LATER, read_json, with_absent
from autoseg.inference.model import weights_sha256
from autoseg.training.augmentation.warping import CUBIC, SplineOrder
from autoseg.training.recipes.record import RecipeRecord, differences

ABSENT_BEFORE = {"recipe": None, "learning_rate": None}
ABSENT_IN_SESSIONS_BEFORE = {"interpolation": None, "augmentation": None}
"""What records that an older autoseg wrote lack."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Session:
    """One process that worked on the training.

    Attributes:
        command: The words of its command line; empty where it was started from Python.
        started: Local time.
        epoch, iteration: Where it went on: the epoch, from 0, and how many of its batches were done.
        threads: That computed; on a CPU the sums' last bits depend on it.
        interpolation: Order of the spline that images are rotated and scaled with; None where an older autoseg trained.
        augmentation: Who varied training patches, "workers" or "device"; the same up to rounding. None as before.
    """

    command: tuple[str, ...]
    started: str
    epoch: int
    iteration: int
    versions: Mapping[str, str]
    device: str
    precision: str
    deterministic: bool
    threads: int
    interpolation: SplineOrder | None = None
    augmentation: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class RunRecord:
    """What the file holds.

    Attributes:
        training, validation: The cases.
        plan, data, previous: Hashes of all in the plan that training depends on, of what the prepared cases were made
            from, and of what a cascade refines (else None).
        recipe: What it was trained with; None where an autoseg before wrote the record.
        learning_rate: Of the first epoch, where the user chose it.
        sessions: Every process that worked on it, in their order.
        finished: When the last epoch was done; None while it goes on.
        weights_sha256: Of the final weights' values; None while it goes on.
        parameters: Numbers that training changed; None while it goes on.
        memory: Bytes that the process held most, on a GPU those of the GPU; None where that is not known.
        epochs_asked: Whether the user asked for so many epochs, whatever the recipe says; also where that is not known.
    """

    trainer: str
    configuration: str
    seed: int
    epochs: int
    iterations_per_epoch: int
    batch_size: int
    training: tuple[str, ...]
    validation: tuple[str, ...]
    plan: str
    data: str
    previous: str | None
    sessions: tuple[Session, ...]
    finished: str | None = None
    weights_sha256: str | None = None
    recipe: RecipeRecord | None = None
    learning_rate: float | None = None
    parameters: int | None = field(default=None, metadata=LATER)
    memory: int | None = field(default=None, metadata=LATER)
    epochs_asked: bool = field(default=True, metadata=LATER)


def begin_run(fold: FoldFolder, record: RunRecord, *, continued: bool) -> None:
    """Write the record of a training that begins or goes on; earlier sessions are kept where it goes on."""
    before = read_run_record(fold) if continued else None
    record = replace(record, sessions=(*(before.sessions if before else ()), *record.sessions))
    write_record(fold.record, record, FORMAT)


def finish_run(fold: FoldFolder, weights: Mapping[str, Tensor], *, parameters: int, memory: int | None) -> None:
    """Add the final weights' hash, when it was known first, and what the training took."""
    record, digest = read_run_record(fold), weights_sha256(weights)
    if record is not None and record.weights_sha256 != digest:
        done = replace(record, finished=now(), weights_sha256=digest, parameters=parameters, memory=memory)
        write_record(fold.record, done, FORMAT)


def trained_cases(fold: FoldFolder) -> tuple[str, ...]:
    """The cases that the fold was trained on; none where there is no record."""
    record = read_run_record(fold)
    return record.training if record is not None else ()


def require_same_recipe(fold: FoldFolder, trainer: str, recipe: RecipeRecord) -> None:
    """Refuse a recipe that is another than that which other folds of its model were trained by.

    Models are told apart by the names of their recipes, and two files may hold two of one name.

    Raises:
        TrainingError: Naming the folds, and what differs.
    """
    for other, changed in other_recipes(fold.neighbours(), trainer, recipe):
        if other != fold:
            raise TrainingError(
                f"{other.folder}: was trained with another {trainer}: {'; '.join(changed)}; folds of one model are trained with "
                "the same recipe and code: give the class another name, or the recipe file, so that it gets a folder of its "
                f"own, or remove {fold.model} to train every fold anew"
            )


def other_recipes(
    folds: Sequence[FoldFolder], trainer: str, recipe: RecipeRecord
) -> Iterator[tuple[FoldFolder, list[str]]]:
    """The folds of a model that were trained by another recipe or code, and what differs, in words.

    Args:
        recipe: Of which only what it says is compared.
    """
    for fold in folds:
        record = read_run_record(fold)
        if record is None or record.recipe is None or record.trainer != trainer:
            continue
        values = {name: value for name, value in record.recipe.values.items() if name in recipe.values}
        if changed := differences(replace(record.recipe, values=values), recipe):
            yield fold, changed


def interpolation_before(fold: FoldFolder) -> SplineOrder | None:
    """Order of the spline that a model's folds were trained with so far; None where none was, or where it is not said."""
    for one in (fold, *fold.neighbours()):
        record = read_run_record(one)
        if record is not None and record.sessions:
            before = record.sessions[-1].interpolation
            return CUBIC if before is None else before
    return None


def read_run_record(fold: FoldFolder) -> RunRecord | None:
    """A fold's record; None where there is none.

    Raises:
        StorageError: It is damaged.
    """
    path = fold.record
    if not path.is_file():
        return None
    try:
        return decode_record(read_json(path), RunRecord, FORMAT, path, where=path.name)
    except StorageError as error:
        raise StorageError(f"{fold.folder}: {error}; delete {path.name} there, it is only a record") from error


def _completed(content: dict[str, Any]) -> dict[str, Any]:
    sessions = content.get("sessions")
    if isinstance(sessions, list):
        content = {**content, "sessions": [with_absent(session, ABSENT_IN_SESSIONS_BEFORE) for session in sessions]}
    return {**ABSENT_BEFORE, **content}


FORMAT = RecordFormat(number=2, older=(1,), completed=_completed)


def installed_versions() -> dict[str, str]:
    """Of what a training's numbers depend on."""
    return {
        "autoseg": autoseg.__version__,
        "python": platform.python_version(),
        "torch": torch.__version__,
        "numpy": np.__version__,
        "platform": platform.platform(),
    }


def now() -> str:
    """Local time, to the second."""
    return datetime.now().isoformat(timespec="seconds")


def device_name(device: torch.device) -> str:
    """With its model, where it is a GPU."""
    return f"{device} ({torch.cuda.get_device_name(device)})" if device.type == "cuda" else str(device)
