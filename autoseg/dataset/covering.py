"""Where outputs hold in the maps of a segmentation, and what a map's value becomes where outputs are taken away.

All of it follows from what a target says of each number of `scored`: the map that it is told in, the values there that
it covers, and the one that it writes.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache

import numpy as np

from autoseg.arrays import LabelArray, Mask
from autoseg.dataset.coding import BACKGROUND
from autoseg.dataset.target import Target


@dataclass(frozen=True, slots=True, kw_only=True)
class Cover:
    """What some outputs are in one of a segmentation's maps.

    Attributes:
        map: Its number.
        values: Those in which one of the outputs holds, ascending.
        without: What each of these becomes where none of the outputs is to hold: the value in which as many of the
            others as can hold as before, and no further one does.
        gaps: Other values that may become any of `values` without an end of any output.
    """

    map: int
    values: tuple[int, ...]
    without: tuple[int, ...]
    gaps: tuple[int, ...]


@lru_cache(maxsize=1024)
def covers(target: Target, numbers: tuple[int, ...]) -> tuple[Cover, ...]:
    """What outputs are in each map that tells of one of them.

    Args:
        numbers: Of `target.scored`.
    """
    outputs = _outputs_by_value(target)
    values: defaultdict[int, set[int]] = defaultdict(set)
    for number in numbers:
        values[target.map_of(number)].update(target.members_of(number))
    return tuple(
        Cover(
            map=place,
            values=tuple(sorted(covered)),
            without=tuple(
                _without(outputs[place][value] - set(numbers), outputs[place], target) for value in sorted(covered)
            ),
            gaps=_gaps(covered, outputs[place]),
        )
        for place, covered in values.items()
    )


def held(segmentation: LabelArray, target: Target, numbers: Sequence[int]) -> Mask:
    """Where any of some outputs holds in a segmentation, `(...)` of its voxels."""
    maps = target.maps_of(segmentation)
    first, *others = (has(maps[cover.map], cover.values) for cover in covers(target, tuple(numbers)))
    for other in others:
        first |= other
    return first


def has(labels: LabelArray, values: Sequence[int]) -> Mask:
    """Where a map has any of some values."""
    mask: Mask = labels == values[0] if len(values) == 1 else np.isin(labels, values)
    return mask


def touched(target: Target, numbers: Sequence[int]) -> tuple[int, ...]:
    """The outputs that may hold elsewhere once some are taken away in places, or added over gaps: these, and such as
    share values with them."""
    changed = set(numbers)
    for cover in covers(target, tuple(numbers)):
        outputs = _outputs_by_value(target)[cover.map]
        for value, other in zip(cover.values, cover.without, strict=True):
            changed |= outputs[value] ^ outputs[other]
            changed.update(*(outputs[value] - outputs[gap] for gap in cover.gaps))
    return tuple(sorted(changed))


_Outputs = Mapping[int, frozenset[int]]
"""Of one map: the outputs that hold in each value."""


@lru_cache(maxsize=16)
def _outputs_by_value(target: Target) -> Mapping[int, _Outputs]:
    """By map; of the background there is none."""
    found: defaultdict[int, dict[int, frozenset[int]]] = defaultdict(lambda: {BACKGROUND: frozenset()})
    for number in target.scored:
        outputs = found[target.map_of(number)]
        for value in target.members_of(number):
            outputs[value] = outputs.get(value, frozenset()) | {number}
    return dict(found)


def _without(kept: frozenset[int], outputs: _Outputs, target: Target) -> int:
    """Of equally good values one that an output writes, then the lowest."""
    if not kept:
        return BACKGROUND

    def fit(value: int) -> tuple[int, bool, int]:
        is_written = any(target.label_of(number) == value for number in outputs[value])
        return len(outputs[value]), is_written, -value

    return max((value for value, holding in outputs.items() if holding <= kept), key=fit)


def _gaps(covered: set[int], outputs: _Outputs) -> tuple[int, ...]:
    shared = frozenset.intersection(*(outputs[value] for value in covered))
    return tuple(sorted(value for value, holding in outputs.items() if value not in covered and holding <= shared))
