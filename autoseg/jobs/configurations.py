"""The configurations of a run: those that are planned, or before there are plans those that are expected."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from pathlib import Path

from autoseg.dataset import read_dataset
from autoseg.dataset.task_folds import numbered_folds
from autoseg.errors import PlanError
from autoseg.files.layout import CASCADE, LOW, in_usual_order, plans_in
from autoseg.files.model_folder import ModelFolder, ModelKey
from autoseg.jobs.workflow import Configuration, Work
from autoseg.paths import Workspace
from autoseg.plans import Plans, find_plans, load_plans

FOLLOWS = {CASCADE: LOW}
"""As the planners plan it; only for telling the steps before there are plans, which then say it themselves."""


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
    every_fold = tuple(sorted({*work.folds, *numbered_folds(workspace.task(work.task))}))
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
    from autoseg.planning.making import NO_PLANNER

    kinds = dict(zip((3, 2), planners, strict=True))
    asked = [dimensions for dimensions, planner in kinds.items() if planner != NO_PLANNER] or list(kinds)
    paths = [plans_in(workspace.task(task).preprocessed, dimensions, plans_name) for dimensions in asked]
    found = [load_plans(path) for path in paths if path.is_file()]
    return {name: plans for plans in found for name in plans.configurations}


def planned_files(task: str, plans_name: str, planners: Sequence[str], workspace: Workspace) -> tuple[Path, ...]:
    """The plans that are there, and the marker of every prepared case."""
    plans = _plans(task, plans_name, planners, workspace)
    files = {find_plans(workspace.task(task), name, plans_name) for name in plans}
    prepared_names = {plans[name].configuration(name).prepared_as for name in plans}
    cases = [case.identifier for case in read_dataset(workspace.task(task).raw).training]
    folders = [workspace.task(task).prepared(name, plans_name) for name in sorted(prepared_names)]
    found = (*sorted(files), *(folder / f"{case}.json" for folder in folders for case in cases))
    return tuple(path.absolute() for path in found)
