"""`Warp` with tensors: the same places and values up to rounding, from numbers that the device is never asked for.

A cubic B-spline is a weighted sum of linear interpolations between its coefficients, two along each axis (Sigg and
Hadwiger 2005, "Fast third-order texture filtering"), which torch has in one kernel for all channels.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from itertools import product
from typing import TypeAlias

import torch
from torch import Tensor
from torch.nn import functional as F

from autoseg.dataset.target import OUTSIDE
from autoseg.geometry import Shape
from autoseg.training.augmentation.axis_weights import BEFORE, multiplied, spline_coefficients, spline_weights
from autoseg.training.augmentation.interpolation import OUTSIDE_DATA
from autoseg.training.augmentation.variations import Values
from autoseg.training.augmentation.warping import Warp

ORDERS = (1, 3)
"""Of the splines that are known here."""

SLAB_POINTS = 2**21
"""Places worked on at once, which bounds memory: some 200 bytes each, before the network asks for its own."""


def warp_on_device(warp: Warp, data: Tensor, labels: Tensor) -> tuple[Tensor, Tensor]:
    """Interpolate a patch.

    Args:
        warp: Of an order in `ORDERS`.
        data: `(C, *window)` float32.
        labels: `(S, *window)` whole numbers.

    Returns:
        `(C, *patch)` and `(S, *patch)`, new tensors; 0 and -1 outside of the window.
    """
    if not warp.leaves_first_axis:
        return _warp_data(warp, data), _warp_labels(warp, labels)
    first, count = round(warp.offset[0]), warp.shape[0]
    plane = Warp(
        matrix=tuple(row[1:] for row in warp.matrix[1:]), offset=warp.offset[1:], shape=warp.shape[1:], order=warp.order
    )
    return (
        _within_slices(lambda flat: _warp_data(plane, flat), _slices(data, first, count, OUTSIDE_DATA)),
        _within_slices(lambda flat: _warp_labels(plane, flat), _slices(labels, first, count, OUTSIDE)),
    )


def _slices(volumes: Tensor, first: int, count: int, outside: float) -> Tensor:
    """So many slices of the first axis, from one that may lie before it on; those that are not there are `outside`."""
    taken = volumes.new_full((len(volumes), count, *volumes.shape[2:]), outside)
    low, high = max(0, -first), min(count, volumes.shape[1] - first)
    if low < high:
        taken[:, low:high] = volumes[:, first + low : first + high]
    return taken


def _within_slices(change: Callable[[Tensor], Tensor], volumes: Tensor) -> Tensor:
    """What works on `(channels, *plane)`, done to `(C, slices, *plane)`."""
    changed = change(volumes.flatten(0, 1))
    return changed.reshape(*volumes.shape[:2], *changed.shape[1:])


def _warp_data(warp: Warp, data: Tensor) -> Tensor:
    window = data.shape[1:]
    if warp.is_diagonal:
        factors = [row[axis] for axis, row in enumerate(warp.matrix)]
        points = [
            start + factor * torch.arange(side, dtype=torch.float64, device=data.device)
            for start, factor, side in zip(warp.offset, factors, warp.shape, strict=True)
        ]
        weights = [spline_weights(along, old, warp.order).float() for along, old in zip(points, window, strict=True)]
        return multiplied(data, weights)
    grid, before, lookups = data, 0, _linear
    if warp.order == 3:
        coefficients = [spline_coefficients(side, data.device).float() for side in window]
        grid, before, lookups = multiplied(data, coefficients), BEFORE, _cubic
    if len(window) == 2:
        grid = grid.double()  # torch's places along a long axis are too coarse in single precision
    slabs = [_looked_up(grid, before, lookups(places), window, places) for places in _slabs(warp, data)]
    return torch.cat(slabs, dim=1).float()


def _slabs(warp: Warp, like: Tensor) -> Iterator[list[Tensor]]:
    """Places of a few planes of the patch at a time: float64 voxels along each axis of the window, each `(*slab)`."""
    thickness = max(1, SLAB_POINTS // math.prod(warp.shape[1:]))
    for first in range(0, warp.shape[0], thickness):
        end = min(first + thickness, warp.shape[0])
        voxels = [
            torch.arange(low, high, dtype=torch.float64, device=like.device).reshape(
                [-1 if other == axis else 1 for other in range(len(warp.shape))]
            )
            for axis, (low, high) in enumerate([(first, end), *((0, side) for side in warp.shape[1:])])
        ]
        slab = (end - first, *warp.shape[1:])
        yield [
            sum(
                (factor * along for factor, along in zip(row, voxels, strict=True)), voxels[0].new_full((), start)
            ).expand(slab)
            for row, start in zip(warp.matrix, warp.offset, strict=True)
        ]


Lookup: TypeAlias = tuple[Tensor, Tensor]
"""A weight, and the place along an axis where to interpolate linearly."""


def _linear(places: Sequence[Tensor]) -> list[list[Lookup]]:
    return [[(torch.ones_like(along), along)] for along in places]


def _cubic(places: Sequence[Tensor]) -> list[list[Lookup]]:
    """Two lookups along each axis: between the spline's first two coefficients, and between its last two."""
    return [_two_lookups(along) for along in places]


def _two_lookups(along: Tensor) -> list[Lookup]:
    base = along.floor()
    part = along - base
    second = 2 / 3 - part**2 + part**3 / 2
    low = (1 - part) ** 3 / 6 + second
    high = 1 - low
    return [(low, base - 1 + second / low), (high, base + 1 + part**3 / (6 * high))]


def _looked_up(
    grid: Tensor, before: int, lookups: list[list[Lookup]], window: Sequence[int], places: Sequence[Tensor]
) -> Tensor:
    """Weighted sums of linear interpolations in `grid`, whose voxel 0 lies `before` voxels before the window's.

    Returns:
        `(C, *slab)`; 0 for places outside of the window.
    """
    scaled = [
        [(weight.to(grid), ((along + before) * (2 / max(1, side - 1)) - 1).to(grid)) for weight, along in lookup]
        for lookup, side in zip(lookups, grid.shape[1:], strict=True)
    ]
    total = grid.new_zeros((len(grid), *places[0].shape))
    for chosen in product(*scaled):
        at = torch.stack([along for _, along in reversed(chosen)], dim=-1)  # torch counts the axes from the last
        values = F.grid_sample(grid[None], at[None], mode="bilinear", padding_mode="border", align_corners=True)[0]
        weight: Values = math.prod(factor for factor, _ in chosen)
        total += weight * values
    return total.masked_fill_(~_inside(places, window), OUTSIDE_DATA)


def _inside(places: Sequence[Tensor], window: Sequence[int]) -> Tensor:
    inside = torch.ones(places[0].shape, dtype=torch.bool, device=places[0].device)
    for along, side in zip(places, window, strict=True):
        inside &= (along >= 0) & (along <= side - 1)
    return inside


def _warp_labels(warp: Warp, labels: Tensor) -> Tensor:
    """As `interpolation.warp_labels`: of each label's 0/1 map, interpolated linearly, the strongest, the lowest of equals."""
    return torch.cat([_strongest(labels, places) for places in _slabs(warp, labels)], dim=1)


def _strongest(labels: Tensor, places: Sequence[Tensor]) -> Tensor:
    window = labels.shape[1:]
    corners, weights = _corners(labels.flatten(1), places, window)
    best = torch.full(corners.shape[1:], -1.0, dtype=torch.float64, device=labels.device)
    winner = torch.full_like(corners[0], OUTSIDE)
    for label in corners:
        score = torch.where(corners == label, weights[:, None], 0.0).sum(0)
        better = (score > best) | ((score == best) & (label < winner))
        best, winner = torch.where(better, score, best), torch.where(better, label, winner)
    return winner.masked_fill_(~_inside(places, window), OUTSIDE)


def _corners(flat: Tensor, places: Sequence[Tensor], window: Shape | torch.Size) -> tuple[Tensor, Tensor]:
    """Of the cell that each place lies in, `(corners, S, *slab)` labels and `(corners, *slab)` linear weights."""
    first = torch.zeros(places[0].shape, dtype=torch.int64, device=flat.device)
    weights = torch.ones((1, *places[0].shape), dtype=torch.float64, device=flat.device)
    steps = [0]
    for axis, (along, side) in enumerate(zip(places, window, strict=True)):
        base = along.clamp(0, max(side - 2, 0)).long()
        part = along - base
        stride = math.prod(window[axis + 1 :])
        first += base * stride
        up = stride if side > 1 else 0
        steps = [step + more for step in steps for more in (0, up)]
        weights = torch.stack([weights * (1 - part), weights * part], dim=1).flatten(0, 1)
    found = [flat.index_select(1, (first + step).flatten()).reshape(-1, *first.shape) for step in steps]
    return torch.stack(found), weights
