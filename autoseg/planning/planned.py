"""The plans of a configuration that is to be trained; where it is not planned, what is, and why."""

from __future__ import annotations

from autoseg.errors import PlanError
from autoseg.files.layout import BOXES, PLANES, SLICES, plans_in
from autoseg.files.model_folder import ModelKey
from autoseg.files.task_folder import TaskFolder
from autoseg.paths import Workspace
from autoseg.planning.fingerprint import is_two_dimensional, load_fingerprint
from autoseg.plans import Plans, load_plans, planned_in
from autoseg.plans.stored import find_planned


def load_planned(key: ModelKey, workspace: Workspace) -> Plans:
    """The plans that hold a configuration.

    Raises:
        PlanError: It is not planned; what is planned is named, and single slices are told to take 2d.
    """
    folder, configuration = workspace.task(key.task), key.configuration
    path, found = find_planned(folder, configuration, key.plans)
    if found is not None:
        return found
    slices = plans_in(folder.preprocessed, 2, key.plans)
    if configuration != SLICES and slices.is_file() and _has_single_slices(folder):
        raise PlanError(
            f"{key.task}: every case is a single slice, of which {configuration} learns nothing and is not planned; take 2d"
        )
    is_asked_for = configuration in (PLANES, BOXES)
    if path.is_file() or (is_asked_for and slices.is_file()):
        planned = ", ".join(planned_in(folder, key.plans))
        again = f"with `{configuration}`" if is_asked_for else "autoseg_plan_and_preprocess says why it was left out"
        raise PlanError(
            f"{key.task}: {configuration} is not planned; planned are {planned}; train one of these, or plan again"
            f"{'' if is_asked_for else ':'} {again}"
        )
    return load_plans(path)


def _has_single_slices(task: TaskFolder) -> bool:
    return task.fingerprint.is_file() and is_two_dimensional(load_fingerprint(task.fingerprint))
