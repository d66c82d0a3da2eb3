"""Linear interpolation at places that a matrix gives, of any number of images and of labels, with shared weights.

Places are worked out in slabs that stay in the processor's cache, once for all channels; a matrix without rotation costs
its axes alone.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import product
from typing import Any

import numpy as np

from autoseg.arrays import Float32Array, FloatArray, IndexArray, LabelArray, Mask
from autoseg.dataset.target import OUTSIDE
from autoseg.geometry import Shape

SLAB_POINTS = 2**14
"""Places in a slab, which is at least one plane of the patch."""

OUTSIDE_DATA = 0.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Cells:
    """For each point of a slab, the cell of 2^D voxels that it lies in.

    Attributes:
        shape: Of the slab.
        inside: `shape`; whether the point lies within the image, whose outermost voxels' centres are its border.
        first: `shape`; flat index of the cell's first voxel in the image. Some voxel of it where the point is outside.
        fractions: One array an axis, that `np.broadcast_to` brings to `shape`: where in the cell, 0 to 1.
        steps: From the cell's first voxel to each of its corners, the last axis' corners following each other.
    """

    shape: Shape
    inside: Mask
    first: IndexArray
    fractions: tuple[FloatArray, ...]
    steps: tuple[int, ...]


def warp_linearly(
    data: FloatArray, labels: LabelArray, matrix: FloatArray, offset: FloatArray, shape: Shape
) -> tuple[Float32Array, LabelArray]:
    """Interpolate at `matrix @ voxel + offset` for every voxel of `shape`.

    Args:
        data: `(C, *image)`.
        labels: `(S, *image)`, as in `warp_labels`.

    Returns:
        `(C, *shape)` and `(S, *shape)`; 0 and -1 outside of the image.
    """
    images = [np.ascontiguousarray(channel, dtype=np.float32) for channel in data]
    maps = [np.ascontiguousarray(channel) for channel in labels]
    agreed = [_agreed(channel) for channel in maps]
    warped = np.empty((len(images), *shape), dtype=np.float32)
    warped_labels = np.empty((len(maps), *shape), dtype=labels.dtype)
    for planes, cells in _slabs(matrix, offset, shape, data.shape[1:]):
        fractions = tuple(part.astype(np.float32) for part in cells.fractions)
        for channel, image in zip(warped, images, strict=True):
            channel[planes] = _image_at(image, cells, fractions)
        for result, channel_labels, of_cells in zip(warped_labels, maps, agreed, strict=True):
            result[planes] = _labels_at(channel_labels, of_cells, cells)
    return warped, warped_labels


def warp_labels(labels: LabelArray, matrix: FloatArray, offset: FloatArray, shape: Shape) -> LabelArray:
    """Interpolate every label's 0/1 map linearly and take the strongest, the lowest of equals; -1 outside.

    The cost does not depend on the number of labels: where all corners around a point agree, which is nearly
    everywhere, their label is the answer, and elsewhere only the corners' own labels can win.
    """
    no_data = np.empty((0, *labels.shape), dtype=np.float32)
    warped: LabelArray = warp_linearly(no_data, labels[None], matrix, offset, shape)[1][0]
    return warped


def scale_linearly(image: FloatArray, factors: FloatArray, offset: FloatArray, shape: Shape) -> Float32Array:
    """Interpolate at `factors * voxel + offset` for every voxel of `shape`, axis by axis; 0 outside."""
    scaled = image.astype(np.float32, copy=False)
    for axis, (side, factor, start) in enumerate(zip(shape, factors, offset, strict=True)):
        old = scaled.shape[axis]
        points = start + factor * np.arange(side)
        base = points.astype(np.intp).clip(0, max(old - 2, 0))
        along = [-1 if other == axis else 1 for other in range(len(shape))]
        fraction = (points - base).astype(np.float32).reshape(along)
        low = scaled.take(base, axis=axis)
        scaled = scaled.take(np.minimum(base + 1, old - 1), axis=axis)
        scaled -= low
        scaled *= fraction
        scaled += low
        outside = np.flatnonzero((points < 0) | (points > old - 1))
        scaled[(slice(None),) * axis + (outside,)] = OUTSIDE_DATA
    return scaled


def _slabs(matrix: FloatArray, offset: FloatArray, shape: Shape, image: Shape) -> Iterator[tuple[slice, Cells]]:
    thickness = max(1, SLAB_POINTS // math.prod(shape[1:]))
    for first in range(0, shape[0], thickness):
        slab = (min(thickness, shape[0] - first), *shape[1:])
        yield slice(first, first + slab[0]), _cells(matrix, offset + matrix[:, 0] * first, slab, image)


def _cells(matrix: FloatArray, offset: FloatArray, shape: Shape, image: Shape) -> Cells:
    inside = np.ones(shape, dtype=bool)
    first = np.zeros(shape, dtype=np.intp)
    fractions = []
    strides = [math.prod(image[axis + 1 :]) for axis in range(len(image))]
    for row, start, side, stride in zip(matrix, offset, image, strides, strict=True):
        points = _along_axis(row, start, shape)
        inside &= (points >= 0) & (points <= side - 1)
        base = points.astype(np.intp).clip(0, max(side - 2, 0))
        fractions.append(points - base)
        first += base * stride
    ups = [(0, stride) if side > 1 else (0, 0) for side, stride in zip(image, strides, strict=True)]
    return Cells(
        shape=shape,
        inside=inside,
        first=first,
        fractions=tuple(fractions),
        steps=tuple(sum(corner) for corner in product(*ups)),
    )


def _along_axis(row: FloatArray, start: float, shape: Shape) -> FloatArray:
    """`row @ voxel + start` for every voxel of `shape`, of one voxel along each axis that makes no difference."""
    values = np.full((1,) * len(shape), start, dtype=np.float64)
    for axis, (factor, side) in enumerate(zip(row, shape, strict=True)):
        if factor:
            values = values + (factor * np.arange(side)).reshape(
                [-1 if other == axis else 1 for other in range(len(shape))]
            )
    return values


def _image_at(image: FloatArray, cells: Cells, fractions: tuple[FloatArray, ...]) -> FloatArray:
    flat = image.reshape(-1)
    values = [flat.take(cells.first + step, mode="clip") for step in cells.steps]
    for fraction in reversed(fractions):
        for low, high in zip(values[::2], values[1::2], strict=True):
            high -= low
            high *= fraction
            high += low
        values = values[1::2]
    (result,) = values
    result[~cells.inside] = OUTSIDE_DATA
    return result


def _labels_at(labels: LabelArray, agreed: LabelArray, cells: Cells) -> LabelArray:
    winners: LabelArray = agreed.reshape(-1).take(cells.first, mode="clip")
    mixed = np.nonzero((winners == _mixed(labels.dtype)) & cells.inside)
    first = cells.first[mixed]
    corners = np.stack([labels.reshape(-1).take(first + step, mode="clip") for step in cells.steps])
    winners[mixed] = _strongest(corners, [np.broadcast_to(part, cells.shape)[mixed] for part in cells.fractions])
    winners[~cells.inside] = OUTSIDE
    return winners


def _agreed(labels: LabelArray) -> LabelArray:
    """The label that all corners of the cell which begins at a voxel share, or the mark of cells whose corners differ."""
    lowest = highest = labels
    for axis, side in enumerate(labels.shape):
        if side > 1:
            earlier, later = (slice(None),) * axis + (slice(None, -1),), (slice(None),) * axis + (slice(1, None),)
            lowest = np.minimum(lowest[earlier], lowest[later])
            highest = np.maximum(highest[earlier], highest[later])
    agreed = np.full(labels.shape, _mixed(labels.dtype), dtype=labels.dtype)
    begin = tuple(slice(side) for side in lowest.shape)
    np.copyto(agreed[begin], lowest, where=lowest == highest)
    return agreed


def _mixed(dtype: np.dtype[Any]) -> int:
    """No label is as low as this."""
    return int(np.iinfo(dtype).min)


def _strongest(corners: LabelArray, fractions: list[FloatArray]) -> LabelArray:
    """The label whose corners have the greatest sum of linear weights."""
    weights = np.ones((1, corners.shape[1]))
    for part in fractions:
        weights = np.stack([weights * (1 - part), weights * part], axis=1).reshape(2 * len(weights), len(part))
    best = np.full(corners.shape[1], -1.0)
    winner = np.full(corners.shape[1], OUTSIDE, dtype=corners.dtype)
    lowest = int(corners.min(initial=0))
    present = np.flatnonzero(np.bincount(corners.reshape(-1).astype(np.intp) - lowest)) + lowest
    for label in present:  # ascending, so of equals the lowest stays
        score = (weights * (corners == label)).sum(axis=0)
        better = score > best
        best[better], winner[better] = score[better], label
    return winner
