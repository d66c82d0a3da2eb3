"""The sliding window: a network sees patches, the image's scores come out part by part.

Tiles are worked through along the first axis, and within that along the second, so that only what the tiles at hand
and the next ones cover is ever held for all classes.

Source of the method and its constants: Isensee et al. 2021, "Inference".
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import product
from typing import TypeAlias

import numpy as np
import torch
from scipy import ndimage

from autoseg.arrays import Array, Float32Array, FloatArray, LabelArray
from autoseg.geometry import STEP_SIZE, Box, Shape, tile_starts
from autoseg.inference.window import Position, Reach, Slab, Window, reaches, window_voxels

PredictBatch: TypeAlias = Callable[[torch.Tensor], torch.Tensor]
"""`(B, C, *patch)` float32 to class probabilities `(B, K, *patch)` float32, on any device."""

SIGMA_PER_PATCH = 1 / 8
"""Width of the Gaussian that trusts a tile's centre more than its border, as a fraction of the patch."""


@dataclass(frozen=True, kw_only=True)
class Tiling:
    """Which tiles cover an image, and in which order.

    Attributes:
        shape: The image's sides in voxels.
        patch_size: Three sides, or two: then every slice along Z is predicted by itself, several at once.
        step: Fraction of the patch by which the window moves, above 0 and at most 1.
        batch_size: Most tiles handed to the network at once.
    """

    shape: Shape
    patch_size: Shape
    step: float = STEP_SIZE
    batch_size: int = 1

    def __post_init__(self) -> None:
        if not 0 < self.step <= 1:
            raise ValueError(f"the step must be above 0 and at most 1, found {self.step}")
        if self.batch_size < 1:
            raise ValueError(f"the batch size must be at least 1, found {self.batch_size}")

    @cached_property
    def patch(self) -> Shape:
        """Three sides of a tile."""
        return (1,) * (3 - len(self.patch_size)) + tuple(self.patch_size)

    @cached_property
    def margins(self) -> list[tuple[int, int]]:
        """Voxels of padding before and after the image, where it is smaller than the patch."""
        missing = [max(0, wanted - side) for side, wanted in zip(self.shape, self.patch, strict=True)]
        return [(voxels // 2, voxels - voxels // 2) for voxels in missing]

    @cached_property
    def padded(self) -> Shape:
        """The image's sides with the padding."""
        return tuple(side + before + after for side, (before, after) in zip(self.shape, self.margins, strict=True))

    @cached_property
    def inside(self) -> Box:
        """Where the image lies in the padded one."""
        return tuple((before, before + side) for side, (before, _) in zip(self.shape, self.margins, strict=True))

    @cached_property
    def starts(self) -> tuple[tuple[int, ...], ...]:
        """First voxels of the tiles along each axis."""
        return tile_starts(self.padded, self.patch, self.step)

    @cached_property
    def planes(self) -> list[Reach]:
        """Tiles along the first axis; slices of a 2D network are taken several at once."""
        return reaches(self.starts[0], self.patch[0], 1 if self.patch[0] > 1 else self.batch_size)

    @cached_property
    def rows(self) -> list[Reach]:
        """Tiles along the second axis, so many at once that they fill a batch."""
        in_one_row = max(len(reach.starts) for reach in self.planes) * len(self.starts[2])
        return reaches(self.starts[1], self.patch[1], math.ceil(self.batch_size / in_one_row))

    @property
    def number(self) -> int:
        """How many tiles there are."""
        return math.prod(map(len, self.starts))

    @property
    def overlaps(self) -> bool:
        """Whether some voxels lie in several tiles."""
        return any(len(starts) > 1 and side > 1 for starts, side in zip(self.starts, self.patch, strict=True))

    @property
    def held_voxels(self) -> int:
        """Voxels for which the scores of all classes are held at once."""
        return window_voxels(self.planes, self.rows, self.padded[2])


def predict_slabs(
    predict_batch: PredictBatch,
    image: FloatArray,
    tiling: Tiling,
    *,
    labels: LabelArray | None = None,
    on_tiles: Callable[[int], object] = lambda _: None,
    on_room: Callable[[], object] = lambda: None,
) -> Iterator[Slab]:
    """Slide a network over an image.

    Tiles of which every channel holds one value only, as beyond the body in a CT, are all given to the network once:
    its answer to them is the same. Where the GPU's memory is full, sums move to main memory.

    Args:
        predict_batch: The network, from patches to class probabilities. Scores are summed on the device of what it
            returns.
        image: `(C, Z, Y, X)`; may be a read-only memory map. Where it is smaller than the patch it is padded with
            zeros on both sides, and the padding is cut off again.
        labels: `(Z, Y, X)`, for a cascade: every tile holds them as one more channel after the image's.
        on_tiles: Called with the number of tiles that were added.
        on_room: Called when the sums have left the GPU, before the network is asked again.

    Yields:
        Slabs without gaps and overlaps: planes in order, several at once, and of these the rows in order.
    """
    sources = [_padded(source, tiling) for source in ([image] if labels is None else [image, labels[None]])]
    weights = gaussian(tiling.patch) if tiling.overlaps else torch.ones(tiling.patch)
    window = Window(tiling.planes, tiling.rows, tiling.padded[2], weights=weights)

    def make_room() -> bool:
        if is_made := window.leave_device():
            on_room()
        return is_made

    network = _Network(predict_batch if len(tiling.patch_size) == 3 else _slice_by_slice(predict_batch), make_room)
    for planes, rows in product(tiling.planes, tiling.rows):
        window.open(planes, rows)
        for positions, scores in _predicted(network, sources, tiling, planes, rows):
            window.add(positions, scores)
            on_tiles(len(positions))
        yield from window.close(tiling.inside)


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


class _Network:
    """A network that gets room where there is some to make, and answers tiles without content from memory."""

    def __init__(self, predict_batch: PredictBatch, make_room: Callable[[], bool]) -> None:
        self.predict_batch = predict_batch
        self.make_room = make_room
        self.values = b""
        self.scores = torch.zeros(0)

    def __call__(self, tiles: Float32Array) -> torch.Tensor:
        try:
            return self.predict_batch(torch.from_numpy(tiles))
        except torch.OutOfMemoryError:
            if not self.make_room():
                raise
        return self(tiles)

    def known(self, tile: Float32Array) -> torch.Tensor | None:
        """The scores `(1, K, *patch)` of a tile `(C, *patch)` whose channels hold one value each; None for others.

        Those of the last value are kept: there is hardly a second one.
        """
        voxels = tile.reshape(len(tile), -1)
        first = voxels[:, :1]
        if (voxels[:, -1:] != first).any() or (voxels != first).any():
            return None
        if self.values != first.tobytes():
            self.values, self.scores = first.tobytes(), self(tile[None]).clone()
        return self.scores


def _predicted(
    network: _Network, sources: Sequence[Array], tiling: Tiling, planes: Reach, rows: Reach
) -> Iterator[tuple[Sequence[Position], torch.Tensor]]:
    """Positions of tiles, and their scores `(B, K, *patch)`."""
    tiles = np.empty((tiling.batch_size, sum(map(len, sources)), *tiling.patch), np.float32)
    positions: list[Position] = []
    for position in product(planes.starts, rows.starts, tiling.starts[2]):
        tile = tiles[len(positions)]
        _read(sources, position, tile)
        if (scores := network.known(tile)) is not None:
            yield [position], scores
            continue
        positions.append(position)
        if len(positions) == len(tiles):
            yield positions, network(tiles)
            positions = []
    if positions:
        yield positions, network(tiles[: len(positions)])


def _read(sources: Sequence[Array], position: Position, tile: Float32Array) -> None:
    """Fill a tile `(C, *patch)`, the channels of one source after the other's."""
    sides = zip(position, tile.shape[1:], strict=True)
    voxels = (slice(None), *(slice(start, start + side) for start, side in sides))
    np.concatenate([source[voxels] for source in sources], out=tile)


def _slice_by_slice(predict_batch: PredictBatch) -> PredictBatch:
    """A 2D network as one of 3D patches that are one plane deep."""
    return lambda tiles: predict_batch(tiles.squeeze(2)).unsqueeze(2)


def _padded(source: Array, tiling: Tiling) -> Array:
    """An image `(C, Z, Y, X)`, padded with zeros to the patch's size where it is smaller."""
    return np.pad(source, [(0, 0), *tiling.margins]) if any(map(any, tiling.margins)) else source
