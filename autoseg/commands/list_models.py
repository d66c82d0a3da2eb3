"""`autoseg_list_models`: what is trained or installed here."""

from __future__ import annotations

import argparse

from autoseg.commands.running import Command, Parser
from autoseg.paths import Workspace


def add_arguments(parser: Parser) -> None:
    """The command has no options of its own."""


def run(arguments: argparse.Namespace, workspace: Workspace) -> None:  # noqa: ARG001
    """Print a line for each model."""
    from autoseg.reporting.models import models_table

    print(models_table(workspace.results))


COMMAND = main = Command(
    name="autoseg_list_models",
    summary="list the models that are trained or installed here",
    reads="results/",
    writes="nothing; prints a line for each model: folds, mean cross-validated Dice, size of the weights",
    example="autoseg_list_models",
    add_arguments=add_arguments,
    run=run,
)
