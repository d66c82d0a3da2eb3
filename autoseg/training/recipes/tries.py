"""Recipes with lists of values to try: every combination of them is a recipe of its own, in a file of its own."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from math import prod
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np

from autoseg.catalogue import NAME
from autoseg.errors import ExtensionError, StorageError, TrainingError
from autoseg.files.layout import DEFAULT_TRAINER, RECIPE_ENDING, recipe_name
from autoseg.files.storage import read_json
from autoseg.training.recipes.file import BASE, changed_recipe, find_recipe, read_recipe, write_recipe
from autoseg.training.recipes.recipe import Recipe
from autoseg.words import counted

TRY = "try"
"""Key of an object that lists values in place of one."""

MOST_COMBINATIONS = 1000
"""More are hardly meant; each is a training."""

LONGEST_NAME = 60
"""Characters of a file's stem; it becomes part of a folder's name."""

Place: TypeAlias = tuple[str | int, ...]
"""Keys and indices on the way to a value."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Tried:
    """One combination.

    Attributes:
        number: Among all combinations, from 1, the last list varying fastest.
        name: Says what was chosen, as part of a file's name.
        content: What the recipe file holds, with a value in place of each list.
    """

    number: int
    name: str
    content: Mapping[str, Any]


def has_tries(path: Path) -> bool:
    """Whether a recipe file lists values to try."""
    try:
        content = read_json(path)
    except StorageError:
        return False
    return any(True for _ in _lists(content))


def combinations(content: Mapping[str, Any], *, number: int | None = None, seed: int = 0) -> tuple[Tried, ...]:
    """Every combination of the listed values, or some of them drawn at random; more of them hold those of fewer.

    Raises:
        StorageError: A list is none, or empty, or has company.
        ExtensionError: There are too many.
    """
    lists = {place: _values(place, listed) for place, listed in _lists(content)}
    many = prod(len(values) for values in lists.values())
    if number is None and many > MOST_COMBINATIONS:
        raise ExtensionError(
            f"{counted(many, 'combination')} of what is to be tried, each a training; list fewer values, or have some drawn "
            "(`random`)"
        )
    chosen = range(many) if number is None or number >= many else sorted(_drawn(many, number, seed))
    picked = {place + 1: _nth(lists, place) for place in chosen}
    return tuple(
        Tried(number=number, name=_name(values), content=_filled(content, values)) for number, values in picked.items()
    )


def write_tried(path: Path, folder: Path, *, number: int | None = None) -> dict[Path, str]:
    """Write a recipe file for each combination of a file with lists, complete, so that it can be used anywhere.

    Those that are there already and hold the same are left alone.

    Returns:
        The files, and what was chosen in each, which stands in its name, too, where it is short enough.

    Raises:
        ExtensionError: The file lists no values as it should, or one of the combinations is no recipe; the file, and what
            was chosen, are named.
    """
    content = read_json(path)
    stem = recipe_name(path)
    try:
        tried = combinations(content, number=number)
    except (StorageError, ExtensionError) as error:
        raise ExtensionError(f"{path}: {error}") from error
    files: dict[Path, Recipe] = {}
    chosen: dict[Path, str] = {}
    for one in tried:
        file = folder / f"{stem}-{one.name}{RECIPE_ENDING}"
        if len(file.stem) > LONGEST_NAME or file in files:
            file = folder / f"{stem[:LONGEST_NAME]}-{one.number}{RECIPE_ENDING}"
        chosen[file] = one.name
        changes = dict(one.content)
        base = changes.pop(BASE, DEFAULT_TRAINER)
        try:
            before = find_recipe(base, beside=path.parent)
            files[file] = changed_recipe(before, changes, beside=path.parent.absolute())
        except (StorageError, ExtensionError, TrainingError) as error:
            raise ExtensionError(f"{path}: with {one.name}: {error}") from error
    for file, recipe in files.items():
        if not file.is_file() or read_recipe(file) != recipe:
            write_recipe(file, recipe)
    return chosen


def _values(place: Place, listed: Mapping[str, Any]) -> list[Any]:
    values = listed[TRY]
    if len(listed) > 1:
        raise StorageError(f"{_spelt(place)}: {TRY!r} stands alone in its object, found {', '.join(listed)}")
    if not isinstance(values, list) or not values:
        raise StorageError(f"{_spelt(place)}.{TRY}: expected a list of values, found {values!r:.60}")
    return values


def _lists(value: Any, place: Place = ()) -> Iterator[tuple[Place, dict[str, Any]]]:
    """Where values are listed, and the object that lists them."""
    if isinstance(value, dict):
        if TRY in value:
            yield place, value
            return
        for key, one in value.items():
            yield from _lists(one, (*place, key))
    elif isinstance(value, list):
        for number, one in enumerate(value):
            yield from _lists(one, (*place, number))


def _drawn(many: int, number: int, seed: int) -> list[int]:
    """Numbers of combinations; a larger `number` adds to those of a smaller one."""
    generator = np.random.default_rng(seed)
    drawn: dict[int, None] = {}
    while len(drawn) < number:
        drawn[int(generator.integers(many))] = None
    return list(drawn)


def _nth(lists: Mapping[Place, Sequence[Any]], number: int) -> dict[Place, Any]:
    """The combination of a number, the last list varying fastest."""
    chosen = {}
    for place, values in reversed(list(lists.items())):
        number, index = divmod(number, len(values))
        chosen[place] = values[index]
    return dict(reversed(chosen.items()))


def _filled(value: Any, chosen: Mapping[Place, Any], place: Place = ()) -> Any:
    if place in chosen:
        return chosen[place]
    if isinstance(value, dict):
        return {key: _filled(one, chosen, (*place, key)) for key, one in value.items()}
    if isinstance(value, list):
        return [_filled(one, chosen, (*place, number)) for number, one in enumerate(value)]
    return value


def _spelt(place: Place) -> str:
    """`loss[0].gamma`."""
    text = "".join(f"[{key}]" if isinstance(key, int) else f".{key}" for key in place)
    return text.removeprefix(".") or "the file"


def _name(chosen: Mapping[Place, Any]) -> str:
    """`loss_gamma_2.0-learning_rate_0.01`, as a part of a file's name."""
    words = []
    for place, value in chosen.items():
        keys = [str(key) for key in place if not isinstance(key, int) and key != NAME]
        words.append("_".join([*keys[-2:], *_shown(value)]))
    return re.sub(r"_{2,}", "_", re.sub(r"[^\w.-]+", "_", "-".join(words))).strip("_")


def _shown(value: Any) -> list[str]:
    if isinstance(value, dict):
        return [text for key, one in value.items() for text in ([] if key == NAME else [str(key)]) + _shown(one)]
    if isinstance(value, list):
        return [text for one in value for text in _shown(one)]
    return ["none" if value is None else str(value).lower() if isinstance(value, bool) else str(value)]
