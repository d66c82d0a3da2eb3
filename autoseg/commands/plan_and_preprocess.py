"""`autoseg_plan_and_preprocess`: fingerprint, plans, prepared cases."""

from __future__ import annotations

import argparse
from collections.abc import Sequence

from autoseg.command_words import Words, preparing_words
from autoseg.commands.arguments import (
    add_patients,
    add_planners,
    add_plans_name,
    add_source,
    add_tasks,
    chosen_planners,
)
from autoseg.commands.running import Command, Parser, say_next
from autoseg.commands.taking_in import add_conversion, taken_in
from autoseg.commands.values import positive
from autoseg.commands.verify_dataset import verify_tasks
from autoseg.files.task_folder import TaskFolder
from autoseg.paths import Workspace
from autoseg.plans import Plans


def add_arguments(parser: Parser) -> None:
    """The command's own options."""
    data = parser.add_mutually_exclusive_group(required=True)
    add_tasks(data, required=False)
    add_source(data, "a dataset anywhere, in place of -t: it becomes a task first", required=False)
    add_planners(parser)
    add_plans_name(
        parser,
        "file the plans under this name; with -pl3d None and -pl2d None, prepare for the plans of this name as they "
        "are (default: autoseg, or the class's name for your own planner)",
        default=None,
    )
    parser.add_argument(
        "--plans_from",
        metavar="TASK",
        help="take another task's plans instead, so that its weights can be trained further here "
        "(-pretrained_weights); TASK:PLANS where they have another name than autoseg. Filed under from_TaskXXX",
    )
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
    add_conversion(parser.add_argument_group("of FOLDER, as for convert_dataset"))


def run(arguments: argparse.Namespace, workspace: Workspace) -> None:
    """Verify all tasks if asked, then plan and prepare one after the other."""
    from autoseg.dataset.patients_file import write_patients
    from autoseg.jobs.next_training import after_planning, weights_to_start_from
    from autoseg.planning.workflow import plan_and_prepare
    from autoseg.plans import load_plans

    if arguments.source is not None:
        arguments.tasks = [taken_in(arguments, workspace).name]
    planners = chosen_planners(arguments, arguments.plans_from)
    tasks = [workspace.find_task(task) for task in dict.fromkeys(arguments.tasks)]
    workers = max(filter(None, (arguments.tl, arguments.tf)), default=None)
    if arguments.patients:
        for task in tasks:
            write_patients(workspace.task(task), arguments.patients)
    if arguments.verify_dataset_integrity:
        verify_tasks(tasks, workspace, workers=workers)
    commands: list[Words] = []
    for task in tasks:
        files = plan_and_prepare(task, workspace, planners, prepare=not arguments.plan_only, workers=workers)
        plans = [load_plans(path) for path in files]
        if arguments.plan_only:
            commands += [preparing_words(task, name) for name in sorted({one.identifier for one in plans})]
        else:
            _draw_views(workspace.task(task), plans)
            commands += after_planning(task, plans, workspace, weights_to_start_from(planners.plans_from, workspace))
    say_next(*commands, home=arguments.home)


def _draw_views(task: TaskFolder, plans: Sequence[Plans]) -> None:
    """Where there are some: what they look like, for the eye."""
    if any(plan.sampling.views is not None for one in plans for plan in one.configurations.values()):
        from autoseg.reporting.views import plot_task_views

        print(f"drawn: {plot_task_views(task, plans)}")


COMMAND = main = Command(
    name="autoseg_plan_and_preprocess",
    summary="measure a task, plan everything about its networks, and prepare its cases for training",
    reads="raw_data/TaskXXX_Name: dataset.json, imagesTr, labelsTr; or with -i a dataset in any layout of convert_dataset",
    writes="preprocessed/TaskXXX_Name: fingerprint.json, <plans>_plans_3D.pkl and _2D.pkl with .json views,\n"
    "<plans>_<configuration>/ with the prepared cases, gt_segmentations/ with the true labels; for multiplanar views.json\n"
    "and views.png, the directions that it looks along.\n"
    "What is there and current is kept; stopped half-way, running again continues.",
    example="autoseg_plan_and_preprocess -i my_dataset\n"
    "autoseg_plan_and_preprocess -t 4 --verify_dataset_integrity\n"
    "autoseg_plan_and_preprocess -t 4 -pl3d my_planner.py:MyPlanner -pl2d None\n"
    "autoseg_plan_and_preprocess -t 7 --plans_from 4      (then: train it from the weights of task 4)",
    add_arguments=add_arguments,
    run=run,
)
