"""Datasets as people have them, each in its own layout, to raw tasks of ours. The source stays as it is."""

from __future__ import annotations

import logging
import re
from collections.abc import Collection
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from autoseg.conversion.building import BYTES_PER_WORKER, require_free_number, require_outside
from autoseg.conversion.decathlon import write_decathlon_task
from autoseg.conversion.recognition import DECATHLON, understand_dataset
from autoseg.conversion.settings import ConversionSettings
from autoseg.conversion.understood import Understood
from autoseg.conversion.writing import write_task
from autoseg.dataset.facts import FactsTable, read_facts
from autoseg.dataset.folds import FOLDS, is_fixed
from autoseg.errors import StorageError, WorkspaceError
from autoseg.files.layout import CONVERSION_FILE
from autoseg.files.records import RecordFormat, read_record, write_record
from autoseg.machine.pool import fitting_workers
from autoseg.words import counted, readable

log = logging.getLogger(__name__)

FIRST_OWN_NUMBER = 500
"""The field's habit: published tasks have smaller numbers."""


def _completed(content: dict[str, Any]) -> dict[str, Any]:
    """With what earlier versions did not write."""
    settings = content.get("settings")
    return {**content, "settings": {"roi_margin": None, **settings}} if isinstance(settings, dict) else content


FORMAT = RecordFormat(number=1, completed=_completed)

TASK_NAME = re.compile(r"\w[\w.-]*")
TASK_FOLDER = re.compile(r"Task(\d+)_.+")


@dataclass(frozen=True, slots=True, kw_only=True)
class Conversion:
    """What was understood, and the folder that was written."""

    understood: Understood
    folder: Path


def convert_dataset(
    source: Path, raw_data: Path, settings: ConversionSettings, *, tasks: Collection[str] = (), workers: int | None = 1
) -> Conversion:
    """Write `raw_data/TaskXXX_Name` from a dataset in one of the known layouts; the new folder appears whole or not.

    Args:
        source: The dataset's folder, or a file of paths.
        tasks: Folder names of all tasks known, whose numbers are not free.
        workers: Processes; None lets the machine decide.

    Raises:
        DatasetError: The layout is none of these, or its files or what is known of its cases do not fit it.
        WorkspaceError: The task, or another of its number, exists; nothing is ever overwritten. Or it would lie among the
            files that are converted.
    """
    planned = plan_conversion(source, raw_data, settings, tasks=tasks, workers=workers)
    write_conversion(planned, settings, workers=workers)
    return planned


def plan_conversion(
    source: Path, raw_data: Path, settings: ConversionSettings, *, tasks: Collection[str] = (), workers: int | None = 1
) -> Conversion:
    """What would be written, and where; as for `convert_dataset`, but nothing is."""
    understood = understand_dataset(source, settings, workers=fitting_workers(workers, BYTES_PER_WORKER))
    name = settings.name or understood.name
    if not TASK_NAME.fullmatch(name):
        raise WorkspaceError(
            f"{readable(name)}: a task's name has letters, digits, _ - and . only; choose another (`name`)"
        )
    number = _free_number(name, understood.number if settings.number is None else settings.number, tasks)
    target = raw_data / f"Task{number:03d}_{name}"
    require_free_number(target)
    cases = (*understood.training, *understood.test)
    require_outside(target, {path.parent for case in cases for path in case.paths})
    _warn_of_few_cases(understood)
    return Conversion(understood=understood, folder=target)


def write_conversion(planned: Conversion, settings: ConversionSettings, *, workers: int | None = 1) -> None:
    """Write the task that was planned, and what it was made of."""
    source, workers = planned.understood.source, fitting_workers(workers, BYTES_PER_WORKER)
    if planned.understood.layout == DECATHLON:
        write_decathlon_task(source, planned.folder, remap_labels=settings.remap_labels, workers=workers)
    else:
        write_task(planned.understood, planned.folder, link=settings.link, workers=workers)
    record = ConversionRecord(source=str(source.resolve()), settings=_deciding(settings))
    write_record(planned.folder / CONVERSION_FILE, record, FORMAT)


@dataclass(frozen=True, slots=True, kw_only=True)
class ConversionRecord:
    """What a task was made of."""

    source: str
    settings: ConversionSettings

    def is_of(self, source: Path, settings: ConversionSettings) -> bool:
        """Whether it was made of this, in this way; where it lies and whether files were linked does not matter."""
        return self.source == str(source.resolve()) and self.settings == _deciding(settings)


def read_conversion(raw: Path) -> ConversionRecord | None:
    """What a raw task was made of; None where nobody wrote that down, or it cannot be read."""
    try:
        return read_record(raw / CONVERSION_FILE, ConversionRecord, FORMAT)
    except StorageError:
        return None


def _deciding(settings: ConversionSettings) -> ConversionSettings:
    return replace(settings, number=None, name=None, link=False)


def _warn_of_few_cases(understood: Understood) -> None:
    """Folds are made late, when all is converted, planned and prepared."""
    cases = (*understood.training, *understood.test)
    if understood.facts is None:
        facts = read_facts(understood.source, {case.identifier for case in cases})
    else:
        facts = FactsTable(by_case=understood.facts)
    groups = {facts.patient(case.identifier) for case in understood.training}
    if len(groups) < FOLDS and not is_fixed(
        {case.identifier: facts.of(case.identifier) for case in understood.training}
    ):
        log.warning(
            "%s: %s with labels, too few for %s; add more, or train fold `all`, which keeps none to score by",
            *(
                readable(understood.source),
                counted(len(groups), "patient" if facts.patients else "case"),
                counted(FOLDS, "fold"),
            ),
        )


def _free_number(name: str, number: int | None, tasks: Collection[str]) -> int:
    taken = {int(match[1]): task for task in tasks if (match := TASK_FOLDER.fullmatch(task))}
    if number is None:
        return next(free for free in range(FIRST_OWN_NUMBER, FIRST_OWN_NUMBER + len(taken) + 1) if free not in taken)
    if number in taken and taken[number] != f"Task{number:03d}_{name}":
        raise WorkspaceError(
            f"the number {number} is that of {readable(taken[number])}; choose another one with `number`"
        )
    return number
