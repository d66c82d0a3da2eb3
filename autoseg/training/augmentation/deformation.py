"""Steps that move voxels, image and labels alike: elastic deformation and quarter turns."""

from __future__ import annotations

from dataclasses import dataclass, replace
from itertools import combinations
from typing import Any

import numpy as np

from autoseg.arrays import Array, FloatArray
from autoseg.geometry import Shape
from autoseg.training.augmentation.step import SampleStep
from autoseg.training.augmentation.variations import Range


@dataclass(frozen=True, slots=True, kw_only=True)
class Elastic(SampleStep):
    """Moves every voxel a little, its neighbours nearly as far: smoothed noise (Simard et al. 2003).

    The image is interpolated linearly, labels take the nearest voxel's; what comes from beyond the patch is its mirror image.

    Attributes:
        displacement: How far the voxel moves that moves furthest, in voxels.
        smoothness: Standard deviation in voxels by which the noise is smoothed.
        in_plane: Within slices, all alike; always so where the plan's slices are thick.
    """

    displacement: Range = (1.0, 6.0)
    smoothness: Range = (6.0, 10.0)
    in_plane: bool = False

    def build(self, dummy_2d: bool) -> Elastic:
        """As the plan's slices are."""
        return replace(self, in_plane=self.in_plane or dummy_2d)

    def changed(self, sample: dict[str, Any]) -> dict[str, Any]:
        """By one field for all."""
        from scipy.ndimage import map_coordinates

        shape = sample["data"].shape[2:]
        places = _grid(shape) + self._field(shape)
        for name, order in (("data", 1), ("seg", 0)):
            sample[name] = np.stack(
                [map_coordinates(values, places, order=order, mode="mirror") for values in sample[name][0]]
            )[None]
        return sample

    def _field(self, shape: Shape) -> FloatArray:
        """Displacements `(axes, *patch)` in voxels."""
        from scipy.ndimage import gaussian_filter

        sigma, farthest = np.random.uniform(*self.smoothness), np.random.uniform(*self.displacement)
        flat = self.in_plane and len(shape) == len("zyx")
        moved = shape[1:] if flat else shape
        noise = np.random.uniform(-1, 1, (len(moved), *moved))
        field = np.stack([gaussian_filter(one, sigma) for one in noise])
        field *= farthest / max(float(np.sqrt((field**2).sum(axis=0)).max()), np.finfo(float).tiny)
        if not flat:
            return field
        whole = np.zeros((3, *shape))
        whole[1:] = field[:, None]
        return whole


@dataclass(frozen=True, slots=True, kw_only=True)
class QuarterTurns(SampleStep):
    """Turns by 90, 180 or 270 degrees in a plane of two axes, by 180 only where their sides differ.

    Attributes:
        in_plane: Not about the axis of slices; always so where the plan's slices are thick.
    """

    probability: float = 0.5
    in_plane: bool = False

    def build(self, dummy_2d: bool) -> QuarterTurns:
        """As the plan's slices are."""
        return replace(self, in_plane=self.in_plane or dummy_2d)

    def changed(self, sample: dict[str, Any]) -> dict[str, Any]:
        """By one turn for all."""
        shape = sample["data"].shape[2:]
        flat = self.in_plane and len(shape) == len("zyx")
        planes = list(combinations(range(int(flat), len(shape)), 2))
        first, second = planes[np.random.randint(len(planes))]
        turns = np.random.randint(1, 4) if shape[first] == shape[second] else 2
        for name in ("data", "seg"):
            sample[name] = np.ascontiguousarray(np.rot90(sample[name], turns, (2 + first, 2 + second)))
        return sample


def _grid(shape: Shape) -> Array:
    return np.indices(shape).astype(np.float64)
