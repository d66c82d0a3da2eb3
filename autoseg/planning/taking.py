"""Another task's plans, made this task's, so that its weights can be trained further here."""

from __future__ import annotations

import logging
from pathlib import Path

from autoseg.errors import PlanError
from autoseg.files.layout import DEFAULT_PLANS, plans_in
from autoseg.files.model_folder import ModelFolder
from autoseg.paths import Workspace, find_models
from autoseg.planning.fingerprint import DatasetFingerprint, is_two_dimensional
from autoseg.planning.making import NO_PLANNER, PlannerChoice, save_planned, tell_plans
from autoseg.planning.transfer import explain_transfer, transfer_plans
from autoseg.plans import Plans, load_plans
from autoseg.words import RESULT

log = logging.getLogger(__name__)


def take_plans(
    source: str, fingerprint: DatasetFingerprint, workspace: Workspace, *, dataset: str, planners: PlannerChoice
) -> list[Path]:
    """Make another task's plans this task's, log what that means, and write them.

    Args:
        source: The other task; `TASK:PLANS` where its plans have another name than autoseg.
        dataset: Task folder's name.
        planners: None as a name leaves 3D or 2D out, and the plans may have a name, else from_TaskXXX; nothing else can
            be asked for.

    Returns:
        The files written.

    Raises:
        PlanError: The task has no plans, or they do not fit; or planners are asked for something as well.
    """
    _require_no_other_wishes(planners)
    name, _, filed_under = source.partition(":")
    task = workspace.find_task(name)
    found: list[tuple[int, Plans]] = []
    for reference, dimensions in ((planners.planner_3d, 3), (planners.planner_2d, 2)):
        path = _plans_of(task, dimensions, filed_under or DEFAULT_PLANS, workspace)
        if reference == NO_PLANNER or path is None:
            continue
        if dimensions != 2 and is_two_dimensional(fingerprint):
            log.info("%s: every case is a single slice, so only 2d is planned", dataset, extra=RESULT)
            continue
        found.append((dimensions, load_plans(path)))
    if not found:
        raise PlanError(
            f"{task}: no plans {filed_under or DEFAULT_PLANS!r} to take, neither in {workspace.preprocessed} nor "
            f"with a model in {workspace.results}; plan that task, install its model, or name its plans: {task}:PLANS"
        )
    written = []
    for dimensions, theirs in found:
        plans = transfer_plans(theirs, fingerprint, dataset=dataset, identifier=planners.plans)
        tell_plans(plans, explain_transfer(theirs, plans), fingerprint)
        written.append(save_planned(plans, workspace.task(dataset).preprocessed, dimensions))
    return written


def _require_no_other_wishes(planners: PlannerChoice) -> None:
    default = PlannerChoice()
    wishes = {
        "`planner_3d`": planners.planner_3d not in (default.planner_3d, NO_PLANNER),
        "`planner_2d`": planners.planner_2d not in (default.planner_2d, NO_PLANNER),
        "`gpu_memory_target`": planners.gpu_memory_target is not None,
        "`force_lowres`": planners.force_lowres,
        "`multiplanar`": planners.multiplanar,
        "`multiplanar_3d`": planners.multiplanar_3d,
        "`views`": planners.views is not None,
    }
    if given := [name for name, wished in wishes.items() if wished]:
        raise PlanError(f"`plans_from` takes every decision from the other task; leave away {', '.join(given)}")


def _plans_of(task: str, dimensions: int, plans_name: str, workspace: Workspace) -> Path | None:
    """A task's plans of one kind: where it was planned, else in the folder of a model, which may be all there is."""
    planned = plans_in(workspace.task(task).preprocessed, dimensions, plans_name)
    models = [
        model.plans_file
        for model in find_models(workspace.results, task)
        if model.key.plans == plans_name and model.plans_file.is_file() and _dimensions_of(model) == dimensions
    ]
    return next((path for path in (planned, *models) if path.is_file()), None)


def _dimensions_of(model: ModelFolder) -> int:
    return load_plans(model.plans_file).configuration(model.key.configuration).dimensions
