"""Fractions after rules, which see no more of them than where they are more than one half."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from scipy import ndimage

from autoseg.arrays import LabelArray, Mask
from autoseg.dataset.coding import BACKGROUND, WHOLE
from autoseg.geometry import bounding_box, box_slices


def follow(fractions: LabelArray, before: LabelArray, after: LabelArray, spacing: Sequence[float]) -> LabelArray:
    """Let fractions follow what rules made of those beyond one half.

    What was taken away has none any more, and neither have the smaller fractions around it: those to which it is nearer
    than anything else beyond one half. What was added is whole.

    Args:
        fractions: Planes `(..., Z, Y, X)`; left as they are.
        before, after: Of the same shape, 1 where they were and are to be more than one half, else 0.
        spacing: Voxel size in mm.

    Returns:
        A new array of the same type.
    """
    followed: LabelArray = np.array(fractions)
    volumes = (array.reshape(-1, *array.shape[-3:]) for array in (followed, before, after))
    for plane, was, now in zip(*volumes, strict=True):
        box = bounding_box(plane > BACKGROUND)
        if box is not None:
            part = box_slices(box)
            plane[part][_near((was > now)[part], was[part] > 0, spacing)] = BACKGROUND
        plane[now > was] = WHOLE
    return followed


def _near(gone: Mask, was: Mask, spacing: Sequence[float]) -> Mask:
    """Where the nearest voxel that was there, of the voxel itself or others, is gone."""
    if not gone.any():
        return gone
    nearest = ndimage.distance_transform_edt(~was, sampling=spacing, return_distances=False, return_indices=True)
    near: Mask = gone[tuple(nearest)]
    return near
