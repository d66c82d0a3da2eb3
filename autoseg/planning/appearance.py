"""How a case looks from outside: its grid, its size, and how its intensities are spread, each voxel alike.

Nothing here needs labels, so a new image is measured as the training cases were.
"""

from __future__ import annotations

from dataclasses import astuple, dataclass
from itertools import pairwise
from typing import TypeAlias

import numpy as np

from autoseg.arrays import Array, Float32Array, Mask
from autoseg.errors import DatasetError
from autoseg.geometry import Box, Geometry, bounding_box, box_shape
from autoseg.images.magnitudes import spread_values
from autoseg.preprocessing.slabs import SurveyedCase

Direction: TypeAlias = tuple[float, float, float, float, float, float, float, float, float]

PERCENTILES = (0.5, 5, 25, 50, 75, 95, 99.5)
"""The outer two are the bounds CT is clipped to; a few odd voxels move none of them."""

SAMPLED_VOXELS = 100_000
"""Of each channel; a percentile of as many, evenly spaced, is good to a fifth of a percentile, and takes milliseconds."""

FEWEST_PAIRS = 300
"""Of neighbouring voxels: the correlation of as many in noise errs by 0.06."""


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
        likenesses: How much neighbouring voxels of each channel resemble each other, see `measure_likenesses`; empty
            where it was not measured.
    """

    spacing: tuple[float, float, float]
    shape: tuple[int, int, int]
    direction: Direction | None
    ranges: tuple[IntensityRange | None, ...]
    likenesses: tuple[float | None, ...] = ()


def measure_appearance(data: Float32Array, geometry: Geometry) -> Appearance | None:
    """Measure an image.

    Args:
        data: `(C, Z, Y, X)` intensities.

    Returns:
        None where every voxel is zero.
    """
    nonzero: Mask = np.any(data, axis=0)
    box = bounding_box(nonzero)
    return None if box is None else _appearance(geometry, box, measure_ranges(data), data)


def measure_surveyed(case: SurveyedCase) -> Appearance:
    """The same of a case that is too large to be held; how neighbours resemble each other is measured in its middle."""
    return _appearance(case.geometry, case.crop, tuple(_range(_counted(one)) for one in case.samples), case.middle())


def _appearance(
    geometry: Geometry, box: Box, ranges: tuple[IntensityRange | None, ...], data: Float32Array
) -> Appearance:
    depth, height, width = box_shape(box)
    return Appearance(
        spacing=geometry.spacing,
        shape=(depth, height, width),
        direction=geometry.direction,
        ranges=ranges,
        likenesses=measure_likenesses(data, ranges),
    )


def measure_ranges(data: Float32Array) -> tuple[IntensityRange | None, ...]:
    """The intensity range of each channel of `(C, Z, Y, X)`; None for a channel that is zero throughout."""
    return tuple(_range(sample_values(channel, SAMPLED_VOXELS)) for channel in data)


def measure_likenesses(data: Float32Array, ranges: tuple[IntensityRange | None, ...]) -> tuple[float | None, ...]:
    """How much neighbouring voxels resemble each other: 0 in noise, whatever its histogram, and up to 1 in images.

    It is the correlation of voxels with the next one along an axis, averaged over the axes that have several, without
    pairs that hold a zero, and with the few darkest and brightest voxels clipped, so that no odd one decides.

    Args:
        data: `(C, Z, Y, X)` intensities.
        ranges: Of each channel.

    Returns:
        Of each channel; None where there are too few pairs, or where all of them are alike.
    """
    return tuple(
        None if known is None else _likeness(channel, known) for channel, known in zip(data, ranges, strict=True)
    )


def _likeness(channel: Float32Array, known: IntensityRange) -> float | None:
    found = [_correlation(channel, axis, known) for axis in range(3) if channel.shape[axis] > 1]
    return float(np.mean(kept)) if (kept := [one for one in found if one is not None]) else None


def _correlation(channel: Float32Array, axis: int, known: IntensityRange) -> float | None:
    """Of voxels with their next along an axis, clipped to the range's ends."""
    first = np.moveaxis(channel, axis, 0)[:-1]
    step = max(1, round((first.size / SAMPLED_VOXELS) ** (1 / 3)))  # along each axis
    spread = (slice(None, None, step),) * 3
    second = np.moveaxis(channel, axis, 0)[1:][spread].ravel()
    first = first[spread].ravel()
    kept = np.isfinite(first) & np.isfinite(second) & (first != 0) & (second != 0)
    pairs = np.clip(
        np.stack([first[kept], second[kept]]).astype(np.float64), known.percentile_00_5, known.percentile_99_5
    )
    if pairs.shape[1] < FEWEST_PAIRS or not pairs.std(axis=1).all():
        return None
    pairs -= pairs.mean(axis=1, keepdims=True)
    # no product of BLAS: its threads would wait busily beside the network, and its sums depend on their number
    return min(1.0, float(pairs.prod(axis=0).mean() / np.sqrt(np.square(pairs).mean(axis=1).prod())))


def _range(values: Array) -> IntensityRange | None:
    if not values.size:
        return None
    percentiles = np.percentile(values.astype(np.float64), PERCENTILES).tolist()
    return IntensityRange(**dict(zip(IntensityRange.__slots__, percentiles, strict=True)))


def sample_values(data: Array, most: int) -> Array:
    """Up to about `most` of an array's values, evenly spaced, without exact zeros, NaN and infinities."""
    return _counted(spread_values(data, most))


def _counted(sample: Array) -> Array:
    kept: Array = sample[np.isfinite(sample) & (sample != 0)]
    return kept
