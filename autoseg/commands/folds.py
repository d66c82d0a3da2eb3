"""The folds of a task and its cases held against each other, for every command that trains, compares or verifies."""

from __future__ import annotations

import logging

from autoseg.dataset import Case, inspect_description
from autoseg.dataset.description import known_facts
from autoseg.dataset.splits import describe_gaps, too_few_for_folds
from autoseg.errors import DatasetError
from autoseg.files.layout import DATASET_FILE
from autoseg.paths import Workspace

log = logging.getLogger(__name__)


def fold_gaps(task: str, workspace: Workspace) -> tuple[str, ...]:
    """What is amiss with the task's folds and what is known of its cases, a line each; nothing without dataset.json.

    Raises:
        TrainingError: splits_final.json cannot be read.
        DatasetError: What is known of the cases cannot.
    """
    cases = _identifiers(task, workspace)
    if not cases:
        return ()
    facts = known_facts(workspace.task(task).raw)
    return (*facts.remarks, *describe_gaps(workspace.task(task).splits, cases, facts=facts))


def why_no_folds(task: str, workspace: Workspace) -> str | None:
    """Why no folds can be made of the task; None where they can, or are there already."""
    cases = _identifiers(task, workspace)
    if not cases or workspace.task(task).splits.is_file():
        return None
    facts = known_facts(workspace.task(task).raw)
    number = len({facts.patient(case) for case in cases})
    reason = too_few_for_folds(number, "patient" if number < len(cases) else "case")
    return reason and f"{task}: {reason}"


def warn_of_folds(task: str, workspace: Workspace) -> None:
    """Say what is amiss with the task's folds, once in each command."""
    for line in fold_gaps(task, workspace):
        log.warning("%s", line)


def listed_cases(task: str, workspace: Workspace, *, with_test: bool = False) -> tuple[Case, ...]:
    """The training cases that the task's dataset.json lists; none where it is not here, or not in order."""
    raw = workspace.task(task).raw
    if not (raw / DATASET_FILE).is_file():
        return ()
    try:
        found = inspect_description(raw)
    except DatasetError:  # what is wrong with it, the commands that need it say
        return ()
    return () if found.problems else (*found.training, *(found.test if with_test else ()))


def _identifiers(task: str, workspace: Workspace) -> tuple[str, ...]:
    return tuple(dict.fromkeys(case.identifier for case in listed_cases(task, workspace)))
