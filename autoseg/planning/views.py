"""The planes that a 2D network is shown of volumes: how large, of which pixels, and across which directions.

Source: Perslev et al. 2019, "One Network To Segment Them All" (arXiv 1911.01764).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import combinations

import numpy as np

from autoseg.arrays import Float64Array
from autoseg.plans import Direction
from autoseg.views.frame import upward

SPAN_PERCENTILE, RESOLUTION_PERCENTILE = 75.0, 25.0
"""Of all axes of all cases together: of their lengths, and of their voxels."""

SIDE_STEP, SMALLEST_SIDE, LARGEST_SIDE = 16, 128, 512
"""Pixels."""

ENOUGH = 0.9
"""Of the pixels that the span asks for; where a plane has fewer, it spans less."""

SMALLEST_SHARE = 0.70
"""Of the span, that is kept at least."""

BOX_SIDE = 64
"""Pixels of a box."""

NUMBER_OF_VIEWS = 6
SEED = 0

FIRST_ANGLE = 60.0
"""Degrees that every two directions are apart; one less after each draw that is not."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PlaneSize:
    """Of a plane: `side` pixels, whose centres reach over `span` mm."""

    side: int
    span: float

    @property
    def pixel(self) -> float:
        """mm."""
        return self.span / (self.side - 1)


def plane_size(lengths: Float64Array, voxels: Float64Array, *, largest: int = LARGEST_SIDE) -> PlaneSize:
    """As wide as most volumes and as fine as most of their voxels, as far as so many pixels allow.

    Args:
        lengths: Of all axes of all cases, mm.
        voxels: Likewise their sides, mm.
        largest: Pixels a plane may have along a side, a multiple of `SIDE_STEP`.
    """
    span = float(np.percentile(lengths, SPAN_PERCENTILE))
    resolution = finest(voxels)
    wanted = span / resolution
    side = min(range(min(SMALLEST_SIDE, largest), largest + 1, SIDE_STEP), key=lambda side: abs(side - wanted))
    if side < ENOUGH * wanted:
        span = max(float(math.floor(SMALLEST_SHARE * span)), side * resolution)
    return PlaneSize(side=side, span=span)


def finest(voxels: Float64Array) -> float:
    """The resolution that planes are planned for, mm."""
    return float(np.percentile(voxels, RESOLUTION_PERCENTILE))


def voxels_in_space(spacings: Float64Array, directions: Float64Array) -> Float64Array:
    """How far voxels reach along the scanner's axes, `(3, 3)`: what takes a direction towards the long sides of voxels.

    Of images whose axes are those of the scanner it is diagonal, and holds the median spacing; of oblique ones it is the
    same in their own axes. Entries are medians over cases.

    Args:
        spacings: `(cases, 3)`, mm.
        directions: `(cases, 3, 3)`, the unit vectors of each grid's axes, one a column.
    """
    stretched = np.einsum("nij,nj,nkj->nik", directions, spacings, directions)
    found: Float64Array = np.median(stretched, axis=0)
    return found


def draw_directions(voxels: Float64Array, number: int = NUMBER_OF_VIEWS, seed: int = SEED) -> tuple[Direction, ...]:
    """Directions that are far apart, more of them along large sides of voxels.

    Args:
        voxels: `(3, 3)`, from `voxels_in_space`.
    """
    random = np.random.default_rng(seed)
    angle = FIRST_ANGLE
    while True:
        drawn = random.standard_normal((number, 3))
        drawn /= np.linalg.norm(drawn, axis=1, keepdims=True)
        drawn = drawn * np.where(drawn[:, :1] < 0, -1.0, 1.0) @ voxels
        directions = tuple(upward(vector) for vector in drawn)
        if smallest_angle(directions) > angle:
            return directions
        angle -= 1


def smallest_angle(directions: Sequence[Direction]) -> float:
    """Between any two of them, in degrees, 90 at most: opposite directions have the same planes; of one alone 90."""
    pairs = [abs(float(np.dot(one, other))) for one, other in combinations(directions, 2)]
    return math.degrees(math.acos(min(1.0, max(pairs, default=0.0))))
