"""`autoseg_convert_dataset`: a dataset in whatever layout becomes a raw task of ours."""

from __future__ import annotations

import argparse

from autoseg.commands.arguments import add_source, add_task_number, add_where, add_workers
from autoseg.commands.running import Command, Parser, say_next
from autoseg.commands.settings import typed
from autoseg.paths import Workspace


def add_arguments(parser: Parser) -> None:
    """The command's own options."""
    add_source(parser, "the dataset, anywhere on the disk")
    add_task_number(parser, "that of the folder's name, else the first free one from 500")
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
    bids = parser.add_argument_group("of a BIDS dataset, where there is more than one choice")
    bids.add_argument("--contrasts", metavar="SUFFIX", nargs="+", default=[], help="images of these suffixes: T1w T2w")
    bids.add_argument(
        "--multichannel",
        action="store_true",
        help="the contrasts are channels of one case (default: cases of their own)",
    )
    bids.add_argument(
        "--label_suffixes",
        metavar="SUFFIX",
        nargs="+",
        default=[],
        help="what stands behind the image's name in the names of its labels, one for each label: _seg-anterior",
    )
    add_where(bids, "only these images")
    parser.add_argument(
        "--overlap",
        choices=("masks", "last"),
        help="labels with a file each: masks that may overlap, or one map, in which the last one counts where they do "
        "(default: one map where no two ever overlap, else masks)",
    )
    add_workers(parser, what="read labels and copy files")


def run(arguments: argparse.Namespace, workspace: Workspace) -> None:
    """Convert into raw_data and say what was understood."""
    from autoseg.conversion.layouts import ConversionSettings, convert_dataset

    settings = ConversionSettings(
        number=arguments.task_number,
        name=arguments.name,
        link=arguments.link,
        remap_labels=arguments.remap_labels,
        channels=tuple(arguments.channels) if arguments.channels else None,
        labels=tuple(arguments.label_names) if arguments.label_names else None,
        contrasts=tuple(arguments.contrasts),
        multichannel=arguments.multichannel,
        label_suffixes=tuple(arguments.label_suffixes),
        overlap=arguments.overlap,
        where=arguments.where,
    )
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
    "folders train, val and test with such folders each; a folder for each case, with its image and a folder of masks; or\n"
    "in place of FOLDER a table of paths (.tsv, .csv) with the columns image, label and any others",
    writes="raw_data/TaskXXX_Name with dataset.json, and prints what was understood; FOLDER stays as it is",
    example="autoseg_convert_dataset -i Dataset027_ACDC\n"
    "autoseg_convert_dataset -i my_scans -output_task_id 501 --name Liver --channels CT --label_names liver tumour --link\n"
    "autoseg_convert_dataset -i my_bids --contrasts T1w T2w --label_suffixes _seg-anterior _seg-posterior",
    add_arguments=add_arguments,
    run=run,
)
