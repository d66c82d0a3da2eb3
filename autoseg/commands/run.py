"""`autoseg_run`: from a raw task to the best model and its archive, in steps that survive any interruption."""

from __future__ import annotations

import argparse
import sys
from typing import TYPE_CHECKING

from autoseg.command_words import predict_words
from autoseg.commands.arguments import (
    CONFIGURATIONS,
    TRAINERS,
    add_configurations,
    add_patients,
    add_plans_name,
    add_task,
    add_trainer,
)
from autoseg.commands.handed_on import SET_BY_THE_RUN, passed_on, words_of
from autoseg.commands.running import Command, Parser, say_next
from autoseg.commands.taking_in import add_conversion, taken_in
from autoseg.commands.values import fold_number, folder
from autoseg.files.layout import BOXES, DEFAULT_TRAINER, PLANES
from autoseg.paths import Workspace

if TYPE_CHECKING:
    from autoseg.jobs.workflow import Work


def add_arguments(parser: Parser) -> None:
    """The command's own options, and those that it passes on to the steps."""
    data = parser.add_mutually_exclusive_group(required=True)
    data.add_argument(
        "source",
        metavar="FOLDER",
        nargs="?",
        type=folder,
        help="a dataset anywhere, in place of -t: it becomes a task first, of links to its files where that goes",
    )
    add_task(data, required=False)
    add_configurations(parser, f"{CONFIGURATIONS} (default: all that are planned)")
    parser.add_argument(
        "--folds",
        metavar="FOLD",
        nargs="+",
        type=fold_number,
        help="folds to train; of 3d_lowres a cascade needs all, so these are trained in any case (default: all)",
    )
    add_trainer(parser, f"{TRAINERS} (default: {DEFAULT_TRAINER})")
    add_plans_name(
        parser,
        "name of the plans, and in the folders of the models (default: autoseg, or the name of your own planner)",
        default=None,
    )
    parser.add_argument(
        "-o",
        dest="archive",
        metavar="FILE.zip",
        type=folder,
        help="the model archive (default: TaskXXX_Name.zip in results/runs/TaskXXX_Name)",
    )
    add_patients(parser)
    parser.add_argument("--dry_run", action="store_true", help="say which steps are done and which would run, and end")
    add_conversion(parser.add_argument_group("of FOLDER, as for convert_dataset"))
    for command in SET_BY_THE_RUN:
        group = parser.add_argument_group(f"passed on to {command}")
        for action in passed_on(command):
            group._add_action(action)


def run(arguments: argparse.Namespace, workspace: Workspace) -> None:
    """Run what is not done, or only say what that is."""
    from autoseg.dataset.patients_file import write_patients
    from autoseg.jobs.carrying_out import carry_out, describe

    if arguments.source is not None:
        taken = taken_in(arguments, workspace, look_only=arguments.dry_run)
        if not taken.is_there:
            return
        arguments.task = taken.name
    work = make_work(arguments, workspace)
    if arguments.patients and not arguments.dry_run:
        write_patients(workspace.task(work.task), arguments.patients)
    if arguments.dry_run:
        describe(work, workspace, arguments.configurations, sys.stdout)
        return
    carry_out(work, workspace, arguments.configurations, sys.stdout)
    say_next(predict_words(work.task, "--best"), home=arguments.home)
    say_next(("autoseg_install_model", str(work.archive)), where=" elsewhere")


def make_work(arguments: argparse.Namespace, workspace: Workspace) -> Work:
    """What is asked for, as far as it can be said without plans.

    Raises:
        WorkspaceError: There is no such task, or the archive's name does not end in .zip or is another file's.
        ExtensionError: There is no such planner.
    """
    from autoseg.jobs.asked import Wanted, prepare_work

    wanted = arguments.configurations or ()
    arguments.multiplanar |= PLANES in wanted  # what is to be trained has to be planned
    arguments.multiplanar_3d |= BOXES in wanted
    return prepare_work(
        workspace,
        Wanted(
            task=workspace.find_task(arguments.task),
            trainer=arguments.trainer,
            plans=arguments.plans,
            planners=(arguments.planner_3d, arguments.planner_2d),
            plans_from=arguments.plans_from,
            folds=tuple(arguments.folds or ()),
            archive=arguments.archive,
            everywhere=("--home", str(arguments.home)) if arguments.home else (),
            planning=words_of("plan_and_preprocess", arguments),
            training=words_of("train", arguments),
        ),
    )


COMMAND = main = Command(
    name="autoseg_run",
    summary="everything from a dataset or task to the best model and its archive; stopped anywhere, it continues",
    reads="raw_data/TaskXXX_Name: dataset.json, imagesTr, labelsTr; or a dataset's FOLDER in any layout of convert_dataset",
    writes="what its steps write: verify_dataset, plan_and_preprocess, train (every configuration and fold, with --npz),\n"
    "find_best_configuration, export_model; and results/runs/TaskXXX_Name with journal.json, logs/, the archive,\n"
    "and replaced/, where models go that other settings, plans or data have outdated.\n"
    "A finished step is left alone as long as its settings, what it reads and what it made are the same.",
    example="autoseg_run my_dataset\n"
    "autoseg_run -t 4\n"
    "autoseg_run -t 4 --dry_run\n"
    "autoseg_run -t 4 -m 2d 3d_fullres --folds 0 1 --epochs 100 -device cuda -o hippocampus.zip",
    add_arguments=add_arguments,
    run=run,
)
