"""`autoseg_convert_decathlon_task`: a task of the Medical Segmentation Decathlon becomes a raw task of ours."""

from __future__ import annotations

import argparse
from functools import partial

from autoseg.commands.arguments import add_workers, folder, not_negative
from autoseg.commands.running import Command, Parser, run_command, say_next
from autoseg.paths import Workspace

BYTES_PER_WORKER = 2 * 10**9
"""A 4D image of the decathlon's largest tasks, and one channel of it."""


def add_arguments(parser: Parser) -> None:
    """The command's own options."""
    parser.add_argument(
        "-i", dest="source", metavar="FOLDER", type=folder, required=True, help="the decathlon's folder, TaskXX_Name"
    )
    parser.add_argument(
        "-output_task_id",
        dest="task_number",
        metavar="N",
        type=not_negative,
        help="number of the new task (default: the decathlon's)",
    )
    add_workers(parser, what="convert images")


def run(arguments: argparse.Namespace, workspace: Workspace) -> None:
    """Convert into raw_data."""
    from autoseg.conversion.decathlon import convert_decathlon_task
    from autoseg.machine.pool import fitting_workers

    converted = convert_decathlon_task(
        arguments.source,
        workspace.raw_data,
        arguments.task_number,
        workers=fitting_workers(arguments.workers, BYTES_PER_WORKER),
    )
    print(f"written: {converted}")
    say_next(("autoseg_verify_dataset", "-t", converted.name), home=arguments.home)


COMMAND = Command(
    name="autoseg_convert_decathlon_task",
    summary="convert a task of the Medical Segmentation Decathlon",
    reads="FOLDER/{dataset.json,imagesTr,labelsTr,imagesTs} with 3D or 4D images <case>.nii.gz",
    writes="raw_data/TaskXXX_Name with one 3D file for each channel, <case>_0000.nii.gz; FOLDER stays as it is",
    example="autoseg_convert_decathlon_task -i Task04_Hippocampus -output_task_id 4",
    add_arguments=add_arguments,
    run=run,
)
main = partial(run_command, COMMAND)
