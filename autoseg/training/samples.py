"""One training sample: a pure function of a prepared case, what is done to it, and four numbers.

Sample i of epoch e of a stream is decided by (seed, stream, epoch, i) alone, whatever the number of workers and
whatever came before: on this rests that a training can be resumed and repeated.
"""

from __future__ import annotations

import random
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np

from autoseg.arrays import Array, Float32Array, LabelArray
from autoseg.dataset.target import BACKGROUND, OUTSIDE, outside_as_background
from autoseg.errors import TrainingError
from autoseg.geometry import Shape
from autoseg.preprocessing.prepare import PreparedCase
from autoseg.training.augmentation import Augmentation
from autoseg.training.interpolation import OUTSIDE_DATA
from autoseg.training.sampling import draw_foreground_voxel, draw_start, read_box

TRAINING, VALIDATION = 0, 1
"""The two streams of samples."""

LabelMap: TypeAlias = tuple[Array, int]
"""An image of labels and the label outside of it: the true ones, and for a cascade those of the previous stage."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Sample:
    """A patch as the network sees it: `data` `(C, *patch)` float32 and `labels` `(*patch)`, background and above.

    For a cascade the last channel of `data` holds the previous stage's labels, which `expand_labels` turns into one
    channel for each of them.
    """

    data: Float32Array
    labels: LabelArray


def sample_generator(seed: int, stream: int, epoch: int, number: int) -> np.random.Generator:
    """The source of every decision about one sample."""
    return np.random.default_rng([seed, stream, epoch, number])


def make_sample(
    case: PreparedCase, *, patch_size: Shape, forced: bool, augmentation: Augmentation, generator: np.random.Generator
) -> Sample:
    """Cut a patch out of a case and vary it.

    Args:
        patch_size: Two entries take a slice of the first axis.
        forced: The patch must hold foreground, where the case has any.
    """
    data, labels = case.data, case.segmentation
    if labels is None:
        raise TrainingError("it has no labels; only labelled cases can train")
    maps = [(labels, OUTSIDE)] + ([] if case.previous is None else [(case.previous, BACKGROUND)])
    by_slice = len(patch_size) == 2
    voxel = draw_foreground_voxel(case.foreground, generator, by_slice=by_slice) if forced else None
    start = draw_start(labels.shape, (1, *patch_size) if by_slice else patch_size, voxel, generator)
    if by_slice:
        data, maps = data[:, start[0]], [(array[start[0]], outside) for array, outside in maps]
        start = start[1:]

    with global_generators_seeded(generator):
        image, segmentation = _read_patch(data, maps, start, patch_size, augmentation)
        arrays = {"data": image[None], "seg": segmentation[None]}
        for transform in augmentation.transforms:
            arrays = transform(**arrays)
    return _checked(arrays["data"][0], arrays["seg"][0], patch_size)


@contextmanager
def global_generators_seeded(generator: np.random.Generator) -> Iterator[None]:
    """Seed numpy's and python's global generators, which batchgenerators' transforms draw from; put them back after."""
    numpy_state, python_state = np.random.get_state(), random.getstate()
    np.random.seed(generator.integers(2**32, size=4, dtype=np.uint32))
    random.seed(int(generator.integers(2**63)))
    try:
        yield
    finally:
        np.random.set_state(numpy_state)
        random.setstate(python_state)


def _read_patch(
    data: Array, maps: Sequence[LabelMap], start: Shape, patch_size: Shape, augmentation: Augmentation
) -> tuple[Array, Array]:
    """Read what the augmentation asks for around the patch, and no more; rotate and scale it to the patch."""
    spatial = augmentation.spatial
    matrix = spatial.draw(np.random.mtrand._rand) if spatial else None
    if spatial is None or matrix is None:
        shape = patch_size if spatial or augmentation.window is None else augmentation.window
        low = tuple(first - (wide - side) // 2 for first, wide, side in zip(start, shape, patch_size, strict=True))
    else:
        low, shape = spatial.window(matrix, start, data.shape[1:])
    window = read_box(data, low, shape, outside=OUTSIDE_DATA)
    segmentation = np.concatenate([read_box(labels[None], low, shape, outside=outside) for labels, outside in maps])
    if spatial is None or matrix is None:
        return window, segmentation
    centre = np.array(start) - low + (np.array(patch_size) - 1) / 2
    return spatial.warp(matrix, centre).apply(window, segmentation)


def _checked(data: Array, maps: Array, patch_size: Shape) -> Sample:
    if data.shape[1:] != tuple(patch_size) or maps.shape[1:] != tuple(patch_size):
        raise TrainingError(
            f"the augmentation made a patch of {data.shape[1:]} with labels of {maps.shape[1:]}, "
            f"but the plan's patch is {tuple(patch_size)}; let it crop to that"
        )
    previous = outside_as_background(maps[1:])
    channels = np.concatenate([data, previous]) if len(previous) else data
    return Sample(data=np.ascontiguousarray(channels, dtype=np.float32), labels=np.ascontiguousarray(maps[0]))
