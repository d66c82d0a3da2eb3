"""`autoseg_plan_and_preprocess`: fingerprint, plans, prepared cases."""

from __future__ import annotations

import argparse
import logging
import time
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from autoseg.command_words import Words, preparing_words
from autoseg.commands.arguments import add_planners, add_plans_name, add_tasks, chosen_planners, positive
from autoseg.commands.patients import add_patients, write_patients
from autoseg.commands.running import Command, Parser, run_command, say_next
from autoseg.commands.verify_dataset import verify_tasks
from autoseg.dataset.task_folds import warn_of_folds, why_no_folds
from autoseg.files.layout import DEFAULT_PLANS, DEFAULT_TRAINER
from autoseg.jobs.next_training import after_planning
from autoseg.paths import Workspace, find_models
from autoseg.plans import load_plans

if TYPE_CHECKING:
    from autoseg.planning.making import PlannerChoice

log = logging.getLogger(__name__)


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
            planners=chosen_planners(arguments),
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
    """Plan and prepare one task, and say what its folds miss and how long it took. Returns the files of its plans."""
    from autoseg.planning.workflow import plan_task, prepare_task

    started = time.monotonic()
    if reason := why_no_folds(workspace.task(task)):
        log.warning("%s", reason)
    files = plan_task(task, workspace, planners, plans_name=plans_name, plans_from=plans_from, workers=workers)
    if prepare:
        prepare_task(task, workspace, files, workers=workers)
    warn_of_folds(workspace.task(task))
    print(f"{task}: done in {time.monotonic() - started:.0f} s")
    return files


def _weights_to_start_from(plans_from: str | None, workspace: Workspace) -> dict[str, Path]:
    """Of each configuration that the task was trained for whose plans were taken."""
    if plans_from is None:
        return {}
    task, _, plans_name = plans_from.partition(":")
    return {
        model.key.configuration: model.fold(model.folds()[0]).weights()
        for model in find_models(workspace.results, workspace.find_task(task))
        if model.folds() and (model.key.trainer, model.key.plans) == (DEFAULT_TRAINER, plans_name or DEFAULT_PLANS)
    }


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
