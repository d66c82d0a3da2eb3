"""One volume and the grid it lies on, and where it is to be found."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from autoseg.arrays import Array
from autoseg.geometry import Geometry


@dataclass(frozen=True, slots=True, kw_only=True)
class Image:
    """One volume: `data` is `(Z, Y, X)` in the file's own voxel type, `geometry` in the same axis order."""

    data: Array
    geometry: Geometry


@dataclass(frozen=True, slots=True, kw_only=True)
class ImageReference:
    """Where one image lies.

    Attributes:
        path: A file.
        part: Which of the file's volumes, counted from 0; None for a file of one volume.
    """

    path: Path
    part: int | None = None


def whole_files(paths: Iterable[Path]) -> tuple[ImageReference, ...]:
    """References to files of one volume each."""
    return tuple(ImageReference(path=path) for path in paths)


def grid_differences(first: Image, other: Image) -> tuple[str, ...]:
    """Name what differs between the grids of two images, shape included; empty when they are equal."""
    if first.data.shape != other.data.shape:
        return (f"size {first.data.shape} and {other.data.shape} voxels (z, y, x)",)
    return first.geometry.differences(other.geometry)
