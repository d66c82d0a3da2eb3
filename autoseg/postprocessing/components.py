"""Connected components of label images; voxels are neighbours when they share a face."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
from scipy import ndimage

from autoseg.dataset import BACKGROUND

LabelArray = npt.NDArray[np.integer[Any]]


def keep_largest(segmentation: LabelArray, labels: Sequence[int], spacing: Sequence[float]) -> LabelArray:
    """Turn all but the largest component of the union of `labels` into background.

    Of several components of the same size the one that comes first in memory order stays, so exactly one does.

    Args:
        segmentation: `(Z, Y, X)` label values; left as it is.
        labels: Label values that are taken together as one object.
        spacing: Voxel size in mm.

    Returns:
        A new array of the same type.
    """
    kept: LabelArray = np.array(segmentation)
    mask = np.isin(segmentation, labels)
    if not mask.any():
        return kept
    (box,) = ndimage.find_objects(mask.astype(np.uint8))
    numbered, volumes = components(mask[box], spacing)
    largest = 1 + int(np.argmax(volumes))
    kept[box][mask[box] & (numbered != largest)] = BACKGROUND
    return kept


def components(
    mask: npt.NDArray[np.bool_], spacing: Sequence[float]
) -> tuple[npt.NDArray[np.int32], npt.NDArray[np.float64]]:
    """Number the components of a mask from 1, in memory order of their first voxels.

    Returns:
        The numbers, 0 outside the mask; and the volume of each component in mm3, component 1 first.
    """
    numbered = np.asarray(ndimage.label(mask)[0], dtype=np.int32)
    voxels = np.bincount(numbered.ravel())[1:]
    return numbered, voxels.astype(np.float64) * float(np.prod(spacing))
