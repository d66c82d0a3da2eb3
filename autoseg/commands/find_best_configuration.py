"""`autoseg_find_best_configuration`: which model, or which two together, to predict new images with."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from autoseg.commands.arguments import add_workers
from autoseg.commands.determine_postprocessing import add_models
from autoseg.commands.folds import warn_of_folds
from autoseg.commands.next_steps import predict_words, say_next
from autoseg.commands.prediction_commands import prediction_commands
from autoseg.commands.running import Command, Parser, run_command
from autoseg.files.storage import write_bytes
from autoseg.paths import Workspace

if TYPE_CHECKING:
    from autoseg.ensembling.candidates import Outcome
    from autoseg.ensembling.validation import CrossValidation


def add_arguments(parser: Parser) -> None:
    """The command's own options."""
    add_models(parser)
    parser.add_argument("--strict", action="store_true", help="a fold that is missing is an error")
    parser.add_argument("--disable_ensembling", action="store_true", help="compare single models only")
    parser.add_argument(
        "--disable_postprocessing", action="store_true", help="choose no postprocessing, and compare without any"
    )
    add_workers(parser, what="average, score and try rules")


def run(arguments: argparse.Namespace, workspace: Workspace) -> None:
    """Select, write, print the table and the commands."""
    from autoseg.commands.selection_report import selection_report
    from autoseg.ensembling.best import SelectionSettings, compare_configurations, save_outcome
    from autoseg.ensembling.validation import choose_models, collect

    task = workspace.find_task_with_models(arguments.task)
    warn_of_folds(task, workspace)
    models = choose_models(task, workspace, arguments.configurations, arguments.trainers, arguments.plans)
    folds = [str(fold) for fold in dict.fromkeys(arguments.folds)] if arguments.folds else None
    validations = [collect(model, workspace, folds) for model in models]
    settings = SelectionSettings(
        strict=arguments.strict,
        ensembling=not arguments.disable_ensembling,
        postprocessing=not arguments.disable_postprocessing,
        workers=arguments.workers,
    )
    outcome = compare_configurations(validations, workspace, settings)
    everywhere = ("--home", str(arguments.home)) if arguments.home else ()
    commands = write_commands(
        outcome, validations, workspace, postprocessing=settings.postprocessing, everywhere=everywhere
    )
    save_outcome(outcome, validations[0].target, workspace)
    print(selection_report(outcome, validations[0].target))
    print(f"\n{commands.read_text()}\nwritten: {workspace.task(task).selection_folder}")
    packing = ("autoseg_export_model", "-t", task, "-o", f"{task}.zip", "--best")
    say_next(predict_words(task, "--best"), packing, home=arguments.home)


def write_commands(
    outcome: Outcome,
    validations: Sequence[CrossValidation],
    workspace: Workspace,
    *,
    postprocessing: bool,
    everywhere: Sequence[str],
) -> Path:
    """Write the command lines that predict with what was selected.

    Args:
        postprocessing: Whether rules were chosen.
        everywhere: Options for every command.
    """
    commands = prediction_commands(
        outcome.selection,
        workspace,
        trainers={one.model.key.trainer: one.model.key.named_trainer for one in validations},
        postprocessing=outcome.winner.postprocessing if postprocessing else None,
        everywhere=everywhere,
    )
    path = workspace.task(outcome.selection.task).commands
    write_bytes(path, ("\n".join(commands) + "\n").encode())
    return path


COMMAND = Command(
    name="autoseg_find_best_configuration",
    summary="select the best model, or pair of models, by cross-validation",
    reads="results/<configuration>/TaskXXX_Name/<Trainer>__<plans>/fold_*/validation_raw/<case>.nii.gz, for ensembles also\n"
    "<case>.npz (autoseg_train ... --npz), and the references in preprocessed/TaskXXX_Name/gt_segmentations",
    writes="results/selections/TaskXXX_Name/: selection.json, which autoseg_predict --best uses, summary.csv with every\n"
    "candidate, prediction_commands.txt, and a folder for each pair with the ensemble's labels;\n"
    "postprocessing.json of every candidate, in the model's folder or the pair's",
    example="autoseg_find_best_configuration -t 4\nautoseg_find_best_configuration -t 4 -m 2d 3d_fullres --strict",
    add_arguments=add_arguments,
    run=run,
)
main = partial(run_command, COMMAND)
