"""Where voxels lie in space, and the order of axes.

Everywhere in autoseg arrays and geometries are ordered (z, y, x), the reverse of what image files hold;
`images` converts at the edge, and nothing else swaps axes but by the functions here.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, TypeAlias, TypeVar

import numpy as np

from autoseg.arrays import Array, Float64Array, Mask
from autoseg.forms import PRECISE, Forms, difference_of_forms, skew
from autoseg.words import counted, in_brackets

Spacing: TypeAlias = tuple[float, ...]
"""Voxel size in mm, one entry per axis."""

Shape: TypeAlias = tuple[int, ...]
"""Number of voxels, one entry per axis."""

Box: TypeAlias = tuple[tuple[int, int], ...]
"""First voxel and one past the last, per axis."""

SPACING_RANGE = 1e-6, 1e6
"""A nanometre to a kilometre, in mm; what lies beyond is no voxel size."""

# Headers keep single precision, so equal grids differ by rounding: a thousandth of a voxel side and
# a tenth of a voxel over the whole image are far above rounding and far below any real shift.
SPACING_TOLERANCE = 1e-3
POSITION_TOLERANCE_IN_VOXELS = 0.1
DIRECTION_TOLERANCE = 1e-3

PATIENT_SIDES = ("RL", "AP", "IS")
"""Of the patient's x, y and z coordinate: where it falls and where it grows (left, posterior, superior, as in DICOM)."""

STEP_SIZE = 0.5
"""How far the window of prediction moves, as a fraction of the patch (Isensee et al. 2021, "Inference")."""

T = TypeVar("T")


@dataclass(frozen=True, slots=True, kw_only=True)
class Geometry:
    """The grid an image lies on, in (z, y, x) order throughout.

    Attributes:
        spacing: Voxel size in mm.
        origin: Position of the first voxel's centre in mm, patient coordinates (z, y, x).
        direction: 3x3, row by row; column `j` is the unit vector, in (z, y, x) patient coordinates, of array axis `j`.
        forms: What the NIfTI header that it was read from says, which is more; it makes no difference between grids.
        in_pixels: Nothing says how large its voxels are, as of many pictures: each counts as 1 mm.
    """

    spacing: tuple[float, float, float]
    origin: tuple[float, float, float] = (0.0, 0.0, 0.0)
    direction: tuple[float, float, float, float, float, float, float, float, float] = (1, 0, 0, 0, 1, 0, 0, 0, 1)
    forms: Forms | None = field(default=None, compare=False)
    in_pixels: bool = field(default=False, compare=False)

    @property
    def is_placed(self) -> bool:
        """Whether anything says left from right; where nothing does, axes are taken to point as those of DICOM."""
        return self.forms is None or self.forms.say_where

    def doubts(self, shape: Shape) -> tuple[str, ...]:
        """What the header leaves in doubt, and what to do about it, one text each.

        Args:
            shape: Voxels of the image, (z, y, x).
        """
        z, y, x = self.spacing
        found = self.forms and difference_of_forms(self.forms, (x, y, z), shape[::-1])
        rounded = skew(np.reshape(self.direction, (3, 3)))
        if not found and rounded > PRECISE:
            degrees = math.degrees(math.asin(min(1.0, rounded)))
            found = (
                f"the axes in its header are perpendicular to {counted(f'{degrees:.2g}', 'degree')} only, as where "
                "numbers were rounded "
                "to three decimals; write them with six"
            )
        return (found,) if found else ()

    @property
    def orientation(self) -> str:
        """Where the file's x, y and z axes point at most, such as RAS: to the right, anterior and superior."""
        axes = np.reshape(self.direction, (3, 3))[::-1, ::-1].T  # a row for each of the file's axes, in (x, y, z)
        left, names = np.abs(axes), ["", "", ""]
        for _ in names:
            axis, side = np.unravel_index(np.argmax(left), left.shape)
            names[axis] = PATIENT_SIDES[side][int(axes[axis, side] > 0)]
            left[axis, :] = left[:, side] = -1
        return "".join(names)

    def differences(self, other: Geometry) -> tuple[str, ...]:
        """Name what differs beyond the rounding of single-precision headers; empty when the grids are equal.

        One without a size lies on any other.
        """
        if self.in_pixels or other.in_pixels:
            return ()
        found = []
        sides = zip(self.spacing, other.spacing, strict=True)
        if any(abs(a - b) > SPACING_TOLERANCE * max(abs(a), abs(b)) for a, b in sides):
            found.append(f"spacing {in_brackets(self.spacing)} and {in_brackets(other.spacing)}")
        if math.dist(self.origin, other.origin) > POSITION_TOLERANCE_IN_VOXELS * min(self.spacing):
            found.append(f"origin {in_brackets(self.origin)} and {in_brackets(other.origin)}")
        entries = zip(self.direction, other.direction, strict=True)
        if any(abs(a - b) > DIRECTION_TOLERANCE for a, b in entries):
            found.append(f"direction {in_brackets(self.direction)} and {in_brackets(other.direction)}")
        return tuple(found)


def voxels_at(grid: Geometry, points: Float64Array) -> Float64Array:
    """Where points of the patient lie on a grid.

    Args:
        points: `(N, 3)` in mm, (z, y, x).

    Returns:
        `(N, 3)` in voxels, (z, y, x), counted from the first voxel's centre.
    """
    axes = np.reshape(grid.direction, (3, 3))
    found: Float64Array = (points - np.array(grid.origin)) @ axes / np.array(grid.spacing)
    return found


def reorder(values: Sequence[T], order: Sequence[int]) -> tuple[T, ...]:
    """Take `values` (one per axis) in another axis order, as `np.transpose(array, order)` does with the axes."""
    return tuple(values[axis] for axis in order)


def inverse_order(order: Sequence[int]) -> tuple[int, ...]:
    """The axis order that undoes `order`."""
    return tuple(int(axis) for axis in np.argsort(order))


def inside(array: Array, box: Box) -> Array:
    """A view of what of the last axes, as many as the box has, lies inside it."""
    index: tuple[Any, ...] = (..., *box_slices(box))
    view: Array = array[index]
    return view


def turned(array: Array, order: Sequence[int]) -> Array:
    """A view with the last axes, as many as `order` has, in another order."""
    leading = array.ndim - len(order)
    view: Array = array.transpose(*range(leading), *(leading + axis for axis in order))
    return view


def bounding_box(mask: Mask) -> Box | None:
    """The smallest box that holds every true voxel; None where there is none."""
    box, rest = [], mask
    while rest.ndim:
        used = np.flatnonzero(rest.any(axis=tuple(range(1, rest.ndim))))
        if not used.size:
            return None
        box.append((int(used[0]), int(used[-1]) + 1))
        rest = np.any(rest, axis=0)
    return tuple(box)


def box_shape(box: Box) -> Shape:
    """Number of voxels inside a box, per axis."""
    return tuple(stop - start for start, stop in box)


def box_slices(box: Box) -> tuple[slice, ...]:
    """The box as an index into an array of the same axes."""
    return tuple(slice(start, stop) for start, stop in box)


def tile_starts(image: Shape, patch: Shape, step: float | Sequence[float]) -> tuple[tuple[int, ...], ...]:
    """First voxels of the tiles along each axis: as few as cover the image at the given step, spread evenly.

    Args:
        image: Sides in voxels, none smaller than the patch's.
        step: Most that tiles are apart, as a share of the patch; of all axes, or of each.
    """
    steps = [step] * len(patch) if isinstance(step, float | int) else step
    return tuple(_starts(side, wanted, own) for side, wanted, own in zip(image, patch, steps, strict=True))


def _starts(side: int, patch: int, step: float) -> tuple[int, ...]:
    if patch == 1:
        return tuple(range(side))
    steps = math.ceil((side - patch) / (patch * step))
    if steps == 0:
        return (0,)
    evenly = (round(index * (side - patch) / steps) for index in range(steps + 1))
    return tuple(dict.fromkeys(evenly))
