"""Connected components of a segmentation's outputs; voxels are neighbours when they share a face.

Each function works on the bounding box of the labels it is about and counts component sizes in one pass, however many
components there are: a label image of 512x512x400 voxels takes seconds.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import numpy.typing as npt
from scipy import ndimage

from autoseg.arrays import Float64Array, IndexArray, LabelArray, Mask
from autoseg.dataset.covering import Cover, covers, has, held
from autoseg.dataset.target import Target
from autoseg.geometry import bounding_box, box_slices


def keep_largest(
    segmentation: LabelArray, labels: Sequence[int], spacing: Sequence[float], target: Target
) -> LabelArray:
    """Take away all but the largest component of the union of `labels`; what other outputs hold there stays.

    Of several components of the same size the one that comes first in memory order stays, so exactly one does.

    Args:
        segmentation: Of the target, `(Z, Y, X)`, or `(outputs, Z, Y, X)` of masks that may overlap; left as it is.
        labels: Numbers of the target's outputs that are taken together as one object.
        spacing: Voxel size in mm.

    Returns:
        A new array of the same type.
    """
    return _without_components(
        segmentation, labels, spacing, target, lambda volumes: np.arange(len(volumes)) != volumes.argmax()
    )


def remove_small(
    segmentation: LabelArray, labels: Sequence[int], spacing: Sequence[float], target: Target, *, minimum_mm3: float
) -> LabelArray:
    """Take away every component of the union of `labels` that is smaller than `minimum_mm3`.

    Arguments and result as for `keep_largest`; a component of exactly that volume stays.
    """
    return _without_components(segmentation, labels, spacing, target, lambda volumes: volumes < minimum_mm3)


def fill_holes(segmentation: LabelArray, labels: Sequence[int], target: Target) -> LabelArray:
    """Fill the background that `labels` enclose: components of background all of whose neighbours are of `labels`.

    A hole takes the label that most of its neighbours have, of equally many the lowest. Background that reaches the
    image's border is no hole; along an axis of one voxel, as in a single slice, there is no such border. To a region its
    background is also what lies in the regions around it alone; each of several masks has its own.

    Args:
        segmentation: Of the target, as for `keep_largest`; left as it is.
        labels: Numbers of the outputs that may enclose a hole together.

    Returns:
        A new array of the same type.
    """
    filled: LabelArray = np.array(segmentation)
    maps = target.maps_of(filled)
    for cover in covers(target, tuple(labels)):
        box = bounding_box(has(maps[cover.map], cover.values))
        if box is not None:
            flat = tuple(axis for axis, size in enumerate(maps[cover.map].shape) if size == 1)
            _fill(maps[cover.map][box_slices(box)], cover, flat)
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
    target: Target,
    unwanted: Callable[[Float64Array], Mask],
) -> LabelArray:
    """Take away the components of the union of `labels` that `unwanted` picks by their volumes."""
    kept: LabelArray = np.array(segmentation)
    mask = held(segmentation, target, labels)
    box = bounding_box(mask)
    if box is None:
        return kept
    numbered, volumes = components(mask[box_slices(box)], spacing)
    removed = np.concatenate([[False], unwanted(volumes)])[numbered]
    maps = target.maps_of(kept)
    for cover in covers(target, tuple(labels)):
        _take_away(maps[cover.map][box_slices(box)], cover, removed)
    return kept


def _take_away(labels: LabelArray, cover: Cover, removed: Mask) -> None:
    """In place: where something is removed, a map's values become what they are without the outputs."""
    becomes = np.arange(cover.values[-1] + 1, dtype=labels.dtype)
    becomes[list(cover.values)] = cover.without
    labels[removed] = becomes[labels[removed]]


def _fill(segmentation: LabelArray, cover: Cover, flat: Sequence[int]) -> None:
    """Fill holes in place. What touches a face of this box, but for those of `flat` axes, is open: no label lies beyond."""
    numbered = np.empty(segmentation.shape, dtype=np.int32)
    number = ndimage.label(has(segmentation, cover.gaps), output=numbered)
    axes = [axis for axis in range(segmentation.ndim) if axis not in flat]
    closed = np.ones(number + 1, dtype=bool)
    closed[0] = False
    for axis in axes:
        closed[np.take(numbered, (0, -1), axis=axis)] = False
    places = np.nonzero(closed[numbered])
    holes = numbered[places]
    votes = _votes(segmentation, places, holes, axes, cover, number)
    enclosed = closed & (votes[:, -1] == 0)
    winners = np.array(cover.values).astype(segmentation.dtype)[votes[:, :-1].argmax(axis=1)]
    filled = enclosed[holes]
    segmentation[tuple(index[filled] for index in places)] = winners[holes[filled]]


def _votes(
    segmentation: LabelArray,
    places: tuple[IndexArray, ...],
    holes: npt.NDArray[np.int32],
    axes: Sequence[int],
    cover: Cover,
    number: int,
) -> npt.NDArray[np.int64]:
    """How many neighbours of each value a component of gaps has, and in the last column how many of others.

    Args:
        places: Indices of the components' voxels, none on a face of the box.
        holes: The component, from 1 to `number`, of each of them.

    Returns:
        `(number + 1, values + 1)`.
    """
    columns = len(cover.values) + 1
    votes = np.zeros((number + 1) * columns, dtype=np.int64)
    for axis in axes:
        for step in (-1, 1):
            beyond = (*places[:axis], places[axis] + step, *places[axis + 1 :])
            values = segmentation[beyond]
            outside = ~has(values, cover.gaps)
            entries = holes[outside].astype(np.int64) * columns + _positions(values[outside], cover.values)
            votes += np.bincount(entries, minlength=len(votes))
    return votes.reshape(-1, columns)


def _positions(values: LabelArray, labels: Sequence[int]) -> IndexArray:
    """Index into sorted `labels` of every value; `len(labels)` for a value that is not among them."""
    found = np.searchsorted(labels, values).clip(max=len(labels) - 1)
    return np.where(np.array(labels)[found] == values, found, len(labels))
