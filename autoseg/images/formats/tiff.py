"""TIFF through tifffile: pictures, stacks as volumes, colours and channels as volumes of one file.

Axes are named as tifffile names them: Y and X of a plane, S or C its colours or channels, Z or the bare order of pages
(I, Q) the planes of a stack. Compressions that tifffile leaves to the package imagecodecs are unpacked by Pillow, which
comes with a library of its own.
"""

from __future__ import annotations

import logging
import math
import re
import struct
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from autoseg.arrays import Array
from autoseg.errors import DatasetError
from autoseg.geometry import Geometry
from autoseg.images.format import Format, Header, Request, Told
from autoseg.images.formats.pictures import ALPHA_LEFT_OUT
from autoseg.images.formats.pixel_sizes import UNITS, picture_grid, sidecars
from autoseg.images.refusals import SeveralVolumesError, first_bytes, refusal, require_possible_size

if TYPE_CHECKING:
    from tifffile import TiffFile, TiffPageSeries

PLANES, CHANNELS = "ZIQ", "SC"
WITH_ALPHA = {2: 1, 4: 3}
"""Samples of a pixel with alpha, and without."""

PALETTE = 3
"""The photometric interpretation of colours by a table (TIFF 6.0, section 5)."""

MOST_INNER_PAGES = 64
"""Of one page; a pyramid has one for each of its levels, and tifffile reads whatever number a damaged file declares."""

CENTIMETRES, MM_IN_A_CENTIMETRE = 3, 10.0
"""The unit of a resolution that instruments use; inches are those of screens and printers."""

OME_SIZE = re.compile(r'PhysicalSize([XYZ])="([^"]{1,40})"')
OME_UNIT = re.compile(r'PhysicalSize([XYZ])Unit="([^"]{1,10})"')
OME_DEFAULT = "µm"
"""OME-TIFF: https://docs.openmicroscopy.org/ome-model/latest/ome-tiff/specification.html."""

FAULTS = (
    *(OSError, ValueError, TypeError, KeyError, IndexError, EOFError, OverflowError, AttributeError, RuntimeError),
    *(ZeroDivisionError, AssertionError, RecursionError, struct.error, zlib.error),
)
"""What tifffile raises of damaged files."""


def _read_header(path: Path, wanted: Request) -> Header:
    with _opened(path) as tiff:
        series = _only_series(path, tiff)
        axes, shape = series.axes, tuple(series.shape)
        page = tiff.pages.first
        if (unknown := set(axes) - set("YX" + PLANES + CHANNELS)) or not {"Y", "X"} <= set(axes):
            found = "".join(sorted(unknown)) or axes
            raise refusal(
                path,
                f"has the axes {found!a}, such as time",
                "save each volume as a file of its own, with the axes ZYX",
            )
        if not wanted.label and page.photometric == PALETTE:
            raise refusal(path, "has colours by a table", "save it as gray or RGB")
        kind = np.dtype(series.dtype)
        if kind.kind not in "iufb" or kind.itemsize > 8:
            raise refusal(path, f"its pixels are of the type {kind}", "save it with plain integers or floats")
        colours, alpha = _colours(axes, shape)
        planes = math.prod(side for axis, side in zip(axes, shape, strict=True) if axis in PLANES)
        described, own = _said_by_us(tiff), _own_size(tiff, wanted)
    if colours > 1 and wanted.dimensions < 4:
        raise SeveralVolumesError(
            path,
            f"holds {colours} colours or channels",
            "declare as many channels in dataset.json, or save each as a file of its own",
            label="gray picture or stack of them",
        )
    sides = dict(zip(axes, shape, strict=True))
    header = Header(
        shape=(*((colours,) if colours > 1 else ()), planes, sides["Y"], sides["X"]),
        voxel_type=np.dtype(np.uint8) if kind.kind == "b" else kind,
        geometry=picture_grid(path, wanted.reading, own),
        description=described,
        remark=ALPHA_LEFT_OUT if alpha else "",
    )
    require_possible_size(path, header)
    return header


def _only_series(path: Path, tiff: TiffFile) -> TiffPageSeries:
    if len(tiff.pages.first.subifds or ()) > MOST_INNER_PAGES:
        raise refusal(path, "is damaged: it declares too many pages within a page", "copy or download it again")
    if not tiff.series:
        raise refusal(path, "holds no picture", "copy or download it again")
    if len(tiff.series) > 1:
        shapes = ", ".join(str(tuple(one.shape)) for one in tiff.series[:3])
        raise refusal(
            path, f"holds pictures of several sizes ({shapes})", "save the one that is meant as a file of its own"
        )
    series: TiffPageSeries = tiff.series[0]
    return series


def _colours(axes: str, shape: tuple[int, ...]) -> tuple[int, bool]:
    """How many colours or channels, and whether alpha is left out of them."""
    samples = math.prod(side for axis, side in zip(axes, shape, strict=True) if axis == "S")
    channels = math.prod(side for axis, side in zip(axes, shape, strict=True) if axis == "C")
    return channels * WITH_ALPHA.get(samples, samples), samples in WITH_ALPHA


def _said_by_us(tiff: TiffFile) -> str:
    """What we said of the origin of a segmentation."""
    metadata = tiff.imagej_metadata or {}
    return str(metadata.get("Info", ""))


def _own_size(tiff: TiffFile, wanted: Request) -> tuple[float, ...] | None:
    """Voxel size in mm that the file says itself, (z, y, x) or (y, x)."""
    if wanted.reading.spacing is not None:
        return None
    if tiff.ome_metadata:
        return _size_by_ome(tiff.ome_metadata)
    resolution = _per_unit(tiff)
    if resolution is None:
        return None
    y, x = (1 / number for number in resolution)
    if metadata := tiff.imagej_metadata:
        unit = UNITS.get(str(metadata.get("unit", "")).replace("\\u00B5", "µ"))
        depth = metadata.get("spacing")
        sides = (float(depth), y, x) if isinstance(depth, (int, float)) else (y, x)
        return None if unit is None else tuple(unit * side for side in sides)
    if _tags(tiff).valueof(296) == CENTIMETRES:
        return MM_IN_A_CENTIMETRE * y, MM_IN_A_CENTIMETRE * x
    return None


def _tags(tiff: TiffFile) -> Any:
    return tiff.pages.first.tags


def _per_unit(tiff: TiffFile) -> tuple[float, float] | None:
    tags = _tags(tiff)
    found = [tags.valueof(283), tags.valueof(282)]
    if not all(isinstance(one, tuple) and len(one) == 2 and min(one) > 0 for one in found):
        return None
    y, x = (numerator / denominator for numerator, denominator in found)
    return y, x


def _size_by_ome(text: str) -> tuple[float, ...] | None:
    sizes, units = dict(OME_SIZE.findall(text)), dict(OME_UNIT.findall(text))
    axes = "ZYX" if "Z" in sizes else "YX"
    if not {"Y", "X"} <= sizes.keys() or any(units.get(axis, OME_DEFAULT) not in UNITS for axis in axes):
        return None
    return tuple(float(sizes[axis]) * UNITS[units.get(axis, OME_DEFAULT)] for axis in axes)


def _read_voxels(path: Path, header: Header, _: Request) -> Array:
    with _opened(path) as tiff:
        series = tiff.series[0]
        axes, shape = series.axes, tuple(series.shape)
        try:
            values = series.asarray()
        except ValueError as error:
            if "imagecodecs" not in str(error):
                raise
            values = _by_pillow(path, len(series.pages), shape)
        values = np.asarray(values).reshape(shape)
        if (at := axes.find("S")) >= 0 and shape[at] in WITH_ALPHA:
            values = values.take(range(WITH_ALPHA[shape[at]]), axis=at)
        order = sorted(range(len(axes)), key=lambda place: (_rank(axes[place]), place))
        values = values.transpose(order)
    kind = header.voxel_type.newbyteorder("=")
    return np.ascontiguousarray(values.reshape(header.shape), kind)


def _rank(axis: str) -> int:
    return 0 if axis in CHANNELS else 1 if axis in PLANES else 2 + "YX".index(axis)


def _by_pillow(path: Path, pages: int, shape: tuple[int, ...]) -> Array:
    """The pages of a file whose compression tifffile does not unpack."""
    from PIL import Image, ImageSequence

    with Image.open(path, formats=("TIFF",)) as picture:
        planes = [np.array(page) for page in ImageSequence.Iterator(picture)]
    values = np.stack(planes)
    if len(planes) != pages or values.size != math.prod(shape):
        raise refusal(
            path, "is compressed in a way that is not read", "save it without compression, or install imagecodecs"
        )
    return values


@contextmanager
def _opened(path: Path) -> Iterator[TiffFile]:
    """The file, opened; what goes wrong with it is told, whatever tifffile raises."""
    from tifffile import TiffFile, TiffFileError

    logging.getLogger("tifffile").setLevel(logging.CRITICAL)  # it logs of damaged files what is told here
    beginning, _ = first_bytes(path, 4)
    if beginning[:2] not in (b"II", b"MM"):
        raise refusal(path, "is not a TIFF picture", "copy it again, or correct the ending of its name")
    try:
        with TiffFile(path) as tiff:
            yield tiff
    except DatasetError:
        raise
    except (TiffFileError, *FAULTS) as error:
        text = " ".join(str(error).split())
        raise refusal(path, f"is truncated or damaged ({text:.80})", "copy or download it again") from error


def _write(path: Path, data: Array, geometry: Geometry, told: Told) -> None:
    from tifffile import imwrite

    if data.dtype.kind not in "uf" or (data.dtype.kind == "u" and data.dtype.itemsize > 2):
        raise refusal(path, f"TIFF stacks hold 8 or 16 bits or floats, not {data.dtype}", "let the name end in .nii.gz")
    z, y, x = geometry.spacing
    unit = "pixel" if geometry.in_pixels else "mm"
    kept: dict[str, Any] = {"axes": "ZYX" if len(data) > 1 else "YX", "spacing": z, "unit": unit, "loop": False}
    imwrite(
        path,
        data if len(data) > 1 else data[0],
        imagej=True,
        compression="zlib",
        resolution=(1 / x, 1 / y),
        metadata={**kept, **({"Info": told.description} if told.description else {})},
    )


TIFF = Format(
    endings=(".tif", ".tiff"),
    read_header=_read_header,
    read_voxels=_read_voxels,
    write=_write,
    written_as=".tif",
    holds_channels=True,
    beside=sidecars,
)
