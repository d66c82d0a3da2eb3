"""`autoseg_convert_dataset`: a dataset in whatever layout becomes a raw task of ours."""

from __future__ import annotations

import argparse
from dataclasses import replace

from autoseg.commands.arguments import add_source, add_workers
from autoseg.commands.running import Command, Parser, say_next
from autoseg.commands.settings import typed
from autoseg.commands.taking_in import add_conversion, chosen_conversion
from autoseg.paths import Workspace


def add_arguments(parser: Parser) -> None:
    """The command's own options."""
    add_source(parser, "the dataset, anywhere on the disk")
    add_conversion(parser)
    parser.add_argument("--link", action="store_true", help="point to the files rather than copy them")
    add_workers(parser, what="read labels and copy files")


def run(arguments: argparse.Namespace, workspace: Workspace) -> None:
    """Convert into raw_data and say what was understood."""
    from autoseg.conversion.layouts import convert_dataset

    settings = replace(chosen_conversion(arguments), link=arguments.link)
    conversion = convert_dataset(
        arguments.source, workspace.raw_data, settings, tasks=workspace.tasks(), workers=arguments.workers
    )
    print(typed(conversion.understood.report()))
    print(f"written: {conversion.folder}")
    say_next(("autoseg_verify_dataset", "-t", conversion.folder.name), home=arguments.home)


COMMAND = main = Command(
    name="autoseg_convert_dataset",
    summary="convert a dataset, whatever its layout: it is recognised",
    reads="FOLDER in one of these layouts: TaskXXX_Name of autoseg or nnU-Net's first generation; DatasetXXX_Name of its\n"
    "second (channel_names, file_ending); a task of the Medical Segmentation Decathlon; folders images and labels\n"
    "with files of equal names, where each image may have several channels <label>_0000, <label>_0001, ...; BIDS;\n"
    "folders train, val and test with such folders each; a folder for each case, with its image and a folder of masks;\n"
    "DICOM series with segmentations (SEG), structure sets (RTSTRUCT) or label images;\n"
    "HDF5 files that hold image and label each; or in place of FOLDER one such file, or a table of paths (.tsv, .csv) with\n"
    "the columns image, label and any others",
    writes="raw_data/TaskXXX_Name with dataset.json, and prints what was understood; FOLDER stays as it is",
    example="autoseg_convert_dataset -i Dataset027_ACDC\n"
    "autoseg_convert_dataset -i my_scans -output_task_id 501 --name Liver --channels CT --label_names liver tumour --link\n"
    "autoseg_convert_dataset -i my_bids --contrasts T1w T2w --label_suffixes _seg-anterior _seg-posterior",
    add_arguments=add_arguments,
    run=run,
)
