"""What a NIfTI header says of where its voxels lie: two forms, which need not agree, each with a code.

The qform is a rotation, kept as a quaternion; the sform is any matrix. A coregistration often changes one of them only,
and programs differ in which they go by, so both travel with a geometry and are written again as they were.
Formats: https://nifti.nimh.nih.gov/nifti-1, "METHOD 2" and "METHOD 3".
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import product
from typing import Literal, TypeAlias

import numpy as np

from autoseg.arrays import Array, Float64Array
from autoseg.words import counted

Side: TypeAlias = tuple[float, float, float]
Name: TypeAlias = Literal["qform", "sform"]

SCANNER = 1
SKEWED, ALL_ZERO = "skewed", "all zero"

MEANINGS = {0: "unknown", 1: "scanner", 2: "another image", 3: "Talairach space", 4: "MNI space", 5: "a template"}
"""What positions refer to, by code."""

STRAIGHT = 2e-3
"""By how much the products of unit vectors may differ from those of perpendicular ones, in every format: an entry rounded
to three decimals is off by half a thousandth, a product of two columns by at most 1.7 thousandths."""

PRECISE = 2e-4
"""What four decimals and more, and single precision, stay below; what lies beyond is worth telling."""

FLAT = 1e-6
"""Volume that three unit vectors span at least, or they are no axes."""

APART_IN_VOXELS = 0.1
"""Of the smallest side, between corners of the image by both forms: what is less is rounding, as between two grids."""

APART_BY_SIZE = 0.01
"""Relative; what the voxel sizes of a header may differ by."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Forms:
    """Both forms of a header, in mm, right-anterior-superior, axes x, y, z.

    Attributes:
        qform_code, sform_code: What the positions refer to, see `MEANINGS`; without a code above 0 a form says nothing.
        handedness: -1 where the qform mirrors the third axis.
        quaternion: b, c and d of the qform's rotation.
        offset: Position of the first voxel by the qform.
        matrix: 3x4, row by row: voxel (x, y, z, 1) to its position by the sform.
    """

    qform_code: int
    sform_code: int
    handedness: float = 1.0
    quaternion: tuple[float, float, float] = (0.0, 0.0, 0.0)
    offset: tuple[float, float, float] = (0.0, 0.0, 0.0)
    matrix: tuple[float, ...] = (0.0,) * 12

    @property
    def say_where(self) -> bool:
        """Whether anything tells left from right."""
        return self.qform_code > 0 or self.sform_code > 0

    @property
    def used(self) -> Name | None:
        """Which form counts, as ITK chooses: the scanner's sform, where it is precise, else the qform, else any sform."""
        if self.qform_code <= 0:
            return "sform" if self.sform_code > 0 else None
        precise = self.sform_code == SCANNER and self.sform_fault is None and skew(self._sform_units) <= PRECISE
        return "sform" if precise else "qform"

    @property
    def sform_fault(self) -> str | None:
        """What keeps the sform's axes from being those of a straight grid; None where nothing does."""
        units = self._sform_units
        if not units.any():
            return ALL_ZERO
        if abs(np.linalg.det(units)) < FLAT:
            return "flat: its axes span no volume"
        return f"{SKEWED}, not perpendicular unit vectors" if skew(units) > STRAIGHT else None

    @property
    def _sform_units(self) -> Float64Array:
        return unit_axes(np.reshape(self.matrix, (3, 4))[:, :3])

    def has_other_sides(self, spacing: Side) -> bool:
        """Whether the sform has voxels of another size, which is a fault of its own."""
        sides = np.linalg.norm(self.affine("sform", spacing)[:, :3], axis=0)
        return bool(np.any(np.abs(sides - spacing) > APART_BY_SIZE * np.array(spacing)))

    def as_numbers(self) -> tuple[float, ...]:
        """All of it in one row, for a file of arrays."""
        codes = (self.qform_code, self.sform_code, self.handedness)
        return (*codes, *self.quaternion, *self.offset, *self.matrix)

    @classmethod
    def from_numbers(cls, numbers: Sequence[float]) -> Forms:
        """The reverse of `as_numbers`.

        Raises:
            ValueError: These are no such numbers.
        """
        qform_code, sform_code, handedness, b, c, d, x, y, z, *matrix = map(float, numbers)
        if len(matrix) != 12 or not all(map(math.isfinite, numbers)):
            raise ValueError("its forms are not 21 finite numbers")
        return cls(
            qform_code=int(qform_code),
            sform_code=int(sform_code),
            handedness=handedness,
            quaternion=(b, c, d),
            offset=(x, y, z),
            matrix=tuple(matrix),
        )

    def affine(self, name: Name, spacing: Side) -> Float64Array:
        """3x4: voxel (x, y, z, 1) to its position by one of the forms.

        Args:
            spacing: Voxel size in mm, which the qform leaves to another place in the header.
        """
        if name == "sform":
            return np.reshape(self.matrix, (3, 4))
        axes = _rotation(*self.quaternion) * (1, 1, self.handedness) * spacing
        return np.column_stack([axes, self.offset])

    def corners_apart(self, spacing: Side, shape: tuple[int, ...]) -> float:
        """The most by which a corner of the image lies apart, in mm, by the one form and the other.

        Args:
            shape: Voxels along x, y, z.
        """
        corners = np.array([(*corner, 1) for corner in product(*((0, side - 1) for side in shape[:3]))]).T
        return float(
            np.linalg.norm((self.affine("qform", spacing) - self.affine("sform", spacing)) @ corners, axis=0).max()
        )


NOWHERE = Forms(qform_code=0, sform_code=0)
"""Of a header that says nothing of where its voxels lie."""


def unit_axes(axes: Float64Array) -> Float64Array:
    """The columns of a 3x3 matrix at length 1; zero stays zero."""
    lengths = np.linalg.norm(axes, axis=0)
    return axes / np.where(lengths > 0, lengths, 1)


def skew(axes: Array) -> float:
    """By how much the products of 3x3 columns differ at most from those of perpendicular unit vectors."""
    return float(np.abs(axes.T @ axes - np.eye(3)).max())


def difference_of_forms(forms: Forms, spacing: Side, shape: tuple[int, ...]) -> str | None:
    """How the two forms of an image differ, by how much, and which of them counts; None where they agree, or one is alone.

    Args:
        spacing, shape: Voxel size in mm and voxels along x, y, z.
    """
    if forms.qform_code <= 0 or forms.sform_code <= 0:
        return None
    fault = forms.sform_fault
    if fault is not None and not fault.startswith(SKEWED):
        return f"its sform (code {forms.sform_code}) is {fault}; its qform counts here, other programs refuse it; correct the sform"
    apart = forms.corners_apart(spacing, shape)
    if apart <= APART_IN_VOXELS * min(spacing) or (fault is None and forms.has_other_sides(spacing)):
        return None
    skewed = f", whose axes are skewed by {counted(f'{_skew_degrees(forms):.2g}', 'degree')}" if fault else ""
    remedy = (
        "resample it onto a straight grid, if the gantry was tilted"
        if fault
        else "write the right one into both, if they should agree"
    )
    return (
        f"its qform ({_meaning(forms.qform_code)}) and its sform ({_meaning(forms.sform_code)}{skewed}) disagree, by "
        f"{apart:.3g} mm at the corners; the {forms.used} counts here, other programs may go by the other; {remedy}"
    )


def forms_of(spacing: Side, origin: Side, direction: Float64Array) -> Forms:
    """Two forms that agree, in the scanner's coordinates, for a grid that has none.

    Args:
        spacing, origin: Of x, y, z in mm, right-anterior-superior.
        direction: 3x3, its columns are the unit vectors of the x, y and z axes.
    """
    from scipy.spatial.transform import Rotation  # slow to import, and only writing needs it

    handedness = 1.0 if np.linalg.det(direction) > 0 else -1.0
    b, c, d = Rotation.from_matrix(direction * (1, 1, handedness)).as_quat(canonical=True)[:3].tolist()
    return Forms(
        qform_code=SCANNER,
        sform_code=SCANNER,
        handedness=handedness,
        quaternion=(b, c, d),
        offset=origin,
        matrix=tuple(np.column_stack([direction * spacing, origin]).ravel().tolist()),
    )


def _meaning(code: int) -> str:
    return f"code {code}, {MEANINGS.get(code, 'unknown')}"


def _skew_degrees(forms: Forms) -> float:
    """By how many degrees two of the sform's axes differ at most from a right angle."""
    return float(np.degrees(np.arcsin(min(1.0, skew(forms._sform_units)))))


def _rotation(b: float, c: float, d: float) -> Float64Array:
    """The matrix of a unit quaternion whose first number is what the others leave; of one too long, made shorter."""
    a = math.sqrt(max(0.0, 1.0 - (b * b + c * c + d * d)))
    length = math.sqrt(a * a + b * b + c * c + d * d)
    a, b, c, d = (part / length for part in (a, b, c, d))
    return np.array(
        [
            [a * a + b * b - c * c - d * d, 2 * (b * c - a * d), 2 * (b * d + a * c)],
            [2 * (b * c + a * d), a * a + c * c - b * b - d * d, 2 * (c * d - a * b)],
            [2 * (b * d - a * c), 2 * (c * d + a * b), a * a + d * d - b * b - c * c],
        ]
    )
