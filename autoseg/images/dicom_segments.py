"""Segments of DICOM segmentations (SEG), through highdicom, the extra `dicom`.

Frames hold one segment each, or numbers of segments, and are placed by where they say they lie; those that are left out hold
nothing. Standard: https://dicom.nema.org/medical/dicom/current/output/html/part03.html, section C.8.20.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from autoseg.arrays import Mask
from autoseg.geometry import voxels_at
from autoseg.images.formats.dicom import SliceGrid
from autoseg.images.formats.dicom_slices import frames_of
from autoseg.images.refusals import refusal
from autoseg.words import in_brackets, readable

if TYPE_CHECKING:
    from pydicom import Dataset

OFF_GRID = 0.25
"""Voxels that a frame's corners may lie from those of the slice that it covers."""


def structures_in(content: Dataset) -> dict[int, str]:
    """The numbers and names of its segments; the background of a map of numbers is none."""
    padding = int(content.get("PixelPaddingValue", 0)) if _is_map(content) else None
    named = {int(one.SegmentNumber): str(one.get("SegmentLabel", "")) for one in content.get("SegmentSequence") or ()}
    return {number: name for number, name in named.items() if number not in (0, padding)}


def masks_of(path: Path, content: Dataset, structures: Iterable[Sequence[int]], grid: SliceGrid) -> Iterator[Mask]:
    """For each set of numbers the voxels of all its segments, `(Z, Y, X)` on the grid.

    Raises:
        DatasetError: A frame lies on another grid.
    """
    try:
        import highdicom as hd
    except ImportError as error:
        raise refusal(
            path,
            "is a DICOM segmentation, which the package highdicom reads",
            "install it: pip install 'autoseg[dicom]'",
        ) from error
    stored = hd.seg.Segmentation.from_dataset(
        content, copy=False
    )  # pydicom misreads frames whose bits end inside a byte
    frames = list(frames_of(content))
    places = [_place(path, frame, grid) for frame in frames]
    numbered = [int(frame.get("ReferencedSegmentNumber", 0)) for frame in frames]
    half = int(content.get("MaximumFractionalValue", 1)) / 2
    for numbers in structures:
        mask = np.zeros(grid.shape, bool)
        wanted = [one for one, number in enumerate(numbered) if _is_map(content) or number in numbers]
        for one in wanted:
            pixels = stored.get_stored_frame(one + 1)
            mask[places[one]] |= np.isin(pixels, numbers) if _is_map(content) else pixels > half
        yield mask


def _is_map(content: Dataset) -> bool:
    return str(content.get("SegmentationType", "")) == "LABELMAP"


def _place(path: Path, frame: Dataset, grid: SliceGrid) -> int:
    """The slice that a frame lies on."""
    rows, columns = int(frame.Rows), int(frame.Columns)
    if (rows, columns) != grid.shape[1:]:
        raise _elsewhere(
            path, grid, f"its frames have {rows} x {columns} pixels, {' x '.join(map(str, grid.shape[1:]))} has"
        )
    first = np.array(frame.ImagePositionPatient, np.float64)
    across, down = np.array(frame.ImageOrientationPatient, np.float64).reshape(2, 3)
    between_rows, between_columns = map(float, frame.PixelSpacing)
    corners = np.stack(
        [first, first + across * between_columns * (columns - 1), first + down * between_rows * (rows - 1)]
    )
    found = voxels_at(grid.geometry, corners[:, ::-1])
    place = round(float(found[0, 0]))
    expected = np.array([[place, 0, 0], [place, 0, columns - 1], [place, rows - 1, 0]])
    if not 0 <= place < grid.shape[0] or np.abs(found - expected).max() > OFF_GRID:
        raise _elsewhere(path, grid, f"a frame at {in_brackets(first)} mm covers none of the slices")
    return place


def _elsewhere(path: Path, grid: SliceGrid, how: str) -> Exception:
    return refusal(
        path,
        f"lies on another grid than {readable(grid.name)}: {how}",
        "resample it onto that series, or name the series that it was drawn on",
    )
