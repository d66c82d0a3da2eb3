"""The folds of a task and its cases held against each other, for whoever trains, compares or verifies."""

from __future__ import annotations

import logging

from autoseg.dataset.cases import Case
from autoseg.dataset.description import inspect_description, known_facts
from autoseg.dataset.folds import FOLDS, is_fixed, too_few_by_default
from autoseg.dataset.splits import describe_gaps, read_splits
from autoseg.errors import DatasetError
from autoseg.files.task_folder import TaskFolder

log = logging.getLogger(__name__)


def fold_gaps(task: TaskFolder) -> tuple[str, ...]:
    """What is amiss with the task's folds and what is known of its cases, a line each; nothing without dataset.json.

    Raises:
        TrainingError: splits_final.json cannot be read.
        DatasetError: What is known of the cases cannot.
    """
    cases = _identifiers(task)
    if not cases:
        return ()
    facts = known_facts(task.raw)
    return (*facts.remarks, *describe_gaps(task.splits, cases, facts=facts))


def why_no_folds(task: TaskFolder) -> str | None:
    """Why no folds can be made of the task; None where they can, or are there already."""
    cases = _identifiers(task)
    if not cases or task.splits.is_file():
        return None
    facts = known_facts(task.raw)
    reason = too_few_by_default({case: facts.of(case) for case in cases})
    return reason and f"{task.name}: {reason}"


def warn_of_folds(task: TaskFolder) -> None:
    """Say what is amiss with the task's folds."""
    for line in fold_gaps(task):
        log.warning("%s", line)


def numbered_folds(task: TaskFolder) -> tuple[str, ...]:
    """Those of splits_final.json, or where it is not there as many as are made.

    Raises:
        TrainingError: The file is damaged.
        DatasetError: What is known of the cases cannot be read.
    """
    if task.splits.is_file():
        return tuple(str(fold) for fold in range(len(read_splits(task.splits))))
    facts = known_facts(task.raw)
    fixed = is_fixed({case: facts.of(case) for case in _identifiers(task)})
    return tuple(str(fold) for fold in range(1 if fixed else FOLDS))


def listed_cases(task: TaskFolder, *, with_test: bool = False) -> tuple[Case, ...]:
    """The training cases that the task's dataset.json lists; none where it is not here, or not in order."""
    if not task.dataset.is_file():
        return ()
    try:
        found = inspect_description(task.raw)
    except DatasetError:  # what is wrong with it, whoever needs it says
        return ()
    return () if found.problems else (*found.training, *(found.test if with_test else ()))


def _identifiers(task: TaskFolder) -> tuple[str, ...]:
    return tuple(dict.fromkeys(case.identifier for case in listed_cases(task)))
