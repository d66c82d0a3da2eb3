"""What an image looks like in small, whatever its units and contrast."""

from __future__ import annotations

import numpy as np
from scipy import ndimage

from autoseg.arrays import Array, Float32Array

SIDE = 16
"""Voxels along each axis."""

LARGEST_SIDE = 8 * SIDE
"""Of larger images voxels are left out, which saves nine tenths of the time."""

ENDS = 1, 99
"""Percentiles beyond which values are cut off, so that a few bright voxels do not decide."""


def small_look(data: Array) -> Float32Array | None:
    """What an image `(Z, Y, X)` is known by: its small form, cut off at both ends, mean 0 and length 1; None if of one value."""
    steps = tuple(slice(None, None, max(1, side // LARGEST_SIDE)) for side in data.shape)
    with np.errstate(over="ignore"):  # what single precision does not hold is not finite below
        small = data[steps].astype(np.float32)
    for axis, side in enumerate(small.shape):
        ends = np.linspace(0, side, min(side, 2 * SIDE) + 1).round().astype(int)
        widths = np.diff(ends).reshape([-1 if place == axis else 1 for place in range(small.ndim)])
        small = np.add.reduceat(small, ends[:-1], axis=axis) / widths
    if not np.isfinite(small).all():
        return None
    factors = [(SIDE if side > 1 else 1) / side for side in small.shape]
    small = ndimage.zoom(small, factors, order=1, grid_mode=True, mode="nearest")
    low, high = np.percentile(small, ENDS)
    small = np.clip(small, low, high).astype(np.float64).ravel()
    small -= small.mean()
    length = float(np.linalg.norm(small))
    return None if length == 0 else (small / length).astype(np.float32)
