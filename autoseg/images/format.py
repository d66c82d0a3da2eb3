"""What is known of an image before its voxels are read, and what a format is to us."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import numpy as np

from autoseg.arrays import Array
from autoseg.geometry import Geometry

SPARE_BYTES = 4096
"""Some writers pad a file to a disk block; more bytes than this behind the voxels and the header is wrong."""


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
        data_file: Where the voxels lie, where that is another file than the header.
        spare: Bytes that may lie behind the voxels; with more the header is taken to be wrong.
        remark: What of the file is left out or read otherwise; empty where all is read.
        stored: What it says of the voxels as they lie in the file, where these are resampled as they are read.
    """

    shape: tuple[int, ...]
    voxel_type: np.dtype[Any]
    geometry: Geometry
    offset: int = 0
    packed_from: int | None = None
    slope: float = 1.0
    intercept: float = 0.0
    description: str = ""
    data_file: Path | None = None
    spare: int = SPARE_BYTES
    remark: str = ""
    stored: Header | None = None

    @property
    def size(self) -> int:
        """Bytes of all voxels."""
        return math.prod(self.shape) * self.voxel_type.itemsize


@dataclass(frozen=True, slots=True, kw_only=True)
class Reading:
    """What a task says of its files where they may not say it themselves.

    Attributes:
        spacing: Voxel size in mm, (z, y, x) or (y, x), of images that do not know theirs.
        raw, label: What the arrays are called in HDF5 files.
        sheared: What becomes of NIfTI images whose axes are not perpendicular: "refuse" or "resample".
    """

    spacing: tuple[float, ...] | None = None
    raw: str = "raw"
    label: str = "label"
    sheared: str = "refuse"


AS_FILES_SAY = Reading()

READING_MAY_LACK: Mapping[str, str] = {"sheared": AS_FILES_SAY.sheared}
"""What earlier versions did not write of a reading."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Request:
    """What is to be read of a file.

    Attributes:
        dimensions: 3, or 4 where several volumes in one file, or several colours, are welcome.
        label: Labels rather than an image, which some formats keep elsewhere or otherwise.
    """

    dimensions: int = 3
    label: bool = False
    reading: Reading = AS_FILES_SAY


@dataclass(frozen=True, slots=True, kw_only=True)
class Told:
    """What a file says beside its voxels and their grid, where its format has a place for it.

    Attributes:
        description: A text of at most 79 ASCII characters.
        names: Of the labels, index is the value, the background first; empty where they are not known.
        maps: Gives `(C, Z, Y, X)` float32 that some formats keep beside the labels, such as probabilities.
        step: What one step of a value stands for; it is 1 in formats that do not hold it.
    """

    description: str = ""
    names: tuple[str, ...] = ()
    maps: Callable[[], Array] | None = None
    step: float = 1


NOTHING_TOLD = Told()


class Write(Protocol):
    """Writes little-endian `(Z, Y, X)` voxels and their grid into a new file."""

    def __call__(self, path: Path, data: Array, geometry: Geometry, told: Told) -> None: ...


def _alone(_: Path) -> tuple[Path, ...]:
    return ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Format:
    """A format of image files.

    Attributes:
        endings: Of the names of its files, in small letters.
        read_header: From a path to what the file says; it raises DatasetError for all that is not read.
        read_voxels: From the same path and its header to the voxels as they are stored, of the header's shape.
        read_part: The same of a part of the voxels, the slices of each axis of the header's shape; None where a format's files
            are read whole.
        write: None where nothing is written in this format.
        holds_step: Whether a file says what a step of its values stands for.
        written_as: The ending of what is predicted of an image of this format.
        holds_channels: Whether a file may hold all channels of a case, as the colours of a picture.
        beside: The other files that a file's image is read from, those that are there.
    """

    endings: tuple[str, ...]
    read_header: Callable[[Path, Request], Header]
    read_voxels: Callable[[Path, Header, Request], Array]
    read_part: Callable[[Path, Header, Request, tuple[slice, ...]], Array] | None = None
    write: Write | None = None
    holds_step: bool = False
    written_as: str = ".nii.gz"
    holds_channels: bool = False
    beside: Callable[[Path], tuple[Path, ...]] = _alone
