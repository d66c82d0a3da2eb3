"""`autoseg_ensemble`: the mean of several models' probabilities."""

from __future__ import annotations

import argparse

from autoseg.commands.arguments import add_output, add_overwrite, add_rules, add_workers
from autoseg.commands.running import Command, Parser, say_next
from autoseg.commands.values import folder
from autoseg.paths import Workspace
from autoseg.words import counted


def add_arguments(parser: Parser) -> None:
    """The command's own options."""
    parser.add_argument(
        "-f",
        dest="folders",
        metavar="FOLDER",
        type=folder,
        nargs="+",
        required=True,
        help="folders that autoseg_predict --save_npz has written, with the same cases",
    )
    add_output(parser, "where the results go")
    add_rules(parser, "a postprocessing.json to apply to the labels")
    parser.add_argument("--npz", action="store_true", help="also write the mean probabilities")
    add_overwrite(parser)
    add_workers(parser, what="average cases")


def run(arguments: argparse.Namespace, workspace: Workspace) -> None:
    """Average, and say where the results are."""
    from autoseg.ensembling.averaging import ensemble_folders
    from autoseg.jobs.next_steps import after_ensembling
    from autoseg.outputs import AVERAGING, copy_beside, require_room_for_copy
    from autoseg.postprocessing.rules import load_rules

    if arguments.rules and not arguments.overwrite_existing:
        require_room_for_copy(arguments.rules, arguments.output, AVERAGING)
    written = ensemble_folders(
        arguments.folders,
        arguments.output,
        rules=load_rules(arguments.rules) if arguments.rules else (),
        probabilities=arguments.npz,
        overwrite=arguments.overwrite_existing,
        workers=arguments.workers,
    )
    if arguments.rules:
        copy_beside(arguments.rules, arguments.output)
    print(f"written: {counted(len(written), 'segmentation')} in {arguments.output}")
    say_next(*after_ensembling(arguments.folders[0], arguments.output, workspace), home=arguments.home)


COMMAND = main = Command(
    name="autoseg_ensemble",
    summary="average the predictions of several models",
    reads="<case>.npz in each FOLDER, as autoseg_predict --save_npz writes them",
    writes="OUT/<case>.nii.gz, the labels of the mean probabilities (with --npz also these, <case>.npz), and a copy of\n"
    "the rules that were applied. What is there and was made from the same is kept, and so is what somebody else made.",
    example="autoseg_ensemble -f by_2d by_3d -o predictions\n"
    "autoseg_ensemble -f by_2d by_3d -o predictions -pp postprocessing.json",
    add_arguments=add_arguments,
    run=run,
    uses_workspace=False,
)
