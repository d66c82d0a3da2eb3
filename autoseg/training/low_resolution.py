"""Patches as if they had been recorded with larger voxels: reduced, and enlarged again.

The draws and their order, and what they do, are those of batchgenerators' `SimulateLowResolutionTransform`, whose place
this takes; it calls skimage's `resize`, which took a fifth of the time of all augmentation.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from autoseg.arrays import Float32Array, IndexArray
from autoseg.geometry import Shape
from autoseg.preprocessing.resampling import resample_image


@dataclass(frozen=True, slots=True, kw_only=True)
class SimulateLowResolution:
    """Takes every n-th voxel, and interpolates cubically between them.

    Attributes:
        zoom: Smallest and largest factor of the number of voxels along each axis.
        ignored_axes: Of the patch, which keep their voxels.
    """

    zoom: tuple[float, float]
    sample_probability: float
    channel_probability: float
    ignored_axes: tuple[int, ...] = ()

    def __call__(self, **sample: Any) -> dict[str, Any]:
        for channels in sample["data"]:
            if np.random.uniform() < self.sample_probability:
                for number, channel in enumerate(channels):
                    if np.random.uniform() < self.channel_probability:
                        channels[number] = self._reduced(channel, np.random.uniform(*self.zoom))
        return sample

    def _reduced(self, channel: Float32Array, zoom: float) -> Float32Array:
        sides = [
            side if axis in self.ignored_axes else max(1, round(side * zoom)) for axis, side in enumerate(channel.shape)
        ]
        return enlarge(channel[np.ix_(*map(nearest_voxels, channel.shape, sides))], channel.shape)


def nearest_voxels(old: int, new: int) -> IndexArray:
    """For each of `new` voxels along an axis, which of the `old` ones its centre lies in."""
    return ((np.arange(new) + 0.5) * (old / new)).astype(np.intp)


def enlarge(image: Float32Array, shape: Shape) -> Float32Array:
    """Cubic interpolation of an image of two or three axes on `shape`, within the range of its values."""
    missing = 3 - len(shape)
    enlarged = resample_image(
        image.reshape(1, *[1] * missing, *image.shape), shape=(*[1] * missing, *shape), separated=None
    )
    return enlarged.reshape(shape)
