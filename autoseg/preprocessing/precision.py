"""In which precision the intensities of a prepared case are kept: half, wherever that moves them by too little to matter."""

from __future__ import annotations

import numpy as np

from autoseg.arrays import Array, FloatArray

FARTHEST_MEAN = 20
"""Standard deviations of a channel that its mean may lie from 0. Half precision rounds by 2^-11 of a value at most, so
that values near such a mean move by 1 % of the deviation; of normalised ones it is 0.05 %."""

SMALLEST_DEVIATION = 1e-3
"""Of a channel: smaller values lose digits, as they come near to the smallest that there are."""


def kept_precision(data: FloatArray) -> type[np.float16] | type[np.float32]:
    """float16 where every channel of `(C, Z, Y, X)` fits into it, float32 elsewhere.

    CT and nonCT normalisation always fit, unless a voxel is beyond all measure; channels without any fit where their
    numbers are spread widely enough.
    """
    return np.float16 if all(map(_fits_half, data)) else np.float32


def _fits_half(channel: FloatArray) -> bool:
    largest = float(np.finfo(np.float16).max)
    lowest, highest = float(channel.min()), float(channel.max())
    if lowest < -largest or highest > largest:
        return False
    if lowest == highest:
        return float(np.float16(lowest)) == lowest
    mean, deviation = _moments(channel)
    return deviation >= SMALLEST_DEVIATION and abs(mean) <= FARTHEST_MEAN * deviation


def _moments(channel: Array) -> tuple[float, float]:
    """Mean and standard deviation, in double precision and the memory of a plane."""
    mean = float(channel.mean(dtype=np.float64))
    squares = sum(float(np.square(plane - mean, dtype=np.float64).sum()) for plane in channel)
    return mean, float(np.sqrt(squares / channel.size))
