"""`autoseg_install_model`: an archive of models becomes models that predict here."""

from __future__ import annotations

import argparse
import os

from autoseg.commands.arguments import add_index
from autoseg.commands.running import Command, Parser, say_next
from autoseg.paths import Workspace


def add_arguments(parser: Parser) -> None:
    """The command's own options."""
    parser.add_argument(
        "source", metavar="FILE|URL", help="an archive, its address (https:// or http://), or a name of the index"
    )
    add_index(parser)
    parser.add_argument(
        "--overwrite", action="store_true", help="replace models of the same name, with all that lies in their folders"
    )


def run(arguments: argparse.Namespace, workspace: Workspace) -> None:
    """Install, and say how to predict."""
    from autoseg.jobs.next_steps import after_installing
    from autoseg.sharing.card import card_text
    from autoseg.sharing.index import INDEX_VARIABLE
    from autoseg.sharing.workspace import install_model

    installed = install_model(
        arguments.source,
        workspace,
        overwrite=arguments.overwrite,
        index=arguments.index or os.environ.get(INDEX_VARIABLE),
    )
    print(card_text(installed.card))
    for folder in installed.folders:
        print(f"{'replaced' if folder in installed.replaced else 'installed'}: {folder}")
    say_next(*after_installing(installed.card), home=arguments.home)


COMMAND = main = Command(
    name="autoseg_install_model",
    summary="install models from an archive, checked in every byte",
    reads="FILE or URL, as autoseg_export_model wrote it; nothing in it can run code",
    writes="results/<configuration>/TaskXXX_Name/<Trainer>__<plans>/, all models of the archive or none",
    example="autoseg_install_model hippocampus.zip\nautoseg_install_model hippocampus --index https://example.org/index.json\nautoseg_predict -i imagesTs -o predictions -t 4",
    add_arguments=add_arguments,
    run=run,
)
