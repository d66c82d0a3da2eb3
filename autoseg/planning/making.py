"""Plans by the planners that are asked for: every decision logged with its reason, the plans written."""

from __future__ import annotations

import logging
import textwrap
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from autoseg.errors import AutosegError, CasesFailed, PlanError, WorkspaceError
from autoseg.extensions import find_class
from autoseg.files.layout import BOXES, DEFAULT_PLANS, PLANES, VIEWS_FILE, plans_in
from autoseg.planning.cost import explain_cost, warn_of_cost
from autoseg.planning.explanation import Decision
from autoseg.planning.fingerprint import DatasetFingerprint, is_two_dimensional, load_fingerprint
from autoseg.planning.planner import Planner
from autoseg.planning.planner_2d import Planner2D
from autoseg.planning.planner_3d import Planner3D
from autoseg.planning.task_views import directions_of_task
from autoseg.planning.views import voxels_in_space
from autoseg.plans import Direction, Plans, load_plans, require_trainable, save_plans
from autoseg.plans.configuration import MOST_VIEWS
from autoseg.words import RESULT

log = logging.getLogger(__name__)

NO_PLANNER = "None"
LINE_WIDTH = 110


@dataclass(frozen=True, slots=True, kw_only=True)
class PlannerChoice:
    """Which planners to use, what they are asked for, and what their plans are called.

    Attributes:
        planner_3d, planner_2d: Shipped ones, or `my_file.py:MyPlanner`; None as a name plans nothing of that kind.
        gpu_memory_target: GB that training may take; None is the planner's own.
        force_lowres: Plan the low resolution and the cascade in any case.
        plans: Name to file them under; None is autoseg, or the class's name for a user's planner.
        multiplanar, multiplanar_3d: Plan planes, or boxes, along several directions, too.
        views: How many directions, or a file of them; None takes those of the task, or draws six.
        plans_from: Another task whose plans are taken, `TASK` or `TASK:PLANS`; None plans anew.

    Raises:
        PlanError: What is to look along directions has no planner, or views are too many or have nothing that looks along them.
    """

    planner_3d: str = "Planner3D"
    planner_2d: str = "Planner2D"
    gpu_memory_target: float | None = None
    force_lowres: bool = False
    plans: str | None = None
    plans_from: str | None = None
    multiplanar: bool = False
    multiplanar_3d: bool = False
    views: int | Path | None = None

    def __post_init__(self) -> None:
        planners = {PLANES: ("planner_2d", self.planner_2d), BOXES: ("planner_3d", self.planner_3d)}
        for name in self.looking:
            kind, planner = planners[name]
            if planner == NO_PLANNER:
                raise PlanError(
                    f"`{name}`: `{kind}`, which plans it, is {NO_PLANNER}; name one, or leave away `{name}`"
                )
        if isinstance(self.views, int) and not 1 <= self.views <= MOST_VIEWS:
            raise PlanError(f"`views`: from 1 to {MOST_VIEWS} directions, found {self.views}")
        if self.views is not None and not (self.looking or self.plans_from):
            raise PlanError(
                f"`views`: are what `{PLANES}` and `{BOXES}` look along; ask for one of these, or leave away `views`"
            )

    @property
    def looking(self) -> tuple[str, ...]:
        """The configurations asked for that look along directions."""
        wished = {PLANES: self.multiplanar, BOXES: self.multiplanar_3d}
        return tuple(name for name, is_wished in wished.items() if is_wished)

    def looks(self, dimensions: int) -> bool:
        """Whether the planner of so many dimensions is asked to look along directions."""
        return self.multiplanar_3d if dimensions == len("zyx") else self.multiplanar


def make_plans(fingerprint: DatasetFingerprint, *, dataset: str, folder: Path, planners: PlannerChoice) -> list[Path]:
    """Plan 3D and 2D, log every decision with its reason, and write `<plans>_plans_3D.pkl` and `_2D.pkl`.

    Args:
        dataset: Task folder's name, or what stands for it.

    Returns:
        The files written. 3D is left out, and said so, where every case is a single slice.

    Raises:
        PlanError: What is asked for cannot be planned for these cases, or without a planner.
    """
    _require_volumes(planners, fingerprint, dataset)
    directions = _directions(planners, fingerprint, folder) if planners.looking else ()
    written: list[Path] = []
    told: set[Decision] = set()
    for reference, dimensions, base in (
        (planners.planner_3d, 3, Planner3D),
        (planners.planner_2d, 2, Planner2D),
    ):
        if reference == NO_PLANNER:
            continue
        if dimensions != 2 and is_two_dimensional(fingerprint):
            _require_2d(planners, plans_in(folder, 2, planners.plans or DEFAULT_PLANS), dataset)
            log.info("%s: every case is a single slice, so only 2d is planned", dataset, extra=RESULT)
            continue
        planner = find_planner(reference, base)(
            fingerprint=fingerprint,
            dataset=dataset,
            gpu_memory_target=planners.gpu_memory_target,
            identifier=planners.plans,
            **({"force_lowres": True} if planners.force_lowres and dimensions != 2 else {}),
            **({"directions": directions} if planners.looks(dimensions) else {}),
        )
        plans = planner.plan()
        decided = [decision for decision in planner.decisions if decision not in told]
        tell_plans(plans, decided, fingerprint)
        told.update(planner.decisions)
        written.append(save_planned(plans, folder, dimensions))
    return written


def plan_from_fingerprints(files: Sequence[Path], output: Path, planners: PlannerChoice) -> None:
    """Write the plans of each fingerprint to `output/<file's name without .json>/`.

    Raises:
        WorkspaceError: Two files have the same name.
        CasesFailed: Naming each file that cannot be read or planned from; the others are done.
    """
    names = [path.name.removesuffix(".json") for path in files]
    if double := [name for name, times in Counter(names).items() if times > 1]:
        raise WorkspaceError(f"{', '.join(double)}: given twice, and each file gets one folder; rename one")
    failures = []
    for path, name in zip(files, names, strict=True):
        try:
            make_plans(load_fingerprint(path), dataset=name, folder=output / name, planners=planners)
        except AutosegError as error:
            failures.append((str(path), str(error)))
    if failures:
        raise CasesFailed("planning", failures, len(files))


def _directions(planners: PlannerChoice, fingerprint: DatasetFingerprint, folder: Path) -> tuple[Direction, ...]:
    spacings = np.array(fingerprint.spacings)
    known = np.reshape(fingerprint.directions, (-1, 3, 3))  # none in a fingerprint of an earlier version
    voxels = voxels_in_space(spacings, known if len(known) else np.stack([np.eye(3)] * len(spacings)))
    return directions_of_task(folder / VIEWS_FILE, planners.views, voxels)


def _require_volumes(planners: PlannerChoice, fingerprint: DatasetFingerprint, dataset: str) -> None:
    """Refuse to look along directions through single slices."""
    if planners.looking and is_two_dimensional(fingerprint):
        raise PlanError(
            f"{dataset}: every case is a single slice, through which nothing is cut along several directions; leave away "
            f"{' and '.join(f'`{name}`' for name in planners.looking)}, and train 2d"
        )


def _require_2d(planners: PlannerChoice, path: Path, dataset: str) -> None:
    """Refuse to plan nothing at all where 2d is all that could be planned."""
    if planners.planner_2d == NO_PLANNER and not path.is_file():
        raise PlanError(
            f"{dataset}: every case is a single slice, of which only 2d can be planned; leave away `planner_2d=None`"
        )


def find_planner(reference: str, base: type[Planner]) -> type[Planner]:
    """The class that a reference names: a shipped one, or `my_file.py:MyPlanner`.

    Raises:
        ExtensionError: There is no such class; the known ones are listed.
    """
    from autoseg import planning  # what its package lists is shipped

    return find_class(reference, base=base, modules=[planning])


def tell_plans(plans: Plans, decisions: Sequence[Decision], fingerprint: DatasetFingerprint) -> None:
    """Log what was planned, why, and what it costs."""
    lines = [f"{plans.dataset}: plans {plans.identifier!r} by {plans.planner} for {', '.join(plans.configurations)}"]
    for decision in [*decisions, *explain_cost(plans, fingerprint)]:
        reason = textwrap.fill(decision.reason, LINE_WIDTH, initial_indent="      ", subsequent_indent="      ")
        lines += [f"  {decision.subject}: {decision.outcome}", reason]
    log.info("%s", "\n".join(lines), extra=RESULT)
    for warning in warn_of_cost(plans, fingerprint):
        log.warning("%s", warning)


def save_planned(plans: Plans, folder: Path, dimensions: int) -> Path:
    """Write plans that can be trained into a folder, unless they lie there already; returns their file."""
    try:
        require_trainable(plans)
    except PlanError as error:
        raise PlanError(f"{plans.dataset}: planned by {plans.planner}: {error}") from error
    path = plans_in(folder, dimensions, plans.identifier)
    if path.is_file() and load_plans(path) == plans:
        return path
    if path.is_file():
        log.info("  %s: replaces other plans that were there", path.name, extra=RESULT)
    save_plans(plans, path)
    return path
