"""Planning and preparing a task of a workspace; what is current already is not made again."""

from __future__ import annotations

import logging
import time
from collections.abc import Sequence
from pathlib import Path

from autoseg.dataset import Dataset, read_dataset
from autoseg.dataset.task_folds import warn_of_folds, why_no_folds
from autoseg.errors import PlanError, WorkspaceError
from autoseg.files.layout import DEFAULT_PLANS, configurations_in, plans_in
from autoseg.files.locking import require_no_holder
from autoseg.machine.pool import fitting_workers
from autoseg.paths import Workspace
from autoseg.planning.comparison import count_false_alarms
from autoseg.planning.current import current_fingerprint
from autoseg.planning.fingerprint import DatasetFingerprint
from autoseg.planning.making import NO_PLANNER, PlannerChoice, make_plans
from autoseg.planning.taking import take_plans
from autoseg.plans import Plans, load_plans
from autoseg.preprocessing.dataset import prepare_dataset
from autoseg.preprocessing.leftovers import find_leftovers, remove_leftovers
from autoseg.words import RESULT, counted, first_few

log = logging.getLogger(__name__)

BYTES_PER_WORKER = 3 * 10**9
"""A large CT with its label, cropped copies and what is sampled from it."""


def plan_and_prepare(
    task: str,
    workspace: Workspace,
    planners: PlannerChoice | None = None,
    *,
    prepare: bool = True,
    workers: int | None = None,
) -> list[Path]:
    """Plan a task and prepare its cases, and say what its folds miss and how long it took; returns the files of its plans.

    Args:
        prepare: Without it the task is only planned. All else is as for `plan_task` and `prepare_task`.
    """
    started = time.monotonic()
    if reason := why_no_folds(workspace.task(task)):
        log.warning("%s", reason)
    files = plan_task(task, workspace, planners, workers=workers)
    if prepare:
        prepare_task(task, workspace, files, workers=workers)
    warn_of_folds(workspace.task(task))
    log.info("%s: done in %.0f s", task, time.monotonic() - started, extra=RESULT)
    return files


def plan_task(
    task: str,
    workspace: Workspace,
    planners: PlannerChoice | None = None,
    *,
    workers: int | None = None,
) -> list[Path]:
    """Measure a task and plan it; returns the files of its plans, or of those that are there where none is to be made.

    Args:
        task: Its folder's name.
        planners: None for ours, as they are.
        workers: Processes; None lets the machine decide.

    Raises:
        DatasetError: The task cannot be read or measured.
        PlanError: Nothing can be planned by these planners, or taken; or none is to be made and none is there.
    """
    planners, dataset = planners or PlannerChoice(), read_dataset(workspace.task(task).raw)
    folder = workspace.task(task).preprocessed
    if (planners.planner_3d, planners.planner_2d) == (NO_PLANNER, NO_PLANNER):
        return _existing_plans(folder, planners.plans or DEFAULT_PLANS)
    fingerprint = current_fingerprint(dataset, workspace, workers=fitting_workers(workers, BYTES_PER_WORKER))
    log.info("%s", describe_false_alarms(fingerprint), extra=RESULT)
    if planners.plans_from is None:
        return make_plans(fingerprint, dataset=task, folder=folder, planners=planners)
    return take_plans(planners.plans_from, fingerprint, workspace, dataset=task, planners=planners)


def prepare_task(task: str, workspace: Workspace, files: Sequence[Path], *, workers: int | None = None) -> None:
    """Prepare a task's cases for the plans in files, and remove what is prepared of cases that it no longer has.

    Raises:
        CasesFailed: Naming the cases that cannot be prepared.
    """
    dataset = read_dataset(workspace.task(task).raw)
    _prepare(dataset, [load_plans(path) for path in files], workspace, workers=workers)
    _remove_prepared(dataset, workspace)


def describe_false_alarms(fingerprint: DatasetFingerprint) -> str:
    """How often the comparison of new images would warn of training cases."""
    found = count_false_alarms(fingerprint)
    if found.rate is None:
        return "input guard of autoseg_predict: a single case is too few to say how often it would be wrong"
    names = f": {first_few(found.warned)}" if found.warned else ""
    return (
        f"input guard of autoseg_predict: of {counted(found.cases, 'training case')}, compared with the others in "
        f"cross-validation, it would warn of {len(found.warned)} ({100 * found.rate:.1f} %){names}"
    )


def _existing_plans(folder: Path, plans_name: str) -> list[Path]:
    files = [plans_in(folder, dimensions, plans_name) for dimensions in (3, 2)]
    found = [path for path in files if path.is_file()]
    if not found:
        raise PlanError(
            f"{folder}: no plans {plans_name!r} here, and `planner_3d=None, planner_2d=None` makes none; leave one of the two away"
        )
    return found


def _prepare(dataset: Dataset, all_plans: Sequence[Plans], workspace: Workspace, *, workers: int | None) -> None:
    plans = {configuration.prepared_as: one for one in all_plans for configuration in one.configurations.values()}
    prepare_dataset(
        dataset,
        plans,
        {name: workspace.task(dataset.name).prepared(name, one.identifier) for name, one in plans.items()},
        workspace.task(dataset.name).references,
        workers=workers,
    )


def _remove_prepared(dataset: Dataset, workspace: Workspace) -> None:
    """Remove what is prepared of cases that the dataset no longer lists, unless somebody trains; either way it is said."""
    task, listed = workspace.task(dataset.name).preprocessed, {case.identifier for case in dataset.training}
    leftovers = find_leftovers(task, listed)
    if not leftovers:
        return
    names = f"{counted(len(leftovers), 'prepared case')} that dataset.json no longer lists: {first_few(leftovers)}"
    try:
        for configuration in configurations_in(workspace.results):
            require_no_holder(workspace.results / configuration / dataset.name)
    except WorkspaceError as error:
        log.warning("%s: kept %s; %s, then run autoseg_plan_and_preprocess again", dataset.name, names, error)
        return
    remove_leftovers(task, leftovers, listed, workspace.task(dataset.name).references)
    log.info("%s: removed %s", dataset.name, names, extra=RESULT)
