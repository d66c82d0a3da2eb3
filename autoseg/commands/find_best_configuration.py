"""`autoseg_find_best_configuration`: which model, or which two together, to predict new images with."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from functools import partial
from itertools import combinations
from typing import TYPE_CHECKING

from autoseg.command_words import training_command
from autoseg.commands.arguments import add_workers
from autoseg.commands.cross_validation import (
    CrossValidation,
    collect,
    find_models,
    require_one_set_of_labels,
)
from autoseg.commands.determine_postprocessing import BYTES_PER_WORKER, add_models
from autoseg.commands.folds import warn_of_folds
from autoseg.commands.next_steps import predict_words, say_next
from autoseg.commands.prediction import find_task_with_models
from autoseg.commands.prediction_commands import prediction_commands
from autoseg.commands.running import Command, Parser, run_command
from autoseg.dataset.target import Target
from autoseg.errors import WorkspaceError
from autoseg.files.layout import POSTPROCESSING_FILE
from autoseg.files.storage import write_bytes
from autoseg.files.task_folder import TaskFolder
from autoseg.paths import Workspace
from autoseg.plans import load_plans

if TYPE_CHECKING:
    from autoseg.ensembling.candidates import Candidate, Outcome


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

    task = find_task_with_models(arguments.task, workspace)
    warn_of_folds(task, workspace)
    models = find_models(task, workspace, arguments.configurations, arguments.trainers, arguments.plans)
    folds = [str(fold) for fold in dict.fromkeys(arguments.folds)] if arguments.folds else None
    validations = [collect(model, workspace, folds) for model in models]
    outcome = find_best_configuration(
        task,
        workspace,
        validations,
        strict=arguments.strict,
        ensembling=not arguments.disable_ensembling,
        postprocessing=not arguments.disable_postprocessing,
        workers=arguments.workers,
        everywhere=("--home", str(arguments.home)) if arguments.home else (),
    )
    lies = workspace.task(task)
    print(selection_report(outcome, validations[0].target))
    print(f"\n{lies.commands.read_text()}\nwritten: {lies.selection_folder}")
    packing = ("autoseg_export_model", "-t", task, "-o", f"{task}.zip", "--best")
    say_next(predict_words(task, "--best"), packing, home=arguments.home)


def find_best_configuration(
    task: str,
    workspace: Workspace,
    validations: Sequence[CrossValidation],
    *,
    strict: bool = False,
    ensembling: bool = True,
    postprocessing: bool = True,
    workers: int | None = None,
    everywhere: Sequence[str] = (),
) -> Outcome:
    """Select among trained models and their pairs; write the table, the commands and, last, `selection.json`.

    Args:
        everywhere: Options for every command that is written.

    Raises:
        WorkspaceError: Folds are missing (with `strict`, any; else all), or probabilities for ensembles.
        ModelError: Models differ in their labels, or no case was predicted by all.
        CasesFailed: Naming the cases that cannot be read or compared.
    """
    from autoseg.ensembling.candidates import select
    from autoseg.parallel import fitting_workers

    labels = require_one_set_of_labels(validations)
    incomplete = [line for validation in validations for line in validation.missing]
    validated = [validation for validation in validations if validation.cases]
    if incomplete and (strict or not validated):
        raise WorkspaceError(f"{task}: the cross-validation is not complete\n" + _indented(incomplete))
    count = fitting_workers(workers, BYTES_PER_WORKER)
    candidates = _single_candidates(validated)
    if ensembling:
        candidates += _pairs(validated, candidates, workspace.task(task), workers=count)
    outcome = select(candidates, labels, task=task, postprocess=postprocessing, incomplete=incomplete, workers=count)
    commands = prediction_commands(
        outcome.selection,
        workspace,
        trainers={one.model.key.trainer: one.model.key.named_trainer for one in validations},
        postprocessing=outcome.winner.postprocessing if postprocessing else None,
        everywhere=everywhere,
    )
    _write(outcome, validations[0].target, commands, workspace.task(task))
    return outcome


def _write(outcome: Outcome, target: Target, commands: Sequence[str], task: TaskFolder) -> None:
    """The selection comes last: its presence says that the rest is there."""
    from autoseg.commands.selection_report import write_summary
    from autoseg.ensembling.selection import save_selection

    write_summary(outcome, target, task.candidates)
    write_bytes(task.commands, ("\n".join(commands) + "\n").encode())
    save_selection(outcome.selection, task.selection)


def _single_candidates(validations: Sequence[CrossValidation]) -> list[Candidate]:
    from autoseg.ensembling.candidates import Candidate
    from autoseg.ensembling.selection import Member

    several = len({(one.model.key.trainer, one.model.key.plans) for one in validations}) > 1
    return [
        Candidate(
            name=one.model.key.name if several else one.model.key.configuration,
            members=(
                Member(
                    configuration=one.model.key.configuration,
                    trainer=one.model.key.trainer,
                    plans=one.model.key.plans,
                    folds=one.folds,
                ),
            ),
            cases=one.cases,
            postprocessing=one.model.postprocessing,
            costs=(load_plans(one.model.plans_file).configuration(one.model.key.configuration).cost,),
        )
        for one in validations
    ]


def _pairs(
    validations: Sequence[CrossValidation], singles: Sequence[Candidate], task: TaskFolder, *, workers: int
) -> list[Candidate]:
    from autoseg.ensembling.candidates import Candidate
    from autoseg.ensembling.pairs import ensemble_validation, hash_probabilities

    if len(validations) < 2:
        return []
    _require_probabilities(validations, task.name)
    hashes = {
        path: digest for one in validations for path, digest in hash_probabilities(one.cases, workers=workers).items()
    }
    pairs = []
    for (first, second), (one, other) in zip(combinations(validations, 2), combinations(singles, 2), strict=True):
        work = task.pair(first.model.key, second.model.key)
        cases = ensemble_validation((first.cases, second.cases), work, hashes, workers=workers)
        pairs.append(
            Candidate(
                name=f"{one.name}+{other.name}",
                members=one.members + other.members,
                cases=cases,
                postprocessing=work / POSTPROCESSING_FILE,
                costs=one.costs + other.costs,
            )
        )
    return pairs


def _require_probabilities(validations: Sequence[CrossValidation], task: str) -> None:
    from autoseg.ensembling.pairs import probabilities_file

    commands = [
        training_command(one.model.key, fold, "-val", "--npz")
        for one in validations
        for fold in one.folds
        if any(not probabilities_file(case).is_file() for case in one.cases if case.fold == fold)
    ]
    if commands:
        raise WorkspaceError(
            f"{task}: ensembles are made of the validation's probabilities (<case>.npz), which are missing; run\n"
            + _indented(commands)
            + "\nor leave ensembles out with --disable_ensembling"
        )


def _indented(lines: Sequence[str]) -> str:
    return "\n".join(f"  {line}" for line in lines)


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
