"""`autoseg_plan_from_fingerprint`: plans from what was measured, without any image."""

from __future__ import annotations

import argparse
from pathlib import Path

from autoseg.commands.arguments import add_output, add_planners, add_plans_name, chosen_planners
from autoseg.commands.running import Command, Parser
from autoseg.paths import Workspace


def add_arguments(parser: Parser) -> None:
    """The command's own options."""
    parser.add_argument(
        "-i", dest="files", metavar="FILE", nargs="+", type=Path, required=True, help="one fingerprint.json or several"
    )
    add_output(parser, "where a subfolder for each is made", "FOLDER")
    add_planners(parser)
    add_plans_name(
        parser,
        "file the plans under this name (default: autoseg, or the class's name for your own planner)",
        default=None,
    )


def run(arguments: argparse.Namespace, workspace: Workspace) -> None:  # noqa: ARG001 - no task folder is touched
    """Plan from each file; a bad one is named and the others are done."""
    from autoseg.planning.making import plan_from_fingerprints

    plan_from_fingerprints(arguments.files, arguments.output, chosen_planners(arguments))


COMMAND = main = Command(
    name="autoseg_plan_from_fingerprint",
    summary="plan from fingerprint.json files alone, without any image",
    reads="fingerprint.json files, as autoseg_plan_and_preprocess leaves them in preprocessed/TaskXXX_Name",
    writes="FOLDER/<name of the file without .json>/<plans>_plans_3D.pkl and _2D.pkl, each with a .json view beside it",
    example="autoseg_plan_from_fingerprint -i hippocampus.json liver.json -o plans -gpu_memory_target 11",
    add_arguments=add_arguments,
    run=run,
    uses_workspace=False,
)
