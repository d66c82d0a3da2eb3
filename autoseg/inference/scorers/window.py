"""The part of an image that tiles are still being added to: sums of weighted scores, handed out once they are final.

Tiles come in an order: along the first axis, within that along the second. What lies before the tiles to come is
final. So the window is as deep and as high as a tile, and beside it only the planes wait that the next tiles along the
first axis will reach again: a part of what one tile's depth of planes would take.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TypeAlias

import torch

from autoseg.geometry import Box
from autoseg.inference.memory import say_once
from autoseg.inference.scorers.halo import TileWeights
from autoseg.inference.scorers.scorer import Slab

Position: TypeAlias = tuple[int, ...]
"""First voxel of a tile, `(z, y, x)`."""

SLAB_BYTES = 64 * 2**20
"""Most memory one slab takes; a slab holds at least one plane."""

CPU = torch.device("cpu")
OFF_THE_DEVICE = "the device's memory is full: scores are summed in main memory, which takes longer"


@dataclass(frozen=True, slots=True, kw_only=True)
class Reach:
    """Tiles that are worked through together, along one axis.

    Attributes:
        starts: Where they start.
        stop: Past the last voxel they cover.
        final: Past the last voxel that no later tile covers.
    """

    starts: tuple[int, ...]
    stop: int
    final: int

    @property
    def start(self) -> int:
        """The first voxel they cover."""
        return self.starts[0]


def reaches(starts: Sequence[int], side: int, together: int = 1) -> list[Reach]:
    """Tiles of one axis in groups of `together`, in order.

    Args:
        starts: First voxels of the tiles, ascending.
        side: Voxels of a tile.
    """
    groups = [tuple(starts[first : first + together]) for first in range(0, len(starts), together)]
    ends = [*(group[0] for group in groups[1:]), starts[-1] + side]
    return [Reach(starts=group, stop=group[-1] + side, final=final) for group, final in zip(groups, ends, strict=True)]


class Window:
    """Sums over tiles that come plane by plane, and row by row within the planes.

    The last channel of the sums is that of the weights.

    Args:
        planes, rows: All groups of tiles along the first two axes, as they will come.
        columns: Voxels along the third.
        weights: Of each voxel of a tile.
    """

    def __init__(self, planes: Sequence[Reach], rows: Sequence[Reach], columns: int, *, weights: TileWeights) -> None:
        depth, height, waiting = window_sides(planes, rows)
        self.shape = (depth, height, columns)
        self.carried_shape = (waiting, rows[-1].stop, columns)
        self.weights = weights
        self.planes, self.rows = planes[0], rows[0]
        self.carried_planes = 0
        self.sums = torch.zeros(0)  # made with the first tile: how many classes, on which device
        self.carried = torch.zeros(0)

    def open(self, planes: Reach, rows: Reach) -> None:
        """Move to the next rows of tiles, or to the first of the next planes."""
        kept = max(0, self.rows.stop - rows.start)
        if self.planes != planes:
            self.carried_planes = self.planes.stop - self.planes.final
            kept = 0
        elif rows.start > self.rows.start:
            _move_to_front(self.sums, rows.start - self.rows.start, kept)
        self.planes, self.rows = planes, rows
        if len(self.sums):
            fresh = self.sums[:, :, kept : rows.stop - rows.start]
            fresh.zero_()
            fresh[:, : self.carried_planes] = self.carried[:, : self.carried_planes, rows.start + kept : rows.stop]

    def add(self, positions: Sequence[Position], scores: torch.Tensor) -> None:
        """Add tiles at `(z, y, x)` of the image; `scores` is `(B, K, *patch)`."""
        if not len(self.sums):
            self._make_room(scores.shape[1], scores.device)
        for (z, y, x), tile in zip(positions, scores.to(self.sums.device), strict=True):
            covered = self.sums
            first = (z - self.planes.start, y - self.rows.start, x)
            for axis, (start, side) in enumerate(zip(first, tile.shape[1:], strict=True), start=1):
                covered = covered.narrow(axis, start, side)
            weights = self.weights.at((z, y, x))
            covered[:-1].addcmul_(tile, weights)
            covered[-1] += weights

    def close(self, inside: Box) -> Iterator[Slab]:
        """The averages of the rows that are final, in the planes that are, as far as they lie inside the image.

        What is final in its rows but not yet in its planes waits aside.
        """
        planes, rows = self.planes, self.rows
        final = self.sums[:, :, : rows.final - rows.start]
        waiting = final[:, planes.final - planes.start : planes.stop - planes.start]
        self.carried[:, : waiting.shape[1], rows.start : rows.final] = waiting
        first_row, last_row = max(rows.start, inside[1][0]), min(rows.final, inside[1][1])
        first, last = max(planes.start, inside[0][0]), min(planes.final, inside[0][1])
        if first_row >= last_row:
            return
        final = final[:, :, first_row - rows.start : last_row - rows.start, slice(*inside[2])]
        for plane in range(first, last, thickness := self._slab_planes):
            held = final[:, plane - planes.start : min(plane + thickness, last) - planes.start]
            scores = held[:-1] / held[-1]
            yield Slab(start=plane - inside[0][0], row=first_row - inside[1][0], scores=scores)

    def leave_device(self) -> bool:
        """Go on summing in main memory; False where that is done already."""
        if self.sums.device.type == "cpu":
            return False
        say_once("device", OFF_THE_DEVICE)
        self._move_to(CPU)
        return True

    def _make_room(self, classes: int, device: torch.device) -> None:
        try:
            self.sums = torch.zeros((classes + 1, *self.shape), device=device)
            self.carried = torch.zeros((classes + 1, *self.carried_shape), device=device)
        except torch.OutOfMemoryError:
            if device == CPU:
                raise
            say_once("device", OFF_THE_DEVICE)
            self._make_room(classes, CPU)
        self._move_to(self.carried.device)

    def _move_to(self, device: torch.device) -> None:
        self.sums, self.carried = self.sums.to(device), self.carried.to(device)
        self.weights = self.weights.to(device)

    @property
    def _slab_planes(self) -> int:
        """The same for all rows, so that all are cut at the same planes."""
        return max(1, SLAB_BYTES // (self.sums[:, 0].numel() * self.sums.element_size()))


def window_sides(planes: Sequence[Reach], rows: Sequence[Reach]) -> tuple[int, int, int]:
    """Planes and rows of the window, and planes that wait beside it."""
    return (
        max(reach.stop - reach.start for reach in planes),
        max(reach.stop - reach.start for reach in rows),
        max(reach.stop - reach.final for reach in planes),
    )


def window_voxels(planes: Sequence[Reach], rows: Sequence[Reach], columns: int) -> int:
    """Voxels for which a window holds sums of every class."""
    depth, height, waiting = window_sides(planes, rows)
    return (depth * height + waiting * rows[-1].stop) * columns


def _move_to_front(sums: torch.Tensor, first: int, length: int) -> None:
    """Move rows `first` and after to the front, in steps that never overlap themselves."""
    for start in range(0, length, first):
        size = min(first, length - start)
        sums.narrow(2, start, size).copy_(sums.narrow(2, first + start, size))
