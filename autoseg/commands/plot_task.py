"""`autoseg_plot_task`: overlay pictures of a task's cases, to look at before training and after."""

from __future__ import annotations

import argparse

from autoseg.commands.arguments import add_output, add_overwrite, add_task, add_workers
from autoseg.commands.running import Command, Parser, say_next
from autoseg.commands.values import folder, not_negative
from autoseg.files.layout import has_plans
from autoseg.paths import Workspace
from autoseg.words import counted


def add_arguments(parser: Parser) -> None:
    """The command's own options."""
    add_task(parser)
    add_output(parser, "where the pictures go", "DIR")
    parser.add_argument(
        "-pred",
        dest="predictions",
        metavar="DIR",
        type=folder,
        help="predictions of training or test cases, <case>.nii.gz or a file of each mask: only these cases, with a row for "
        "the prediction",
    )
    parser.add_argument(
        "-channel", metavar="N", type=not_negative, default=0, help="which channel of the images to show (default: 0)"
    )
    add_overwrite(parser)
    add_workers(parser, what="draw")


def run(arguments: argparse.Namespace, workspace: Workspace) -> None:
    """Draw, and say where the pictures are."""
    from autoseg.reporting.task_pictures import plot_task

    task = workspace.task(workspace.find_task(arguments.task))
    written = plot_task(
        task,
        arguments.output,
        predictions=arguments.predictions,
        channel=arguments.channel,
        overwrite=arguments.overwrite_existing,
        workers=arguments.workers,
    )
    print(f"written: {counted(len(written), 'picture')} in {arguments.output}")
    if arguments.predictions is None and not has_plans(task.preprocessed):
        say_next(("autoseg_plan_and_preprocess", "-t", task.name), home=arguments.home)


COMMAND = main = Command(
    name="autoseg_plot_task",
    summary="draw overlay pictures of a task's images, labels and predictions",
    reads="raw_data/TaskXXX_Name, and the folder of predictions if one is named",
    writes="DIR/<case>.png: cuts through the slices with most foreground, every label, region or mask outlined, also where\n"
    "they overlap, a legend with their names and, beside a reference, each one's Dice; what nobody knows is striped; in radiological convention, whatever the order the image is stored in",
    example="autoseg_plot_task -t 4 -o pictures\nautoseg_plot_task -t 4 -o pictures -pred predictions",
    add_arguments=add_arguments,
    run=run,
)
