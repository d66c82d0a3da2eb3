"""DICOM series through pydicom, the extra `dicom`: the slices of a folder, told apart and laid on one grid.

A series is named by any one of its files; the others are found beside it. What makes several volumes of one series, such as
echoes or the phases of a heart, tells its slices apart as well. Nothing of who was scanned is read.
Standard: https://dicom.nema.org/medical/dicom/current/output/html/part03.html, sections C.7.6.2 and C.7.6.3.
"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from autoseg.arrays import Array, Float64Array
from autoseg.errors import DatasetError
from autoseg.forms import STRAIGHT
from autoseg.geometry import SPACING_RANGE, Geometry
from autoseg.images.format import Format, Header, Request
from autoseg.images.refusals import first_bytes, refusal, require_possible_size
from autoseg.words import counted, first_few, in_brackets, readable

if TYPE_CHECKING:
    from pydicom import Dataset

MARK, MARK_AT = b"DICM", 128
"""PS3.10, section 7.1: 128 bytes of anything, then the four letters."""

TAGS = (
    *("SOPClassUID", "SOPInstanceUID", "SeriesInstanceUID", "FrameOfReferenceUID", "Modality", "SeriesNumber"),
    *("ImageOrientationPatient", "ImagePositionPatient", "PixelSpacing", "SliceThickness", "SpacingBetweenSlices"),
    *("Rows", "Columns", "SamplesPerPixel", "NumberOfFrames", "BitsAllocated"),
    *("RescaleSlope", "RescaleIntercept", "EchoTime", "ImageType", "TemporalPositionIdentifier", "InstanceNumber"),
)
"""All that is read beside the voxels: nothing that says who was scanned, or where."""

LOCALISER = "LOCALIZER"
SAME_ORIENTATION = 1e-3
"""Entries of the axes of two slices may differ by so much and be of one volume."""

GAP = 0.05
"""Of the median distance of slices: what two neighbours may differ from it by. Positions are written with few decimals."""

TILT = 0.01
"""Of the distance between slices: what a stack may lean to a side of its normal for each slice."""

FAULTS = (
    OSError,
    ValueError,
    TypeError,
    KeyError,
    AttributeError,
    IndexError,
    EOFError,
    NotImplementedError,
    RuntimeError,
)
"""What pydicom raises of damaged files."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Slice:
    """What one file says of its slice; vectors are left, posterior, superior.

    Attributes:
        order: By which slices of one place come after each other.
        instance: The file's own identifier, by which other objects refer to it.
        key: Equal for the slices of one volume.
        axes: 3x2; unit vectors along a row (x) and down a column (y).
        pixel: Distance of rows and of columns, mm.
        shape: Rows and columns.
    """

    path: Path
    order: str
    instance: str
    key: tuple[Any, ...]
    modality: str
    number: int
    position: tuple[float, float, float]
    axes: Float64Array
    pixel: tuple[float, float]
    shape: tuple[int, int]
    thickness: float
    slope: float
    intercept: float

    @property
    def normal(self) -> Float64Array:
        """Of the slice's plane."""
        return np.cross(self.axes[:, 0], self.axes[:, 1])

    @property
    def depth(self) -> float:
        """Its place along the normal, mm."""
        return float(np.dot(self.normal, self.position))


@dataclass(frozen=True, slots=True, kw_only=True)
class Series:
    """The slices of one volume, in the order of the grid.

    Attributes:
        name: What tells it from the others of its folder.
    """

    name: str
    slices: tuple[Slice, ...]

    @property
    def path(self) -> Path:
        """The file that it is named by."""
        return self.slices[0].path


def is_dicom(path: Path) -> bool:
    """Whether a file begins as DICOM files do."""
    try:
        with path.open("rb") as file:
            return file.read(MARK_AT + len(MARK))[MARK_AT:] == MARK
    except OSError:
        return False


def series_in(folder: Path) -> tuple[Series, ...]:
    """The volumes whose slices lie in a folder, by their numbers; localisers, and what is no image, are left out.

    Raises:
        DatasetError: A file is damaged, or pydicom is not installed.
    """
    slices = [found for path in sorted(folder.iterdir()) if path.is_file() and (found := _slice(path)) is not None]
    volumes: dict[tuple[Any, ...], list[Slice]] = defaultdict(list)
    for one in slices:
        volumes[one.key].append(one)
    groups = [part for key in sorted(volumes, key=str) for part in _phases(volumes[key])]
    groups.sort(key=lambda group: (group[0].number, str(group[0].key)))
    numbers = [group[0].number for group in groups]
    names = [
        f"series{number}" + (f"_{numbers[: place + 1].count(number)}" if numbers.count(number) > 1 else "")
        for place, number in enumerate(numbers)
    ]
    return tuple(
        Series(name=name, slices=tuple(sorted(group, key=lambda one: one.depth)))
        for name, group in zip(names, groups, strict=True)
    )


def _phases(slices: Sequence[Slice]) -> list[list[Slice]]:
    """Slices that repeat each position, as the phases of a heart do, taken apart by their order; else all as one."""
    places: dict[float, list[Slice]] = defaultdict(list)
    for one in sorted(slices, key=lambda one: one.order):
        places[round(one.depth, 2)].append(one)
    repeats = {len(group) for group in places.values()}
    if repeats == {1} or len(repeats) > 1:
        return [list(slices)]
    return [[group[number] for group in places.values()] for number in range(repeats.pop())]


def series_of(path: Path) -> Series:
    """The series that a file belongs to.

    Raises:
        DatasetError: As `series_in`; or it belongs to none.
    """
    found = next((one for one in series_in(path.parent) if any(part.path == path for part in one.slices)), None)
    if found is None:
        raise refusal(
            path, "is no slice of an image (a localiser, a report, or another object)", "name an image's file"
        )
    return found


def _read_header(path: Path, _: Request) -> Header:
    series = series_of(path)
    first = series.slices[0]
    _require_one_grid(series)
    whole = all(one.slope == 1 and one.intercept == int(one.intercept) for one in series.slices)
    header = Header(
        shape=(len(series.slices), *first.shape),
        voxel_type=np.dtype(np.int32 if whole else np.float32),
        geometry=_geometry(series),
    )
    require_possible_size(path, header)
    return header


def _read_voxels(path: Path, header: Header, _: Request) -> Array:
    series = series_of(path)
    voxels = np.empty(header.shape, header.voxel_type)
    for plane, one in zip(voxels, series.slices, strict=True):
        with opened(one.path) as content:
            stored = content.pixel_array
        if stored.shape != one.shape:
            raise refusal(one.path, f"holds {stored.shape} pixels, {one.shape} are declared", "export it again")
        plane[...] = stored if (one.slope, one.intercept) == (1.0, 0.0) else stored * one.slope + one.intercept
    return voxels


def _slice(path: Path) -> Slice | None:
    """What a file says of its slice; None where it is no image, or a localiser."""
    if not is_dicom(path):
        return None
    with opened(path, tags=TAGS) as content:
        if "Rows" not in content or str(content.get("Modality", "")) in ("SEG", "RTSTRUCT"):
            return None
        if LOCALISER in content.get("ImageType", ()):
            return None
        return _as_slice(path, content)


def _as_slice(path: Path, content: Dataset) -> Slice:
    if int(content.get("NumberOfFrames", 1) or 1) > 1:
        raise refusal(path, "holds several frames in one file (enhanced DICOM)", "convert it to NIfTI: dcm2niix -z y .")
    if int(content.get("SamplesPerPixel", 1)) != 1:
        raise refusal(path, "holds colours", "save its gray values")
    for tag in ("ImageOrientationPatient", "ImagePositionPatient", "PixelSpacing"):
        if content.get(tag) is None:
            raise refusal(path, f"does not say where its slice lies ({tag})", "export the series again, as images")
    axes = np.array(content.ImageOrientationPatient, dtype=np.float64).reshape(2, 3).T
    if not np.isfinite(axes).all() or abs(float(np.dot(*axes.T))) > STRAIGHT:
        raise refusal(path, "its axes are not perpendicular", "export the series again")
    x, y, z = map(float, content.ImagePositionPatient)
    rows, columns = map(float, content.PixelSpacing)
    thickness = content.get("SpacingBetweenSlices") or content.get("SliceThickness") or max(rows, columns)
    key = (
        str(content.get("SeriesInstanceUID", "")),
        tuple(np.round(axes.ravel() / (2 * SAME_ORIENTATION)).tolist()),
        (int(content.Rows), int(content.Columns)),
        str(content.get("EchoTime", "")),
        str(content.get("TemporalPositionIdentifier", "")),
        tuple(content.get("ImageType", ())),
    )
    return Slice(
        path=path,
        order=_order(content),
        instance=str(content.get("SOPInstanceUID", "")),
        key=key,
        modality=str(content.get("Modality", "")),
        number=int(content.get("SeriesNumber") or 0),
        position=(x, y, z),
        axes=axes / np.linalg.norm(axes, axis=0),
        pixel=(rows, columns),
        shape=(int(content.Rows), int(content.Columns)),
        thickness=float(thickness),
        slope=float(content.get("RescaleSlope", 1) or 1),
        intercept=float(content.get("RescaleIntercept", 0) or 0),
    )


def _order(content: Dataset) -> str:
    """By which slices of one place come after each other."""
    return f"{int(content.get('InstanceNumber') or 0):012d} {content.get('SOPInstanceUID', '')}"


def _require_one_grid(series: Series) -> None:
    first, folder = series.slices[0], series.path.parent
    pixels = {one.pixel for one in series.slices}
    if len(pixels) > 1:
        raise refusal(folder, f"{series.name}: its slices have pixels of several sizes", "export the series again")
    if len(series.slices) == 1:
        return
    depths = np.array([one.depth for one in series.slices])
    steps = np.diff(depths)
    usual = float(np.median(steps))
    if usual <= 0 or (steps < GAP * usual).any():
        places = first_few(
            [f"{one.depth:.2f}" for one, step in zip(series.slices[1:], steps, strict=True) if step < GAP]
        )
        raise refusal(
            folder,
            f"{series.name}: several slices lie in one place ({places} mm along their normal), some in it alone",
            "keep the files of one volume in the folder",
        )
    if (apart := np.abs(steps - usual) > GAP * usual).any():
        at = int(np.flatnonzero(apart)[0])
        raise refusal(
            folder,
            f"{series.name}: a gap of {steps[at]:.3g} mm behind slice {at + 1}, where others lie {usual:.3g} mm apart",
            "add the files that are missing, or resample the slices",
        )
    way = np.subtract(series.slices[-1].position, first.position)
    aside = float(np.linalg.norm(way - first.normal * np.dot(way, first.normal))) / (len(series.slices) - 1)
    if aside > TILT * usual:
        degrees = math.degrees(math.atan2(aside, usual))
        raise refusal(
            folder,
            f"{series.name}: its slices lean by {degrees:.1f} degrees, as where the gantry was tilted",
            "resample it onto a straight grid: dcm2niix -z y . does",
        )


def _geometry(series: Series) -> Geometry:
    first, last = series.slices[0], series.slices[-1]
    apart = (last.depth - first.depth) / (len(series.slices) - 1) if len(series.slices) > 1 else first.thickness
    rows, columns = first.pixel
    least, most = SPACING_RANGE
    if not all(least <= side <= most for side in (apart, rows, columns)):
        raise refusal(
            series.path, f"declares a voxel size of {in_brackets((columns, rows, apart))} mm", "export the series again"
        )
    axes = np.column_stack([first.axes, first.normal])
    x, y, z = first.position
    direction = tuple(axes[::-1, ::-1].ravel().tolist())
    return Geometry(spacing=(apart, rows, columns), origin=(z, y, x), direction=direction)


@contextmanager
def opened(path: Path, tags: Sequence[str] = ()) -> Iterator[Dataset]:
    """The file's content, of some tags alone where these are named; what goes wrong with it is told, whatever pydicom raises."""
    try:
        import pydicom
    except ImportError as error:
        raise refusal(
            path, "is a DICOM file, which the package pydicom reads", "install it: pip install 'autoseg[dicom]'"
        ) from error
    import warnings

    first_bytes(path, 0)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield pydicom.dcmread(path, stop_before_pixels=bool(tags), specific_tags=list(tags) or None)
    except DatasetError:
        raise
    except (pydicom.errors.InvalidDicomError, pydicom.errors.BytesLengthException, *FAULTS) as error:
        text = " ".join(str(error).split())
        raise refusal(path, f"is truncated or damaged ({text:.80})", "copy or export it again") from error


def _beside(path: Path) -> tuple[Path, ...]:
    try:
        return tuple(one.path for one in series_of(path).slices if one.path != path)
    except DatasetError:
        return ()


def described(series: Sequence[Series]) -> str:
    """What volumes a folder holds, for whoever has to choose."""
    return "; ".join(
        f"{readable(one.name)} ({one.slices[0].modality}, {counted(len(one.slices), 'slice')})" for one in series
    )


DICOM = Format(endings=(), read_header=_read_header, read_voxels=_read_voxels, beside=_beside)
