"""`autoseg_convert_dataset`: a dataset in whatever layout becomes a raw task of ours."""

from __future__ import annotations

import argparse
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from autoseg.commands.arguments import add_workers, folder, not_negative
from autoseg.commands.running import Command, Parser, run_command, say_next
from autoseg.commands.settings import typed
from autoseg.paths import Workspace

if TYPE_CHECKING:
    from autoseg.conversion.layouts import Conversion, ConversionSettings

BYTES_PER_WORKER = 2 * 10**9
"""A 4D image of the largest tasks, or a label image and its distinct values."""


def add_arguments(parser: Parser) -> None:
    """The command's own options."""
    parser.add_argument(
        "-i", dest="source", metavar="FOLDER", type=folder, required=True, help="the dataset, anywhere on the disk"
    )
    parser.add_argument(
        "-output_task_id",
        dest="task_number",
        metavar="N",
        type=not_negative,
        help="number of the new task (default: that of the folder's name, else the first free one from 500)",
    )
    parser.add_argument("--name", metavar="NAME", help="name of the new task (default: that of the folder)")
    parser.add_argument("--link", action="store_true", help="point to the files rather than copy them")
    parser.add_argument(
        "--channels",
        metavar="NAME",
        nargs="+",
        help="for folders without dataset.json: what the channels are; CT is normalised in its own way",
    )
    parser.add_argument(
        "--label_names",
        metavar="NAME",
        nargs="+",
        help="for folders without dataset.json: what labels 1, 2, ... are (default: what the files name them)",
    )
    parser.add_argument(
        "--remap_labels",
        action="store_true",
        help="renumber label values with gaps in the copies (0 and 255 become 0 and 1)",
    )
    add_workers(parser, what="read labels and copy files")


def run(arguments: argparse.Namespace, workspace: Workspace) -> None:
    """Convert into raw_data and say what was understood."""
    from autoseg.conversion.layouts import ConversionSettings

    conversion = convert_dataset(
        arguments.source,
        workspace,
        ConversionSettings(
            number=arguments.task_number,
            name=arguments.name,
            link=arguments.link,
            remap_labels=arguments.remap_labels,
            channels=tuple(arguments.channels) if arguments.channels else None,
            labels=tuple(arguments.label_names) if arguments.label_names else None,
        ),
        workers=arguments.workers,
    )
    print(typed(conversion.understood.report()))
    print(f"written: {conversion.folder}")
    say_next(("autoseg_verify_dataset", "-t", conversion.folder.name), home=arguments.home)


def convert_dataset(
    source: Path, workspace: Workspace, settings: ConversionSettings, *, workers: int | None = None
) -> Conversion:
    """Convert a dataset in one of the known layouts into `raw_data/TaskXXX_Name`; the source stays as it is."""
    from autoseg.conversion.layouts import convert_dataset
    from autoseg.machine.pool import fitting_workers

    return convert_dataset(
        source,
        workspace.raw_data,
        settings,
        tasks=workspace.tasks(),
        workers=fitting_workers(workers, BYTES_PER_WORKER),
    )


COMMAND = Command(
    name="autoseg_convert_dataset",
    summary="convert a dataset, whatever its layout: it is recognised",
    reads="FOLDER in one of four layouts: TaskXXX_Name of autoseg or nnU-Net's first generation; DatasetXXX_Name of its\n"
    "second (channel_names, file_ending); a task of the Medical Segmentation Decathlon; folders images and labels\n"
    "with files of equal names, where each image may have several channels <label>_0000, <label>_0001, ...",
    writes="raw_data/TaskXXX_Name with dataset.json, and prints what was understood; FOLDER stays as it is",
    example="autoseg_convert_dataset -i Dataset027_ACDC\n"
    "autoseg_convert_dataset -i my_scans -output_task_id 501 --name Liver --channels CT --label_names liver tumour --link",
    add_arguments=add_arguments,
    run=run,
)
main = partial(run_command, COMMAND)
