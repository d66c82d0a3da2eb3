"""`autoseg_write_bids`: predictions as a BIDS derivative."""

from __future__ import annotations

import argparse

from autoseg.commands.arguments import add_output, add_overwrite, add_source, add_task
from autoseg.commands.running import Command, Parser
from autoseg.commands.values import folder
from autoseg.paths import Workspace
from autoseg.words import counted


def add_arguments(parser: Parser) -> None:
    """The command's own options."""
    add_source(parser, "the BIDS dataset whose images were predicted")
    parser.add_argument("-pred", dest="predictions", metavar="DIR", type=folder, required=True, help="the predictions")
    add_task(parser, "; its labels are named in dseg.tsv")
    add_output(parser, "the derivative's folder, my_study/derivatives/autoseg for example")
    add_overwrite(parser)


def run(arguments: argparse.Namespace, workspace: Workspace) -> None:
    """Copy, and say where to."""
    from autoseg.conversion.bids_derivative import write_derivative
    from autoseg.dataset import read_dataset

    target = read_dataset(workspace.task(workspace.find_task(arguments.task)).raw).target
    written = write_derivative(
        arguments.predictions,
        arguments.source,
        arguments.output,
        target,
        overwrite=arguments.overwrite_existing,
    )
    print(f"written: {arguments.output}: {counted(len(written), 'segmentation')}")


COMMAND = main = Command(
    name="autoseg_write_bids",
    summary="predictions as a BIDS derivative",
    reads="a folder of predictions named after the images of a BIDS dataset; dataset.json of the task",
    writes="OUT: dataset_description.json, dseg.tsv with the labels' names, and\n"
    "sub-01/anat/sub-01_desc-autoseg_dseg.nii.gz for each, of masks ..._label-axon_mask.nii.gz",
    example="autoseg_write_bids -i my_study -pred predictions -t 500 -o my_study/derivatives/autoseg",
    add_arguments=add_arguments,
    run=run,
)
