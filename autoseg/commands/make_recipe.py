"""`autoseg_make_recipe`: a recipe file with every key and its value, to be changed."""

from __future__ import annotations

import argparse

from autoseg.commands.arguments import add_output
from autoseg.commands.running import Command, Parser
from autoseg.files.layout import DEFAULT_TRAINER
from autoseg.paths import Workspace


def add_arguments(parser: Parser) -> None:
    """The command's own options."""
    add_output(parser, "my_recipe.json, which must not be there yet", "FILE")
    parser.add_argument(
        "--base",
        metavar="NAME",
        default=DEFAULT_TRAINER,
        help=f"recipe whose values it gets: another of documentation/variants.md, or a recipe file (default: {DEFAULT_TRAINER})",
    )


def run(arguments: argparse.Namespace, workspace: Workspace) -> None:  # noqa: ARG001
    """Write it, and say what each key means."""
    from autoseg.reporting.recipes import recipe_table
    from autoseg.training.recipes.file import make_recipe

    print(recipe_table(make_recipe(arguments.output, base=arguments.base)))
    print(f"written: {arguments.output}; what is as in {arguments.base} may be taken out of it")


COMMAND = main = Command(
    name="autoseg_make_recipe",
    summary="write a recipe file with every key, and say what each means",
    reads="nothing, or the recipe file given as --base",
    writes="FILE, JSON to be changed and named where autoseg_train has TRAINER; it may say only what differs from its base",
    example="autoseg_make_recipe -o my_recipe.json\n"
    "autoseg_make_recipe -o stronger.json --base TrainerDA5\n"
    "autoseg_train 3d_fullres my_recipe.json 4 0    (then)",
    add_arguments=add_arguments,
    run=run,
)
