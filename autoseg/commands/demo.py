"""`autoseg_demo`: the whole walk on a synthetic task that is made on the spot."""

from __future__ import annotations

import argparse
from pathlib import Path

from autoseg.command_words import OWN_FOLDER
from autoseg.commands.running import Command, Parser, say_next
from autoseg.commands.values import positive
from autoseg.paths import Workspace

DEFAULT_FOLDER = "autoseg_demo"

EPOCHS = 60
"""Enough for a clear result within minutes on two CPU cores; real data deserve the planner's own network and 1000 epochs."""


def add_arguments(parser: Parser) -> None:
    """The command's own options."""
    parser.add_argument(
        "--epochs",
        metavar="N",
        type=positive,
        default=EPOCHS,
        help=f"train longer for a better result (default: {EPOCHS})",
    )


def run(arguments: argparse.Namespace, workspace: Workspace) -> None:  # noqa: ARG001 - the demo has a folder of its own
    """Make, plan, train, predict, score, draw."""
    from autoseg.jobs.demo import demo

    demo(arguments.home or Path(DEFAULT_FOLDER), epochs=arguments.epochs)
    say_next(("autoseg_convert_dataset", "-i", OWN_FOLDER), where=" with your own images and labels")


COMMAND = main = Command(
    name="autoseg_demo",
    summary="see the whole walk in minutes, on a synthetic task made on the spot",
    reads="nothing",
    writes=f"./{DEFAULT_FOLDER} (or --home DIR): raw_data, preprocessed, results, predictions with summary.json, pictures.\n"
    "Running it again goes on where it was.",
    example="autoseg_demo",
    add_arguments=add_arguments,
    run=run,
    uses_workspace=False,
)
