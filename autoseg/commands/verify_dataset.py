"""`autoseg_verify_dataset`: read every image of a task and report all that is wrong at once."""

from __future__ import annotations

import argparse

from autoseg.commands.arguments import add_patients, add_tasks, add_workers
from autoseg.commands.running import Command, Parser, say_next
from autoseg.commands.settings import typed
from autoseg.errors import DatasetError
from autoseg.paths import Workspace


def add_arguments(parser: Parser) -> None:
    """The command's own options."""
    add_tasks(parser)
    add_workers(parser, what="read images")
    add_patients(parser)


def run(arguments: argparse.Namespace, workspace: Workspace) -> None:
    """Verify each task; those with errors are named at the end."""
    from autoseg.dataset.patients_file import write_patients

    tasks = [workspace.find_task(task) for task in arguments.tasks]
    if arguments.patients:
        for task in tasks:
            write_patients(workspace.task(task), arguments.patients)
    verify_tasks(tasks, workspace, workers=arguments.workers)
    drawing = [("autoseg_plot_task", "-t", task, "-o", "pictures") for task in tasks if len(tasks) == 1]
    say_next(*drawing, ("autoseg_plan_and_preprocess", "-t", *tasks), home=arguments.home)


def verify_tasks(tasks: list[str], workspace: Workspace, *, workers: int | None = None) -> None:
    """Print the report of each task.

    Raises:
        DatasetError: After all reports, when one of them has errors.
    """
    from autoseg.planning.verification import verify_dataset

    faulty = []
    for task in tasks:
        folder = workspace.task(task)
        report = verify_dataset(folder.raw, splits=folder.splits, workers=workers)
        print(typed(str(report)))
        if report.errors:
            faulty.append(f"{task} ({len(report.errors)})")
    if faulty:
        raise DatasetError(f"errors in {', '.join(faulty)}; put right what the report names and verify again")


COMMAND = main = Command(
    name="autoseg_verify_dataset",
    summary="read every image of a task and report everything that is wrong with it",
    reads="raw_data/TaskXXX_Name: dataset.json and every image and label file",
    writes="the report is printed, and the exit code is 1 when it has errors, 0 when only warnings;\n"
    "with --patients raw_data/TaskXXX_Name/patients.json, which is never overwritten",
    example="autoseg_verify_dataset -t 4\n"
    "autoseg_verify_dataset -t 4 --patients '^[^_]+'      (the patient is what stands before the first _)",
    add_arguments=add_arguments,
    run=run,
)
