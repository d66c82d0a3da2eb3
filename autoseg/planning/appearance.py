"""How a case looks from outside: its grid, its size, and how its intensities are spread, each voxel alike.

Nothing here needs labels, so a new image is measured as the training cases were.
"""

from __future__ import annotations

from dataclasses import astuple, dataclass
from itertools import pairwise
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt

from autoseg.errors import DatasetError
from autoseg.geometry import Geometry
from autoseg.magnitudes import spread_values

Direction: TypeAlias = tuple[float, float, float, float, float, float, float, float, float]

PERCENTILES = (0.5, 5, 25, 50, 75, 95, 99.5)
"""The outer two are the bounds CT is clipped to; a few odd voxels move none of them."""

SAMPLED_VOXELS = 100_000
"""Of each channel; a percentile of as many, evenly spaced, is good to a fifth of a percentile, and takes milliseconds."""


@dataclass(frozen=True, slots=True, kw_only=True)
class IntensityRange:
    """Percentiles of one channel of one case, over its voxels other than exact zeros, which are often padding."""

    percentile_00_5: float
    percentile_05: float
    percentile_25: float
    median: float
    percentile_75: float
    percentile_95: float
    percentile_99_5: float

    def __post_init__(self) -> None:
        if any(not low <= high for low, high in pairwise(astuple(self))):
            raise DatasetError(f"percentiles of intensities must ascend, found {astuple(self)}")

    @property
    def width(self) -> float:
        """From the lowest percentile to the highest."""
        return self.percentile_99_5 - self.percentile_00_5


@dataclass(frozen=True, slots=True, kw_only=True)
class Appearance:
    """What is compared between cases; axes in the image's (z, y, x).

    Attributes:
        spacing: mm.
        shape: Voxels of the box that holds every voxel with a value in any channel.
        direction: As in `Geometry`; None where it was not measured.
        ranges: Of each channel, None for one without any value; empty where they were not measured.
    """

    spacing: tuple[float, float, float]
    shape: tuple[int, int, int]
    direction: Direction | None
    ranges: tuple[IntensityRange | None, ...]


def measure_appearance(data: npt.NDArray[np.float32], geometry: Geometry) -> Appearance | None:
    """Measure an image.

    Args:
        data: `(C, Z, Y, X)` intensities.

    Returns:
        None where every voxel is zero.
    """
    nonzero: npt.NDArray[np.bool_] = np.any(data, axis=0)
    plane: npt.NDArray[np.bool_] = np.any(nonzero, axis=0)
    depth, height, width = map(_extent, (nonzero, plane, plane.T))
    if not depth:
        return None
    return Appearance(
        spacing=geometry.spacing,
        shape=(depth, height, width),
        direction=geometry.direction,
        ranges=measure_ranges(data),
    )


def _extent(nonzero: npt.NDArray[np.bool_]) -> int:
    """Along the first axis, from the first to the last plane that holds anything."""
    places = np.flatnonzero(np.any(nonzero, axis=tuple(range(1, nonzero.ndim))))
    return int(places[-1] - places[0]) + 1 if places.size else 0


def measure_ranges(data: npt.NDArray[np.float32]) -> tuple[IntensityRange | None, ...]:
    """The intensity range of each channel of `(C, Z, Y, X)`; None for a channel that is zero throughout."""
    return tuple(_range(sample_values(channel, SAMPLED_VOXELS)) for channel in data)


def _range(values: npt.NDArray[Any]) -> IntensityRange | None:
    if not values.size:
        return None
    percentiles = np.percentile(values.astype(np.float64), PERCENTILES).tolist()
    return IntensityRange(**dict(zip(IntensityRange.__slots__, percentiles, strict=True)))


def sample_values(data: npt.NDArray[Any], most: int) -> npt.NDArray[Any]:
    """Up to about `most` of an array's values, evenly spaced, without exact zeros, NaN and infinities."""
    sample = spread_values(data, most)
    kept: npt.NDArray[Any] = sample[np.isfinite(sample) & (sample != 0)]
    return kept
