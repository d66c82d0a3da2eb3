"""What a training's recipe was: its numbers, its loss, and the code of the user's own, to tell a changed one by."""

from __future__ import annotations

import ast
import inspect
import re
import sys
import textwrap
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import autoseg
from autoseg.extensions import OWN_FILE, code_digest, files_beside
from autoseg.files.storage import content_hash

if TYPE_CHECKING:
    from autoseg.training.recipe import Recipe

Value = bool | int | float | str

CONDITIONS_OF_THEIR_OWN = {"epochs", "iterations_per_epoch", "initial_learning_rate"}
"""A training may be made longer and go on with another rate; the batches of an epoch are compared by themselves."""

ADDRESS = re.compile(r" at 0x[0-9a-f]+")
"""In what Python shows of an object that shows nothing of itself."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RecipeRecord:
    """A recipe as it was.

    Attributes:
        values: Its numbers by name, as text, and its loss.
        code: Digests of the user's own files that it is made of, by path; of a class that came of no file by its name.
    """

    values: Mapping[str, str]
    code: Mapping[str, str]


def record_recipe(recipe: Recipe) -> RecipeRecord:
    """What a recipe is now."""
    numbers = {name: repr(value) for name, value in _numbers(recipe)}
    loss = ADDRESS.sub("", str(recipe.build_loss()))
    return RecipeRecord(values={**numbers, "loss": loss}, code=own_code(type(recipe)))


def differences(before: RecipeRecord, now: RecipeRecord) -> list[str]:
    """What changed in a recipe, in words."""
    names = sorted({*before.values, *now.values})
    values = [(name, before.values.get(name, "not there"), now.values.get(name, "not there")) for name in names]
    return [
        *code_differences(before.code, now.code),
        *(f"{name} was {old}, now {new}" for name, old, new in values if old != new),
    ]


def code_differences(before: Mapping[str, str], now: Mapping[str, str]) -> list[str]:
    """What changed in the user's own code, as digests by path, in words; where its files lie does not matter."""
    known, present = set(before.values()), set(now.values())
    gone = [path for path, digest in before.items() if digest not in present]
    new = [path for path, digest in now.items() if digest not in known]
    changed = [path for path in new if path in gone]
    gone, new = ([path for path in paths if path not in changed] for paths in (gone, new))
    words = [f"the code in {path} changed" for path in changed]
    if gone and new:
        return [*words, f"the code was that in {', '.join(gone)}, now it is that in {', '.join(new)}"]
    return [
        *words,
        *(f"the code in {path} no longer belongs to it" for path in gone),
        *(f"the code in {path} was not part of it" for path in new),
    ]


def _numbers(recipe: Recipe) -> Iterator[tuple[str, Value]]:
    """The plain values among the attributes of the recipe's classes, as they are now, and those of the augmentation."""
    kind = type(recipe)
    for name in dir(kind):
        if not name.startswith("_") and name not in CONDITIONS_OF_THEIR_OWN and isinstance(getattr(kind, name), Value):
            yield name, getattr(recipe, name)
    for name, value in asdict(recipe.augmentation).items():
        yield f"augmentation.{name}", value


def own_code(kind: type) -> dict[str, str]:
    """Digests of the user's own files that a class is made of, by path; of a class that came of no file by its name."""
    digests: dict[str, str] = {}
    for ancestor in kind.__mro__:
        module = sys.modules.get(ancestor.__module__)
        if (own := getattr(module, OWN_FILE, None)) is not None:
            files = (Path(own), *files_beside(Path(own)))
            digests |= {str(path): code_digest(path) or "" for path in files}
        elif ancestor.__module__.partition(".")[0] not in (autoseg.__name__, "builtins"):
            digests[f"{ancestor.__module__}.{ancestor.__qualname__}"] = _source_digest(ancestor)
    return digests


def _source_digest(kind: type) -> str:
    """Of a class that was imported otherwise, or typed in; empty where Python cannot show it."""
    try:
        return content_hash(ast.dump(ast.parse(textwrap.dedent(inspect.getsource(kind)))))
    except (OSError, TypeError, SyntaxError):
        return ""
