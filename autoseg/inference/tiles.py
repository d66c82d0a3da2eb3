"""The sliding window: a network sees patches, the image's scores come out slab by slab along the first axis.

Tiles are worked through in the order of their first axis. Once the window has moved on, the planes behind it are
final and are handed out, so only as many planes as a patch is deep are ever held for all classes.

Source of the method and its constants: Isensee et al. 2021, "Inference".
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import product
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt
import torch
from scipy import ndimage

from autoseg.geometry import Box, Shape, box_slices

FloatArray = npt.NDArray[np.float32]
PredictBatch = Callable[[torch.Tensor], torch.Tensor]
"""`(B, C, *patch)` float32 to class probabilities `(B, K, *patch)` float32, on any device."""

Position: TypeAlias = tuple[int, ...]
"""First voxel of a tile, `(z, y, x)`."""

STEP_SIZE = 0.5
"""How far the window moves, as a fraction of the patch."""

SIGMA_PER_PATCH = 1 / 8
"""Width of the Gaussian that trusts a tile's centre more than its border, as a fraction of the patch."""

SLAB_BYTES = 256 * 2**20
"""Most memory one slab takes; a slab holds at least one plane."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Slab:
    """Finished planes of the image's scores.

    Attributes:
        start: The first plane's index along axis 0 of the image.
        scores: `(K, n, Y, X)` float32: class probabilities averaged over the tiles that cover each voxel.
    """

    start: int
    scores: torch.Tensor


def predict_slabs(
    predict_batch: PredictBatch,
    image: FloatArray,
    patch_size: Shape,
    *,
    labels: npt.NDArray[np.integer[Any]] | None = None,
    step: float = STEP_SIZE,
    batch_size: int = 1,
) -> Iterator[Slab]:
    """Slide a network over an image.

    Args:
        predict_batch: The network, from patches to class probabilities. Scores are summed on the device of what it
            returns.
        image: `(C, Z, Y, X)`; may be a read-only memory map. Where it is smaller than the patch it is padded with
            zeros on both sides, and the padding is cut off again.
        patch_size: Three sides, or two: then every slice along Z is predicted by itself, several at once.
        labels: `(Z, Y, X)`, for a cascade: every tile holds them as one more channel after the image's.
        step: Fraction of the patch by which the window moves, above 0 and at most 1.
        batch_size: Most tiles handed to the network at once.

    Yields:
        Slabs in order, without gaps; each is at most `SLAB_BYTES` large, or one plane.
    """
    _check(step, batch_size)
    patch = (1,) * (3 - len(patch_size)) + tuple(patch_size)
    network = predict_batch if len(patch_size) == 3 else _slice_by_slice(predict_batch)
    padded, inside = _padded(image, patch)
    sources = [padded] if labels is None else [padded, _padded(labels[None], patch)[0]]
    along, *across = tile_starts(padded.shape[1:], patch, step)
    rows = _rows(along, 1 if patch[0] > 1 else batch_size)
    overlap = any(len(starts) > 1 and side > 1 for starts, side in zip((along, *across), patch, strict=True))
    window = _Window(
        depth=max(row[-1] - row[0] for row in rows) + patch[0],
        plane=padded.shape[2:],
        weights=gaussian(patch) if overlap else torch.ones(patch),
    )
    for row, following in zip(rows, [*(row[0] for row in rows[1:]), padded.shape[1]], strict=True):
        for positions in _batches(list(product(row, *across)), batch_size):
            window.add(positions, network(_tiles(sources, patch, positions)))
        yield from window.finished(following, inside)
        window.move_to(following)


def tile_starts(image: Shape, patch: Shape, step: float) -> tuple[tuple[int, ...], ...]:
    """First voxels of the tiles along each axis: as few as cover the image at the given step, spread evenly.

    Args:
        image: Sides in voxels, none smaller than the patch's.
    """
    return tuple(_starts(side, wanted, step) for side, wanted in zip(image, patch, strict=True))


def gaussian(patch: Shape) -> torch.Tensor:
    """Weight of each voxel of a tile: a Gaussian round its centre, 1 at most and nowhere 0, float32."""
    weights = np.ones(())
    for side in patch:
        impulse = np.zeros(side)
        impulse[side // 2] = 1
        weights = np.multiply.outer(
            weights, ndimage.gaussian_filter1d(impulse, side * SIGMA_PER_PATCH, mode="constant")
        )
    scaled = (weights / weights.max()).astype(np.float32)
    scaled[scaled == 0] = scaled[scaled > 0].min()
    return torch.from_numpy(scaled)


def _check(step: float, batch_size: int) -> None:
    if not 0 < step <= 1:
        raise ValueError(f"the step must be above 0 and at most 1, found {step}")
    if batch_size < 1:
        raise ValueError(f"the batch size must be at least 1, found {batch_size}")


def _slice_by_slice(predict_batch: PredictBatch) -> PredictBatch:
    """A 2D network as one of 3D patches that are one plane deep."""
    return lambda tiles: predict_batch(tiles.squeeze(2)).unsqueeze(2)


def _starts(side: int, patch: int, step: float) -> tuple[int, ...]:
    if patch == 1:
        return tuple(range(side))
    steps = math.ceil((side - patch) / (patch * step))
    if steps == 0:
        return (0,)
    evenly = (round(index * (side - patch) / steps) for index in range(steps + 1))
    return tuple(dict.fromkeys(evenly))


def _padded(image: npt.NDArray[Any], patch: Shape) -> tuple[npt.NDArray[Any], Box]:
    """The image, padded with zeros to the patch's size where it is smaller, and where in that it lies."""
    sides = image.shape[1:]
    margins = [_margins(side, wanted) for side, wanted in zip(sides, patch, strict=True)]
    padded = np.pad(image, [(0, 0), *margins]) if any(map(any, margins)) else image
    return padded, tuple((before, before + side) for (before, _), side in zip(margins, sides, strict=True))


def _margins(side: int, wanted: int) -> tuple[int, int]:
    missing = max(0, wanted - side)
    return missing // 2, missing - missing // 2


def _rows(starts: Sequence[int], together: int) -> list[Sequence[int]]:
    """Positions along the first axis, in groups whose planes are held together."""
    return [starts[first : first + together] for first in range(0, len(starts), together)]


def _batches(positions: Sequence[Position], size: int) -> Iterator[Sequence[Position]]:
    for first in range(0, len(positions), size):
        yield positions[first : first + size]


def _tiles(sources: Sequence[npt.NDArray[Any]], patch: Shape, positions: Sequence[Position]) -> torch.Tensor:
    """The patches at the given positions: `(B, C, *patch)` float32, the channels of one source after the other's."""
    tiles = np.empty((len(positions), sum(map(len, sources)), *patch), np.float32)
    for tile, position in zip(tiles, positions, strict=True):
        voxels = (slice(None), *_voxels(position, patch))
        np.concatenate([source[voxels] for source in sources], out=tile)
    return torch.from_numpy(tiles)


def _voxels(position: Position, patch: Shape) -> tuple[slice, ...]:
    return tuple(slice(start, start + side) for start, side in zip(position, patch, strict=True))


class _Window:
    """The planes the tiles at hand cover: sums of weighted scores, and of weights."""

    def __init__(self, *, depth: int, plane: Shape, weights: torch.Tensor) -> None:
        self.start = 0
        self.shape = (depth, *plane)
        self.tile_weights = weights
        self.scores: torch.Tensor | None = None  # known with the first tile: how many classes, on which device
        self.weights = torch.zeros(0)

    def add(self, positions: Sequence[Position], probabilities: torch.Tensor) -> None:
        """Add tiles at `(z, y, x)` of the image; `probabilities` is `(B, K, *patch)`."""
        if self.scores is None:
            device = probabilities.device
            self.scores = torch.zeros((probabilities.shape[1], *self.shape), device=device)
            self.weights = torch.zeros(self.shape, device=device)
            self.tile_weights = self.tile_weights.to(device)
        for (z, y, x), tile in zip(positions, probabilities, strict=True):
            voxels = _voxels((z - self.start, y, x), tuple(tile.shape[1:]))
            self.scores[(slice(None),) + voxels] += tile * self.tile_weights
            self.weights[voxels] += self.tile_weights

    def finished(self, stop: int, inside: Box) -> Iterator[Slab]:
        """The averaged scores of the planes before `stop`, as far as they lie inside the unpadded image."""
        assert self.scores is not None
        first, last = max(self.start, inside[0][0]), min(stop, inside[0][1])
        rows, columns = box_slices(inside[1:])
        plane_bytes = self.scores[:, 0, rows, columns].numel() * self.scores.element_size()
        for plane in range(first, last, planes := max(1, SLAB_BYTES // plane_bytes)):
            held = slice(plane - self.start, min(plane + planes, last) - self.start)
            scores = self.scores[:, held, rows, columns] / self.weights[held, rows, columns]
            yield Slab(start=plane - inside[0][0], scores=scores)

    def move_to(self, start: int) -> None:
        """Forget the planes before `start`."""
        assert self.scores is not None
        _shift(self.scores, start - self.start, axis=1)
        _shift(self.weights, start - self.start, axis=0)
        self.start = start


def _shift(values: torch.Tensor, planes: int, *, axis: int) -> None:
    """Move planes to the front in place, zeros after them; in steps that never overlap themselves."""
    depth = values.shape[axis]
    for first in range(0, depth - planes, planes):
        length = min(planes, depth - planes - first)
        values.narrow(axis, first, length).copy_(values.narrow(axis, first + planes, length))
    values.narrow(axis, max(0, depth - planes), min(planes, depth)).zero_()
