"""`autoseg_plan_from_json`: an edited JSON view of plans becomes the pickle that is read."""

from __future__ import annotations

import argparse
from pathlib import Path

from autoseg.command_words import preparing_words
from autoseg.commands.running import Command, Parser, say_next
from autoseg.paths import Workspace


def add_arguments(parser: Parser) -> None:
    """The command's own options."""
    parser.add_argument("file", metavar="FILE", type=Path, help="<plans>_plans_3D.json or <plans>_plans_2D.json")


def run(arguments: argparse.Namespace, workspace: Workspace) -> None:
    """Check the file and write the pickle beside it."""
    from autoseg.plans import load_plans, plan_from_json

    path = plan_from_json(arguments.file)
    print(f"written: {path}")
    task = path.absolute().parent
    if task.parent == workspace.preprocessed.absolute() and workspace.task(task.name).dataset.is_file():
        say_next(preparing_words(task.name, load_plans(path).identifier), home=arguments.home)


COMMAND = main = Command(
    name="autoseg_plan_from_json",
    summary="turn an edited .json view of plans back into the .pkl that is read",
    reads="FILE, the .json view beside the plans in preprocessed/TaskXXX_Name",
    writes="the .pkl of the same name beside it, and the .json anew in the usual layout",
    example="autoseg_plan_from_json autoseg_data/preprocessed/Task004_Hippocampus/autoseg_plans_3D.json\n"
    "autoseg_plan_and_preprocess -t 4 -pl3d None -pl2d None      (then: prepare the cases for the edited plans)",
    add_arguments=add_arguments,
    run=run,
    uses_workspace=False,
)
