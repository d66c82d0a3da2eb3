"""Connected components of label images; voxels are neighbours when they share a face.

Each function works on the bounding box of the labels it is about and counts component sizes in one pass, however many
components there are: a label image of 512x512x400 voxels takes seconds.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import numpy.typing as npt
from scipy import ndimage

from autoseg.arrays import Float64Array, IndexArray, LabelArray, Mask
from autoseg.dataset import BACKGROUND
from autoseg.geometry import bounding_box, box_slices


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
    return _without_components(
        segmentation, labels, spacing, lambda volumes: np.arange(len(volumes)) != volumes.argmax()
    )


def remove_small(
    segmentation: LabelArray, labels: Sequence[int], spacing: Sequence[float], *, minimum_mm3: float
) -> LabelArray:
    """Turn every component of the union of `labels` that is smaller than `minimum_mm3` into background.

    Arguments and result as for `keep_largest`; a component of exactly that volume stays.
    """
    return _without_components(segmentation, labels, spacing, lambda volumes: volumes < minimum_mm3)


def fill_holes(segmentation: LabelArray, labels: Sequence[int]) -> LabelArray:
    """Fill the background that `labels` enclose: components of background all of whose neighbours are of `labels`.

    A hole takes the label that most of its neighbours have, of equally many the lowest. Background that reaches the
    image's border is no hole; along an axis of one voxel, as in a single slice, there is no such border.

    Args:
        segmentation: `(Z, Y, X)` label values; left as it is.
        labels: Label values that may enclose a hole together.

    Returns:
        A new array of the same type.
    """
    filled: LabelArray = np.array(segmentation)
    box = bounding_box(_mask(segmentation, labels))
    if box is None:
        return filled
    inside = filled[box_slices(box)]
    flat = tuple(axis for axis, size in enumerate(segmentation.shape) if size == 1)
    _fill(inside, labels, flat)
    return filled


def components(mask: Mask, spacing: Sequence[float]) -> tuple[npt.NDArray[np.int32], Float64Array]:
    """Number the components of a mask from 1, in memory order of their first voxels.

    Returns:
        The numbers, 0 outside the mask; and the volume of each component in mm3, component 1 first.
    """
    numbered = np.empty(mask.shape, dtype=np.int32)
    number = ndimage.label(mask, output=numbered)
    voxels = np.zeros(number + 1)
    for plane in numbered:  # one by one, because bincount first copies what it is given to eight bytes an entry
        voxels += np.bincount(plane.ravel(), minlength=number + 1)
    return numbered, voxels[1:] * float(np.prod(spacing))


def _without_components(
    segmentation: LabelArray,
    labels: Sequence[int],
    spacing: Sequence[float],
    unwanted: Callable[[Float64Array], Mask],
) -> LabelArray:
    """Turn the components of the union of `labels` that `unwanted` picks by their volumes into background."""
    kept: LabelArray = np.array(segmentation)
    mask = _mask(segmentation, labels)
    box = bounding_box(mask)
    if box is None:
        return kept
    numbered, volumes = components(mask[box_slices(box)], spacing)
    removed = np.concatenate([[False], unwanted(volumes)])
    kept[box_slices(box)][removed[numbered]] = BACKGROUND
    return kept


def _mask(segmentation: LabelArray, labels: Sequence[int]) -> Mask:
    if len(labels) == 1:
        mask: Mask = segmentation == labels[0]
        return mask
    return np.isin(segmentation, labels)


def _fill(segmentation: LabelArray, labels: Sequence[int], flat: Sequence[int]) -> None:
    """Fill holes in place. What touches a face of this box, but for those of `flat` axes, is open: no label lies beyond."""
    numbered = np.empty(segmentation.shape, dtype=np.int32)
    number = ndimage.label(segmentation == BACKGROUND, output=numbered)
    axes = [axis for axis in range(segmentation.ndim) if axis not in flat]
    closed = np.ones(number + 1, dtype=bool)
    closed[0] = False
    for axis in axes:
        closed[np.take(numbered, (0, -1), axis=axis)] = False
    places = np.nonzero(closed[numbered])
    holes = numbered[places]
    votes = _votes(segmentation, places, holes, axes, sorted(labels), number)
    enclosed = closed & (votes[:, -1] == 0)
    winners = np.array(sorted(labels)).astype(segmentation.dtype)[votes[:, :-1].argmax(axis=1)]
    filled = enclosed[holes]
    segmentation[tuple(index[filled] for index in places)] = winners[holes[filled]]


def _votes(
    segmentation: LabelArray,
    places: tuple[IndexArray, ...],
    holes: npt.NDArray[np.int32],
    axes: Sequence[int],
    labels: Sequence[int],
    number: int,
) -> npt.NDArray[np.int64]:
    """How many neighbours of each label a component of background has, and in the last column how many of others.

    Args:
        places: Indices of the components' voxels, none on a face of the box.
        holes: The component, from 1 to `number`, of each of them.

    Returns:
        `(number + 1, labels + 1)`.
    """
    columns = len(labels) + 1
    votes = np.zeros((number + 1) * columns, dtype=np.int64)
    for axis in axes:
        for step in (-1, 1):
            beyond = (*places[:axis], places[axis] + step, *places[axis + 1 :])
            values = segmentation[beyond]
            outside = values != BACKGROUND
            entries = holes[outside].astype(np.int64) * columns + _positions(values[outside], labels)
            votes += np.bincount(entries, minlength=len(votes))
    return votes.reshape(-1, columns)


def _positions(values: LabelArray, labels: Sequence[int]) -> IndexArray:
    """Index into sorted `labels` of every value; `len(labels)` for a value that is not among them."""
    found = np.searchsorted(labels, values).clip(max=len(labels) - 1)
    return np.where(np.array(labels)[found] == values, found, len(labels))
