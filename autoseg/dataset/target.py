"""What is predicted of a task: which outputs a network has, and how they and the labels of a case follow from each other.

A kind of target is a frozen value, and the only place that knows its convention; all else asks it. What it means to a
network, in torch, stands under the name of its activation in `networks.activations`.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Literal, TypeAlias

from autoseg.dataset.coding import (
    BACKGROUND,
    IGNORED,
    LARGEST_LABEL,
    OUTSIDE,
    WHOLE,
    is_ignored,
    is_outside,
    outside_as_background,
)
from autoseg.dataset.exclusive import Exclusive, too_many_labels
from autoseg.dataset.overlapping import Masks, Regions

__all__ = [
    "BACKGROUND",
    "IGNORED",
    "LARGEST_LABEL",
    "OUTSIDE",
    "Exclusive",
    "Masks",
    "Regions",
    "StoredTarget",
    "Target",
    "hardened",
    "in_words",
    "is_ignored",
    "is_outside",
    "names_in_files",
    "outside_as_background",
    "restored_target",
    "stored_target",
    "too_many_labels",
    "written_step",
]

Target: TypeAlias = Exclusive | Regions | Masks
"""Every kind there is; mypy asks each of them for all that is used."""


def written_step(target: Target) -> float:
    """What one step of a segmentation's values stands for: 1 of labels, of fractions what makes `WHOLE` of them 1."""
    return 1 / WHOLE if target.soft else 1


def hardened(target: Target) -> Target:
    """The same outputs, as what of fractions is more than one half."""
    match target:
        case Exclusive() | Masks():
            return replace(target, soft=False)
        case Regions():
            return target


@dataclass(frozen=True, slots=True, kw_only=True)
class StoredTarget:
    """What files say of a target beside the names of its labels, where it is more than these."""

    kind: Literal["exclusive", "regions", "masks"]
    members: tuple[tuple[int, ...], ...] = ()
    order: tuple[int, ...] = ()
    ignore: int | None = None
    soft: bool = False


def stored_target(target: Target) -> StoredTarget | None:
    """What is to be written of a target beside `target.labels`; None where these say all."""
    match target:
        case Regions(members=members, order=order, ignore=ignore):
            return StoredTarget(kind="regions", members=members, order=order, ignore=ignore)
        case Masks(ignore=ignore, soft=soft):
            return StoredTarget(kind="masks", ignore=ignore, soft=soft)
        case Exclusive(ignore=None, soft=False):
            return None
        case Exclusive(ignore=ignore, soft=soft):
            return StoredTarget(kind="exclusive", ignore=ignore, soft=soft)


def in_words(target: Target) -> tuple[str, str]:
    """What its outputs are called, and which they are, by number; for people to read."""
    unknown = "" if target.ignore is None else f"; {target.ignore} where nobody knows"
    match target:
        case Exclusive(names=names, soft=soft):
            listed = ", ".join(f"{number} {name}" for number, name in enumerate(names))
            return "Labels", listed + " (fractions)" * soft + unknown
        case Regions(names=names, members=members):
            covered = (f"{name} ({', '.join(map(str, labels))})" for name, labels in zip(names, members, strict=True))
            listed = ", ".join(f"{number} {one}" for number, one in enumerate(covered, 1))
            return "Regions (of labels)", listed + unknown
        case Masks(names=names, soft=soft):
            listed = ", ".join(f"{number} {name}" for number, name in enumerate(names, 1))
            return "Masks (a file each)", listed + " (fractions)" * soft + unknown


def restored_target(labels: tuple[str, ...], stored: StoredTarget | None) -> Target:
    """The reverse of `stored_target`, with `target.labels`.

    Raises:
        DatasetError: They make no target.
    """
    match stored:
        case None:
            return Exclusive(names=labels)
        case StoredTarget(kind="exclusive", ignore=ignore, soft=soft):
            return Exclusive(names=labels, ignore=ignore, soft=soft)
        case StoredTarget(kind="masks", ignore=ignore, soft=soft):
            return Masks(names=labels[1:], ignore=ignore, soft=soft)
        case StoredTarget(members=members, order=order, ignore=ignore):
            return Regions(names=labels[1:], members=members, order=order, ignore=ignore)


def names_in_files(target: Target) -> tuple[tuple[str, ...], ...]:
    """Of each file of a segmentation what its values are called, at their index, the background first; empty: no name."""
    files: dict[int, dict[int, str]] = {}
    for number in target.scored:
        named = files.setdefault(target.map_of(number), {BACKGROUND: target.labels[BACKGROUND]})
        named[target.label_of(number)] = target.labels[number]
    return tuple(tuple(named.get(value, "") for value in range(max(named) + 1)) for _, named in sorted(files.items()))
