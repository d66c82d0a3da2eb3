"""How the voxels of a case, and the pixels of planes and boxes through it, lie in scanner space; numbers only.

Positions are in mm from the middle of the case's grid, in patient coordinates (z, y, x). A box of pixels has three
axes: the direction of its view, then its rows and its columns. A plane is a box of one pixel along the first.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from autoseg.arrays import Float64Array
from autoseg.geometry import Shape, Spacing
from autoseg.plans import Direction, Views
from autoseg.preprocessing.prepare import CaseProperties

PLANES_BEYOND = 20
"""That a sweep begins and ends with, half of them each, outside of the span (Perslev et al. 2019)."""

ROUNDING = 1e-6
"""Of a plane."""

LARGER = 1.25
"""Times the span: of a case that is longer, every plane is so much wider that it reaches from end to end. Of others each
voxel lies on planes of most views, and on those of some its corners do not."""


@dataclass(frozen=True, slots=True)
class Placement:
    """Takes an index, `(3,)`, of one grid to that of another: `matrix @ index + offset`.

    Attributes:
        matrix: `(3, 3)`.
        offset: `(3,)`.
    """

    matrix: Float64Array
    offset: Float64Array

    def __call__(self, index: Float64Array) -> Float64Array:
        """Of indices `(..., 3)`."""
        placed: Float64Array = index @ self.matrix.T + self.offset
        return placed

    def after(self, first: Placement) -> Placement:
        """This, of what `first` gives."""
        return Placement(self.matrix @ first.matrix, self(first.offset))

    def shifted(self, start: Shape) -> Placement:
        """The same for indices that count from `start` on."""
        return Placement(self.matrix, self(np.array(start, dtype=np.float64)))

    @property
    def inverse(self) -> Placement:
        """The way back."""
        back: Float64Array = np.linalg.inv(self.matrix).astype(np.float64)
        return Placement(back, -back @ self.offset)


@dataclass(frozen=True, slots=True, kw_only=True)
class Pixels:
    """A box of pixels along a direction.

    Attributes:
        direction: Of unit length.
        centre: Of the box, mm, `(3,)`: along the direction, its rows and its columns.
        spacing: From pixel to pixel, mm: along the direction, its rows and its columns.
        shape: Pixels along the direction, rows, columns.
    """

    direction: Direction
    centre: tuple[float, float, float]
    spacing: tuple[float, float, float]
    shape: tuple[int, int, int]

    @property
    def to_space(self) -> Placement:
        """From the index of a pixel to mm."""
        axes = axes_along(self.direction)
        spacing, middle = np.array(self.spacing), (np.array(self.shape) - 1) / 2
        return Placement(axes * spacing, axes @ (np.array(self.centre) - spacing * middle))


def case_to_space(properties: CaseProperties) -> Placement:
    """From the index of a voxel of a prepared case, in transposed order, to mm."""
    axes = np.reshape(properties.geometry.direction, (3, 3))[:, list(properties.transpose_forward)]
    return grid_to_space(axes, properties.prepared_spacing, properties.prepared_shape)


def grid_to_space(axes: Float64Array, spacing: Spacing, shape: Shape) -> Placement:
    """From the index of a voxel to mm.

    Args:
        axes: `(3, 3)`, the unit vectors of the grid's axes, one a column.
        spacing: mm.
    """
    steps = axes * np.array(spacing)
    return Placement(steps, -steps @ ((np.array(shape) - 1) / 2))


def pixel_of(views: Views, patch_size: Shape) -> float:
    """The side of a pixel, mm."""
    return views.span / (patch_size[0] - 1)


def swept(direction: Direction, views: Views, patch_size: Shape, spacing: Spacing, shape: Shape) -> Pixels:
    """All pixels that a network sees of a case along a direction.

    Planes are a pixel apart, but no closer than the case's finest voxels: between two of those is nothing to see.

    Args:
        spacing, shape: Of the case.
    """
    pixel, side, longest = (
        pixel_of(views, patch_size),
        patch_size[0],
        max(map(math.prod, zip(spacing, shape, strict=True))),
    )
    wide = side if longest <= LARGER * views.span else max(side, math.ceil(longest / pixel) + 1)
    apart = max(pixel, min(spacing)) if len(patch_size) == len("yx") else pixel
    planes = math.ceil((wide - 1 + PLANES_BEYOND) * pixel / apart - ROUNDING) + 1
    return Pixels(
        direction=direction, centre=(0.0, 0.0, 0.0), spacing=(apart, pixel, pixel), shape=(planes, wide, wide)
    )


def axes_along(direction: Direction) -> Float64Array:
    """The axes of what is cut across a direction: itself, that of rows and that of columns, the columns of `(3, 3)`.

    They are what z, y and x become under the smallest rotation that takes z to the direction, and so depend
    continuously on it everywhere but at -z. Along z they are z, y and x themselves.

    Args:
        direction: Of unit length, not -z.
    """
    z, y, x = direction
    mixed = -x * y / (1 + z)
    return np.array([[z, -y, -x], [y, 1 - y * y / (1 + z), mixed], [x, mixed, 1 - x * x / (1 + z)]])


def upward(vector: Float64Array) -> Direction:
    """The direction of a vector, or the opposite one, which planes lie across as well: of unit length, z not below 0."""
    z, y, x = (vector / math.hypot(*vector) * (-1.0 if vector[0] < 0 else 1.0)).tolist()
    return z, y, x
