"""Labels of every kind onto another grid and back, and voxels of each output to draw patches at."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import numpy.typing as npt

from autoseg.arrays import IndexArray, LabelArray, Locations
from autoseg.dataset.coding import (
    BACKGROUND,
    IGNORED_PLANE,
    OUTSIDE_PLANE,
    fractions_of,
    is_foreground,
    is_ignored,
    is_outside,
    is_planes,
    planes_of,
)
from autoseg.dataset.target import Target
from autoseg.geometry import Shape
from autoseg.preprocessing.resampling import HALF, resample_fractions, resample_segmentation

LOCATIONS_PER_LABEL = 10_000
SMALLEST_SHARE_OF_LOCATIONS = 0.01
"""A label keeps up to 10 000 of its voxels, or 1 % of them where that is more, as in nnU-Net."""

LOCATIONS_SEED = 1234


def resample_labels(labels: LabelArray, *, shape: Shape, separated: int | None, soft: bool) -> LabelArray:
    """Resample a case's labels onto a grid of another shape and the same extent.

    Args:
        labels: A map `(Z, Y, X)`, or several maps or planes `(P, Z, Y, X)`, coded as in `dataset.coding`.
        shape: Wanted `(Z', Y', X')` in voxels.
        separated: What `separated_axis` found for these axes.
        soft: Whether planes keep fractions; else they hold or not, from one half on.

    Returns:
        The same with the wanted shape, of the same type, always a new array.
    """
    if labels.ndim == 3:
        return resample_segmentation(labels, shape=shape, separated=separated)
    if not is_planes(labels):
        return np.stack([resample_segmentation(one, shape=shape, separated=separated) for one in labels])
    planes = [_resample_plane(one.astype(np.uint8), shape, separated, soft=soft) for one in labels]
    return np.stack(planes)


def _resample_plane(
    plane: npt.NDArray[np.uint8], shape: Shape, separated: int | None, *, soft: bool
) -> npt.NDArray[np.uint8]:
    """The mean of what is known; where less than half of what a voxel is made of is known, nobody knows."""
    if plane.shape == shape:
        return np.array(plane)
    known = resample_fractions(~is_ignored(plane), shape=shape, separated=separated)
    fractions = resample_fractions(fractions_of(plane), shape=shape, separated=separated)
    fractions /= np.maximum(known, HALF / 2)
    resampled: npt.NDArray[np.uint8] = planes_of(
        np.minimum(fractions, 1) if soft else (fractions >= HALF).astype(np.float32)
    )
    outside = resample_fractions(is_outside(plane), shape=shape, separated=separated) >= HALF
    resampled[outside & (resampled == BACKGROUND)] = OUTSIDE_PLANE
    resampled[known < HALF] = IGNORED_PLANE
    return resampled


def sample_outputs(labels: LabelArray, target: Target, planes: tuple[tuple[int, ...], ...]) -> Mapping[int, Locations]:
    """Draw voxels of each scored output, for training patches that are to hold some of it.

    Args:
        labels: A map `(Z, Y, X)`, or several maps or planes `(P, Z, Y, X)`.
        planes: Of each file output the places of its raters; a voxel is of an output where any rater says so.

    Returns:
        For each number of `target.scored` `(k, 3)` int32 voxel indices in ascending order, the same whenever called.
    """
    if labels.ndim == 3:
        return _sample_map(labels, {number: target.members_of(number) for number in target.scored})
    if not is_planes(labels):
        generator, shape = np.random.RandomState(LOCATIONS_SEED), labels.shape[1:]
        return {
            number: _drawn(np.flatnonzero(np.isin(labels, target.members_of(number)).any(axis=0)), shape, generator)
            for number in target.scored
        }
    generator, shape = np.random.RandomState(LOCATIONS_SEED), labels.shape[1:]
    return {
        number: _drawn(np.flatnonzero(is_foreground(labels[list(places)]).any(axis=0)), shape, generator)
        for number, places in zip(target.scored, planes, strict=True)
    }


def sample_foreground(segmentation: LabelArray, labels: range) -> Mapping[int, Locations]:
    """Draw voxels of each label of a map `(Z, Y, X)`; as `sample_outputs` does."""
    return _sample_map(segmentation, {label: (label,) for label in labels})


def _sample_map(segmentation: LabelArray, members: Mapping[int, tuple[int, ...]]) -> Mapping[int, Locations]:
    generator = np.random.RandomState(LOCATIONS_SEED)
    flat = np.ravel(segmentation)
    foreground = np.flatnonzero(flat > BACKGROUND)
    values = flat[foreground]
    return {
        number: _drawn(
            foreground[values == labels[0] if len(labels) == 1 else np.isin(values, labels)],
            segmentation.shape,
            generator,
        )
        for number, labels in members.items()
    }


def _drawn(positions: IndexArray, shape: Shape, generator: np.random.RandomState) -> Locations:
    wanted = max(LOCATIONS_PER_LABEL, int(np.ceil(SMALLEST_SHARE_OF_LOCATIONS * positions.size)))
    if positions.size > wanted:
        positions = np.sort(generator.choice(positions, wanted, replace=False))
    return np.stack(np.unravel_index(positions, shape), axis=1).astype(np.int32)
