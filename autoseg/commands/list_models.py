"""`autoseg_list_models`: what is trained or installed here."""

from __future__ import annotations

import argparse
import os

from autoseg.commands.arguments import add_index
from autoseg.commands.running import Command, Parser
from autoseg.errors import WorkspaceError
from autoseg.paths import Workspace


def add_arguments(parser: Parser) -> None:
    """The command's own options."""
    parser.add_argument("--available", action="store_true", help="list instead what an index offers to install")
    add_index(parser)


def run(arguments: argparse.Namespace, workspace: Workspace) -> None:
    """Print a line for each model."""
    from autoseg.reporting.columns import in_columns
    from autoseg.reporting.models import models_table
    from autoseg.sharing.index import INDEX_VARIABLE, offers_table, read_index

    if arguments.available:
        source = arguments.index or os.environ.get(INDEX_VARIABLE)
        if source is None:
            raise WorkspaceError(f"no index is named; name one (--index), or set {INDEX_VARIABLE}")
        print("\n".join(in_columns(offers_table(read_index(source, workspace.results).models), "<5 >5 <7 <5")))
        return
    print(models_table(workspace.results))


COMMAND = main = Command(
    name="autoseg_list_models",
    summary="list the models that are trained or installed here",
    reads="results/, or with --available an index",
    writes="nothing; prints a line for each model: folds, mean cross-validated Dice, size of the weights",
    example="autoseg_list_models\nautoseg_list_models --available --index https://example.org/index.json",
    add_arguments=add_arguments,
    run=run,
)
