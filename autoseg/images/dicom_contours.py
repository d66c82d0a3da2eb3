"""Structures of DICOM structure sets (RTSTRUCT): closed curves on the slices of a series, and the voxels inside them.

Standard: https://dicom.nema.org/medical/dicom/current/output/html/part03.html, sections C.8.8.5 and C.8.8.6.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from autoseg.arrays import Float64Array, Mask
from autoseg.geometry import voxels_at
from autoseg.images.formats.dicom import SliceGrid
from autoseg.images.refusals import refusal
from autoseg.words import counted, first_few, readable

if TYPE_CHECKING:
    from pydicom import Dataset

CLOSED = ("CLOSED_PLANAR", "CLOSEDPLANAR_XOR")
"""Curves around an area; points and open lines have none."""

OFF_PLANE = 0.25
"""Of the distance between slices: how far a curve's points may lie from the slice that it is drawn on."""

DECIMALS = 6
"""Of places in voxels: curves are written in mm with few decimals, and those along centres of voxels are to stay there."""


def structures_in(content: Dataset) -> dict[int, str]:
    """The numbers and names of the structures that have an area; others are templates and points."""
    drawn = {int(one.ReferencedROINumber) for one in content.get("ROIContourSequence") or () if any(_closed(one))}
    named = {int(one.ROINumber): str(one.get("ROIName", "")) for one in content.get("StructureSetROISequence") or ()}
    return {number: name for number, name in named.items() if number in drawn}


def masks_of(path: Path, content: Dataset, structures: Iterable[Sequence[int]], grid: SliceGrid) -> Iterator[Mask]:
    """For each set of numbers the voxels of all its structures, `(Z, Y, X)` on a series' grid.

    A voxel belongs to a structure where its centre lies inside an odd number of the curves on its slice, so that a curve
    inside another is a hole; of centres on a curve those at its left and upper side count as inside.

    Raises:
        DatasetError: A curve lies on no slice of the series.
    """
    curves = {int(one.ReferencedROINumber): one for one in content.ROIContourSequence}
    for numbers in structures:
        mask = np.zeros(grid.shape, bool)
        for number in numbers:
            for place, contours in _by_slice(path, curves[number], grid).items():
                mask[place] |= inside_of(contours, grid.shape[1:])
        yield mask


def inside_of(contours: Sequence[Float64Array], shape: Sequence[int]) -> Mask:
    """The voxels of a slice whose centres lie inside an odd number of closed curves.

    Args:
        contours: Corners, (n, 2), each (y, x) in voxels; the last is joined to the first.
    """
    rows, columns = shape
    crossings = np.zeros((rows, columns + 1), np.int64)
    for corners in contours:
        others = np.roll(corners, -1, axis=0)
        falling = corners[:, :1] > others[:, :1]
        above, below = np.where(falling, others, corners), np.where(falling, corners, others)
        first, last = np.ceil(above[:, 0]).astype(int), np.ceil(below[:, 0]).astype(int)
        edge = np.repeat(np.arange(len(corners)), last - first)
        row = np.concatenate([np.arange(*ends) for ends in zip(first, last, strict=True)])
        (up, left), (down, right) = above[edge].T, below[edge].T
        column = np.ceil(np.round(left + (row - up) * (right - left) / (down - up), DECIMALS)).astype(int)
        there = (row >= 0) & (row < rows)
        np.add.at(crossings, (row[there], np.clip(column[there], 0, columns)), 1)
    inside: Mask = np.cumsum(crossings, axis=1)[:, :columns] % 2 == 1
    return inside


def _closed(structure: Dataset) -> Iterator[Any]:
    for contour in structure.get("ContourSequence") or ():
        if str(contour.get("ContourGeometricType", "")) in CLOSED and "ContourData" in contour:
            yield contour


def _by_slice(path: Path, structure: Dataset, grid: SliceGrid) -> dict[int, list[Float64Array]]:
    """The curves on each slice, in voxels."""
    found: dict[int, list[Float64Array]] = defaultdict(list)
    elsewhere: list[float] = []
    for contour in _closed(structure):
        points = np.array(contour.ContourData, dtype=np.float64).reshape(-1, 3)
        places = voxels_at(grid.geometry, points[:, ::-1])
        place = round(float(np.mean(places[:, 0])))
        if not np.isfinite(places).all() or np.abs(places[:, 0] - place).max() > OFF_PLANE:
            raise refusal(
                path,
                f"curves of a structure lie between the slices of {readable(grid.name)} or across them",
                "name the series that it was drawn on, or export it on that series",
            )
        if 0 <= place < grid.shape[0]:
            found[place].append(np.round(places[:, 1:], DECIMALS))
        else:
            elsewhere.append(float(points[0, 2]))
    if elsewhere:
        at = first_few([f"{z:.6g}" for z in sorted(set(elsewhere))])
        raise refusal(
            path,
            f"{counted(len(elsewhere), 'curve lies', 'curves lie')} beyond the slices of {readable(grid.name)} (at z = {at} mm)",
            "add the slices that are missing, or take it away",
        )
    return found
