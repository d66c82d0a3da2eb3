"""The voxel size every case is resampled to, and the coarser ones of a low-resolution stage."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from autoseg.arrays import Float64Array
from autoseg.geometry import Spacing

ANISOTROPY = 3.0
"""An axis stands out when its voxels are this many times larger, and this many times fewer, than the others'."""

PERCENTILE_OF_COARSE_AXIS = 10.0
"""Low enough that the finer cases keep their slices (Isensee et al. 2021, Fig. 2, "Image target spacing")."""

SMALLEST_MARGIN_MM = 1e-5
"""Keeps an axis lowered to its percentile the largest, so that it is still found as the slice axis."""

GROWTH = 1.01
"""One step of the low-resolution stage towards larger voxels (reference system, plans v2.1)."""

LARGEST_RATIO_WHILE_GROWING = 2.0
"""While the voxels are more anisotropic than this, only the finer axes grow."""

MOST_GROWTH_STEPS = 2000
"""1.01 to this power is beyond 400 million: no image is left."""


def median_spacing(spacings: Float64Array) -> Float64Array:
    """The median voxel size of each axis.

    Args:
        spacings: `(cases, 3)`, mm.

    Returns:
        `(3,)`, mm, in the same axis order.
    """
    return np.percentile(spacings, 50, axis=0)


def target_spacing(spacings: Float64Array, shapes: Float64Array) -> Float64Array:
    """The median voxel size; an axis of far fewer and far larger voxels takes its 10th percentile instead.

    Its median would throw away what the finer cases show.

    Args:
        spacings: `(cases, 3)`, mm.
        shapes: `(cases, 3)`, voxels.

    Returns:
        `(3,)`, mm, in the same axis order.

    Source: Isensee et al. 2021, Fig. 2, "Image target spacing".
    """
    target = median_spacing(spacings)
    coarse = coarse_axis(spacings, shapes)
    if coarse is not None:
        largest_other = np.delete(target, coarse).max()
        lowered = np.percentile(spacings[:, coarse], PERCENTILE_OF_COARSE_AXIS)
        target[coarse] = lowered if lowered >= largest_other else largest_other + SMALLEST_MARGIN_MM
    return target


def coarse_axis(spacings: Float64Array, shapes: Float64Array) -> int | None:
    """The axis whose median voxels are both much larger and much fewer than those of the others, if there is one."""
    spacing, shape = median_spacing(spacings), np.percentile(shapes, 50, axis=0)
    axis = int(np.argmax(spacing))
    is_coarse = spacing[axis] > ANISOTROPY * np.delete(spacing, axis).max()
    is_thin = shape[axis] * ANISOTROPY < np.delete(shape, axis).min()
    return axis if is_coarse and is_thin else None


def median_resampled_shape(spacings: Float64Array, shapes: Float64Array, target: Float64Array) -> Float64Array:
    """The median over the cases of their extent on the target grid: `(3,)` voxels, not rounded."""
    return np.median(spacings / target * shapes, axis=0)


def coarser_spacings(spacing: Spacing) -> Iterator[Float64Array]:
    """Voxel sizes that grow by 1 % a step: first the finer axes, until all are within a factor of two, then all."""
    grown = np.array(spacing, dtype=np.float64)
    for _ in range(MOST_GROWTH_STEPS):
        lagging = grown.max() / grown > LARGEST_RATIO_WHILE_GROWING
        grown[lagging if lagging.any() else slice(None)] *= GROWTH
        yield grown.copy()
