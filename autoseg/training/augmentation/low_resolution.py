"""Patches as if they had been recorded with larger voxels: reduced, and enlarged again.

The draws and their order, and what they do, are those of batchgenerators' `SimulateLowResolutionTransform`, whose place
this takes; it calls skimage's `resize`, which took a fifth of the time of all augmentation.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from autoseg.arrays import Float32Array, IndexArray
from autoseg.geometry import Shape
from autoseg.preprocessing.resampling import resample_image
from autoseg.training.augmentation.axis_weights import enlarging_weights, multiplied
from autoseg.training.augmentation.variations import Drawing, Range, Values, Variation, is_drawn


@dataclass(frozen=True, slots=True)
class LowResolution(Variation):
    """Takes every n-th voxel of each channel, and interpolates cubically between them.

    Attributes:
        sides: To which each channel is reduced; None for one that keeps its voxels.
    """

    sides: tuple[Shape | None, ...]

    def apply(self, data: Values, labels: Values) -> None:  # noqa: ARG002
        """Change `data` in place."""
        for channel, sides in zip(data, self.sides, strict=True):
            if sides is not None:
                channel[...] = enlarge(channel[np.ix_(*map(nearest_voxels, channel.shape, sides))], channel.shape)

    def apply_on_device(self, data: Tensor, labels: Tensor) -> None:  # noqa: ARG002
        """Change `data` in place."""
        for channel, sides in zip(data, self.sides, strict=True):
            if sides is not None:
                channel.copy_(_reduced_and_enlarged(channel, sides))


@dataclass(frozen=True, slots=True, kw_only=True)
class SimulateLowResolution(Drawing):
    """A factor for each channel, or none.

    Attributes:
        zoom: Smallest and largest factor of the number of voxels along each axis.
        ignored_axes: Of the patch, which keep their voxels.
    """

    zoom: Range
    sample_probability: float
    channel_probability: float
    ignored_axes: tuple[int, ...] = ()

    def draw(self, channels: int, shape: Shape) -> LowResolution | None:
        """For each channel to how many voxels it is reduced."""
        if not is_drawn(self.sample_probability):
            return None
        drawn = (is_drawn(self.channel_probability) for _ in range(channels))
        return LowResolution(
            tuple(self._sides(shape, np.random.uniform(*self.zoom)) if is_reduced else None for is_reduced in drawn)
        )

    def _sides(self, shape: Shape, zoom: float) -> Shape:
        return tuple(
            side if axis in self.ignored_axes else max(1, round(side * zoom)) for axis, side in enumerate(shape)
        )


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


def _reduced_and_enlarged(image: Tensor, sides: Shape) -> Tensor:
    """`nearest_voxels` and `enlarge` of a tensor."""
    reduced = image
    for axis, (old, new) in enumerate(zip(image.shape, sides, strict=True)):
        if old != new:
            places = torch.arange(new, dtype=torch.float64, device=image.device)
            reduced = reduced.index_select(axis, ((places + 0.5) * (old / new)).long())
    low, high = reduced.min(), reduced.max()
    centre = low / 2 + high / 2
    weights = [enlarging_weights(new, old, image.device) for old, new in zip(image.shape, sides, strict=True)]
    return multiplied((reduced - centre)[None], weights)[0].clamp(low - centre, high - centre) + centre
