"""Image files to arrays with their geometry.

Headers and voxels of all formats are read byte by byte; why, `formats.nifti` and `formats.text_headers` tell.
"""

from __future__ import annotations

import gzip
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import BinaryIO, Protocol

import numpy as np
import numpy.typing as npt

from autoseg.arrays import Array
from autoseg.errors import DatasetError
from autoseg.forms import NOWHERE
from autoseg.geometry import Geometry
from autoseg.images.formats import nifti
from autoseg.images.formats.nifti import (
    SPARE_BYTES,
    NiftiHeader,
    SeveralVolumesError,
    geometry_by,
    overfull,
    refusal,
    truncated,
    unreadable,
)
from autoseg.images.formats.text_headers import TextHeader
from autoseg.images.headers import ImageHeader, read_header
from autoseg.images.image import Image
from autoseg.images.whole_numbers import as_whole_numbers
from autoseg.machine import available_memory
from autoseg.words import in_gigabytes

READING_BYTES = 2**20

GZIP_OR_ZLIB = 47
"""zlib's code for either, recognised by its first bytes, with the longest window."""


def read_image(path: Path) -> Image:
    """Read one volume from a `.nii.gz`, `.nii`, `.nrrd` or `.mha` file.

    Raises:
        DatasetError: Anything but one whole 3D volume of plain numbers on a straight grid; see `read_header`.
    """
    header = read_header(path)
    return Image(data=_read_voxels(path, header), geometry=_geometry(header))


def read_label(path: Path) -> Image:
    """Read one label file; whole numbers come as integers, also where its header scales them, and nothing else is changed.

    Raises:
        DatasetError: As `read_image`; of several volumes it is said how labels are stored.
    """
    stored = read_stored_label(path)
    return replace(stored, data=as_whole_numbers(stored.data))


def read_stored_label(path: Path) -> Image:
    """Read one label file, its values as they are stored; else as `read_label`."""
    try:
        return read_image(path)
    except SeveralVolumesError as error:
        problem = f"{error.found}; a label is one 3D volume"
        raise refusal(path, problem, "save it as one, with another number for each structure") from error


def read_volumes(path: Path) -> list[Image]:
    """Read all volumes of a 3D or 4D file, one for each index of its fourth dimension, on one grid.

    Raises:
        DatasetError: As `read_image`.
    """
    header = nifti.read_header(path, most_dimensions=4)
    geometry = _geometry(header)
    voxels = _read_voxels(path, header)
    return [Image(data=volume, geometry=geometry) for volume in voxels.reshape(-1, *voxels.shape[-3:])]


def image_description(path: Path) -> str:
    """What `write_image` was given as description; empty where there is none, or no sound NIfTI file."""
    try:
        return nifti.read_header(path).description if path.is_file() else ""
    except DatasetError:
        return ""


def _read_voxels(path: Path, header: ImageHeader) -> Array:
    """Read all voxels, to the file's end, so that a damaged or truncated file cannot pass.

    Returns:
        `(Z, Y, X)` or `(volumes, Z, Y, X)` in the file's voxel type; where the header scales the stored values float32,
        or float64 for float64 files and for what float32 does not hold.
    """
    free = available_memory()
    if header.size > free:
        raise refusal(
            path,
            f"its voxels need {in_gigabytes(header.size)} of memory, {in_gigabytes(free)} are free",
            "crop the image, or use a larger machine or fewer workers",
        )
    stored = np.empty(header.shape[::-1], header.voxel_type)
    try:
        with _voxel_bytes(path, header) as file:
            filled = _fill(file, stored.reshape(-1).view(np.uint8))
            spare = len(file.read(SPARE_BYTES + 1))
    except (EOFError, zlib.error, gzip.BadGzipFile) as error:
        raise refusal(path, f"is truncated or damaged ({error})", "copy or download it again") from error
    except OSError as error:
        raise unreadable(path, error) from error
    if filled < header.size:
        raise truncated(path, header.size, filled)
    if spare > SPARE_BYTES:
        raise overfull(path, header.shape)
    return _scaled(stored.astype(header.voxel_type.newbyteorder("="), copy=False), header)


@contextmanager
def _voxel_bytes(path: Path, header: ImageHeader) -> Iterator[_Bytes]:
    """The bytes of the voxels, unpacked: NIfTI packs the header with them, the text formats pack them alone."""
    with path.open("rb") as file:
        if header.compressed and isinstance(header, NiftiHeader):
            with gzip.GzipFile(fileobj=file) as unpacked:
                unpacked.seek(header.offset)
                yield unpacked
        else:
            file.seek(header.offset)
            yield _Unpacked(file) if header.compressed else file


class _Bytes(Protocol):
    def read(self, size: int, /) -> bytes: ...


class _Unpacked:
    """Reads a gzip or zlib stream to its end, checksum included."""

    def __init__(self, file: BinaryIO) -> None:
        self._file = file
        self._stream = zlib.decompressobj(wbits=GZIP_OR_ZLIB)

    def read(self, size: int, /) -> bytes:
        piece = b""
        while size and not piece and not self._stream.eof:
            packed = self._stream.unconsumed_tail or self._file.read(READING_BYTES)
            if not packed:
                raise EOFError("it ends before its compressed voxels do")
            piece = self._stream.decompress(packed, size)
        return piece


def _fill(file: _Bytes, target: npt.NDArray[np.uint8]) -> int:
    """Read in pieces, which takes no second copy of the volume, and return how much there was."""
    filled = 0
    while filled < target.size:
        piece = file.read(min(READING_BYTES, target.size - filled))
        if not piece:
            break
        target[filled : filled + len(piece)] = np.frombuffer(piece, np.uint8)
        filled += len(piece)
    return filled


def _scaled(stored: Array, header: ImageHeader) -> Array:
    if isinstance(header, TextHeader) or (header.slope, header.intercept) == (1.0, 0.0):
        return stored
    scaled = stored.astype(np.float64, copy=False) * header.slope + header.intercept
    held = stored.dtype != np.float64 and max(-scaled.min(), scaled.max()) <= np.finfo(np.float32).max
    return scaled.astype(np.float32) if held else scaled


def _geometry(header: ImageHeader) -> Geometry:
    if isinstance(header, NiftiHeader):
        return geometry_by(header.forms, header.spacing)
    axes = np.reshape(header.direction, (3, 3))[::-1, ::-1]
    return Geometry(
        spacing=header.spacing[::-1],
        origin=header.origin[::-1],
        direction=tuple(axes.ravel().tolist()),
        forms=None if header.is_placed else NOWHERE,
    )
