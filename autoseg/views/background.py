"""What stands beyond an image, where a plane through it goes on."""

from __future__ import annotations

import numpy as np

from autoseg.arrays import Array, Float32Array

PERCENTILE = 1.0
"""Of a channel's voxels (Perslev et al. 2019)."""

ENOUGH_VOXELS = 2**15
"""Of which a percentile is near enough to that of all."""


def background_values(image: Array) -> Float32Array:
    """Of each channel of `(C, *space)` a value that few voxels are below, `(C,)`, from voxels spread evenly."""
    flat = image.reshape(len(image), -1)
    some = flat[:, :: max(1, flat.shape[1] // ENOUGH_VOXELS)].astype(np.float32)
    values: Float32Array = np.percentile(some, PERCENTILE, axis=1).astype(np.float32)
    return values
