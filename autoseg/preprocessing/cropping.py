"""Cutting away the empty border of an image, and marking what is left of it inside the remaining box."""

from __future__ import annotations

import numpy as np
from scipy import ndimage

from autoseg.arrays import Float32Array, LabelArray
from autoseg.dataset.coding import BACKGROUND, is_planes, mark_outside
from autoseg.errors import DatasetError
from autoseg.geometry import Box, bounding_box, box_slices

NOTHING_THERE = "every voxel of the image is zero, so there is nothing to segment; remove the case or export it again"


def crop_to_nonzero(data: Float32Array, segmentation: LabelArray | None) -> tuple[Float32Array, LabelArray, Box]:
    """Crop to the smallest box that holds every voxel with a value in any channel.

    Args:
        data: `(C, Z, Y, X)` intensities.
        segmentation: `(Z, Y, X)` labels, or several such maps or planes, `(P, Z, Y, X)`; None where there are none.

    Returns:
        The data inside the box, a view of `data`; its labels, int16 (planes stay bytes), a new array, in which background
        (everything, without labels) is marked outside the nonzero region with its holes filled; and the box in voxels of
        `data`.

    Raises:
        DatasetError: Every voxel is zero.
    """
    nonzero = np.any(data, axis=0)
    if (box := bounding_box(nonzero)) is None:
        raise DatasetError(NOTHING_THERE)
    inside = box_slices(box)
    region = ndimage.binary_fill_holes(nonzero[inside])
    if segmentation is None:
        labels: LabelArray = np.full(region.shape, BACKGROUND, dtype=np.int16)
    else:
        leading = segmentation.ndim - len(inside)
        kept = segmentation[(slice(None),) * leading + inside]
        labels = kept.copy() if leading and is_planes(kept) else kept.astype(np.int16)
    mark_outside(labels, region)
    every_channel = (slice(None), *inside)
    return data[every_channel], labels, box
