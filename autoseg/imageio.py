"""Image files to arrays with their geometry and back.

Headers and voxels of all formats are read byte by byte; why, `nifti` and `text_headers` tell. Only NIfTI is written.
"""

from __future__ import annotations

import gzip
import zlib
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import BinaryIO, Protocol

import numpy as np
import numpy.typing as npt

from autoseg import nifti
from autoseg.arrays import Array, Float32Array, LabelArray
from autoseg.dataset import WRITTEN_ENDINGS, Case
from autoseg.errors import DatasetError
from autoseg.files.storage import atomic_path
from autoseg.forms import NOWHERE, Forms, forms_of, unit_axes
from autoseg.geometry import Geometry
from autoseg.headers import ImageHeader, read_header
from autoseg.machine import available_memory
from autoseg.magnitudes import odd_magnitudes
from autoseg.nifti import (
    SPARE_BYTES,
    NiftiHeader,
    SeveralVolumesError,
    encode_header,
    overfull,
    refusal,
    truncated,
    unreadable,
)
from autoseg.text_headers import TextHeader
from autoseg.whole_numbers import as_whole_numbers, fractional_values, listed_values
from autoseg.words import readable

READING_BYTES = 2**20

COMPRESSION_LEVEL = 6
"""zlib's default: label images shrink as far as with ITK, in the same time."""

GZIP_OR_ZLIB = 47
"""zlib's code for either, recognised by its first bytes, with the longest window."""

LPS_TO_RAS = np.array([-1.0, -1.0, 1.0])
"""NIfTI counts to the right and the front; DICOM, and so `Geometry`, to the left and the back."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Image:
    """One volume: `data` is `(Z, Y, X)` in the file's own voxel type, `geometry` in the same axis order."""

    data: Array
    geometry: Geometry


@dataclass(frozen=True, slots=True, kw_only=True)
class RawCase:
    """A case as it was on disk.

    Attributes:
        data: `(C, Z, Y, X)` float32, all channels on one grid.
        segmentation: `(Z, Y, X)` integers, None where there is no label file.
        doubts: What the files' headers leave in doubt of how they lie, one text each.
    """

    identifier: str
    data: Float32Array
    segmentation: LabelArray | None
    geometry: Geometry
    doubts: tuple[str, ...] = ()


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


def write_image(
    path: Path,
    data: Array,
    geometry: Geometry,
    *,
    description: str = "",
    before_it_is_there: Callable[[], object] = lambda: None,
) -> None:
    """Write `(Z, Y, X)` voxels as NIfTI in one step, compressed where the name ends in `.gz`; equal input, equal bytes.

    Both forms and their codes are those of the file that the geometry was read from. Reading gives the geometry back, to
    single precision; to the bit where it came from such a file.

    Args:
        description: At most 79 ASCII characters for the header.
        before_it_is_there: Called once the file is written whole, before it takes its name.

    Raises:
        DatasetError: The name is that of another format.
    """
    if not path.name.lower().endswith(WRITTEN_ENDINGS):
        raise refusal(path, "images are written as NIfTI only", f"let the name end in {' or '.join(WRITTEN_ENDINGS)}")
    stored = np.ascontiguousarray(data, data.dtype.newbyteorder("<"))
    header = encode_header(
        stored,
        spacing=geometry.spacing[::-1],
        forms=_forms(geometry),
        description=description,
    )
    with atomic_path(path) as temporary:
        with temporary.open("wb") as plain:
            if path.name.lower().endswith(".gz"):
                with gzip.GzipFile("", "wb", COMPRESSION_LEVEL, plain, mtime=0) as packed:
                    packed.write(header)
                    packed.write(stored.data)
            else:
                plain.write(header)
                plain.write(stored.data)
        before_it_is_there()


def read_description(path: Path) -> str:
    """What `write_image` was given as description; empty where there is none, or no sound NIfTI file."""
    try:
        return nifti.read_header(path).description if path.is_file() else ""
    except DatasetError:
        return ""


def read_case(case: Case) -> RawCase:
    """Read a case's channels and label, which must lie on one grid.

    Label files of floats are taken when every value is whole. NaN and infinite intensities are not looked for.

    Raises:
        DatasetError: Naming the case: a file that cannot be read, grids that differ, labels with fractions, intensities
            that cannot be computed with.
    """
    channels = [read_image(path) for path in case.images]
    for path, channel in zip(case.images, channels, strict=True):
        if (found := odd_magnitudes(channel.data)) and found.unusable:
            raise DatasetError(f"case {readable(case.identifier)}: {readable(path)} {found.text}")
    label = None if case.segmentation is None else read_label(case.segmentation)
    files = [*case.images, case.segmentation] if case.segmentation else case.images
    _require_one_grid(case.identifier, files, [*channels, label] if label else channels)
    return RawCase(
        identifier=case.identifier,
        data=np.stack([channel.data for channel in channels], dtype=np.float32, casting="unsafe"),
        segmentation=None if label is None else _whole_numbers(label.data, case),
        geometry=channels[0].geometry,
        doubts=_doubts(case.images, channels),
    )


def _doubts(files: Sequence[Path], images: Sequence[Image]) -> tuple[str, ...]:
    """Each once, with the first file of those that it is true of."""
    first: dict[str, Path] = {}
    for path, image in zip(files, images, strict=True):
        for text in image.geometry.doubts(image.data.shape):
            first.setdefault(text, path)
    return tuple(f"{readable(path.name)}: {text}" for text, path in first.items())


def grid_differences(first: Image, other: Image) -> tuple[str, ...]:
    """Name what differs between the grids of two images, shape included; empty when they are equal."""
    if first.data.shape != other.data.shape:
        return (f"size {first.data.shape} and {other.data.shape} voxels (z, y, x)",)
    return first.geometry.differences(other.geometry)


def _require_one_grid(identifier: str, files: Sequence[Path], images: Sequence[Image]) -> None:
    for path, image in zip(files[1:], images[1:], strict=True):
        if found := grid_differences(images[0], image):
            raise DatasetError(
                f"case {readable(identifier)}: {readable(files[0].name)} and {readable(path.name)} lie on different "
                f"grids: {'; '.join(found)}; resample them onto one grid"
            )


def _whole_numbers(data: Array, case: Case) -> LabelArray:
    """Labels as int16, or int32 where they need it."""
    if len(found := fractional_values(data)):
        raise DatasetError(
            f"case {readable(case.identifier)}: {readable(case.segmentation)} holds values that are no whole numbers: "
            f"{listed_values(found)}; save the labels as integers, resampled without interpolation"
        )
    for kind in (np.int16, np.int32):
        if np.iinfo(kind).min <= data.min() and data.max() <= np.iinfo(kind).max:
            return data.astype(kind)
    raise DatasetError(
        f"case {readable(case.identifier)}: {readable(case.segmentation)} holds values from {data.min():.6g} to "
        f"{data.max():.6g}, which are no labels; number the labels from 0"
    )


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
            f"its voxels need {header.size / 1e9:.1f} GB of memory, {free / 1e9:.1f} GB are free",
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
        return _geometry_by(header.forms, header.spacing)
    axes = np.reshape(header.direction, (3, 3))[::-1, ::-1]
    return Geometry(
        spacing=header.spacing[::-1],
        origin=header.origin[::-1],
        direction=tuple(axes.ravel().tolist()),
        forms=None if header.is_placed else NOWHERE,
    )


def _geometry_by(forms: Forms, spacing: tuple[float, float, float]) -> Geometry:
    """The grid by the form that counts; where there is none, axes as DICOM's, as ITK has it."""
    x, y, z = spacing
    if (used := forms.used) is None:
        return Geometry(spacing=(z, y, x), forms=forms)
    affine = forms.affine(used, spacing) * LPS_TO_RAS[:, None]
    right, front, up = affine[:, 3].tolist()
    return Geometry(
        spacing=(z, y, x),
        origin=(up, front, right),
        direction=tuple(unit_axes(affine[:, :3])[::-1, ::-1].ravel().tolist()),
        forms=forms,
    )


def _forms(geometry: Geometry) -> Forms:
    """Those that it was read with, as long as they still say the same; else two that agree."""
    z, y, x = geometry.spacing
    if geometry.forms and not _geometry_by(geometry.forms, (x, y, z)).differences(geometry):
        return geometry.forms
    right, front, up = (np.array(geometry.origin[::-1]) * LPS_TO_RAS).tolist()
    direction = np.reshape(geometry.direction, (3, 3))[::-1, ::-1] * LPS_TO_RAS[:, None]
    return forms_of((x, y, z), (right, front, up), direction)
