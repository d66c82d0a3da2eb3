"""`autoseg_determine_postprocessing`: which postprocessing helps a trained model, by its cross-validation."""

from __future__ import annotations

import argparse
from pathlib import Path

from autoseg.command_words import model_words, predict_words
from autoseg.commands.arguments import add_models, add_workers
from autoseg.commands.running import Command, Parser, say_next
from autoseg.paths import Workspace


def add_arguments(parser: Parser) -> None:
    """The command's own options."""
    add_models(parser)
    parser.add_argument(
        "--rules",
        metavar="FILE",
        type=Path,
        help="a postprocessing.json with rules of your own to try, in this order, instead of the standard ones",
    )
    parser.add_argument(
        "--overwrite", action="store_true", help="replace a postprocessing.json that you wrote yourself"
    )
    add_workers(parser, what="try rules")


def run(arguments: argparse.Namespace, workspace: Workspace) -> None:
    """Choose for each model, print the evidence."""
    from autoseg.dataset.task_folds import warn_of_folds
    from autoseg.ensembling.validation import choose_models, collect, determine_postprocessing
    from autoseg.postprocessing.rules import load_rules
    from autoseg.reporting.evidence import evidence_table

    task = workspace.find_task_with_models(arguments.task)
    warn_of_folds(workspace.task(task))
    models = choose_models(task, workspace, arguments.configurations, arguments.trainers, arguments.plans)
    for model in models:
        validation = collect(model, workspace, arguments.folds)
        choice = determine_postprocessing(
            validation,
            candidates=load_rules(arguments.rules) if arguments.rules else None,
            overwrite=arguments.overwrite,
            workers=arguments.workers,
        )
        print(f"{task}: {model.name}")
        print(evidence_table(choice, validation.target.labels))
        print("\n".join(f"  missing: {line}" for line in validation.missing), end="\n" if validation.missing else "")
        print(f"written: {validation.model.postprocessing}")
    options = [("-m", one.configuration, *model_words(one)) for one in models]
    say_next(*(predict_words(task, *words) for words in options), home=arguments.home)


COMMAND = main = Command(
    name="autoseg_determine_postprocessing",
    summary="choose a model's postprocessing by its cross-validation",
    reads="results/<configuration>/TaskXXX_Name/<Trainer>__<plans>/fold_*/validation_raw/<case>.nii.gz, and the\n"
    "references in preprocessed/TaskXXX_Name/gt_segmentations",
    writes="postprocessing.json in the model's folder: the rules, which autoseg_predict applies, and the evidence for\n"
    "them. A rule is chosen on some folds and judged on the others; it is kept only if it holds up there.",
    example="autoseg_determine_postprocessing -t 4 -m 3d_fullres\n"
    "autoseg_determine_postprocessing -t 4 -m 3d_fullres --rules my_rules.json",
    add_arguments=add_arguments,
    run=run,
)
