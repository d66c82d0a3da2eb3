"""Growing and shrinking masks by a ball, in a time that does not depend on the mask, in any number of dimensions.

A voxel is within a ball of the mask when its squared distance to it is small enough, and squared distances add up
axis by axis: a minimum over few shifts along each, in bytes for the radii of augmentation.
"""

from __future__ import annotations

import numpy as np

from autoseg.arrays import Mask
from autoseg.geometry import bounding_box


def dilation(mask: Mask, radius: float) -> Mask:
    """Every voxel at most `radius` voxels away from the mask."""
    return _within(mask, radius)


def erosion(mask: Mask, radius: float) -> Mask:
    """Every voxel more than `radius` voxels away from all outside the mask; the array's border is no such outside."""
    return ~_within(~mask, radius)


def closing(mask: Mask, radius: float) -> Mask:
    """Dilated, then eroded: gaps too narrow for the ball are filled."""
    return erosion(dilation(mask, radius), radius)


def opening(mask: Mask, radius: float) -> Mask:
    """Eroded, then dilated: parts too narrow for the ball are lost."""
    return dilation(erosion(mask, radius), radius)


def surroundings(mask: Mask, radius: float) -> tuple[slice, ...] | None:
    """The part of the array that each of the four, applied there alone, gives all it would; None for an empty mask."""
    margin, box = int(radius) + 1, bounding_box(mask)
    if box is None:
        return None
    sides = zip(box, mask.shape, strict=True)
    return tuple(slice(max(0, start - margin), min(side, stop + margin)) for (start, stop), side in sides)


def _within(mask: Mask, radius: float) -> Mask:
    """Where the squared distance to the mask, a whole number, is at most that of the radius."""
    limit, reach = int(radius**2), int(radius)
    distance = np.where(mask, 0, limit + 1).astype(np.min_scalar_type(limit + 1 + reach**2))
    for axis in range(mask.ndim):
        nearest = distance.copy()
        result, source = (np.moveaxis(array, axis, 0) for array in (nearest, distance))
        for step in range(1, min(reach, len(source) - 1) + 1):
            shifted = source + source.dtype.type(step**2)
            np.minimum(result[step:], shifted[:-step], out=result[step:])
            np.minimum(result[:-step], shifted[step:], out=result[:-step])
        distance = nearest
    return distance <= limit
