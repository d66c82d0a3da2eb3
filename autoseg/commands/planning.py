"""Planning as the commands do it: the planners that were asked for, their decisions printed, their plans written."""

from __future__ import annotations

import argparse
import logging
import textwrap
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from autoseg.errors import PlanError
from autoseg.files.layout import (
    DEFAULT_PLANS,
    ModelFolder,
    plans_in,
)
from autoseg.paths import Workspace
from autoseg.plans import Plans, load_plans, require_trainable, save_plans

if TYPE_CHECKING:
    from autoseg.planning import Decision, Planner
    from autoseg.planning.fingerprint import DatasetFingerprint

log = logging.getLogger(__name__)

NO_PLANNER = "None"
LINE_WIDTH = 110


@dataclass(frozen=True, slots=True, kw_only=True)
class PlannerChoice:
    """Which planners to use, and what they are asked for; None as a name plans nothing of that kind."""

    planner_3d: str = "Planner3D"
    planner_2d: str = "Planner2D"
    gpu_memory_target: float | None = None
    force_lowres: bool = False

    @classmethod
    def of(cls, arguments: argparse.Namespace) -> PlannerChoice:
        """As given by `add_planners`."""
        return cls(
            planner_3d=arguments.planner_3d,
            planner_2d=arguments.planner_2d,
            gpu_memory_target=arguments.gpu_memory_target,
            force_lowres=arguments.force_lowres,
        )


def make_plans(
    fingerprint: DatasetFingerprint, *, dataset: str, folder: Path, planners: PlannerChoice, plans_name: str | None
) -> list[Path]:
    """Plan 3D and 2D, print every decision with its reason, and write `<plans>_plans_3D.pkl` and `_2D.pkl`.

    Args:
        dataset: Task folder's name, or what stands for it.
        plans_name: Name to file under; None is autoseg, or the class's name for a user's planner.

    Returns:
        The files written. 3D is left out, and said so, where every case is a single slice.
    """
    from autoseg import planning
    from autoseg.planning.cost import explain_cost

    written: list[Path] = []
    told: set[Decision] = set()
    for reference, dimensions, base in (
        (planners.planner_3d, 3, planning.Planner3D),
        (planners.planner_2d, 2, planning.Planner2D),
    ):
        if reference == NO_PLANNER:
            continue
        if dimensions != 2 and planning.is_two_dimensional(fingerprint):
            _require_2d(planners, plans_in(folder, 2, plans_name or DEFAULT_PLANS), dataset)
            print(f"{dataset}: every case is a single slice, so only 2d is planned")
            continue
        planner = find_planner(reference, base)(
            fingerprint=fingerprint,
            dataset=dataset,
            gpu_memory_target=planners.gpu_memory_target,
            identifier=plans_name,
            **({"force_lowres": True} if planners.force_lowres and dimensions != 2 else {}),
        )
        plans = planner.plan()
        decided = [decision for decision in planner.decisions if decision not in told]
        _print_decisions(plans, [*decided, *explain_cost(plans, fingerprint)])
        _warn_of_cost(plans, fingerprint)
        told.update(planner.decisions)
        written.append(_save(plans, folder, dimensions))
    return written


def take_plans(
    source: str,
    fingerprint: DatasetFingerprint,
    workspace: Workspace,
    *,
    dataset: str,
    planners: PlannerChoice,
    plans_name: str | None,
) -> list[Path]:
    """Make another task's plans this task's, print what that means, and write them.

    Args:
        source: The other task; `TASK:PLANS` where its plans have another name than autoseg.
        dataset: Task folder's name.
        planners: None as a name leaves 3D or 2D out; nothing else can be asked for.
        plans_name: Name to file under; None is from_TaskXXX.

    Returns:
        The files written.

    Raises:
        PlanError: The task has no plans, or they do not fit; or planners are asked for something as well.
    """
    from autoseg import planning
    from autoseg.planning.cost import explain_cost
    from autoseg.planning.transfer import explain_transfer, transfer_plans

    _require_no_other_wishes(planners)
    name, _, filed_under = source.partition(":")
    task = workspace.find_task(name)
    found: list[tuple[int, Plans]] = []
    for reference, dimensions in ((planners.planner_3d, 3), (planners.planner_2d, 2)):
        path = _plans_of(task, dimensions, filed_under or DEFAULT_PLANS, workspace)
        if reference == NO_PLANNER or path is None:
            continue
        if dimensions != 2 and planning.is_two_dimensional(fingerprint):
            print(f"{dataset}: every case is a single slice, so only 2d is planned")
            continue
        found.append((dimensions, load_plans(path)))
    if not found:
        raise PlanError(
            f"{task}: no plans {filed_under or DEFAULT_PLANS!r} to take, neither in {workspace.preprocessed} nor "
            f"with a model in {workspace.results}; plan that task, install its model, or name its plans: {task}:PLANS"
        )
    written = []
    for dimensions, theirs in found:
        plans = transfer_plans(theirs, fingerprint, dataset=dataset, identifier=plans_name)
        _print_decisions(plans, [*explain_transfer(theirs, plans), *explain_cost(plans, fingerprint)])
        _warn_of_cost(plans, fingerprint)
        written.append(_save(plans, workspace.task(dataset).preprocessed, dimensions))
    return written


def _require_no_other_wishes(planners: PlannerChoice) -> None:
    default = PlannerChoice()
    wishes = {
        "-pl3d": planners.planner_3d not in (default.planner_3d, NO_PLANNER),
        "-pl2d": planners.planner_2d not in (default.planner_2d, NO_PLANNER),
        "-gpu_memory_target": planners.gpu_memory_target is not None,
        "--force_lowres": planners.force_lowres,
    }
    if given := [option for option, wished in wishes.items() if wished]:
        raise PlanError(f"--plans_from takes every decision from the other task; leave away {', '.join(given)}")


def _require_2d(planners: PlannerChoice, path: Path, dataset: str) -> None:
    """Refuse to plan nothing at all where 2d is all that could be planned."""
    if planners.planner_2d == NO_PLANNER and not path.is_file():
        raise PlanError(
            f"{dataset}: every case is a single slice, of which only 2d can be planned; leave away -pl2d None"
        )


def _plans_of(task: str, dimensions: int, plans_name: str, workspace: Workspace) -> Path | None:
    """A task's plans of one kind: where it was planned, else in the folder of a model, which may be all there is."""
    from autoseg.sharing.models import find_models

    planned = plans_in(workspace.task(task).preprocessed, dimensions, plans_name)
    models = [
        model.plans_file
        for model in find_models(workspace.results, task)
        if model.key.plans == plans_name and model.plans_file.is_file() and _dimensions_of(model) == dimensions
    ]
    return next((path for path in (planned, *models) if path.is_file()), None)


def _dimensions_of(model: ModelFolder) -> int:
    return load_plans(model.plans_file).configuration(model.key.configuration).dimensions


def find_planner(reference: str, base: type[Planner]) -> type[Planner]:
    """The class that a reference names: a shipped one, or `my_file.py:MyPlanner`.

    Raises:
        ExtensionError: There is no such class; the known ones are listed.
    """
    from autoseg import planning
    from autoseg.extensions import find_class

    return find_class(reference, base=base, modules=[planning])


def _print_decisions(plans: Plans, decisions: list[Decision]) -> None:
    print(f"{plans.dataset}: plans {plans.identifier!r} by {plans.planner} for {', '.join(plans.configurations)}")
    for decision in decisions:
        print(f"  {decision.subject}: {decision.outcome}")
        print(textwrap.fill(decision.reason, LINE_WIDTH, initial_indent="      ", subsequent_indent="      "))


def _warn_of_cost(plans: Plans, fingerprint: DatasetFingerprint) -> None:
    from autoseg.planning.cost import warn_of_cost

    for warning in warn_of_cost(plans, fingerprint):
        log.warning("%s", warning)


def _save(plans: Plans, folder: Path, dimensions: int) -> Path:
    try:
        require_trainable(plans)
    except PlanError as error:
        raise PlanError(f"{plans.dataset}: planned by {plans.planner}: {error}") from error
    path = plans_in(folder, dimensions, plans.identifier)
    if path.is_file() and load_plans(path) == plans:
        return path
    if path.is_file():
        print(f"  {path.name}: replaces other plans that were there")
    save_plans(plans, path)
    return path
