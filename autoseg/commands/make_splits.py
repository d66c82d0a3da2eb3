"""`autoseg_make_splits`: which cases train and which validate, by what is known of them."""

from __future__ import annotations

import argparse

from autoseg.command_words import training_words
from autoseg.commands.arguments import add_overwrite, add_task, add_where
from autoseg.commands.running import Command, Parser, say_next
from autoseg.commands.values import folder, not_negative, positive, zero_to_one
from autoseg.files.layout import FULL
from autoseg.files.model_folder import ModelKey
from autoseg.paths import Workspace
from autoseg.words import counted


def add_arguments(parser: Parser) -> None:
    """The command's own options."""
    add_task(parser)
    parser.add_argument("--folds", metavar="N", type=positive, help="how many folds (default: 5)")
    parser.add_argument(
        "--fractions",
        metavar="SHARE",
        nargs="+",
        type=zero_to_one,
        help="in place of folds: the shares of the cases that train, validate and, as a second fold, are held out",
    )
    parser.add_argument(
        "--group_by",
        metavar="COLUMN",
        default="patient",
        help="the column of metadata.tsv whose cases stay together where they are equal in it (default: patient)",
    )
    parser.add_argument(
        "--balance",
        metavar="COLUMN",
        nargs="+",
        default=[],
        help="columns whose values should be as frequent in each fold as in all cases; many numbers are taken in thirds",
    )
    parser.add_argument(
        "--test_on",
        metavar="CONDITION",
        help="cases that validate in a last fold of their own, which trains on all others, and are in no other: site=unf",
    )
    add_where(parser, "only these cases; the others are in no fold")
    parser.add_argument(
        "--reuse",
        metavar="FILE",
        type=folder,
        help="take the folds of this file, a splits_final.json; its names are those of cases, of files, or of groups",
    )
    parser.add_argument(
        "--links",
        metavar="DIR",
        type=folder,
        help="also make DIR/fold_0/train/images and so on, folders of links to the files, for programs that want them",
    )
    parser.add_argument("--seed", metavar="N", type=not_negative, help="for other folds of the same kind")
    add_overwrite(parser)


def run(arguments: argparse.Namespace, workspace: Workspace) -> None:
    """Write the folds and print how everything is shared out in them."""
    from autoseg.dataset.folds import SPLIT_SEED
    from autoseg.dataset.split_links import link_splits, require_new_folder
    from autoseg.dataset.split_making import make_splits, proportions
    from autoseg.dataset.split_request import SplitRequest
    from autoseg.plans import planned_in
    from autoseg.reporting.columns import in_columns

    task = workspace.find_task(arguments.task)
    request = SplitRequest(
        folds=arguments.folds,
        group_by=arguments.group_by,
        balance=tuple(dict.fromkeys(arguments.balance)),
        test_on=arguments.test_on,
        fractions=tuple(arguments.fractions) if arguments.fractions else None,
        where=arguments.where,
        seed=SPLIT_SEED if arguments.seed is None else arguments.seed,
    )
    if arguments.links is not None:
        require_new_folder(arguments.links)
    made = make_splits(workspace.task(task), request, reuse=arguments.reuse, overwrite=arguments.overwrite_existing)
    rows = proportions(made)
    print("\n".join(in_columns(rows, " ".join(["<5", *[">6"] * (len(rows[0]) - 1)]))))
    if arguments.links is not None:
        links = link_splits(workspace.task(task), made.splits, arguments.links)
        print(f"written: {arguments.links}: {counted(links, 'link')}")
    planned = planned_in(workspace.task(task))
    command = (
        training_words(ModelKey(task=task, configuration=FULL if FULL in planned else planned[0]), "0")
        if planned
        else ("autoseg_plan_and_preprocess", "-t", task)
    )
    say_next(command, home=arguments.home)


COMMAND = main = Command(
    name="autoseg_make_splits",
    summary="say which cases train and which validate: grouped, balanced, with a site held out, or of given shares",
    reads="raw_data/TaskXXX_Name: dataset.json, metadata.tsv, patients.json",
    writes="preprocessed/TaskXXX_Name: splits_final.json, and splits_rule.json with what it was made by. Other folds that\n"
    "are there stay, unless you ask to replace them. Prints how everything is shared out. With --links folders of links.",
    example="autoseg_make_splits -t 4 --folds 5 --group_by patient --balance site sex\n"
    "autoseg_make_splits -t 4 --test_on site=unf\n"
    "autoseg_make_splits -t 4 --fractions 0.6 0.2 0.2 --where 'contrast in T1w,T2w'",
    add_arguments=add_arguments,
    run=run,
)
