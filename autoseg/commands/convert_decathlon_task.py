"""`autoseg_convert_decathlon_task`: a task of the Medical Segmentation Decathlon becomes a raw task of ours."""

from __future__ import annotations

import argparse

from autoseg.commands.arguments import add_source, add_task_number, add_workers
from autoseg.commands.running import Command, Parser, say_next
from autoseg.paths import Workspace


def add_arguments(parser: Parser) -> None:
    """The command's own options."""
    add_source(parser, "the decathlon's folder, TaskXX_Name")
    add_task_number(parser, "the decathlon's")
    add_workers(parser, what="convert images")


def run(arguments: argparse.Namespace, workspace: Workspace) -> None:
    """Convert into raw_data."""
    from autoseg.conversion.decathlon import convert_decathlon_task

    number, workers = arguments.task_number, arguments.workers
    converted = convert_decathlon_task(arguments.source, workspace.raw_data, number, workers=workers)
    print(f"written: {converted}")
    say_next(("autoseg_verify_dataset", "-t", converted.name), home=arguments.home)


COMMAND = main = Command(
    name="autoseg_convert_decathlon_task",
    summary="convert a task of the Medical Segmentation Decathlon",
    reads="FOLDER/{dataset.json,imagesTr,labelsTr,imagesTs} with 3D or 4D images <case>.nii.gz",
    writes="raw_data/TaskXXX_Name with one 3D file for each channel, <case>_0000.nii.gz; FOLDER stays as it is",
    example="autoseg_convert_decathlon_task -i Task04_Hippocampus -output_task_id 4",
    add_arguments=add_arguments,
    run=run,
)
