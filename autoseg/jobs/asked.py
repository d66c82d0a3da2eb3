"""What a run is asked for, and the work that this is in a workspace, as far as it can be said without plans."""

from __future__ import annotations

import sys
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import autoseg
from autoseg.dataset.task_folds import numbered_folds
from autoseg.errors import WorkspaceError
from autoseg.files.layout import DEFAULT_PLANS, DEFAULT_TRAINER
from autoseg.jobs.configurations import planned_files
from autoseg.jobs.workflow import StepOptions, Work
from autoseg.paths import Workspace

if TYPE_CHECKING:
    from autoseg.planning import Planner

LAUNCHER = (sys.executable, str(Path(autoseg.__file__).with_name("__main__.py")))
"""By its path: `-m` would look into the working folder first."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Wanted:
    """What a run is asked for.

    Attributes:
        task: Folder's name.
        trainer: `Trainer`, or `my_file.py:MyTrainer`.
        plans: Their name; None for autoseg, or that of a planner which has a name of its own.
        planners: Of 3D and 2D; "None" plans nothing of that kind.
        plans_from: Another task whose plans are taken.
        folds: That candidates are compared on; none for all.
        archive: The archive to write; None for one beside the journal.
        everywhere: Options that every step's command gets.
        planning: Further options of planning.
        training: Further options of training.
    """

    task: str
    trainer: str = DEFAULT_TRAINER
    plans: str | None = None
    planners: tuple[str, str] = ("Planner3D", "Planner2D")
    plans_from: str | None = None
    folds: tuple[str, ...] = ()
    archive: Path | None = None
    everywhere: tuple[str, ...] = ()
    planning: StepOptions = field(default_factory=StepOptions)
    training: StepOptions = field(default_factory=StepOptions)


def prepare_work(workspace: Workspace, wanted: Wanted) -> Work:
    """The work, with every path in it.

    Raises:
        WorkspaceError: The archive's name does not end in .zip or is another file's.
        ExtensionError: There is no such planner.
    """
    from autoseg.sharing.archive import is_archive  # not for a help

    task = wanted.task
    archive = wanted.archive or workspace.task(task).run_folder / f"{task}.zip"
    if archive.suffix != ".zip":
        raise WorkspaceError(f"{archive}: an archive's name ends in .zip; name it {archive.name}.zip")
    if archive.is_file() and not is_archive(archive):
        raise WorkspaceError(f"{archive}: there already, and no archive of models; name another file")
    plans_name = wanted.plans or _default_identifier(wanted, workspace)
    planners = wanted.planners
    return Work(
        task=task,
        trainer=wanted.trainer,
        plans=plans_name,
        launcher=LAUNCHER,
        everywhere=wanted.everywhere,
        raw=workspace.task(task).raw,
        find_planned_files=partial(planned_files, task, plans_name, planners, workspace),
        planners=planners,
        splits=workspace.task(task).splits,
        folds=tuple(sorted(set(wanted.folds))) if wanted.folds else numbered_folds(workspace.task(task)),
        selection=workspace.task(task).selection,
        archive=archive.absolute(),
        planning=wanted.planning,
        training=wanted.training,
    )


def _default_identifier(wanted: Wanted, workspace: Workspace) -> str:
    """One name for all plans of a run: that of a planner which has a name of its own, if there is one."""
    from autoseg import planning
    from autoseg.planning.making import NO_PLANNER, find_planner
    from autoseg.planning.planner import default_identifier

    if wanted.plans_from is not None:
        source = workspace.find_task(wanted.plans_from.partition(":")[0])
        return f"from_{source.partition('_')[0]}"
    bases: tuple[type[Planner], ...] = (planning.Planner3D, planning.Planner2D)
    choices = zip(wanted.planners, bases, strict=True)
    names = [default_identifier(find_planner(name, base)) for name, base in choices if name != NO_PLANNER]
    return next((name for name in names if name != DEFAULT_PLANS), DEFAULT_PLANS)
