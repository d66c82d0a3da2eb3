"""One training sample: a pure function of a prepared case, what is done to it, and four numbers.

Sample i of epoch e of a stream is decided by (seed, stream, epoch, i) alone, whatever the number of workers and
whatever came before: on this rests that a training can be resumed and repeated.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from autoseg.arrays import Array, Float32Array, LabelArray
from autoseg.dataset.coding import (
    BACKGROUND,
    IGNORED,
    OUTSIDE,
    WHOLE,
    is_ignored,
    is_outside,
    is_planes,
    outside_as_background,
    signed,
)
from autoseg.errors import TrainingError
from autoseg.training.augmentation.default import Augmentation
from autoseg.training.augmentation.variations import Values, Variation
from autoseg.training.augmentation.warping import LINEAR, Warp
from autoseg.training.sampling.regions import Region

TRAINING, VALIDATION = 0, 1
"""The two streams of samples."""

HALF = 0.5
LEAST = 1e-6
"""What is divided by at least."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Sample:
    """A patch as the network sees it: `data` `(C, *patch)` float32 and `labels`, `IGNORED` where nobody knows.

    `labels` are a map `(*patch)`, or for masks and fractions signed planes `(P, *patch)`.

    For a cascade the last channels of `data` hold the previous stage's maps, which `expand_labels` turns into one channel for
    each output.
    """

    data: Float32Array
    labels: LabelArray


@dataclass(frozen=True, slots=True, kw_only=True)
class DrawnSample:
    """A patch that is still to be varied: what was read for it, and all that was drawn.

    Attributes:
        data: `(C, *window)` as stored.
        labels: `(S, *window)`, the true ones and for a cascade those of the previous stage.
        warp: From the window to the patch; None: the window is the patch.
        variations: Applied after it, one after the other.
    """

    data: Values
    labels: Values
    warp: Warp | None
    variations: tuple[Variation, ...]

    def mapped(self, function: Callable[[Any], Any]) -> DrawnSample:
        """The same with something done to each array in it."""
        return DrawnSample(
            data=function(self.data),
            labels=function(self.labels),
            warp=self.warp,
            variations=tuple(variation.mapped(function) for variation in self.variations),
        )


def sample_generator(seed: int, stream: int, epoch: int, number: int) -> np.random.Generator:
    """The source of every decision about one sample."""
    return np.random.default_rng([seed, stream, epoch, number])


def make_sample(region: Region, *, augmentation: Augmentation, generator: np.random.Generator) -> Sample:
    """Read what was drawn of a case, and vary it."""
    with global_generators_seeded(generator):
        image, segmentation, warp = _read(region, augmentation)
        if warp is not None:
            image, segmentation = _warped(image, segmentation, warp, in_planes=region.in_planes)
        arrays = {"data": image[None], "seg": segmentation[None]}
        for transform in augmentation.transforms:
            arrays = transform(**arrays)
    return _checked(arrays["data"][0], arrays["seg"][0], region)


def draw_sample(region: Region, *, augmentation: Augmentation, generator: np.random.Generator) -> DrawnSample:
    """What `make_sample` would make of the same arguments, before anything is done to it.

    Args:
        augmentation: With a device form.
    """
    with global_generators_seeded(generator):
        data, labels, warp = _read(region, augmentation, as_stored=True)
        variations = augmentation.draw(len(data), region.patch_size)
    return DrawnSample(data=data, labels=labels, warp=warp, variations=variations)


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


def _read(
    region: Region, augmentation: Augmentation, *, as_stored: bool = False
) -> tuple[Array, LabelArray, Warp | None]:
    """Draw how the patch is turned and scaled, and read what that needs around it, and no more."""
    spatial, start, patch_size = augmentation.spatial, region.start, region.patch_size
    matrix = spatial.draw(np.random.mtrand._rand) if spatial else None
    if spatial is None or matrix is None:
        shape = patch_size if spatial or augmentation.window is None else augmentation.window
        low = tuple(first - (wide - side) // 2 for first, wide, side in zip(start, shape, patch_size, strict=True))
    else:
        low, shape = spatial.window(matrix, start, region.extent)
    window = region.data(low, shape, as_stored=as_stored)
    boxes = region.maps(low, shape)
    labels = np.concatenate([signed(box) if is_planes(box) else box for box in boxes])
    if spatial is None or matrix is None:
        return window, labels, None
    return window, labels, spatial.warp(matrix, np.array(start) - low + (np.array(patch_size) - 1) / 2)


def _warped(image: Array, labels: LabelArray, warp: Warp, *, in_planes: bool) -> tuple[Array, LabelArray]:
    """Maps by the strongest label of what a voxel is made of; planes with fractions by their mean."""
    planes = labels if in_planes else ()
    fractional = [at for at, plane in enumerate(planes) if ((plane > BACKGROUND) & (plane < WHOLE)).any()]
    image, warped = warp.apply(image, labels)
    for at in fractional:
        warped[at] = _warped_fractions(labels[at], warp)
    return image, warped


def _warped_fractions(plane: LabelArray, warp: Warp) -> LabelArray:
    """Of what is known; where less than half of what a voxel is made of is known, nobody knows."""
    known, inside = ~is_ignored(plane), ~is_outside(plane)
    parts = np.stack([plane.clip(min=BACKGROUND), known & inside, known, inside]).astype(np.float32)
    linear = replace(warp, order=LINEAR)
    (sums, counted, known, inside), _ = linear.apply(parts, np.zeros((1, *plane.shape), dtype=np.int8))
    fractions: LabelArray = np.rint(np.minimum(sums / np.maximum(counted, LEAST), WHOLE)).astype(plane.dtype)
    fractions[known < HALF] = IGNORED
    fractions[inside < HALF] = OUTSIDE
    return fractions


def _checked(data: Array, maps: Array, region: Region) -> Sample:
    patch_size = region.patch_size
    if data.shape[1:] != tuple(patch_size) or maps.shape[1:] != tuple(patch_size):
        raise TrainingError(
            f"the augmentation made a patch of {data.shape[1:]} with labels of {maps.shape[1:]}, "
            f"but the plan's patch is {tuple(patch_size)}; let it crop to that"
        )
    labels = maps[: region.truths] if region.in_planes else maps[0]
    previous = outside_as_background(maps[region.truths :])
    channels = np.concatenate([data, previous]) if len(previous) else data
    return Sample(data=np.ascontiguousarray(channels, dtype=np.float32), labels=np.ascontiguousarray(labels))
