"""The sliding window: a network sees patches, the image's scores come out part by part.

Tiles are worked through along the first axis, and within that along the second, so that only what the tiles at hand
and the next ones cover is ever held for all classes.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import product
from typing import Any, Protocol, TypeAlias

import numpy as np
import torch

from autoseg.arrays import Float32Array, LabelArray
from autoseg.geometry import Shape
from autoseg.inference.scorers.scorer import OnParts, Slab
from autoseg.inference.scorers.tiling import Tiling
from autoseg.inference.scorers.window import Position, Reach, Window

PredictBatch: TypeAlias = Callable[[torch.Tensor], torch.Tensor]
"""`(B, C, *patch)` float32 to what is averaged where tiles overlap, such as class probabilities, `(B, K, *patch)` float32, on
any device."""


class ImageSource(Protocol):
    """`(C, Z, Y, X)` that patches are read of: an array, a memory map, or what is made as it is asked for."""

    @property
    def shape(self) -> Shape: ...
    def __len__(self) -> int: ...
    def __getitem__(self, index: tuple[slice, ...], /) -> Any:
        """The part that a slice an axis takes, an array."""


def predict_slabs(
    predict_batch: PredictBatch,
    image: ImageSource,
    tiling: Tiling,
    *,
    labels: Iterable[LabelArray] = (),
    on_parts: OnParts = lambda *_: None,
    on_room: Callable[[], object] = lambda: None,
) -> Iterator[Slab]:
    """Slide a network over an image.

    Tiles of which every channel holds one value only, as beyond the body in a CT, are all given to the network once:
    its answer to them is the same. Where the GPU's memory is full, sums move to main memory.

    Args:
        predict_batch: The network. What it returns is summed on the device where that is.
        image: Where it is smaller than the patch it is padded with
            zeros on both sides, and the padding is cut off again; a halo may mirror it.
        labels: For a cascade, maps `(Z, Y, X)`: every tile holds each as one more channel after the image's.
        on_parts: Told how many tiles were added.
        on_room: Called when the sums have left the GPU, before the network is asked again.

    Yields:
        Slabs without gaps and overlaps: planes in order, several at once, and of these the rows in order.
    """
    sources = [_padded(source, tiling) for source in [image, *(one[None] for one in labels)]]
    window = Window(tiling.planes, tiling.rows, tiling.padded[2], weights=tiling.weights)

    def make_room() -> bool:
        if is_made := window.leave_device():
            on_room()
        return is_made

    network = _Network(predict_batch if len(tiling.patch_size) == 3 else _slice_by_slice(predict_batch), make_room)
    done = 0
    on_parts(done, tiling.number)
    for planes, rows in product(tiling.planes, tiling.rows):
        window.open(planes, rows)
        for positions, scores in _predicted(network, sources, tiling, planes, rows):
            window.add(positions, scores)
            done += len(positions)
            on_parts(done, tiling.number)
        yield from window.close(tiling.inside)


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
    network: _Network, sources: Sequence[ImageSource], tiling: Tiling, planes: Reach, rows: Reach
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


def _read(sources: Sequence[ImageSource], position: Position, tile: Float32Array) -> None:
    """Fill a tile `(C, *patch)`, the channels of one source after the other's."""
    sides = zip(position, tile.shape[1:], strict=True)
    voxels = (slice(None), *(slice(start, start + side) for start, side in sides))
    np.concatenate([source[voxels] for source in sources], out=tile)


def _slice_by_slice(predict_batch: PredictBatch) -> PredictBatch:
    """A 2D network as one of 3D patches that are one plane deep."""
    return lambda tiles: predict_batch(tiles.squeeze(2)).unsqueeze(2)


def _padded(source: ImageSource, tiling: Tiling) -> ImageSource:
    """An image, padded with zeros to the patch's size where it is smaller; or mirrored, with a halo of that kind."""
    if not any(map(any, tiling.margins)):
        return source
    kind = _Mirrored if tiling.halo.mirrored else _Padded
    return kind(source, tiling.margins, (len(source), *tiling.padded))


@dataclass(frozen=True, slots=True)
class _Padded:
    """Padded where it is read."""

    source: ImageSource
    margins: Sequence[tuple[int, int]]
    shape: Shape

    def __len__(self) -> int:
        return len(self.source)

    def __getitem__(self, index: tuple[slice, ...]) -> Any:
        channels, *sides = index
        within, missing = [channels], [(0, 0)]
        for some, (before, _), side in zip(sides, self.margins, self.source.shape[1:], strict=True):
            start, stop = some.start - before, some.stop - before
            within.append(slice(max(0, start), min(side, stop)))
            missing.append((max(0, -start), max(0, stop - side)))
        return np.pad(self.source[tuple(within)], missing)


@dataclass(frozen=True, slots=True)
class _Mirrored(_Padded):
    """Mirrored beyond its border where it is read, the voxels at the border twice."""

    def __getitem__(self, index: tuple[slice, ...]) -> Any:
        channels, *sides = index
        within, places = [channels], []
        for some, (before, _), side in zip(sides, self.margins, self.source.shape[1:], strict=True):
            turned = np.arange(some.start - before, some.stop - before) % (2 * side)
            turned = np.minimum(turned, 2 * side - 1 - turned)
            within.append(slice(int(turned.min()), int(turned.max()) + 1))
            places.append(turned - turned.min())
        read = np.asarray(self.source[tuple(within)])
        return read[np.ix_(np.arange(len(read)), *places)]
