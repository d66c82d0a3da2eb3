"""What the headers of NRRD and MetaImage have in common: keys with values, in text.

SimpleITK, whose formats they are, is not left alone with them. It follows a header to whatever other file it names, takes
memory before it looks at the file's size, and reads without a word what it does not understand: an unknown space, axes
that are skewed, a missing voxel size, a scaling that it leaves out (`tests/images/test_libraries.py`). What then is
checked here is understood already.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from autoseg.arrays import Float64Array
from autoseg.errors import DatasetError
from autoseg.forms import NOWHERE, STRAIGHT, skew
from autoseg.geometry import SPACING_RANGE, Geometry
from autoseg.images.refusals import CHANNEL_EACH, SeveralVolumesError, refusal
from autoseg.words import agreeing, in_brackets

LARGEST_HEADER = 2**20
"""Bytes; a segmentation of 3D Slicer with a hundred named segments has a tenth."""

PLAIN_NAME = re.compile(r"(?!\.)[^/\\:%\0]+")
"""Of a file in the same folder; a percent sign stands for numbers of several files."""

LONGEST_QUOTE = 60
SAVE_ANEW = "save it anew as .nii.gz"


@dataclass(frozen=True, slots=True)
class Fields:
    """Of the header of a file: a value by each key."""

    path: Path
    values: Mapping[str, str]

    @classmethod
    def of(cls, path: Path, lines: Iterable[tuple[str, str]]) -> Fields:
        """Refuses a key that stands twice, of which programs take the first or the last."""
        values: dict[str, str] = {}
        for key, value in lines:
            if key in values:
                raise refusal(path, f"its header says {quoted(key)} twice", f"correct the header, or {SAVE_ANEW}")
            values[key] = value
        return cls(path, values)

    def get(self, *names: str, default: str = "") -> str:
        """By the first of some names for one thing."""
        return next((self.values[name] for name in names if name in self.values), default)

    def numbers(self, *names: str, default: str = "") -> tuple[float, ...]:
        """The same, split at blanks."""
        return self.as_numbers(
            self.get(*names, default=default), next((n for n in names if n in self.values), names[0])
        )

    def as_numbers(self, text: str, name: str) -> tuple[float, ...]:
        """A part of the value of a key as numbers."""
        try:
            return tuple(float(word) for word in text.split())
        except ValueError as error:
            raise self.refused(f"its {name} is {quoted(text)}, which are no numbers", "correct its header") from error

    def refused(self, problem: str, remedy: str = SAVE_ANEW) -> DatasetError:
        """The error for this file."""
        return refusal(self.path, problem, remedy)

    def require_3d(self, dimensions: str) -> None:
        """Refuse any other number of dimensions."""
        found = f"has {quoted(dimensions)} {agreeing(dimensions, 'dimension')}"
        if dimensions in ("1", "2"):
            raise self.refused(f"{found}; images are 3D here", "save it as a volume of one slice")
        if dimensions != "3":
            raise SeveralVolumesError(self.path, found, CHANNEL_EACH)

    def shape(self, text: str) -> tuple[int, int, int]:
        """Voxels, (z, y, x), of a size that stands there in the file's order."""
        words = [word[:20] for word in text.split()]
        if len(words) != 3 or not all(word.isascii() and word.isdecimal() and int(word) for word in words):
            raise self.refused(
                f"declares the size {quoted(text)}; every one of 3 sides needs a voxel", "export it again"
            )
        x, y, z = map(int, words)
        return z, y, x

    def geometry(
        self, spacing: Sequence[float], origin: Sequence[float], axes: Float64Array, *, is_placed: bool
    ) -> Geometry:
        """The grid, from numbers in the file's order, left-posterior-superior; columns of `axes` are unit vectors."""
        least, most = SPACING_RANGE
        if len(spacing) != 3 or not all(least <= side <= most for side in spacing):
            found = f"a voxel size of {in_brackets(spacing)} mm" if spacing else "no voxel size"
            raise self.refused(
                f"declares {found}; each of 3 sides must be from {least:g} to {most:g} mm",
                "write the true voxel size into its header",
            )
        if len(origin) != 3 or not all(map(math.isfinite, origin)):
            raise self.refused("its origin is no position of 3 finite numbers", "write the true origin into its header")
        if not np.isfinite(axes).all() or skew(axes) > STRAIGHT:
            raise self.refused(
                "the axes in its header are skewed, not perpendicular unit vectors",
                "resample it onto a straight grid, or correct its header",
            )
        (x, y, z), (left, back, up) = spacing, origin
        direction = tuple(axes[::-1, ::-1].ravel().tolist())
        forms = None if is_placed else NOWHERE
        return Geometry(spacing=(z, y, x), origin=(up, back, left), direction=direction, forms=forms)

    def data_file(self, *names: str, is_detached: bool, here: str = "") -> Path | None:
        """The file of the voxels that a header names; None where they follow it.

        Args:
            is_detached: Whether the header's name says that they lie elsewhere.
            here: What stands there where they do not.

        Raises:
            DatasetError: They do against its name, or anywhere but in a file beside it; a header is not followed further.
        """
        named = self.get(*names)
        if named in ("", here):
            return None
        if not is_detached:
            raise self.refused("its voxels lie in another file", "save it as one file, header and voxels together")
        if not PLAIN_NAME.fullmatch(named) or named.upper() == "LIST":
            raise self.refused(
                f"its voxels lie in {quoted(named)}; what is read is one file beside the header",
                "put it there, and only its name into the header",
            )
        return self.path.with_name(named)

    def of_another_type(self, name: str) -> DatasetError:
        """The error for voxels that are no plain numbers."""
        return self.refused(
            f"its voxels are of the type {quoted(name)}", "save it with one plain integer or float in each voxel"
        )


def quoted(text: str) -> str:
    """A piece of a header for a message."""
    return ascii(text[:LONGEST_QUOTE])
