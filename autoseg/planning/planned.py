"""The plans of a configuration that is to be trained; where it is not planned, what is, and why."""

from __future__ import annotations

from autoseg.errors import PlanError
from autoseg.files.layout import plans_in
from autoseg.files.model_folder import ModelKey
from autoseg.paths import Workspace
from autoseg.planning.fingerprint import is_two_dimensional, load_fingerprint
from autoseg.plans import Plans, find_plans, load_plans


def load_planned(key: ModelKey, workspace: Workspace) -> Plans:
    """The plans that hold a configuration.

    Raises:
        PlanError: It is not planned; what is planned is named, and single slices are told to take 2d.
    """
    task, configuration = key.task, key.configuration
    path = find_plans(workspace.task(task), configuration, key.plans)
    slices = plans_in(workspace.task(task).preprocessed, 2, key.plans)
    if path != slices and not path.is_file() and slices.is_file() and _has_single_slices(task, workspace):
        raise PlanError(
            f"{task}: every case is a single slice, of which {configuration} learns nothing and is not planned; take 2d"
        )
    plans = load_plans(path)
    try:
        plans.configuration(configuration)
    except PlanError as error:
        remedy = "train one of these, or plan again: autoseg_plan_and_preprocess says why it was left out"
        raise PlanError(f"{error}; {remedy}") from error
    return plans


def _has_single_slices(task: str, workspace: Workspace) -> bool:
    path = workspace.task(task).fingerprint
    return path.is_file() and is_two_dimensional(load_fingerprint(path))
