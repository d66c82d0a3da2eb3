"""`autoseg_run_folds`: a script of commands, run for every fold."""

from __future__ import annotations

import argparse
import sys

from autoseg.commands.running import Command, Parser
from autoseg.commands.values import folder
from autoseg.paths import Workspace


def add_arguments(parser: Parser) -> None:
    """The command's own options."""
    parser.add_argument(
        "script",
        metavar="STEPS",
        type=folder,
        help="a text file with a command in each line, in which {fold} stands for the fold; # begins a comment",
    )
    parser.add_argument(
        "--folds", metavar="FOLD", nargs="+", required=True, help="for which folds, one after the other"
    )
    parser.add_argument(
        "-o",
        dest="output",
        metavar="DIR",
        type=folder,
        help="of the journal and the logs (default: STEPS_folds beside it)",
    )


def run(arguments: argparse.Namespace, workspace: Workspace) -> None:  # noqa: ARG001
    """Run every line for every fold."""
    from autoseg.jobs.for_folds import run_for_folds

    script = arguments.script
    run_for_folds(
        script,
        tuple(dict.fromkeys(arguments.folds)),
        arguments.output or script.with_name(f"{script.stem}_folds"),
        sys.stdout,
        everywhere=("--home", str(arguments.home)) if arguments.home else (),
    )


COMMAND = main = Command(
    name="autoseg_run_folds",
    summary="run a script of commands for every fold; stopped anywhere, or mended after a failure, it continues",
    reads="STEPS: a command in each line, such as `autoseg_train multiplanar Trainer 4 {fold} -c`; no shell reads it",
    writes="what the commands write; and DIR/journal.json and logs/. A line is left alone that ended well, as long as\n"
    "neither it nor a line before it changes. At the first failure all stops.",
    example="autoseg_run_folds steps.txt --folds 0 1 2 3 4",
    add_arguments=add_arguments,
    run=run,
)
