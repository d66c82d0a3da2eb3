"""`autoseg_plan_and_preprocess`: fingerprint, plans, prepared cases."""

from __future__ import annotations

import argparse
import logging
import time
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import autoseg
from autoseg.commands.arguments import add_planners, add_plans_name, add_tasks, positive
from autoseg.commands.folds import warn_of_folds, why_no_folds
from autoseg.commands.next_steps import Words, preparing_words, say_next
from autoseg.commands.next_training import after_planning
from autoseg.commands.patients import add_patients, write_patients
from autoseg.commands.planning import NO_PLANNER, PlannerChoice, make_plans, take_plans
from autoseg.commands.running import Command, Parser, run_command
from autoseg.commands.verify_dataset import verify_tasks
from autoseg.dataset import Case, Dataset, read_dataset
from autoseg.errors import PlanError, WorkspaceError
from autoseg.files.layout import (
    DEFAULT_PLANS,
    DEFAULT_TRAINER,
    configurations_in,
    plans_in,
)
from autoseg.files.locking import require_no_holder
from autoseg.files.storage import content_hash, file_hash, read_json, write_json
from autoseg.paths import Workspace
from autoseg.plans import Plans, load_plans
from autoseg.words import counted, first_few

if TYPE_CHECKING:
    from autoseg.planning.fingerprint import DatasetFingerprint

log = logging.getLogger(__name__)


BYTES_PER_WORKER = 3 * 10**9
"""A large CT with its label, cropped copies and what is sampled from it."""


def add_arguments(parser: Parser) -> None:
    """The command's own options."""
    add_tasks(parser)
    add_planners(parser)
    add_plans_name(
        parser,
        "file the plans under this name; with -pl3d None and -pl2d None, prepare for the plans of this name as they "
        "are (default: autoseg, or the class's name for your own planner)",
    )
    parser.add_argument(
        "--plans_from",
        metavar="TASK",
        help="take another task's plans instead, so that its weights can be trained further here "
        "(-pretrained_weights); TASK:PLANS where they have another name than autoseg. Filed under from_TaskXXX",
    )
    parser.set_defaults(plans=None)
    parser.add_argument("-no_pp", dest="plan_only", action="store_true", help="plan only, prepare no cases")
    for option, configurations in (("-tl", "3d_lowres"), ("-tf", "3d_fullres and 2d")):
        parser.add_argument(
            option,
            metavar="N",
            type=positive,
            help=f"worker processes for {configurations}; every case is read once for all configurations, so the larger "
            "of -tl and -tf counts (default: one a core, as memory allows)",
        )
    parser.add_argument(
        "--verify_dataset_integrity", action="store_true", help="verify all tasks first, and stop if one has errors"
    )
    add_patients(parser)


def run(arguments: argparse.Namespace, workspace: Workspace) -> None:
    """Verify all tasks if asked, then plan and prepare one after the other."""
    tasks = [workspace.find_task(task) for task in dict.fromkeys(arguments.tasks)]
    workers = max(filter(None, (arguments.tl, arguments.tf)), default=None)
    if arguments.patients:
        for task in tasks:
            write_patients(task, workspace, arguments.patients)
    if arguments.verify_dataset_integrity:
        verify_tasks(tasks, workspace, workers=workers)
    commands: list[Words] = []
    for task in tasks:
        files = plan_and_preprocess(
            task,
            workspace,
            planners=PlannerChoice.of(arguments),
            plans_name=arguments.plans,
            prepare=not arguments.plan_only,
            workers=workers,
            plans_from=arguments.plans_from,
        )
        plans = [load_plans(path) for path in files]
        if arguments.plan_only:
            commands += [preparing_words(task, name) for name in sorted({one.identifier for one in plans})]
        else:
            commands += after_planning(task, plans, workspace, _weights_to_start_from(arguments.plans_from, workspace))
    say_next(*commands, home=arguments.home)


def plan_and_preprocess(
    task: str,
    workspace: Workspace,
    *,
    planners: PlannerChoice,
    plans_name: str | None = None,
    prepare: bool = True,
    workers: int | None = None,
    plans_from: str | None = None,
) -> list[Path]:
    """Measure, plan and prepare one task; what is current already is not made again. Returns the files of its plans.

    Args:
        task: Its folder's name.
        plans_name: Name of the plans; None is autoseg, or a user's planner's own.
        workers: Processes; None lets the machine decide.
        plans_from: Another task whose plans are taken.
    """
    from autoseg.parallel import fitting_workers

    started = time.monotonic()
    dataset = read_dataset(workspace.task(task).raw)
    if reason := why_no_folds(task, workspace):
        log.warning("%s", reason)
    count = fitting_workers(workers, BYTES_PER_WORKER)
    folder = workspace.task(task).preprocessed
    if (planners.planner_3d, planners.planner_2d) == (NO_PLANNER, NO_PLANNER):
        files = _existing_plans(folder, plans_name or DEFAULT_PLANS)
    else:
        fingerprint = current_fingerprint(dataset, workspace, workers=count)
        print(describe_false_alarms(fingerprint))
        if plans_from is None:
            files = make_plans(fingerprint, dataset=task, folder=folder, planners=planners, plans_name=plans_name)
        else:
            files = take_plans(
                plans_from, fingerprint, workspace, dataset=task, planners=planners, plans_name=plans_name
            )
    if prepare:
        _prepare(dataset, [load_plans(path) for path in files], workspace, workers=workers)
        remove_prepared(dataset, workspace)
    warn_of_folds(task, workspace)
    print(f"{task}: done in {time.monotonic() - started:.0f} s")
    return files


def _weights_to_start_from(plans_from: str | None, workspace: Workspace) -> dict[str, Path]:
    """Of each configuration that the task was trained for whose plans were taken."""
    from autoseg.sharing.models import find_models

    if plans_from is None:
        return {}
    task, _, plans_name = plans_from.partition(":")
    return {
        model.key.configuration: model.fold(model.folds()[0]).weights()
        for model in find_models(workspace.results, workspace.find_task(task))
        if model.folds() and (model.key.trainer, model.key.plans) == (DEFAULT_TRAINER, plans_name or DEFAULT_PLANS)
    }


def current_fingerprint(dataset: Dataset, workspace: Workspace, *, workers: int) -> DatasetFingerprint:
    """The task's fingerprint: read if the images and labels are those it was measured on, else measured."""
    from autoseg.planning.fingerprint import extract_fingerprint, load_fingerprint, save_fingerprint

    path, marker = workspace.task(dataset.name).fingerprint, workspace.task(dataset.name).fingerprint_source
    source = {"format": 1, "hash": _source_hash(dataset, workers)}
    if path.is_file() and marker.is_file() and read_json(marker) == source:
        known = load_fingerprint(path)
        if known.intensity_ranges and known.likenesses:  # an earlier version did not measure them
            log.info("%s: the fingerprint is current", dataset.name)
            return known
    fingerprint = extract_fingerprint(dataset, workers=workers)
    save_fingerprint(fingerprint, path)
    write_json(marker, source)
    return fingerprint


def describe_false_alarms(fingerprint: DatasetFingerprint) -> str:
    """How often the comparison of new images would warn of training cases."""
    from autoseg.planning.comparison import count_false_alarms

    found = count_false_alarms(fingerprint)
    if found.rate is None:
        return "input guard of autoseg_predict: a single case is too few to say how often it would be wrong"
    names = f": {first_few(found.warned)}" if found.warned else ""
    return (
        f"input guard of autoseg_predict: of {counted(found.cases, 'training case')}, compared with the others in "
        f"cross-validation, it would warn of {len(found.warned)} ({100 * found.rate:.1f} %){names}"
    )


def _source_hash(dataset: Dataset, workers: int) -> str:
    """Of all that the fingerprint is made from; a newer version may measure differently."""
    from autoseg.parallel import run_on_cases

    files = run_on_cases(_case_hash, dataset.training, task="looking for changes", workers=workers)
    return content_hash(autoseg.__version__, dataset.channels, dataset.target, files)


def _case_hash(case: Case) -> tuple[str, ...]:
    parts = [str(image.part) for image in case.images if image.part is not None]
    return (case.identifier, *map(file_hash, case.paths), *parts)


def _existing_plans(folder: Path, plans_name: str) -> list[Path]:
    files = [plans_in(folder, dimensions, plans_name) for dimensions in (3, 2)]
    found = [path for path in files if path.is_file()]
    if not found:
        raise PlanError(
            f"{folder}: no plans {plans_name!r} here, and -pl3d None -pl2d None makes none; leave one of the two away"
        )
    return found


def _prepare(dataset: Dataset, all_plans: Sequence[Plans], workspace: Workspace, *, workers: int | None) -> None:
    from autoseg.preprocessing.dataset import prepare_dataset

    plans = {configuration.prepared_as: one for one in all_plans for configuration in one.configurations.values()}
    prepare_dataset(
        dataset,
        plans,
        {name: workspace.task(dataset.name).prepared(name, one.identifier) for name, one in plans.items()},
        workspace.task(dataset.name).references,
        workers=workers,
    )


def remove_prepared(dataset: Dataset, workspace: Workspace) -> None:
    """Remove what is prepared of cases that the dataset no longer lists, unless somebody trains; either way it is said."""
    from autoseg.preprocessing.leftovers import find_leftovers, remove_leftovers

    task, listed = workspace.task(dataset.name).preprocessed, {case.identifier for case in dataset.training}
    leftovers = find_leftovers(task, listed)
    if not leftovers:
        return
    names = f"{counted(len(leftovers), 'prepared case')} that dataset.json no longer lists: {first_few(leftovers)}"
    try:
        for configuration in configurations_in(workspace.results):
            require_no_holder(workspace.results / configuration / dataset.name)
    except WorkspaceError as error:
        log.warning("%s: kept %s; %s, then run autoseg_plan_and_preprocess again", dataset.name, names, error)
        return
    remove_leftovers(task, leftovers, listed, workspace.task(dataset.name).references)
    print(f"{dataset.name}: removed {names}")


COMMAND = Command(
    name="autoseg_plan_and_preprocess",
    summary="measure a task, plan everything about its networks, and prepare its cases for training",
    reads="raw_data/TaskXXX_Name: dataset.json, imagesTr, labelsTr",
    writes="preprocessed/TaskXXX_Name: fingerprint.json, <plans>_plans_3D.pkl and _2D.pkl with .json views,\n"
    "<plans>_<configuration>/ with the prepared cases, gt_segmentations/ with the true labels.\n"
    "What is there and current is kept; stopped half-way, running again continues.",
    example="autoseg_plan_and_preprocess -t 4 --verify_dataset_integrity\n"
    "autoseg_plan_and_preprocess -t 4 -pl3d my_planner.py:MyPlanner -pl2d None\n"
    "autoseg_plan_and_preprocess -t 7 --plans_from 4      (then: train it from the weights of task 4)",
    add_arguments=add_arguments,
    run=run,
)
main = partial(run_command, COMMAND)
