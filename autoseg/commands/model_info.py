"""`autoseg_model_info`: the card of a task's models, or of an archive."""

from __future__ import annotations

import argparse

from autoseg.commands.arguments import add_task
from autoseg.commands.running import Command, Parser
from autoseg.commands.values import folder
from autoseg.paths import Workspace


def add_arguments(parser: Parser) -> None:
    """The command's own options."""
    group = parser.add_mutually_exclusive_group(required=True)
    add_task(group, " with models here", required=False)
    group.add_argument("file", metavar="FILE", type=folder, nargs="?", help="an archive of models")


def run(arguments: argparse.Namespace, workspace: Workspace) -> None:
    """Print the card."""
    from autoseg.sharing.card import card_text
    from autoseg.sharing.installing import read_archived_card
    from autoseg.sharing.workspace import task_card

    if arguments.file is not None:
        print(card_text(read_archived_card(arguments.file)), end="")
    else:
        print(card_text(task_card(workspace.find_task(arguments.task), workspace)), end="")


COMMAND = main = Command(
    name="autoseg_model_info",
    summary="show what models were made from, for what, and how well they do",
    reads="results/ and what is known of the task; or FILE, an archive, which is not installed",
    writes="nothing; prints data, licence, labels, folds, cross-validated scores, versions",
    example="autoseg_model_info -t 4\nautoseg_model_info hippocampus.zip",
    add_arguments=add_arguments,
    run=run,
)
