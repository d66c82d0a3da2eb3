"""Planning as the commands do it: the planners that were asked for, their decisions printed, their plans written."""

from __future__ import annotations

import argparse
import textwrap
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from autoseg.paths import plans_file_in
from autoseg.plans import Plans, load_plans, save_plans

if TYPE_CHECKING:
    from autoseg.planning import Decision, Planner
    from autoseg.planning.fingerprint import DatasetFingerprint

NO_PLANNER = "None"
LINE_WIDTH = 110


@dataclass(frozen=True, slots=True, kw_only=True)
class PlannerChoice:
    """Which planners to use, and the memory they plan for; None as a name plans nothing of that kind."""

    planner_3d: str = "Planner3D"
    planner_2d: str = "Planner2D"
    gpu_memory_target: float | None = None

    @classmethod
    def of(cls, arguments: argparse.Namespace) -> PlannerChoice:
        """As given by `add_planners`."""
        return cls(
            planner_3d=arguments.planner_3d,
            planner_2d=arguments.planner_2d,
            gpu_memory_target=arguments.gpu_memory_target,
        )


def make_plans(
    fingerprint: DatasetFingerprint, *, dataset: str, folder: Path, planners: PlannerChoice, identifier: str | None
) -> list[Path]:
    """Plan 3D and 2D, print every decision with its reason, and write `<identifier>_plans_3D.pkl` and `_2D.pkl`.

    Args:
        dataset: Task folder's name, or what stands for it.
        identifier: Name to file under; None is autoseg, or the class's name for a user's planner.

    Returns:
        The files written. 3D is left out, and said so, where every case is a single slice.
    """
    from autoseg import planning

    written: list[Path] = []
    told: set[Decision] = set()
    for reference, configuration, base in (
        (planners.planner_3d, "3d_fullres", planning.Planner3D),
        (planners.planner_2d, "2d", planning.Planner2D),
    ):
        if reference == NO_PLANNER:
            continue
        if configuration != "2d" and planning.is_two_dimensional(fingerprint):
            print(f"{dataset}: every case is a single slice, so only 2d is planned")
            continue
        planner = _find_planner(reference, base)(
            fingerprint=fingerprint,
            dataset=dataset,
            labels=fingerprint.labels,
            gpu_memory_target=planners.gpu_memory_target,
            identifier=identifier,
        )
        plans = planner.plan()
        path = plans_file_in(folder, configuration, plans.identifier)
        _print_decisions(plans, [decision for decision in planner.decisions if decision not in told])
        told.update(planner.decisions)
        _save(plans, path)
        written.append(path)
    return written


def _find_planner(reference: str, base: type[Planner]) -> type[Planner]:
    from autoseg import planning
    from autoseg.extensions import find_class

    return find_class(reference, base=base, modules=[planning])


def _print_decisions(plans: Plans, decisions: list[Decision]) -> None:
    print(f"{plans.dataset}: plans {plans.identifier!r} by {plans.planner} for {', '.join(plans.configurations)}")
    for decision in decisions:
        print(f"  {decision.subject}: {decision.outcome}")
        print(textwrap.fill(decision.reason, LINE_WIDTH, initial_indent="      ", subsequent_indent="      "))


def _save(plans: Plans, path: Path) -> None:
    if path.is_file() and load_plans(path) == plans:
        return
    if path.is_file():
        print(f"  {path.name}: replaces other plans that were there")
    save_plans(plans, path)
