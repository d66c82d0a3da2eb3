"""`autoseg_install_model`: an archive of models becomes models that predict here."""

from __future__ import annotations

import argparse
import logging
from functools import partial
from typing import TYPE_CHECKING

from autoseg.commands.running import Command, Parser, run_command, say_next
from autoseg.files.layout import task_number
from autoseg.jobs.next_steps import after_installing
from autoseg.paths import Workspace

if TYPE_CHECKING:
    from autoseg.sharing.installing import Installation

log = logging.getLogger(__name__)


def add_arguments(parser: Parser) -> None:
    """The command's own options."""
    parser.add_argument("source", metavar="FILE|URL", help="an archive, or its address (https:// or http://)")
    parser.add_argument(
        "--overwrite", action="store_true", help="replace models of the same name, with all that lies in their folders"
    )


def run(arguments: argparse.Namespace, workspace: Workspace) -> None:
    """Install, and say how to predict."""
    from autoseg.sharing.card import card_text
    from autoseg.sharing.workspace import install_model

    before = workspace.tasks()
    installed = install_model(arguments.source, workspace, overwrite=arguments.overwrite)
    print(card_text(installed.card))
    for folder in installed.folders:
        print(f"{'replaced' if folder in installed.replaced else 'installed'}: {folder}")
    _warn_of_doubt(installed.card.task, installed, workspace, before)
    say_next(*after_installing(installed.card), home=arguments.home)


def _warn_of_doubt(task: str, installed: Installation, workspace: Workspace, before: tuple[str, ...]) -> None:
    if same := [name for name in before if name != task and task_number(name) == task_number(task)]:
        log.warning("%s: has the number of %s; name the tasks in full with -t", task, ", ".join(same))
    if not installed.card.selection and workspace.task(task).selection.is_file():
        log.warning(
            "%s: was chosen from other models; run autoseg_find_best_configuration again",
            workspace.task(task).selection,
        )


COMMAND = Command(
    name="autoseg_install_model",
    summary="install models from an archive, checked in every byte",
    reads="FILE or URL, as autoseg_export_model wrote it; nothing in it can run code",
    writes="results/<configuration>/TaskXXX_Name/<Trainer>__<plans>/, all models of the archive or none",
    example="autoseg_install_model hippocampus.zip\nautoseg_predict -i imagesTs -o predictions -t 4",
    add_arguments=add_arguments,
    run=run,
)
main = partial(run_command, COMMAND)
