"""DICOM series through pydicom, the extra `dicom`: the slices of a folder, told apart and laid on one grid.

A series is named by any one of its files; the others are found beside it. What makes several volumes of one series, such as
echoes or the phases of a heart, tells its slices apart as well. Nothing of who was scanned is read.
Standard: https://dicom.nema.org/medical/dicom/current/output/html/part03.html, sections C.7.6.2 and C.7.6.3.
"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path
from typing import Any

import numpy as np

from autoseg.arrays import Array
from autoseg.errors import DatasetError
from autoseg.geometry import SPACING_RANGE, Geometry, Shape
from autoseg.images.format import Format, Header, Request
from autoseg.images.formats.dicom_slices import Slice, opened, slices_in
from autoseg.images.refusals import refusal, require_possible_size
from autoseg.words import counted, first_few, in_brackets, readable

GAP = 0.05
"""Of the median distance of slices: what two neighbours may differ from it by. Positions are written with few decimals."""

TILT = 0.01
"""Of the distance between slices: what a stack may lean to a side of its normal for each slice."""


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

    @property
    def shape(self) -> Shape:
        """Voxels, (z, y, x)."""
        return (len(self.slices), *self.slices[0].shape)

    @property
    def modality(self) -> str:
        """What made it: CT, MR, PT."""
        return self.slices[0].modality


@dataclass(frozen=True, slots=True, kw_only=True)
class SliceGrid:
    """What masks are laid on.

    Attributes:
        name: What it is the grid of.
        shape: Voxels, (z, y, x).
    """

    name: Path
    geometry: Geometry
    shape: Shape


def series_in(folder: Path) -> tuple[Series, ...]:
    """The volumes whose slices lie in a folder, by their numbers; localisers, and what is no image, are left out.

    Raises:
        DatasetError: A file is damaged or holds several volumes, or pydicom is not installed.
    """
    slices = [one for path in sorted(folder.iterdir()) if path.is_file() for one in slices_in(path)]
    volumes: dict[tuple[Any, ...], list[Slice]] = defaultdict(list)
    for one in slices:
        volumes[one.key].append(one)
    groups = [part for key in sorted(volumes, key=str) for part in _phases(volumes[key])]
    groups.sort(key=lambda group: (group[0].number, str(group[0].key)))
    _require_one_volume_a_file(groups)
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


def _require_one_volume_a_file(groups: Sequence[Sequence[Slice]]) -> None:
    paths = [path for group in groups for path in {one.path for one in group}]
    if several := next((path for path in paths if paths.count(path) > 1), None):
        raise refusal(
            several,
            f"holds {counted(paths.count(several), 'volume')} in one file, as echoes or phases are",
            "save each as a file of its own, or convert it to NIfTI: dcm2niix -z y .",
        )


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
    whole = all(one.slope == 1 and one.intercept == int(one.intercept) for one in series.slices)
    header = Header(
        shape=series.shape,
        voxel_type=np.dtype(np.int32 if whole else np.float32),
        geometry=grid_of(series).geometry,
    )
    require_possible_size(path, header)
    return header


def _read_voxels(path: Path, header: Header, _: Request) -> Array:
    series = series_of(path)
    voxels = np.empty(header.shape, header.voxel_type)
    placed = sorted(zip(series.slices, voxels, strict=True), key=lambda one: str(one[0].path))
    for file, planes in groupby(placed, key=lambda one: one[0].path):
        with opened(file) as content:
            stored = content.pixel_array
        for one, plane in planes:
            pixels = stored[one.frame] if stored.ndim > len(one.shape) else stored
            if pixels.shape != one.shape:
                raise refusal(file, f"holds {pixels.shape} pixels, {one.shape} are declared", "export it again")
            plane[...] = pixels if (one.slope, one.intercept) == (1.0, 0.0) else pixels * one.slope + one.intercept
    return voxels


def grid_of(series: Series) -> SliceGrid:
    """The grid of a series.

    Raises:
        DatasetError: Its slices do not lie evenly one behind the other.
    """
    _require_one_grid(series)
    return SliceGrid(name=series.path.parent, geometry=_geometry(series), shape=series.shape)


def _require_one_grid(series: Series) -> None:
    first, folder = series.slices[0], series.path.parent
    pixels = {one.pixel for one in series.slices}
    if len(pixels) > 1:
        raise refusal(folder, f"{series.name}: its slices have pixels of several sizes", "export the series again")
    if len(series.slices) == 1:
        return
    depths = np.array([one.depth for one in series.slices])
    steps = np.diff(depths)
    usual = float(np.sort(steps)[(len(steps) - 1) // 2])
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


def _beside(path: Path) -> tuple[Path, ...]:
    try:
        return tuple(dict.fromkeys(one.path for one in series_of(path).slices if one.path != path))
    except DatasetError:
        return ()


def described(series: Sequence[Series]) -> str:
    """What volumes a folder holds, for whoever has to choose."""
    return "; ".join(f"{readable(one.name)} ({one.modality}, {counted(len(one.slices), 'slice')})" for one in series)


DICOM = Format(endings=(), read_header=_read_header, read_voxels=_read_voxels, beside=_beside)
