"""What is known of an image before its voxels are read, and what a format is to us."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from autoseg.arrays import Array
from autoseg.geometry import Geometry


@dataclass(frozen=True, slots=True, kw_only=True)
class Header:
    """What a file of any format says of its image, checked against the file's size.

    Attributes:
        shape: Voxels, (z, y, x); where the file holds several volumes their number comes first.
        voxel_type: As in the file, with its byte order.
        offset: Byte where the voxels begin, counted in what is unpacked where they are packed.
        packed_from: Byte of the file where the gzip or zlib stream begins that holds the voxels; None where there is none.
        slope, intercept: A stored value v means slope * v + intercept.
        description: Free text of whoever wrote the file.
    """

    shape: tuple[int, ...]
    voxel_type: np.dtype[Any]
    geometry: Geometry
    offset: int
    packed_from: int | None
    slope: float = 1.0
    intercept: float = 0.0
    description: str = ""

    @property
    def size(self) -> int:
        """Bytes of all voxels."""
        return math.prod(self.shape) * self.voxel_type.itemsize


@dataclass(frozen=True, slots=True, kw_only=True)
class Format:
    """A format of image files.

    Attributes:
        endings: Of the names of its files, in small letters.
        read_header: From a path, and how many dimensions are welcome (3, or 4 for several volumes), to what the file
            says; it raises DatasetError for all that is not read.
        read_voxels: From the same path and its header to the voxels as they are stored, of the header's shape.
        encode_header: From little-endian `(Z, Y, X)` voxels, their grid and a text of at most 79 ASCII characters to what
            stands before the voxels in a file; None where nothing is written in this format.
    """

    endings: tuple[str, ...]
    read_header: Callable[[Path, int], Header]
    read_voxels: Callable[[Path, Header], Array]
    encode_header: Callable[[Array, Geometry, str], bytes] | None = None
