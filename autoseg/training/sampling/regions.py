"""What of a case a sample is made of: a patch of its grid, or of one of its slices."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol, TypeAlias

import numpy as np

from autoseg.arrays import Array
from autoseg.dataset.coding import BACKGROUND, IGNORED_PLANE, OUTSIDE, OUTSIDE_PLANE, is_ignored, is_planes
from autoseg.errors import TrainingError
from autoseg.geometry import Shape
from autoseg.preprocessing.prepare import PreparedCase
from autoseg.training.augmentation.interpolation import OUTSIDE_DATA
from autoseg.training.sampling.patches import draw_foreground_voxel, draw_known_start, draw_start, is_forced, read_box
from autoseg.training.sampling.slices import SliceChoice

LabelMap: TypeAlias = tuple[Array, int]
"""An image of labels and the label outside of it: the true ones, and for a cascade those of the previous stage."""


class Region(Protocol):
    """Where a patch lies, and what can be read around it.

    Attributes:
        patch_size: Two or three sides.
        start: First voxel of the patch in what it is read from; `extent` are the sides of that.
        truths: How many of the first maps hold the true labels.
        in_planes: Whether these are planes of outputs, and not one map of labels each.
    """

    @property
    def patch_size(self) -> Shape: ...
    @property
    def start(self) -> Shape: ...
    @property
    def extent(self) -> Shape: ...
    @property
    def truths(self) -> int: ...
    @property
    def in_planes(self) -> bool: ...

    def data(self, low: Shape, shape: Shape, *, as_stored: bool = False) -> Array:
        """`(C, *shape)` from the voxel `low` on; float32, unless it is to stay as it is stored."""

    def maps(self, low: Shape, shape: Shape) -> list[Array]:
        """Of labels, likewise, each `(1, *shape)`; for a cascade the last is of those of the previous stage."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Slot:
    """A place in a batch.

    Attributes:
        number: From 0.
        batch_size: Of how many.
        foreground: Share of the batch that must hold foreground.
    """

    number: int
    batch_size: int
    foreground: float


class PatchRule(Protocol):
    """A way to draw regions of cases."""

    def suits(self, case: PreparedCase, slot: Slot) -> bool:
        """Whether a case has what its place in the batch asks for; another may be drawn where it has not."""

    def draw(self, case: PreparedCase, slot: Slot, generator: np.random.Generator) -> Region:
        """A region of a case for a place in a batch.

        Raises:
            TrainingError: The case has no labels.
        """


@dataclass(frozen=True, slots=True)
class Patches:
    """Patches of the grid.

    Attributes:
        patch_size: Two entries take slices of the first axis.
        ignores: Whether there may be voxels that nobody labelled, of which a patch may not consist.
        slices: Which slices patches of two sides are drawn from; None: from all.
    """

    patch_size: Shape
    ignores: bool = False
    slices: SliceChoice | None = None

    def suits(self, case: PreparedCase, slot: Slot) -> bool:  # noqa: ARG002
        """Every case does, of which a slice is kept."""
        return self.slices is None or bool(self.slices.of(case).size)

    def draw(self, case: PreparedCase, slot: Slot, generator: np.random.Generator) -> Patch:
        """See `PatchRule`; the last ones of a batch must hold foreground."""
        forced = is_forced(slot.number, slot.batch_size, slot.foreground, generator)
        return self.of_case(case, generator, forced=forced)

    def of_case(self, case: PreparedCase, generator: np.random.Generator, *, forced: bool = False) -> Patch:
        """A patch of a case.

        Args:
            forced: It must hold foreground, where the case has any.
        """
        patch_size = self.patch_size
        data, labels = case.data, learned_labels(case, generator)
        previous = () if case.previous is None else case.previous.reshape(-1, *data.shape[1:])
        maps = labels + [(one, BACKGROUND) for one in previous]
        by_slice = len(patch_size) == 2
        reach = (1, *patch_size) if by_slice else patch_size
        if self.slices is not None:
            start = self._start_in_slice(case, self.slices, [one for one, _ in labels], generator, forced=forced)
        else:
            voxel = draw_foreground_voxel(case.foreground, generator, by_slice=by_slice) if forced else None
            start = draw_start(data.shape[1:], reach, voxel, generator)
            if self.ignores:
                start = draw_known_start([one for one, _ in labels], reach, start, generator, ignored=is_ignored)
        if by_slice:
            data, maps = data[:, start[0]], [(array[start[0]], outside) for array, outside in maps]
            start = start[1:]
        return Patch(data, maps, start, patch_size, len(labels), is_planes(labels[0][0]))

    def _start_in_slice(
        self,
        case: PreparedCase,
        slices: SliceChoice,
        labels: Sequence[Array],
        generator: np.random.Generator,
        *,
        forced: bool,
    ) -> Shape:
        """Where a patch of one of the slices that are kept starts; of its first axis the slice."""
        kept = slices.of(case)
        if not kept.size:
            raise TrainingError(
                "no slice of it is left by the recipe's choice of slices; ask for less there, or leave the case out of the folds"
            )
        voxel = draw_foreground_voxel(slices.foreground(case), generator, by_slice=True) if forced else None
        number = int(kept[generator.integers(len(kept))]) if voxel is None else voxel[0]
        one = (1, *case.data.shape[2:])
        start = draw_start(one, (1, *self.patch_size), voxel, generator)
        if self.ignores:
            within = [label[number : number + 1] for label in labels]
            start = draw_known_start(within, (1, *self.patch_size), start, generator, ignored=is_ignored)
        return (number, *start[1:])


@dataclass(frozen=True, slots=True)
class Patch:
    """A patch of a case's grid, or of a slice of it; see `Region`.

    Attributes:
        image: `(C, *space)` of the case, or of one slice of it.
    """

    image: Array
    labels: Sequence[LabelMap]
    start: Shape
    patch_size: Shape
    truths: int
    in_planes: bool

    @property
    def extent(self) -> Shape:
        """Of the image."""
        return self.image.shape[1:]

    def data(self, low: Shape, shape: Shape, *, as_stored: bool = False) -> Array:
        """See `Region`."""
        return read_box(self.image, low, shape, outside=OUTSIDE_DATA, as_stored=as_stored)

    def maps(self, low: Shape, shape: Shape) -> list[Array]:
        """See `Region`."""
        return [read_box(map_[None], low, shape, outside=outside) for map_, outside in self.labels]


def learned_labels(case: PreparedCase, generator: np.random.Generator) -> list[LabelMap]:
    """A case's map, or a plane for each mask, in which nobody knows anything where it was not drawn; of raters one.

    Raises:
        TrainingError: The case has no labels.
    """
    labels = case.segmentation
    if labels is None:
        raise TrainingError("it has no labels; only labelled cases can train")
    if not case.planes:
        return [(labels, OUTSIDE)]
    rater = generator.random() if max(map(len, case.planes)) > 1 else 0.0
    chosen = [places[int(rater * len(places))] if places else None for places in case.planes]
    if not is_planes(labels):
        return [(labels[place], OUTSIDE) for place in chosen]
    nothing = np.broadcast_to(np.uint8(IGNORED_PLANE), labels.shape[1:])
    return [(nothing if place is None else labels[place], OUTSIDE_PLANE) for place in chosen]
