"""The plans of a configuration that is to be trained; where it is not planned, what is, and why."""

from __future__ import annotations

from autoseg.errors import PlanError
from autoseg.paths import Workspace
from autoseg.plans import CONFIGURATIONS, Plans, load_plans


def load_planned(task: str, configuration: str, workspace: Workspace, identifier: str) -> Plans:
    """The plans that hold a configuration.

    Raises:
        PlanError: It is not planned; what is planned is named, and single slices are told to take 2d.
    """
    path = workspace.plans_file(task, configuration, identifier)
    files = {workspace.plans_file(task, name, identifier): None for name in CONFIGURATIONS}
    others = [file for file in files if file.is_file() and file != path]
    if not path.is_file() and not others:
        return load_plans(path)
    plans = load_plans(path if path.is_file() else others[0])
    if configuration in plans.configurations:
        return plans
    if configuration != "2d" and "2d" in plans.configurations and _has_single_slices(task, workspace):
        raise PlanError(
            f"{task}: every case is a single slice, of which {configuration} learns nothing and is not planned; take 2d"
        )
    raise PlanError(
        f"{task}: {configuration} is not planned; planned are {', '.join(plans.configurations)}; train one of these, or "
        "plan again: autoseg_plan_and_preprocess says why it was left out"
    )


def _has_single_slices(task: str, workspace: Workspace) -> bool:
    from autoseg.planning.fingerprint import is_two_dimensional, load_fingerprint

    path = workspace.fingerprint_file(task)
    return path.is_file() and is_two_dimensional(load_fingerprint(path))
