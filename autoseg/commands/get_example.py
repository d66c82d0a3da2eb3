"""`autoseg_get_example`: a public dataset by its name becomes a task."""

from __future__ import annotations

import argparse
import os

from autoseg.commands.arguments import add_index, add_task_number
from autoseg.commands.running import Command, Parser, say_next
from autoseg.commands.settings import typed
from autoseg.paths import Workspace


def add_arguments(parser: Parser) -> None:
    """The command's own options."""
    parser.add_argument("name", metavar="NAME", nargs="?", help="which dataset (default: list what there is)")
    add_task_number(parser, "that of the dataset")
    add_index(parser)


def run(arguments: argparse.Namespace, workspace: Workspace) -> None:
    """Fetch, check and convert; or list."""
    from autoseg.conversion.settings import ConversionSettings
    from autoseg.reporting.columns import in_columns
    from autoseg.sharing.examples import get_example
    from autoseg.sharing.index import INDEX_VARIABLE, find_offer, offers_table, read_index

    index = read_index(arguments.index or os.environ.get(INDEX_VARIABLE), workspace.raw_data)
    if arguments.name is None:
        print("\n".join(in_columns(offers_table(index.datasets), "<5 >5 <7 <5")))
        return
    offer = find_offer(index.datasets, arguments.name, "the list of datasets")
    made = get_example(offer, workspace, ConversionSettings(number=arguments.task_number))
    print(typed(made.understood.report()))
    print(f"written: {made.folder}")
    say_next(("autoseg_verify_dataset", "-t", made.folder.name), home=arguments.home)


COMMAND = main = Command(
    name="autoseg_get_example",
    summary="fetch a public dataset and make a task of it",
    reads="an address of the list that comes with autoseg, or of an index of yours",
    writes="raw_data/TaskXXX_Name. The archive is checked against its digest, continued after a break, and removed at the end",
    example="autoseg_get_example\nautoseg_get_example hippocampus",
    add_arguments=add_arguments,
    run=run,
)
