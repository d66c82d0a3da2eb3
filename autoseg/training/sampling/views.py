"""Planes and boxes along the directions of a plan, drawn anywhere in a case: each is read by one gather.

Source: Perslev et al. 2019, "One Network To Segment Them All" (arXiv 1911.01764).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import torch

from autoseg.arrays import Array, Float32Array
from autoseg.dataset.coding import is_foreground, is_ignored, is_outside, is_planes
from autoseg.dataset.target import Target
from autoseg.geometry import Shape
from autoseg.plans import Direction, Views
from autoseg.preprocessing.prepare import PreparedCase
from autoseg.training.sampling.regions import LabelMap, Slot, learned_labels
from autoseg.views.background import background_values
from autoseg.views.cutting import cut_linear, cut_nearest
from autoseg.views.frame import Pixels, Placement, case_to_space, pixel_of, upward

JITTER = 0.1
"""Standard deviation of what is added to each entry of a direction."""

LEAST_FOREGROUND = 0.5
"""Of a batch is planned to hold some, at least."""

TRIES = 10
"""Planes that are drawn for a place in a batch; the last one is taken as it is. And cases, where a label is asked for."""

AROUND = 1
"""Sides that can be read beyond a plane, in every direction."""


class OutputPlace(NamedTuple):
    """Where an output is found: the plane that is its own, or the labels of a map that it covers."""

    plane: int
    labels: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Cuts:
    """Planes, or boxes, along the directions of a plan; see `PatchRule`.

    As many of a batch as are asked for hold foreground, and where it has more places than there are labels, each label is
    somewhere: every place asks for what it is to hold by its number, so that none depends on another.

    Attributes:
        patch_size: Two sides of a plane, or three of a box.
        target: Says which labels of a map an output covers; None: each output is the label of its number.
    """

    patch_size: Shape
    views: Views
    target: Target | None = None

    def suits(self, case: PreparedCase, slot: Slot) -> bool:
        """Whether it holds the label that this place asks for."""
        label = _wanted_label(case, slot)
        return label is None or len(case.foreground[label]) > 0

    def draw(self, case: PreparedCase, slot: Slot, generator: np.random.Generator) -> Cut:
        """See `PatchRule`; of ten that are drawn the first that holds what this place asks for, else the last."""
        labels, background = learned_labels(case, generator), background_values(case.data)
        wanted = self._wanted(case, slot)
        for _ in range(TRIES):
            cut = self._cut(case, labels, background, generator)
            if any(map(cut.holds, wanted)) if wanted else cut.is_worth_seeing():
                break
        return cut

    def _wanted(self, case: PreparedCase, slot: Slot) -> list[OutputPlace]:
        """The outputs of which a place asks for one, of those that the case has; none where it asks for nothing."""
        there = [number for number, voxels in case.foreground.items() if len(voxels)]
        label = _wanted_label(case, slot)
        if label in there:
            return [self._members(case, label)]
        forced = math.ceil(slot.batch_size * slot.foreground)
        return [self._members(case, number) for number in there] if slot.number >= slot.batch_size - forced else []

    def _members(self, case: PreparedCase, number: int) -> OutputPlace:
        place = sorted(case.foreground).index(number)
        return OutputPlace(place, (number,) if self.target is None else self.target.members_of(number))

    def _cut(
        self, case: PreparedCase, labels: Sequence[LabelMap], background: Float32Array, generator: np.random.Generator
    ) -> Cut:
        """Across one of the directions, turned a little, anywhere along it."""
        directions, half = self.views.directions, self.views.span / 2
        direction = np.array(directions[generator.integers(len(directions))])
        turned: Direction = upward(direction + JITTER * generator.standard_normal(3))
        across = 3 if len(self.patch_size) == len("zyx") else 1
        centre = np.zeros(3)
        centre[:across] = generator.uniform(-half, half, across)
        z, y, x = centre.tolist()
        box = Pixels(
            direction=turned,
            centre=(z, y, x),
            spacing=(pixel_of(self.views, self.patch_size),) * 3,
            shape=_in_space(self.patch_size),
        )
        placement = case_to_space(case.properties).inverse.after(box.to_space)
        return Cut(case.data, background, labels, placement, self.patch_size)


@dataclass(frozen=True, slots=True)
class Cut:
    """A plane or a box through a case; see `Region`.

    Attributes:
        image: `(C, Z, Y, X)` of the case.
        background: Of each channel, beyond the image.
        labels: Maps `(Z, Y, X)`.
        placement: From the index of a pixel to that of a voxel.
    """

    image: Array
    background: Float32Array
    labels: Sequence[LabelMap]
    placement: Placement
    patch_size: Shape

    @property
    def truths(self) -> int:
        """All of the maps."""
        return len(self.labels)

    @property
    def in_planes(self) -> bool:
        """See `Region`."""
        return is_planes(self.labels[0][0])

    @property
    def start(self) -> Shape:
        """In the middle of what can be read."""
        return tuple(AROUND * side for side in self.patch_size)

    @property
    def extent(self) -> Shape:
        """Of what can be read."""
        return tuple((1 + 2 * AROUND) * side for side in self.patch_size)

    def data(self, low: Shape, shape: Shape, *, as_stored: bool = False) -> Array:  # noqa: ARG002
        """See `Region`; what is interpolated is in single precision."""
        image, outside = torch.from_numpy(self.image), torch.from_numpy(self.background)
        cut = cut_linear(image, self._from(low), _in_space(shape), outside=outside)
        return cut.reshape(-1, *shape).numpy()

    def maps(self, low: Shape, shape: Shape) -> list[Array]:
        """See `Region`."""
        placement, box = self._from(low), _in_space(shape)
        cuts = [
            cut_nearest(torch.from_numpy(array[None]), placement, box, outside=torch.tensor([outside]))
            for array, outside in self.labels
        ]
        return [cut.reshape(1, *shape).numpy() for cut in cuts]

    def holds(self, output: OutputPlace) -> bool:
        """Whether there is some of an output."""
        maps = self.maps(self.start, self.patch_size)
        if self.in_planes:
            return bool(is_foreground(maps[output.plane]).any())
        return any(np.isin(one, output.labels).any() for one in maps)

    def is_worth_seeing(self) -> bool:
        """Whether somebody labelled some of it, and the image is more than background."""
        known = any(not (is_ignored(one) | is_outside(one)).all() for one in self.maps(self.start, self.patch_size))
        if not known:
            return False
        data = self.data(self.start, self.patch_size)
        return bool((data.reshape(len(data), -1) != self.background[:, None]).any())

    def _from(self, low: Shape) -> Placement:
        offset = [first - start for first, start in zip(low, self.start, strict=True)]
        return self.placement.shifted((0,) * (len("zyx") - len(offset)) + tuple(offset))


def _in_space(shape: Shape) -> tuple[int, int, int]:
    """A plane as a box of one pixel."""
    z, y, x = (1,) * (len("zyx") - len(shape)) + tuple(shape)
    return z, y, x


def _wanted_label(case: PreparedCase, slot: Slot) -> int | None:
    """The last places of a batch ask for one label each, where there are enough."""
    labels = sorted(case.foreground)
    place = slot.batch_size - 1 - slot.number
    return labels[place] if place < len(labels) < slot.batch_size else None
