"""A case too large to be held: looked over and prepared some planes at a time, to the very values of `prepare_case`.

Its files are gone through several times: for the box of what is not zero; for the range and the spread of its values, as
far as resampling and normalisation ask; and as the network goes along.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np

from autoseg.arrays import Array, Float32Array
from autoseg.dataset.stored_cases import StoredCase
from autoseg.errors import DatasetError
from autoseg.geometry import Box, Geometry, Shape, bounding_box, box_shape, reorder, turned
from autoseg.images.magnitudes import SAMPLED, odd_magnitudes, sampling_step
from autoseg.images.stored import StoredImage
from autoseg.plans import Plans
from autoseg.preprocessing.cropping import NOTHING_THERE
from autoseg.preprocessing.normalisation import is_by_planes, scaling_by_planes
from autoseg.preprocessing.prepare import (
    CaseProperties,
    Preparation,
    preparation,
    properties_of,
    require_channels,
    require_finite,
    require_memory_for,
)
from autoseg.preprocessing.resampling import SLAB, ImageSlabs
from autoseg.words import readable

BYTES_AT_ONCE = 2**25
"""Of a channel's planes that are read together; at least one is."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SurveyedCase:
    """What one pass over a stored case tells.

    Attributes:
        crop: The box of every voxel with a value in any channel.
        samples: Of each channel, evenly spaced values, zeros among them.
    """

    stored: StoredCase
    crop: Box
    samples: tuple[Array, ...]

    @property
    def identifier(self) -> str:
        return self.stored.identifier

    @property
    def geometry(self) -> Geometry:
        return self.stored.geometry

    @property
    def original_shape(self) -> Shape:
        return self.stored.shape

    @property
    def doubts(self) -> tuple[str, ...]:
        """What the file's header leaves in doubt of how it lies."""
        return self.geometry.doubts(self.original_shape)

    def middle(self) -> Float32Array:
        """Some whole planes of the middle, `(C, n, Y, X)`, which stand for all where neighbours are compared."""
        planes = list(_some_planes(self.original_shape))
        found = [_whole_planes(channel, planes[len(planes) // 2]) for channel in self.stored.channels]
        return np.stack(found, dtype=np.float32, casting="unsafe")


@dataclass(frozen=True, slots=True, kw_only=True)
class CaseInSlabs:
    """As `PreparedCase`, made as it is asked for.

    Attributes:
        workplace: A folder on a disk that holds the segmentation while it is put together; None: where temporary files lie.
    """

    data: ImageInSlabs
    properties: CaseProperties
    workplace: Path | None = None

    @property
    def previous(self) -> None:
        """It refines nothing."""
        return


def why_held(plans: Plans, configuration: str, geometry: Geometry) -> str:
    """Why a configuration can only prepare a case whole; empty where it can do so in slabs."""
    plan = plans.configuration(configuration)
    if plan.previous:
        return "it refines a segmentation"
    if plan.sampling.views is not None:
        return "it looks along several directions"
    for channel, rule in zip(plans.channels, plan.intensities, strict=True):
        if not is_by_planes(rule):
            return f"{channel} is normalised by its voxels all together"
    if preparation((1, 1, 1), geometry.spacing, plans, configuration).separated:
        return "its thickest slices do not lie along the first axis"
    return ""


def survey_case(case: StoredCase) -> SurveyedCase:
    """Go through a case once.

    Raises:
        DatasetError: It holds NaN or infinite values, some that cannot be computed with, or nothing but zeros.
    """
    depth, *plane = case.shape
    along, across = np.zeros(depth, bool), np.zeros(plane, bool)
    samples = []
    for number, channel in enumerate(case.channels):
        step, found = sampling_step(math.prod(case.shape), SAMPLED), []
        for planes in _some_planes(case.shape):
            values = _whole_planes(channel, planes)
            require_finite(case.identifier, number, values)
            nonzero = (values.astype(np.float32) if values.dtype.kind == "f" else values) != 0
            along[planes] |= nonzero.any(axis=(1, 2))
            across |= nonzero.any(axis=0)
            sample = values.reshape(-1)[-planes.start * math.prod(plane) % step :: step]
            found += [sample.copy(), _extremes(values)]  # a view would keep all planes
        samples.append(np.concatenate(found[::2]))
        if (odd := odd_magnitudes(np.concatenate(found)[None, None])) and odd.unusable:
            raise DatasetError(
                f"case {readable(case.identifier)}: channel {number} holds values so large, or so far from all others, "
                "that these look alike in single precision; replace what marks missing values by 0 or what lies around"
            )
    if not along.any():
        raise DatasetError(f"case {case.identifier}: {NOTHING_THERE}")
    return SurveyedCase(
        stored=case,
        crop=(*(bounding_box(along) or ()), *(bounding_box(across) or ())),
        samples=tuple(samples),
    )


def prepare_slabs(case: SurveyedCase, plans: Plans, configuration: str, workplace: Path | None = None) -> CaseInSlabs:
    """Bring a surveyed case onto the grid and intensity scale of a configuration for which `why_held` names nothing.

    Raises:
        DatasetError: It has other channels than planned, or a plane would fill all memory.
        PlanError: As `prepare_case`.
    """
    channels = case.stored.channels
    require_channels(case.identifier, len(channels), plans)
    properties = properties_of(case, plans, configuration)
    require_memory_for(properties, len(channels), planes=SLAB)
    wanted = preparation(box_shape(case.crop), case.geometry.spacing, plans, configuration)
    prepared = [_Channel(image, case.crop, wanted) for image in channels]
    statistics = wanted.intensities or [None] * len(channels)
    for number, (channel, rule) in enumerate(zip(prepared, wanted.rules, strict=True)):
        channel.scale = scaling_by_planes(channel, rule, statistics[number], number)
    return CaseInSlabs(data=ImageInSlabs(prepared, wanted.shape), properties=properties, workplace=workplace)


class ImageInSlabs:
    """`(C, Z, Y, X)` float32, normalised; of its slabs those are kept that were last asked for."""

    def __init__(self, channels: list[_Channel], shape: Shape) -> None:
        self.shape = (len(channels), *shape)
        self._channels = channels
        self._slabs = _Kept(self._made, SLAB, axis=1)

    def __len__(self) -> int:
        return len(self._channels)

    def __getitem__(self, index: tuple[slice, ...]) -> Float32Array:
        channels, planes, *others = index
        slabs = self._slabs.between(planes)
        return np.concatenate([slab[channels, :, others[0], others[1]] for slab in slabs], axis=1)

    def _made(self, number: int) -> Float32Array:
        return np.stack([channel.normalised(number) for channel in self._channels])


class _Channel:
    """A channel on the prepared grid, slab by slab; it can be gone through plane by plane as it is before it is normalised."""

    def __init__(self, image: StoredImage, crop: Box, wanted: Preparation) -> None:
        self.shape = wanted.shape
        self.size = math.prod(self.shape)
        self.scale: Callable[[Float32Array, Float32Array], None] = np.copyto
        self._source = _Source(image, crop, wanted.order)
        self._resampling = None
        if self._source.shape != self.shape:
            limits = self._source.limits()
            self._resampling = ImageSlabs(self._source.shape, self.shape, separated=wanted.separated, limits=limits)

    def __iter__(self) -> Iterator[Float32Array]:
        for number in range(-(-self.shape[0] // SLAB)):
            yield from self._resampled(number)

    def min(self) -> float:
        return self._limits[0]

    def max(self) -> float:
        return self._limits[1]

    def normalised(self, number: int) -> Float32Array:
        """`(n, Y, X)`."""
        slab = self._resampled(number)
        self.scale(slab, slab)
        return slab

    @cached_property
    def _limits(self) -> tuple[float, float]:
        found = [_extremes(plane) for plane in self]
        return min(float(low) for low, _ in found), max(float(high) for _, high in found)

    def _resampled(self, number: int) -> Float32Array:
        planes = slice(number * SLAB, min(self.shape[0], (number + 1) * SLAB))
        slab = np.empty((planes.stop - planes.start, *self.shape[1:]), np.float32)
        if self._resampling is None:
            slab[...] = self._source[planes]
        else:
            self._resampling.make(number, self._source, out=slab)
        return slab


class _Source:
    """The crop of a stored image with its axes in the plan's order, read some slices along the first at a time."""

    def __init__(self, image: StoredImage, crop: Box, order: tuple[int, ...]) -> None:
        self.image = image
        self.crop = crop
        self.order = order
        self.shape = reorder(box_shape(crop), order)
        thickness = max(1, BYTES_AT_ONCE // (4 * self.shape[1] * self.shape[2]))
        self._blocks = _Kept(self._read, thickness, axis=order[0])

    def __getitem__(self, slices: slice) -> Array:
        # in file order until the end, so that a product finds the same layout as of an image that is held
        return turned(np.concatenate(list(self._blocks.between(slices)), axis=self.order[0]), self.order)

    def limits(self) -> tuple[np.float32, np.float32]:
        """The least and the largest value."""
        thickness = self._blocks.thickness
        found = [_extremes(self._read(number)) for number in range(-(-self.shape[0] // thickness))]
        return np.float32(min(low for low, _ in found)), np.float32(max(high for _, high in found))

    def _read(self, number: int) -> Array:
        start, stop = self.crop[self.order[0]]
        first = start + number * self._blocks.thickness
        box = [slice(*side) for side in self.crop]
        box[self.order[0]] = slice(first, min(stop, first + self._blocks.thickness))
        z, y, x = box
        return self.image[z, y, x]


class _Kept:
    """Blocks of planes that are made by their number, of which those last asked for are kept."""

    def __init__(self, make: Callable[[int], Array], thickness: int, *, axis: int) -> None:
        self.make = make
        self.thickness = thickness
        self.axis = axis
        self.blocks: dict[int, Array] = {}

    def between(self, planes: slice) -> Iterator[Array]:
        """What of each block lies between a start and a stop."""
        numbers = range(planes.start // self.thickness, -(-planes.stop // self.thickness))
        self.blocks = {number: block for number, block in self.blocks.items() if number in numbers}
        for number in numbers:
            if number not in self.blocks:
                self.blocks[number] = self.make(number)
            first = number * self.thickness
            inside = slice(max(0, planes.start - first), planes.stop - first)
            yield self.blocks[number][(slice(None),) * self.axis + (inside,)]


def _some_planes(shape: Shape) -> Iterator[slice]:
    depth, height, width = shape
    some = max(1, BYTES_AT_ONCE // (4 * height * width))
    for start in range(0, depth, some):
        yield slice(start, min(depth, start + some))


def _whole_planes(image: StoredImage, planes: slice) -> Array:
    _, height, width = image.shape
    return image[planes, slice(0, height), slice(0, width)]


def _extremes(values: Array) -> Array:
    return np.array([values.min(), values.max()])
