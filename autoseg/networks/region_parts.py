"""What regions that share labels leave to no region alone: of a tumour and its core the rest of the tumour."""

from __future__ import annotations

from functools import cache
from typing import NamedTuple


class RegionPart(NamedTuple):
    """Labels that no output has to itself: where some outputs all hold, and none of some others does."""

    holding: tuple[int, ...]
    others: tuple[int, ...]


@cache
def parts_of(members: tuple[tuple[int, ...], ...]) -> tuple[RegionPart, ...]:
    """The parts of regions, by the labels that each covers.

    Named by as few outputs as tell them: the innermost that hold there, and the outermost within these that do not.
    """
    regions = [frozenset(labels) for labels in members]
    found: dict[RegionPart, None] = {}
    for label in sorted(frozenset().union(*regions)):
        there = [one for one, region in enumerate(regions) if label in region]
        holding = tuple(one for one in there if not any(regions[other] < regions[one] for other in there))
        common = frozenset.intersection(*(regions[one] for one in holding))
        cutting = [one for one, region in enumerate(regions) if label not in region and region & common]
        others = tuple(one for one in cutting if not any(regions[one] < regions[other] for other in cutting))
        if common.difference(*(regions[one] for one in others)) not in regions:
            found[RegionPart(holding=holding, others=others)] = None
    return tuple(found)
