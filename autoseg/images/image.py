"""One volume and the grid it lies on."""

from __future__ import annotations

from dataclasses import dataclass

from autoseg.arrays import Array
from autoseg.geometry import Geometry


@dataclass(frozen=True, slots=True, kw_only=True)
class Image:
    """One volume: `data` is `(Z, Y, X)` in the file's own voxel type, `geometry` in the same axis order."""

    data: Array
    geometry: Geometry


def grid_differences(first: Image, other: Image) -> tuple[str, ...]:
    """Name what differs between the grids of two images, shape included; empty when they are equal."""
    if first.data.shape != other.data.shape:
        return (f"size {first.data.shape} and {other.data.shape} voxels (z, y, x)",)
    return first.geometry.differences(other.geometry)
