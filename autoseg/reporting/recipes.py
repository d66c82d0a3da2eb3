"""A recipe as a table to read: every key, its value, and what it means."""

from __future__ import annotations

import json
import textwrap

from autoseg.files.storage import encode
from autoseg.training.recipes.file import explained
from autoseg.training.recipes.recipe import Recipe

WIDTH = 120
"""Of the table; what a key means goes on below itself."""

LEAST_MEANING = 40
"""Letters of a line that a meaning has in any case."""


def recipe_table(recipe: Recipe) -> str:
    """A line for each key, with its value as a recipe file has it."""
    rows = [(key, json.dumps(encode(value)), meaning) for key, value, meaning in explained(recipe)]
    widths = [max(len(row[column]) for row in rows) for column in (0, 1)]
    indent = sum(widths) + 4
    lines = [
        textwrap.fill(
            meaning or "-",
            width=max(WIDTH, indent + LEAST_MEANING),
            initial_indent=f"{key:{widths[0]}}  {value:{widths[1]}}  ",
            subsequent_indent=" " * indent,
            break_on_hyphens=False,
        )
        for key, value, meaning in rows
    ]
    return "\n".join(lines)
