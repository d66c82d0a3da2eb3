"""`autoseg_export_model`: trained models become one file that another person can install."""

from __future__ import annotations

import argparse

from autoseg.commands.arguments import (
    CONFIGURATIONS,
    add_configurations,
    add_folds,
    add_output,
    add_overwrite,
    add_plans_name,
    add_task,
    add_trainer,
)
from autoseg.commands.running import Command, Parser, say_next
from autoseg.files.layout import (
    DEFAULT_PLANS,
    DEFAULT_TRAINER,
    trainer_name,
)
from autoseg.paths import Workspace
from autoseg.words import agreeing


def add_arguments(parser: Parser) -> None:
    """The command's own options."""
    add_task(parser)
    add_output(parser, "the archive to write", "FILE.zip")
    parser.add_argument(
        "--best", action="store_true", help="what autoseg_find_best_configuration selected, and nothing else"
    )
    add_configurations(parser, f"{CONFIGURATIONS} (default: all that are trained)")
    add_trainer(parser, f"who trained them (default: {DEFAULT_TRAINER})")
    add_plans_name(parser, f"name of the plans they were trained with (default: {DEFAULT_PLANS})")
    add_folds(parser, "0 to 4, or all (default: every fold trained)")
    parser.add_argument(
        "-chk",
        dest="checkpoints",
        metavar="final|best",
        nargs="+",
        choices=("final", "best"),
        default=["final"],
        help="which weights to pack, one or both (default: final)",
    )
    add_overwrite(parser)


def run(arguments: argparse.Namespace, workspace: Workspace) -> None:
    """Write the archive and say what is in it."""
    from autoseg.sharing.workspace import ExportChoice, export_model

    task = workspace.find_task(arguments.task)
    choice = ExportChoice(
        best=arguments.best,
        configurations=tuple(arguments.configurations) if arguments.configurations else None,
        trainer=trainer_name(arguments.trainer),
        plans=arguments.plans,
        folds=tuple(arguments.folds) if arguments.folds else None,
        checkpoints=tuple(dict.fromkeys(arguments.checkpoints)),
    )
    card = export_model(task, arguments.output, workspace, choice, overwrite=arguments.overwrite_existing)
    for model in card.models:
        print(f"{task}: {model.configuration}, {agreeing(len(model.folds), 'fold')} {', '.join(model.folds)}")
    print(f"written: {arguments.output} ({arguments.output.stat().st_size / 1e6:.1f} MB)")
    if not card.about.licence:
        print("dataset.json states no licence; add one before you pass the models on, and export again")
    say_next(("autoseg_install_model", str(arguments.output)), where=" elsewhere")


COMMAND = main = Command(
    name="autoseg_export_model",
    summary="pack trained models into one file to share",
    reads="results/<configuration>/TaskXXX_Name/<Trainer>__<plans>/ of the trained folds; results/selections;\n"
    "raw_data/TaskXXX_Name/dataset.json (name, licence, reference of the data); the fingerprint",
    writes="FILE.zip: plans, weights, scores, postprocessing, fingerprint, selection, a model card and a manifest of\n"
    "SHA-256 sums; no image, and no checkpoint to go on training from",
    example="autoseg_export_model -t 4 -o hippocampus.zip\n"
    "autoseg_export_model -t 4 -o hippocampus.zip --best\n"
    "autoseg_export_model -t 4 -o fast.zip -m 2d -f 0 -chk final best",
    add_arguments=add_arguments,
    run=run,
)
