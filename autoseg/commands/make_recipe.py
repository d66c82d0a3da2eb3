"""`autoseg_make_recipe`: a recipe file with every key and its value, to be changed."""

from __future__ import annotations

import argparse
import json
import textwrap
from functools import partial

from autoseg.commands.arguments import add_output
from autoseg.commands.running import Command, Parser, run_command
from autoseg.files.layout import DEFAULT_TRAINER
from autoseg.files.storage import encode
from autoseg.paths import Workspace

WIDTH = 120
"""Of the table of keys; what a key means goes on below itself."""


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
    from autoseg.training.recipes.file import explained, make_recipe

    recipe = make_recipe(arguments.output, base=arguments.base)
    print(_table([(key, json.dumps(encode(value)), meaning) for key, value, meaning in explained(recipe)]))
    print(f"written: {arguments.output}; what is as in {arguments.base} may be taken out of it")


def _table(rows: list[tuple[str, str, str]]) -> str:
    widths = [max(len(row[column]) for row in rows) for column in (0, 1)]
    indent = sum(widths) + 4
    lines = [
        textwrap.fill(
            meaning or "-",
            width=max(WIDTH, indent + 40),
            initial_indent=f"{key:{widths[0]}}  {value:{widths[1]}}  ",
            subsequent_indent=" " * indent,
            break_on_hyphens=False,
        )
        for key, value, meaning in rows
    ]
    return "\n".join(lines)


COMMAND = Command(
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
main = partial(run_command, COMMAND)
