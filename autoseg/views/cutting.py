"""Reading an array at the points of another grid that lies in it at any angle: by one gather, of the points inside alone.

A point lies inside as far as the voxels reach, half a voxel beyond the centres of the outermost.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from autoseg.geometry import Shape
from autoseg.views.frame import Placement

HALF = 0.5


@dataclass(frozen=True, slots=True)
class Points:
    """Points of a grid, given row by row, that lie inside an array.

    Attributes:
        places: `(N,)`, their number in the grid.
        positions: For each axis of the array `(N,)` float32, in voxels of the array.
    """

    places: Tensor
    positions: tuple[Tensor, ...]


def points_inside(
    placement: Placement, shape: Shape, within: Sequence[tuple[float, float]], device: torch.device | str = "cpu"
) -> Points:
    """Those of a grid's points that lie where an array reaches.

    Args:
        placement: From the grid's indices to the array's.
        shape: Of the grid, three entries.
        within: For each axis of the array the lowest position, and the one that is just too high.
    """
    bases, steps = _rows_and_columns(placement, shape, device)
    first, last = _columns_within(bases, steps, within)
    lengths = (last - first).clamp_(min=0)
    row = torch.repeat_interleave(lengths)
    column = torch.arange(len(row), device=device) + (first - lengths.cumsum(0) + lengths).index_select(0, row)
    inside: Tensor | None = None
    positions = []
    for base, step, (low, high) in zip(bases, steps, within, strict=True):
        position = base.index_select(0, row).add_(step.index_select(0, column))
        fits = (position >= low).logical_and_(position < high)
        inside = fits if inside is None else inside.logical_and_(fits)
        positions.append(position)
    assert inside is not None
    places = row.mul_(shape[2]).add_(column)
    if inside.all():
        return Points(places, tuple(positions))
    kept = inside.nonzero().reshape(-1)
    return Points(places.index_select(0, kept), tuple(position.index_select(0, kept) for position in positions))


def _rows_and_columns(
    placement: Placement, shape: Shape, device: torch.device | str
) -> tuple[list[Tensor], list[Tensor]]:
    """For each axis of the array the positions of the first point of every row of a grid, and what a column adds."""
    planes, rows, columns = (torch.arange(side, dtype=torch.float32, device=device) for side in shape)
    bases, steps = [], []
    for (along, down, across), offset in zip(placement.matrix.tolist(), placement.offset.tolist(), strict=True):
        bases.append(((planes * along + offset)[:, None] + rows * down).reshape(-1))
        steps.append(columns * across)
    return bases, steps


def _columns_within(
    bases: Sequence[Tensor], steps: Sequence[Tensor], within: Sequence[tuple[float, float]]
) -> tuple[Tensor, Tensor]:
    """Of every row the first column that may lie inside, and the one after the last; one more on each side, as they are rounded."""
    first, last = torch.zeros_like(bases[0]), torch.full_like(bases[0], len(steps[0]))
    for base, step, (low, high) in zip(bases, steps, within, strict=True):
        each = float(step[1]) if len(step) > 1 else 0.0
        if each == 0:
            last[(base < low) | (base >= high)] = 0
        else:
            ends = (low - base).div_(each), (high - base).div_(each)
            lower, upper = ends if each > 0 else ends[::-1]
            first, last = torch.maximum(first, lower), torch.minimum(last, upper)
    return first.floor_().sub_(1).clamp_(min=0).long(), last.ceil_().add_(1).clamp_(0, len(steps[0])).long()


def reach_of(shape: Shape) -> list[tuple[float, float]]:
    """Where an array of a shape reaches, each axis."""
    return [(-HALF, side - HALF) for side in shape]


def linear_at(array: Tensor, points: Points) -> Iterator[Tensor]:
    """`(C, *space)`, of any real type, at points on its device: for each C `(N,)` float32; beyond the outermost centres as there."""
    sides = array.shape[1:]
    base: Tensor | None = None
    weights, steps, stride = [], [], 1
    for position, side in zip(reversed(points.positions), reversed(sides), strict=True):
        position = position.clamp(0, side - 1)
        low = position.to(_index_type(array)).clamp_(max=max(0, side - 2))
        weights.append(position - low)
        steps.append(stride if side > 1 else 0)
        base = low if base is None else base.add_(low, alpha=stride)
        stride *= side
    assert base is not None
    for channel in array:
        yield _interpolated(channel.reshape(-1), base, steps, weights)


def nearest_at(array: Tensor, points: Points) -> Tensor:
    """`(C, *space)` at the voxels that points lie in: `(C, N)`, of the same type."""
    base: Tensor | None = None
    stride = 1
    for position, side in zip(reversed(points.positions), reversed(array.shape[1:]), strict=True):
        index = (position + HALF).floor_().to(_index_type(array)).clamp_(0, side - 1)
        base = index if base is None else base.add_(index, alpha=stride)
        stride *= side
    assert base is not None
    return array.reshape(len(array), -1).index_select(1, base)


def cut_linear(array: Tensor, placement: Placement, shape: Shape, *, outside: Tensor) -> Tensor:
    """`(C, *space)` on another grid: `(C, *shape)` float32.

    Args:
        placement: From the grid's indices to the array's.
        outside: `(C,)`, what stands beyond the array.
    """
    points = points_inside(placement, shape, reach_of(array.shape[1:]))
    return _filled(torch.stack(list(linear_at(array, points))), points, shape, outside.float())


def cut_nearest(array: Tensor, placement: Placement, shape: Shape, *, outside: Tensor) -> Tensor:
    """`(C, *space)` on another grid, each point as the voxel that it lies in: `(C, *shape)` of the same type."""
    points = points_inside(placement, shape, reach_of(array.shape[1:]))
    return _filled(nearest_at(array, points), points, shape, outside.to(array.dtype))


def _filled(values: Tensor, points: Points, shape: Shape, outside: Tensor) -> Tensor:
    filled = outside[:, None].repeat(1, int(np.prod(shape)))
    filled.index_copy_(1, points.places, values)
    return filled.reshape(len(values), *shape)


def _interpolated(flat: Tensor, base: Tensor, steps: Sequence[int], weights: Sequence[Tensor]) -> Tensor:
    """Of a channel; `steps` and `weights` begin with the last axis. No function within it, which would hold these until it is collected."""
    if not steps:
        return flat.index_select(0, base).float()
    *others, step = steps
    low, high = (_interpolated(flat[offset:], base, others, weights) for offset in (0, step))
    return low.lerp_(high, weights[len(others)])


def _index_type(array: Tensor) -> torch.dtype:
    return torch.int32 if array[0].numel() < torch.iinfo(torch.int32).max else torch.int64
