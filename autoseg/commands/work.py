"""The work of `autoseg_run`, with every path in it: what is asked for, and what the plans make of that."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Collection, Mapping, Sequence
from functools import partial
from importlib import import_module
from pathlib import Path

import autoseg
from autoseg.commands.arguments import spelt
from autoseg.commands.planning import NO_PLANNER, find_planner
from autoseg.commands.running import Parser
from autoseg.dataset import read_dataset
from autoseg.dataset.splits import FOLDS
from autoseg.errors import PlanError, WorkspaceError
from autoseg.files.layout import DEFAULT_PLANS, ModelFolder, ModelKey, in_usual_order, plans_in
from autoseg.files.storage import read_json
from autoseg.jobs.workflow import Configuration, Words, Work
from autoseg.paths import Workspace
from autoseg.plans import Plans, find_plans, load_plans

LAUNCHER = (sys.executable, str(Path(autoseg.__file__).with_name("__main__.py")))
"""By its path: `-m` would look into the working folder first."""

FOLLOWS = {"3d_cascade_fullres": "3d_lowres"}
"""As the planners plan it; only for telling the steps before there are plans, which then say it themselves."""

SET_BY_THE_RUN = {
    "plan_and_preprocess": {"help", "tasks", "plans", "plan_only", "verify_dataset_integrity", "patients"},
    "train": {
        "help",
        "resume",
        "overwrite",
        "validate_only",
        "valbest",
        "find_lr",
        "npz",
        "plans",
        "own_settings",
    },
}
"""Options of the commands that a run gives itself; it takes all others from the user and passes them on."""

INCIDENTAL = {"tl", "tf", "device", "precision", "num_workers", "no_compile", "checkpoint_minutes"}
"""Options that may change without anything being done again: they decide how fast, or where, not what."""


def make_work(arguments: argparse.Namespace, workspace: Workspace) -> Work:
    """What is asked for, as far as it can be said without plans.

    Raises:
        WorkspaceError: There is no such task, or the archive's name does not end in .zip or is another file's.
        ExtensionError: There is no such planner.
    """
    from autoseg.sharing.archive import is_archive

    task = workspace.find_task(arguments.task)
    archive = arguments.archive or workspace.task(task).run_folder / f"{task}.zip"
    if archive.suffix != ".zip":
        raise WorkspaceError(f"{archive}: an archive's name ends in .zip; name it {archive.name}.zip")
    if archive.is_file() and not is_archive(archive):
        raise WorkspaceError(f"{archive}: there already, and no archive of models; name another file")
    plans_name = arguments.plans or _default_identifier(arguments, workspace)
    planners = (arguments.planner_3d, arguments.planner_2d)
    return Work(
        task=task,
        trainer=arguments.trainer,
        plans=plans_name,
        launcher=LAUNCHER,
        everywhere=("--home", str(arguments.home)) if arguments.home else (),
        raw=workspace.task(task).raw,
        find_planned_files=partial(_planned_files, task, plans_name, planners, workspace),
        planners=planners,
        splits=workspace.task(task).splits,
        folds=tuple(sorted(set(arguments.folds))) if arguments.folds else _all_folds(task, workspace),
        selection=workspace.task(task).selection,
        archive=archive.absolute(),
        planning=words_of("plan_and_preprocess", arguments),
        training=words_of("train", arguments),
    )


def passed_on(command: str) -> list[argparse.Action]:
    """The options of a step's command that a run has, too."""
    scratch = Parser(add_help=False)
    import_module(f"autoseg.commands.{command}").add_arguments(scratch)
    return [
        action for action in scratch._actions if action.option_strings and action.dest not in SET_BY_THE_RUN[command]
    ]


def words_of(command: str, arguments: argparse.Namespace) -> Words:
    """The options given for a step's command, as they stand on its command line."""
    decisive: list[str] = []
    incidental: list[str] = []
    for action in passed_on(command):
        words = incidental if action.dest in INCIDENTAL else decisive
        words += spelt(action, getattr(arguments, action.dest))
    return Words(decisive=tuple(decisive), incidental=tuple(incidental))


def planned_configurations(work: Work, workspace: Workspace, wanted: Sequence[str] | None) -> list[Configuration]:
    """The configurations to train: the wanted ones, and those that they follow, each behind the one it follows.

    Args:
        wanted: None for all that are planned.

    Raises:
        PlanError: A wanted configuration is not planned, or nothing is.
    """
    plans = _plans(work.task, work.plans, work.planners, workspace)
    planned = in_usual_order(plans)
    if not planned:
        raise PlanError(f"{work.task}: nothing is planned as {work.plans!r}; leave away -pl3d None and -pl2d None")
    if unplanned := [name for name in wanted or () if name not in planned]:
        lowres = {*FOLLOWS, *FOLLOWS.values()} & set(unplanned)
        raise PlanError(
            f"{work.task}: {', '.join(unplanned)} not planned, planned are {', '.join(planned)}; leave it away from -m"
            + (", or let it be planned with --force_lowres" if lowres else "")
        )
    follows = {name: previous for name in planned if (previous := plans[name].configuration(name).previous)}
    return _configurations(work, workspace, wanted or planned, follows, plans)


def expected_configurations(work: Work, workspace: Workspace, wanted: Sequence[str]) -> list[Configuration]:
    """The same before there are plans."""
    return _configurations(work, workspace, wanted, FOLLOWS, {})


def model_folder(configuration: str, work: Work, workspace: Workspace) -> ModelFolder:
    """Where a configuration is trained."""
    return workspace.model(ModelKey.named(work.task, configuration, work.trainer, work.plans))


def _configurations(
    work: Work, workspace: Workspace, wanted: Sequence[str], follows: dict[str, str], plans: dict[str, Plans]
) -> list[Configuration]:
    followed = {follows[name] for name in wanted if name in follows}
    every_fold = tuple(sorted({*work.folds, *_all_folds(work.task, workspace)}))
    configurations = []
    for name in _in_turn({*followed, *wanted}, follows):
        # Each case of a cascade needs the prediction of the fold that did not learn from it.
        folds = every_fold if name in followed else work.folds
        prepared_name = plans[name].configuration(name).prepared_as if name in plans else name
        configurations.append(
            Configuration(
                name=name,
                folds=folds,
                previous=follows.get(name),
                plans_file=find_plans(workspace.task(work.task), name, work.plans),
                prepared=workspace.task(work.task).prepared(prepared_name, work.plans),
                model=model_folder(name, work, workspace),
                is_candidate=name in wanted,
            )
        )
    return configurations


def _in_turn(names: Collection[str], follows: Mapping[str, str]) -> list[str]:
    """Each behind the one that it follows."""
    ordered: list[str] = []
    for name in in_usual_order(names):
        chain = [name]
        while (before := follows.get(chain[-1], name)) in names and before not in chain:
            chain.append(before)
        ordered += [one for one in reversed(chain) if one not in ordered]
    return ordered


def _plans(task: str, plans_name: str, planners: Sequence[str], workspace: Workspace) -> dict[str, Plans]:
    """By configuration, of the planners that are asked for; with neither, of the plans that are there."""
    kinds = dict(zip((3, 2), planners, strict=True))
    asked = [dimensions for dimensions, planner in kinds.items() if planner != NO_PLANNER] or list(kinds)
    paths = [plans_in(workspace.task(task).preprocessed, dimensions, plans_name) for dimensions in asked]
    found = [load_plans(path) for path in paths if path.is_file()]
    return {name: plans for plans in found for name in plans.configurations}


def _planned_files(task: str, plans_name: str, planners: Sequence[str], workspace: Workspace) -> tuple[Path, ...]:
    """The plans that are there, and the marker of every prepared case."""
    plans = _plans(task, plans_name, planners, workspace)
    files = {find_plans(workspace.task(task), name, plans_name) for name in plans}
    prepared_names = {plans[name].configuration(name).prepared_as for name in plans}
    cases = [case.identifier for case in read_dataset(workspace.task(task).raw).training]
    folders = [workspace.task(task).prepared(name, plans_name) for name in sorted(prepared_names)]
    found = (*sorted(files), *(folder / f"{case}.json" for folder in folders for case in cases))
    return tuple(path.absolute() for path in found)


def _all_folds(task: str, workspace: Workspace) -> tuple[str, ...]:
    """Those of the user's own splits, else five."""
    path = workspace.task(task).splits
    content = read_json(path) if path.is_file() else None
    number = len(content) if isinstance(content, list) and content else FOLDS
    return tuple(str(fold) for fold in range(number))


def _default_identifier(arguments: argparse.Namespace, workspace: Workspace) -> str:
    """One name for all plans of a run: that of a planner which has a name of its own, if there is one."""
    from autoseg import planning
    from autoseg.planning.planner import default_identifier

    if arguments.plans_from is not None:
        source = workspace.find_task(arguments.plans_from.partition(":")[0])
        return f"from_{source.partition('_')[0]}"
    choices = ((arguments.planner_3d, planning.Planner3D), (arguments.planner_2d, planning.Planner2D))
    names = [default_identifier(find_planner(name, base)) for name, base in choices if name != NO_PLANNER]
    return next((name for name in names if name != DEFAULT_PLANS), DEFAULT_PLANS)
