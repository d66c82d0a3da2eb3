"""`autoseg_find_best_configuration`: which model, or which two together, to predict new images with."""

from __future__ import annotations

import argparse

from autoseg.command_words import predict_words
from autoseg.commands.arguments import add_models, add_workers
from autoseg.commands.running import Command, Parser, say_next
from autoseg.paths import Workspace


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
    from autoseg.dataset.task_folds import warn_of_folds
    from autoseg.ensembling.best import SelectionSettings, find_best_configuration
    from autoseg.ensembling.validation import choose_models, collect
    from autoseg.reporting.selection import selection_report

    task = workspace.find_task_with_models(arguments.task)
    warn_of_folds(workspace.task(task))
    models = choose_models(task, workspace, arguments.configurations, arguments.trainers, arguments.plans)
    validations = [collect(model, workspace, arguments.folds) for model in models]
    settings = SelectionSettings(
        strict=arguments.strict,
        ensembling=not arguments.disable_ensembling,
        postprocessing=not arguments.disable_postprocessing,
        workers=arguments.workers,
        everywhere=("--home", str(arguments.home)) if arguments.home else (),
    )
    outcome = find_best_configuration(validations, workspace, settings)
    print(selection_report(outcome, validations[0].target))
    commands = workspace.task(task).commands
    print(f"\n{commands.read_text()}\nwritten: {commands.parent}")
    packing = ("autoseg_export_model", "-t", task, "-o", f"{task}.zip", "--best")
    say_next(predict_words(task, "--best"), packing, home=arguments.home)


COMMAND = main = Command(
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
