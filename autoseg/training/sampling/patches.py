"""Where patches come from: pure functions of a random generator.

Positions are those of the final patch: its first voxel may lie outside of the image only as far as the image is
smaller than the patch. What an augmentation reads around it does not move it.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Mapping, Sequence
from typing import TypeAlias

import numpy as np
import torch

from autoseg.arrays import Array, Locations, Mask
from autoseg.errors import TrainingError
from autoseg.geometry import Shape

# Of memory maps, which are only read here.
warnings.filterwarnings("ignore", message="The given NumPy array is not writable")

Voxel: TypeAlias = tuple[int, ...]

TRIES = 20
"""Patches that are drawn anywhere before one is drawn around a voxel that somebody labelled."""


def is_forced(number: int, batch_size: int, fraction: float, random: np.random.Generator) -> bool:
    """Whether sample `number` of a batch must hold foreground: the last `fraction` of the batch, rounded.

    A batch of one has no last third, so there it is drawn with that probability.
    """
    if batch_size == 1:
        return bool(random.random() < fraction)
    return number >= round(batch_size * (1 - fraction))


def draw_foreground_voxel(
    foreground: Mapping[int, Locations], random: np.random.Generator, *, by_slice: bool
) -> Voxel | None:
    """A voxel of a label above background: first a label, then one of its recorded voxels, each with equal chance.

    Args:
        foreground: Label to `(k, 3)` voxels (z, y, x); labels that are not there have none.
        by_slice: Draw a slice along the first axis before the voxel, so that slices with much of it have no advantage.

    Returns:
        None where the case holds no foreground.
    """
    labels = sorted(label for label, voxels in foreground.items() if label > 0 and len(voxels))
    if not labels:
        return None
    voxels = foreground[labels[random.integers(len(labels))]]
    if by_slice:
        slices = np.unique(voxels[:, 0])
        voxels = voxels[voxels[:, 0] == slices[random.integers(len(slices))]]
    return tuple(int(position) for position in voxels[random.integers(len(voxels))])


def draw_start(shape: Shape, patch: Shape, voxel: Voxel | None, random: np.random.Generator) -> Voxel:
    """First voxel of a patch: around `voxel` as far as the image reaches, else anywhere, each position equally likely."""
    start = []
    for axis, (side, length) in enumerate(zip(shape, patch, strict=True)):
        lowest, highest = start_range(side, length)
        if voxel is None:
            start.append(int(random.integers(lowest, highest + 1)))
        else:
            start.append(int(np.clip(voxel[axis] - length // 2, lowest, highest)))
    return tuple(start)


def draw_known_start(
    labels: Sequence[Array],
    patch: Shape,
    first: Voxel,
    random: np.random.Generator,
    *,
    ignored: Callable[[Array], Mask],
) -> Voxel:
    """A position like `first`, or another one if nobody knows anything of that patch.

    Args:
        labels: Maps `(Z, Y, X)` of the case; memory maps perhaps.
        first: The position drawn before.
        ignored: Where labels say that nobody knows.

    Raises:
        TrainingError: Nothing of the case is known.
    """
    start = first
    for _ in range(TRIES):
        box = tuple(slice(max(0, low), low + side) for low, side in zip(start, patch, strict=True))
        if not all(ignored(one[box]).all() for one in labels):
            return start
        start = draw_start(labels[0].shape, patch, None, random)
    known = np.zeros(labels[0].shape, dtype=bool)
    for one in labels:
        known |= ~ignored(one)
    places = np.flatnonzero(known)
    if not places.size:
        raise TrainingError(
            "nobody labelled anything in it, so there is nothing to learn; leave it out of dataset.json"
        )
    voxel = np.unravel_index(places[random.integers(places.size)], known.shape)
    return draw_start(known.shape, patch, tuple(map(int, voxel)), random)


def start_range(side: int, patch: int) -> tuple[int, int]:
    """First and last position that a patch may start from along an axis; a smaller image is put in its middle."""
    missing = max(0, patch - side)
    return -((missing + 1) // 2), side + missing // 2 + missing % 2 - patch


def read_box(array: Array, start: Sequence[int], shape: Shape, *, outside: float, as_stored: bool = False) -> Array:
    """Copy a box out of `(C, *space)`, a memory map perhaps; voxels outside of the array are `outside`.

    Half precision becomes single, unless it is to stay `as_stored`.
    """
    ends = [first + length for first, length in zip(start, shape, strict=True)]
    lows = [max(0, first) for first in start]
    highs = [max(low, min(end, side)) for low, end, side in zip(lows, ends, array.shape[1:], strict=True)]
    part = array[_slices(lows, highs)]
    kind = np.dtype(np.float32) if array.dtype == np.float16 and not as_stored else array.dtype
    if part.shape[1:] == tuple(shape):
        return _copied(part, np.empty(part.shape, dtype=kind))
    box = np.full((len(array), *shape), outside, dtype=kind)
    shifts = [low - first for low, first in zip(lows, start, strict=True)]
    _copied(part, box[_slices(shifts, [shift + side for shift, side in zip(shifts, part.shape[1:], strict=True)])])
    return box


def _copied(part: Array, out: Array) -> Array:
    """Copy into `out`; half precision by torch, which takes a third of numpy's time."""
    if part.dtype == out.dtype:
        out[...] = part
    else:
        torch.from_numpy(out).copy_(torch.from_numpy(part))
    return out


def _slices(lows: Sequence[int], highs: Sequence[int]) -> tuple[slice, ...]:
    return (slice(None), *(slice(low, high) for low, high in zip(lows, highs, strict=True)))
