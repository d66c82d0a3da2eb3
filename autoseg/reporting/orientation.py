"""Volumes turned as radiologists look at them, whatever the order in which they are stored.

A picture shows the patient's right at its left, and the front or the head at its top. Which plane is cut, and which
side is where, comes from the direction of the axes, never from their order in the file.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TypeVar

import numpy as np
import numpy.typing as npt

from autoseg.arrays import Array
from autoseg.geometry import PATIENT_SIDES, Geometry, Shape, Spacing, reorder

PLANES = ("axial", "coronal", "sagittal")
"""What is seen when a turned volume is cut across its axis 0, 1 or 2."""

TURNED = "IPL"
"""Where the axes of a turned volume point, first to last: rows go down, columns to the right."""

OPPOSITE = {pair[end]: pair[1 - end] for pair in PATIENT_SIDES for end in (0, 1)}

STRAIGHT_DEGREES = 1.0
"""Patients lie no straighter; a plane further off is called near."""

Number = TypeVar("Number", bound=np.generic)


@dataclass(frozen=True, slots=True, kw_only=True)
class PatientView:
    """How the volumes on one grid are turned.

    Attributes:
        order: The stored axes that run nearest along head and feet, front and back, right and left.
        flipped: Of each of these, whether it runs the other way than `TURNED`.
    """

    geometry: Geometry
    order: tuple[int, int, int]
    flipped: tuple[bool, bool, bool]

    @property
    def spacing(self) -> Spacing:
        """Voxel size in mm along the turned axes."""
        return reorder(self.geometry.spacing, self.order)

    def turn(self, volume: npt.NDArray[Number]) -> npt.NDArray[Number]:
        """A stored `(Z, Y, X)` volume as a view whose axes point inferior, posterior and left."""
        turned: npt.NDArray[Number] = volume.transpose(self.order)
        return np.flip(turned, tuple(axis for axis, flip in enumerate(self.flipped) if flip))

    def plane(self, axis: int) -> str:
        """What is seen across a turned axis: `axial`, or `near axial` where the cut is oblique."""
        along = abs(self._direction[axis, self.order[axis]])
        straight = along >= math.cos(math.radians(STRAIGHT_DEGREES))
        return PLANES[axis] if straight else f"near {PLANES[axis]}"

    def edges(self, axis: int) -> tuple[str, str, str, str]:
        """The sides of the patient at the top, right, bottom and left of a cut across a turned axis."""
        down, right = (side for other, side in enumerate(TURNED) if other != axis)
        return OPPOSITE[down], right, down, OPPOSITE[right]

    def place(self, axis: int, position: int, shape: Shape) -> str:
        """Where the middle of a cut lies in the patient, as `S 12.5 mm`.

        Args:
            position: Of the cut, along the turned axis.
            shape: Of the stored volume.
        """
        voxel = [(side - 1) / 2 for side in shape]
        stored = self.order[axis]
        voxel[stored] = shape[stored] - 1 - position if self.flipped[axis] else position
        steps = np.array(voxel) * self.geometry.spacing
        found = round(self.geometry.origin[axis] + float(self._direction[axis] @ steps), 1)
        return f"{PATIENT_SIDES[2 - axis][int(found >= 0)]} {abs(found):.1f} mm"

    @property
    def _direction(self) -> Array:
        return np.reshape(self.geometry.direction, (3, 3))


def patient_view(geometry: Geometry) -> PatientView:
    """How volumes on a grid are turned; an oblique grid by the patient's axes that are nearest."""
    points_to = geometry.orientation[::-1]
    order = [next(axis for axis, side in enumerate(points_to) if side in (end, OPPOSITE[end])) for end in TURNED]
    inferior, posterior, left = order
    flips = [points_to[axis] != end for axis, end in zip(order, TURNED, strict=True)]
    return PatientView(geometry=geometry, order=(inferior, posterior, left), flipped=(flips[0], flips[1], flips[2]))
