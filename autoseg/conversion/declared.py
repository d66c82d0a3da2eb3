"""Labels that dataset.json declares with gaps between their numbers, as 0 and 255: brought to 0, 1, 2, ..."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from autoseg.errors import DatasetError
from autoseg.words import first_few, readable

BACKGROUND = 0


def closed_gaps(values: Iterable[int]) -> dict[int, int] | None:
    """The new number of each value; None where there is no gap to close, or no 0 to begin with."""
    ordered = sorted(set(values))
    numbers = {value: number for number, value in enumerate(ordered)}
    if not ordered or ordered[0] != BACKGROUND or ordered[-1] == len(ordered) - 1:
        return None
    return numbers


def close_gaps(
    description: Mapping[str, Any], where: Path, *, remap_labels: bool
) -> tuple[Mapping[str, Any], Mapping[int, int] | None]:
    """A first generation's description whose label numbers have no gaps, and the new number of each.

    What is wrong with its labels otherwise is left as it is, for the reader of descriptions to tell.

    Raises:
        DatasetError: There are gaps, and nobody asked to close them.
    """
    labels = description.get("labels")
    if not isinstance(labels, dict) or not all(number.isascii() and number.isdecimal() for number in labels):
        return description, None
    numbers = closed_gaps(map(int, labels))
    if numbers is None or len(numbers) < len(labels):
        return description, None
    if not remap_labels:
        raise DatasetError(
            f"{readable(where)}: labels: the numbers must be consecutive from 0, found {first_few(list(numbers))}; "
            "renumber them, in the label files too, or add `remap_labels`, which does both in the copies"
        )
    renamed = {str(numbers[int(number)]): name for number, name in labels.items()}
    return {**description, "labels": renamed}, numbers


def renumbering_note(numbers: Mapping[int, int] | None) -> tuple[str, ...]:
    """What a user is told of it."""
    if numbers is None:
        return ()
    return (f"label values renumbered: {first_few([f'{old} to {new}' for old, new in numbers.items()])}",)
