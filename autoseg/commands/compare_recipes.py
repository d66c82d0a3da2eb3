"""`autoseg_compare_recipes`: recipes trained on the same cases and batches, and whether one is better than noise."""

from __future__ import annotations

import argparse
import sys
from typing import TYPE_CHECKING

from autoseg.commands.arguments import add_configuration, add_plans_name, add_task
from autoseg.commands.handed_on import passed_on, words_of
from autoseg.commands.running import Command, Parser
from autoseg.commands.values import fold_number, folder, positive, share
from autoseg.errors import AutosegError
from autoseg.files.layout import DEFAULT_PLANS, FULL
from autoseg.paths import Workspace
from autoseg.terminal.messages import tell
from autoseg.words import agreeing

if TYPE_CHECKING:
    from autoseg.jobs.comparing import RecipesCompared


def add_arguments(parser: Parser) -> None:
    """The command's own options, and those that it passes on to each training."""
    add_task(parser)
    add_configuration(parser, f"that all are trained for (default: {FULL})", default=FULL)
    parser.add_argument(
        "--recipes",
        metavar="RECIPE",
        nargs="+",
        required=True,
        help='recipe files, or trainers that ship; a file may hold {"try": [...]} in place of values',
    )
    parser.add_argument(
        "--folds", metavar="FOLD", nargs="+", type=fold_number, help="to train and compare on (default: all)"
    )
    add_plans_name(parser, f"name of the plans (default: {DEFAULT_PLANS})")
    parser.add_argument(
        "--random", metavar="N", type=positive, help="try so many combinations of each file's values (default: all)"
    )
    parser.add_argument(
        "--early_share",
        metavar="X",
        type=share,
        default=0.25,
        help="share of the epochs after which the worse half of what is tried goes no further (default: 0.25; 1: none stops)",
    )
    parser.add_argument("--dry_run", action="store_true", help="say which steps are done and which would run, and end")
    parser.add_argument("--csv", metavar="FILE", type=folder, help="also write the table, with every pair, there")
    group = parser.add_argument_group("passed on to train")
    for action in passed_on("train"):
        group._add_action(action)


def run(arguments: argparse.Namespace, workspace: Workspace) -> None:
    """Train what is missing, compare, print; or only say what is missing."""
    from autoseg.jobs.comparing import compare_recipes, describe_comparison
    from autoseg.jobs.contenders import Compared
    from autoseg.reporting.recipe_comparison import save_comparison

    if arguments.seed is None:
        arguments.seed = 0  # the same batches for all
    asked = Compared(
        task=workspace.find_task(arguments.task),
        recipes=tuple(arguments.recipes),
        configuration=arguments.configuration,
        plans=arguments.plans,
        folds=tuple(arguments.folds or ()),
        random=arguments.random,
        early_share=arguments.early_share,
        epochs=arguments.epochs,
        everywhere=("--home", str(arguments.home)) if arguments.home else (),
        training=words_of("train", arguments),
    )
    if arguments.dry_run:
        describe_comparison(asked, workspace, sys.stdout)
        return
    found = compare_recipes(asked, workspace, sys.stdout)
    _tell(found)
    if arguments.csv:
        save_comparison(found.comparison, found.costs, arguments.csv)
        tell(f"written: {arguments.csv}")
    if found.failed:
        names = ", ".join(found.failed)
        raise AutosegError(
            f"{names}: {agreeing(len(found.failed), 'its training', 'their trainings')} failed, so the table lacks "
            f"{agreeing(len(found.failed), 'it', 'them')}; put right what is named above and run the same command again"
        )


def _tell(found: RecipesCompared) -> None:
    """The table, what names that only count stand for, and what went no further."""
    from autoseg.reporting.recipe_comparison import comparison_table

    tell("\n" + comparison_table(found.comparison, found.costs))
    for name, chosen in found.chosen.items():
        tell(f"{name}: {chosen}")
    for one in found.stopped:
        dice = "-" if one.dice is None else f"{one.dice:.4f}"
        tell(f"stopped after epoch {one.epochs}: {one.name}, Dice of patches {dice}")


COMMAND = main = Command(
    name="autoseg_compare_recipes",
    summary="train several recipes on the same cases and batches, and say which is better by more than noise",
    reads="preprocessed/TaskXXX_Name: plans, prepared cases, splits_final.json; recipe files",
    writes="what train writes, a model for each recipe; results/runs/TaskXXX_Name with journal.json and logs/, and tried/ with\n"
    "a recipe file for each combination of values. What is trained already is not trained again; --csv: the table",
    example="autoseg_compare_recipes -t 4 -m 3d_fullres --recipes Trainer TrainerDice my_recipe.json --folds 0 --epochs 10\n"
    "autoseg_compare_recipes -t 4 --recipes search.json --random 8 --folds 0 --dry_run\n"
    "autoseg_compare_recipes -t 4 --recipes search.json --random 8 --folds 0",
    add_arguments=add_arguments,
    run=run,
)
