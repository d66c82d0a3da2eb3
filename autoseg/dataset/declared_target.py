"""What dataset.json says of the target: labels, regions or masks, what is ignored, and whether files hold fractions."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Any

from autoseg.dataset.notes import Notes
from autoseg.dataset.target import Exclusive, Masks, Regions, Target
from autoseg.errors import DatasetError
from autoseg.words import readable

ORDER, MASKS, IGNORE, SOFT, ANNOTATED = "regions_class_order", "masks", "ignore", "soft_labels", "annotated"
LABELS, BACKGROUND_NAME = "labels", "background"
REGIONS_EXAMPLE = '{"background": 0, "whole": [1, 2], "core": 2} with "regions_class_order": [1, 2]'
NAME_IN_FILES = re.compile(r"[\w-]+")
RATER = re.compile(r"(.*)_rater([1-9][0-9]*)", re.DOTALL)
"""A name that ends in the number of who drew the file."""


def declared_target(
    description: Mapping[str, Any], notes: Notes, labels: Callable[[], tuple[str, ...]]
) -> Target | None:
    """The target that is declared; None where it cannot be understood, which is noted.

    Args:
        labels: Reads and checks exclusive labels, noting what is wrong with them.
    """
    before = len(notes.faults)
    soft = _soft(description, notes)
    if MASKS in description:
        make = _masks(description, notes, soft=soft)
    elif ORDER in description:
        make = _regions(description, notes, soft=soft)
    else:
        names, ignore = labels(), _ignore(description, notes)
        if len(names) < 2 or len(notes.faults) > before:
            return None

        def make() -> Target:
            return Exclusive(names=names, ignore=ignore, soft=soft)

    if len(notes.faults) > before:
        return None
    try:
        return make()
    except DatasetError as error:
        notes.add(str(error))
        return None


def declaration(target: Target) -> dict[str, Any]:
    """The keys that declare regions, masks or fractions, as `declared_target` reads them; none where labels are values."""
    soft = {SOFT: True} if target.soft else {}
    match target:
        case Masks(names=names):
            return {MASKS: names, **soft}
        case Regions(names=names, members=members, order=order):
            return {LABELS: {BACKGROUND_NAME: 0, **dict(zip(names, members, strict=True))}, ORDER: order}
        case Exclusive():
            return soft


def _soft(description: Mapping[str, Any], notes: Notes) -> bool:
    soft = description.get(SOFT, False)
    if not isinstance(soft, bool):
        notes.add(f"{SOFT}: expected true or false, found {soft!r:.100}")
        return False
    return soft


def _ignore(description: Mapping[str, Any], notes: Notes) -> int | None:
    ignore = description.get(IGNORE)
    if ignore is not None and type(ignore) is not int:
        notes.add(f"{IGNORE}: expected a whole number such as 255, without quotation marks, found {ignore!r:.100}")
        return None
    return ignore


def _masks(description: Mapping[str, Any], notes: Notes, *, soft: bool) -> Callable[[], Target]:
    names = description[MASKS]
    if other := [key for key in ("labels", ORDER) if key in description]:
        notes.add(f"{MASKS}: declared beside {other[0]}; a task has labels, regions or masks, take one of the two out")
    if not isinstance(names, list) or not all(isinstance(name, str) for name in names):
        notes.add(f'{MASKS}: expected a list of names such as ["axon", "myelin"], found {names!r:.100}')
        names = []
    for name in names:
        if not NAME_IN_FILES.fullmatch(name) or RATER.fullmatch(name):
            notes.add(
                f"{MASKS}: {name!a:.100} cannot be part of a file's name; use letters, digits, _ and -, and end it "
                "otherwise than in _rater and a number"
            )
    ignore = _ignore(description, notes)
    return lambda: Masks(names=tuple(names), ignore=ignore, soft=soft)


def _regions(description: Mapping[str, Any], notes: Notes, *, soft: bool) -> Callable[[], Target]:
    labels, order = description.get("labels"), description[ORDER]
    if soft:
        notes.add(f"{SOFT}: a map of labels, of which regions are made, holds no fractions; declare masks")
    if not isinstance(order, list) or not all(type(label) is int for label in order):
        notes.add(f"{ORDER}: expected a list of labels such as [1, 2], found {order!r:.100}")
        order = []
    if not isinstance(labels, dict):
        notes.add(f"labels: expected an object such as {REGIONS_EXAMPLE}, found {labels!r:.100}")
        labels = {BACKGROUND_NAME: 0}
    if labels.get(BACKGROUND_NAME) != 0:
        notes.add(f'labels: 0 is not declared, which is the background; write {REGIONS_EXAMPLE}, with "background": 0')
    ignore = _ignore(description, notes)
    if IGNORE in labels:
        if IGNORE in description:
            notes.add(f"{IGNORE}: declared twice, by itself and under labels; keep one of the two")
        ignore = _ignore(labels, notes)
    regions = {
        name: _members(name, value, notes) for name, value in labels.items() if name not in (BACKGROUND_NAME, IGNORE)
    }
    return lambda: Regions(names=tuple(regions), members=tuple(regions.values()), order=tuple(order), ignore=ignore)


def _members(name: str, value: Any, notes: Notes) -> tuple[int, ...]:
    members = value if isinstance(value, list) else [value]
    if not all(type(label) is int for label in members):
        notes.add(f"labels: region {readable(name)}: expected a label, or a list of some, found {value!r:.100}")
        return ()
    return tuple(members)
