"""Sweeps: a network goes through planes, or boxes, along each direction of a plan, and every voxel looks up what it said.

Of a view no more is held than some planes; of all views their sum, two bytes a value, on disk where memory is short.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

from autoseg.arrays import Array, Float32Array
from autoseg.errors import ModelError
from autoseg.geometry import Shape
from autoseg.inference.fusion import Fusion
from autoseg.inference.scorers.scorer import AnyCase, OnParts, Slab
from autoseg.inference.scorers.tiles import Tiles
from autoseg.inference.scorers.view_sums import ViewSums
from autoseg.networks.activations import activation_of
from autoseg.plans import Views
from autoseg.preprocessing.prepare import PreparedCase
from autoseg.preprocessing.slabs import CaseInSlabs
from autoseg.views.background import background_values
from autoseg.views.cutting import HALF, Points, cut_linear, linear_at, points_inside, reach_of
from autoseg.views.frame import Pixels, Placement, case_to_space, swept

VALUES_AT_ONCE = 2**24
"""Of planes that are looked up together."""

VOXELS_AT_ONCE = 2**20


class Sweeps:
    """The scorer of a network that looks along directions.

    Args:
        tiles: What asks the network about the planes of one view.
        fusion: How much each view has to say; None: all alike.
    """

    def __init__(self, tiles: Tiles, views: Views, fusion: Fusion | None = None) -> None:
        self.tiles = tiles
        self.views = views
        self.fusion = fusion

    def scores(self, case: AnyCase, on_parts: OnParts) -> Iterator[Slab]:
        """See `Scorer`; slabs come once all views are swept. A voxel takes the mean of the views that reach it.

        Raises:
            ModelError: The case is made in slabs.
        """
        (together,) = self._said(case, on_parts, alone=False)
        yield from together

    def scores_of_each(self, case: AnyCase, on_parts: OnParts) -> Iterator[Iterator[Slab]]:
        """What each view says alone, as soon as it is swept, and last what all of them say together.

        Raises:
            ModelError: The case is made in slabs.
        """
        return self._said(case, on_parts, alone=True)

    def _said(self, case: AnyCase, on_parts: OnParts, *, alone: bool) -> Iterator[Iterator[Slab]]:
        if isinstance(case, CaseInSlabs):
            raise ModelError(f"case {case.properties.identifier}: planes along several directions need the whole image")
        sweeps = [self._sweep(case, number) for number in range(self._number)]
        background = background_values(case.data)
        together = ViewSums(case.data.shape[1:], self._shares)
        for number, sweep in enumerate(sweeps):
            own = ViewSums(together.shape, torch.ones(1, self.tiles.members.channels)) if alone else None
            image = _CutImage(case.data, background, sweep.to_voxels, sweep.shape)
            slabs = self.tiles.averages(image, case.properties.identifier, self._parts_of(number, on_parts))
            for first, planes in _some_planes(slabs, sweep.shape):
                for places, channel, values in sweep.looked_up(first, planes, together.shape):
                    together.add(number, channel, places, values)
                    if own is not None:
                        own.add(0, channel, places, values)
            if own is not None:
                yield self._slabs(own, [sweep], None)
        yield self._slabs(together, sweeps, self.fusion)

    def _slabs(self, sums: ViewSums, sweeps: Sequence[_Sweep], fusion: Fusion | None) -> Iterator[Slab]:
        members = self.tiles.members
        for start, averages in sums.averages(lambda planes: _reached(sweeps, planes, sums.shape), members.background):
            fused = averages if fusion is None else fusion.of_means(averages, activation_of(members.target))
            yield Slab(start=start, scores=members.reduction.scores(fused))

    @property
    def _shares(self) -> torch.Tensor:
        """Of each view in what is said of each value, `(views, channels)`."""
        if self.fusion is not None:
            return self.fusion.shares
        return torch.full((self._number, self.tiles.members.channels), 1 / self._number)

    @property
    def _number(self) -> int:
        return len(self.views.directions)

    def _sweep(self, case: PreparedCase, number: int) -> _Sweep:
        space = case_to_space(case.properties)
        patch, spacing = self.tiles.plan.sampling.patch_size, case.properties.prepared_spacing
        box = swept(self.views.directions[number], self.views, patch, spacing, case.data.shape[1:])
        return _Sweep(box, box.to_space.inverse.after(space))

    def _parts_of(self, number: int, on_parts: OnParts) -> OnParts:
        return lambda done, parts: on_parts(number * parts + done, self._number * parts)


@dataclass(frozen=True, slots=True)
class _Sweep:
    """The pixels that are swept along a direction, and from the index of a voxel to that of a pixel."""

    box: Pixels
    to_pixels: Placement

    @property
    def shape(self) -> tuple[int, int, int]:
        return self.box.shape

    @property
    def to_voxels(self) -> Placement:
        return self.to_pixels.inverse

    def looked_up(
        self, first: int, planes: torch.Tensor, shape: Shape
    ) -> Iterator[tuple[torch.Tensor, int, torch.Tensor]]:
        """Places `(N,)` of voxels in the case, a channel and its values `(N,)` there, of all that lie between some planes.

        One channel after the other, so that no more is held where there are many.

        Args:
            first: Number of the first plane; those from the last one on come with the next planes.
            planes: `(channels, n, rows, columns)`.
            shape: Of the case.
        """
        stop = first + planes.shape[1] - 1
        low = -HALF if first == 0 else float(first)
        high = stop + HALF if stop == self.shape[0] - 1 else float(stop)
        within = [(low, high), *reach_of(self.shape[1:])]
        for start, depth in self._slices_between(low, high, shape):
            points = points_inside(self.to_pixels.shifted((start, 0, 0)), (depth, *shape[1:]), within, planes.device)
            if len(points.places):
                along, *others = points.positions
                places = (points.places + start * shape[1] * shape[2]).cpu()
                values = linear_at(planes, Points(points.places, (along - first, *others)))
                yield from ((places, channel, said) for channel, said in enumerate(values))

    def _slices_between(self, low: float, high: float, shape: Shape) -> Iterator[tuple[int, int]]:
        """First slices of a case, and how many at once, that may have voxels between two planes."""
        step, *inner = self.to_pixels.matrix[0].tolist()
        ends = [sorted((0.0, factor * (side - 1))) for factor, side in zip(inner, shape[1:], strict=True)]
        along = self.to_pixels.offset[0] + step * np.arange(shape[0])
        touched = (along + sum(end for _, end in ends) >= low) & (along + sum(start for start, _ in ends) < high)
        slices = np.flatnonzero(touched)
        if len(slices):
            # Always the same slices together, so that a voxel's position is rounded alike and lies between two planes once.
            some = max(1, VOXELS_AT_ONCE // (shape[1] * shape[2]))
            for start in range(int(slices[0]) // some * some, int(slices[-1]) + 1, some):
                yield start, min(some, shape[0] - start)


@dataclass(frozen=True, slots=True)
class _CutImage:
    """A case as it looks along a direction, `(C, planes, rows, columns)`: cut where it is read."""

    data: Array
    background: Float32Array
    to_voxels: Placement
    sides: tuple[int, int, int]

    @property
    def shape(self) -> Shape:
        return (len(self.data), *self.sides)

    def __len__(self) -> int:
        return len(self.data)

    def __getitem__(self, index: tuple[slice, ...]) -> Any:
        ranges = [range(side)[some] for side, some in zip(self.sides, index[1:], strict=True)]
        placement = self.to_voxels.shifted(tuple(one.start for one in ranges))
        image, outside = torch.from_numpy(self.data), torch.from_numpy(self.background)
        return cut_linear(image, placement, tuple(map(len, ranges)), outside=outside).numpy()[index[0]]


def _some_planes(slabs: Iterator[Slab], shape: Shape) -> Iterator[tuple[int, torch.Tensor]]:
    """Whole planes, several at once, each time with the last one of before; and the first one's number."""
    rows: list[torch.Tensor] = []
    held: list[torch.Tensor] = []
    first = 0
    for slab in slabs:
        rows.append(slab.scores)
        if slab.row + slab.scores.shape[2] < shape[1]:
            continue
        held.append(rows[0] if len(rows) == 1 else torch.cat(rows, dim=2))
        rows = []
        stop = slab.start + held[-1].shape[1]
        if sum(planes.numel() for planes in held) >= VALUES_AT_ONCE or stop == shape[0]:
            planes = torch.cat(held, dim=1)
            yield first, planes
            held, first = [planes[:, -1:].clone()], stop - 1


def _reached(sweeps: Sequence[_Sweep], planes: slice, shape: Shape) -> torch.Tensor:
    """Which views reach which voxels of some slices of a case, `(views, voxels)`."""
    depth = planes.stop - planes.start
    reached = torch.zeros((len(sweeps), depth * shape[1] * shape[2]), dtype=torch.bool)
    for one, sweep in zip(reached, sweeps, strict=True):
        placement = sweep.to_pixels.shifted((planes.start, 0, 0))
        one[points_inside(placement, (depth, *shape[1:]), reach_of(sweep.shape)).places] = True
    return reached
