"""`autoseg_model_info`: the card of a task's models, or of an archive."""

from __future__ import annotations

import argparse
from functools import partial
from typing import TYPE_CHECKING

from autoseg.command_words import training_command
from autoseg.commands.arguments import TASK_HELP, folder
from autoseg.commands.export_model import about_task
from autoseg.commands.running import Command, Parser, run_command
from autoseg.errors import ModelError
from autoseg.files.layout import CHECKPOINTS, ModelFolder, ModelKey
from autoseg.paths import Workspace
from autoseg.plans import load_plans

if TYPE_CHECKING:
    from autoseg.sharing.card import ModelCard, ModelEntry


def add_arguments(parser: Parser) -> None:
    """The command's own options."""
    group = parser.add_mutually_exclusive_group(required=True)
    group.add_argument("-t", dest="task", metavar="TASK", help=f"{TASK_HELP} with models here")
    group.add_argument("file", metavar="FILE", type=folder, nargs="?", help="an archive of models")


def run(arguments: argparse.Namespace, workspace: Workspace) -> None:
    """Print the card."""
    from autoseg.sharing.card import card_text
    from autoseg.sharing.installing import read_archived_card

    if arguments.file is not None:
        print(card_text(read_archived_card(arguments.file)), end="")
    else:
        print(card_text(task_card(workspace.find_task(arguments.task), workspace)), end="")


def task_card(task: str, workspace: Workspace) -> ModelCard:
    """The card of all models of a task that have weights.

    Raises:
        ModelError: There is none.
    """
    from autoseg.planning.fingerprint import load_fingerprint
    from autoseg.sharing.card import make_card
    from autoseg.sharing.models import find_models

    models = [model for model in find_models(workspace.results, task) if _checkpoint(model)]
    if not models:
        command = training_command(ModelKey(task=task, configuration="3d_fullres"), "0")
        raise ModelError(f"{task}: no trained model here; train one with: {command}")
    fingerprints = [workspace.task(task).fingerprint, *(model.fingerprint for model in models)]
    found = [path for path in fingerprints if path.is_file()]
    return make_card(
        load_plans(models[0].plans_file),
        about_task(task, workspace, models),
        [_entry(model) for model in models],
        training_cases=len(load_fingerprint(found[0]).cases) if found else None,
        selection=workspace.task(task).selection.is_file(),
    )


def _entry(model: ModelFolder) -> ModelEntry:
    from autoseg.sharing.card import make_entry

    checkpoint = _checkpoint(model)
    return make_entry(model, load_plans(model.plans_file), model.folds(checkpoint), checkpoint=checkpoint)


def _checkpoint(model: ModelFolder) -> str:
    """The weights to describe: final ones where there are any."""
    return next((name for name in CHECKPOINTS if model.folds(name)), "")


COMMAND = Command(
    name="autoseg_model_info",
    summary="show what models were made from, for what, and how well they do",
    reads="results/ and what is known of the task; or FILE, an archive, which is not installed",
    writes="nothing; prints data, licence, labels, folds, cross-validated scores, versions",
    example="autoseg_model_info -t 4\nautoseg_model_info hippocampus.zip",
    add_arguments=add_arguments,
    run=run,
)
main = partial(run_command, COMMAND)
