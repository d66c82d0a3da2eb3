"""From class scores on the network's grid to labels on the original grid, slab by slab.

Resampling is linear, so it goes axis by axis: first between the few planes at hand, then between the rows of the
plane that results, then along them, some classes at a time. Of the full resolution, a few classes of some rows of one
plane are all that ever exists.

Source: Isensee et al. 2021, "Inference"; the axis across slices is told apart on both grids in transposed order.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field, replace
from functools import cached_property

import numpy as np
import torch
from torch.nn import functional as F

from autoseg.arrays import Float64Array, IndexArray, LabelArray
from autoseg.dataset.target import Target
from autoseg.geometry import inside, turned
from autoseg.inference.probabilities import Packer
from autoseg.inference.scorers.scorer import Slab
from autoseg.networks.activations import Activation, activation_of
from autoseg.networks.devices import free_device_memory
from autoseg.preprocessing.prepare import CaseProperties, restore_segmentation


@dataclass(frozen=True, slots=True, kw_only=True)
class Pieces:
    """How much is worked on together; the labels do not depend on it.

    Attributes:
        scores: Of the network's grid, all classes of some rows of a plane.
        voxels: Most scores at full resolution, if one class of such rows is not more.
    """

    scores: int
    voxels: int


IN_CACHES = Pieces(scores=2**16, voxels=2**20)
"""On a CPU: a quarter of a MB, which the processor's caches hold."""

ON_GPU = Pieces(scores=2**26, voxels=2**27)
"""At most: whole planes, as each piece is some thirty operations that a GPU is handed and five that wait for it."""

SHARE_FOR_EXPORT = 1 / 4
"""Of a GPU's free memory."""

BYTES_A_VOXEL = 24
"""Of scores at full resolution: they themselves, the rows that they are made of, and where they are highest."""


@dataclass(frozen=True, slots=True, kw_only=True)
class AxisTable:
    """For each voxel of the finer grid along one axis: two voxels of the other, and how much of the upper to take.

    Attributes:
        brought: The same on devices that asked for it.
    """

    lower: IndexArray
    upper: IndexArray
    weight: Float64Array
    brought: dict[torch.device, tuple[torch.Tensor, torch.Tensor, torch.Tensor]] = field(
        default_factory=dict, repr=False, compare=False
    )

    def on(self, device: torch.device) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        """Lower, upper and weight, the last in fp32, on a device; brought there once."""
        if device not in self.brought:
            weight = torch.from_numpy(self.weight).to(torch.float32)
            lower, upper = torch.from_numpy(self.lower), torch.from_numpy(self.upper)
            self.brought[device] = lower.to(device), upper.to(device), weight.to(device)
        return self.brought[device]


@dataclass(frozen=True, slots=True, kw_only=True)
class AxisPart:
    """Voxels `first` to `last` of a table's finer grid, made of scores whose first voxel is `offset` of the other."""

    table: AxisTable
    first: int
    last: int
    offset: int

    def __len__(self) -> int:
        return self.last - self.first

    def between(self, scores: torch.Tensor, number: int) -> torch.Tensor:
        """Plane `number` of these from `(K, n, Y, X)`: `(K, Y, X)`."""
        index, weight = self.first + number, float(self.table.weight[self.first + number])
        lower, upper = (int(places[index]) - self.offset for places in (self.table.lower, self.table.upper))
        return torch.lerp(scores[:, lower], scores[:, upper], weight) if weight else scores[:, lower]

    def rows(self, scores: torch.Tensor) -> torch.Tensor:
        """All of these rows from `(K, r, X)`."""
        some = slice(self.first, self.last)
        lower, upper, weight = (values[some] for values in self.table.on(scores.device))
        if not self.table.weight[some].any():
            return scores if len(self) == scores.shape[1] else scores.index_select(1, lower - self.offset)
        below, above = (scores.index_select(1, places - self.offset) for places in (lower, upper))
        return torch.lerp(below, above, weight[:, None])


def export_segmentation(
    slabs: Iterable[Slab],
    properties: CaseProperties,
    target: Target,
    *,
    packer: Packer | None = None,
    pieces: Pieces | None = None,
    into: LabelArray | None = None,
) -> LabelArray:
    """The segmentation of the original grid that a prepared case's probabilities decide.

    Scores are resampled linearly from the prepared to the cropped grid, across a separated axis by nearest
    neighbour, before the labels are taken; what was cropped away is background.

    Args:
        slabs: The prepared case's probabilities `(outputs, n, Y, X)`, in order and without gaps.
        target: What they are of.
        packer: Is given all classes' resampled scores too, where probabilities are to be kept.
        pieces: How much at once; None takes what suits the device of the scores.
        into: Zeros of the shape and type that are returned, where these are not to be held in memory.

    Returns:
        `(Z, Y, X)` in the original axis order, uint8, or uint16 where there are more than 255 labels; of masks that may
        overlap `(outputs, Z, Y, X)`. Of soft labels fractions, in steps of `written_step`.
    """
    shape = target.shape_of(properties.original_shape)
    original = np.zeros(shape, dtype=target.written_type) if into is None else into
    cropped = turned(inside(original, properties.crop), properties.transpose_forward)
    resampling, activation = _Resampling.of(properties, pieces), activation_of(target)
    for band in resampling.bands(slabs):
        cropped[..., band.plane, band.rows, :] = resampling.decided(band, activation)
        if packer is not None:
            packer.add((scores for _, scores in resampling.enlarged_chunks(band)), plane=band.plane, row=band.row)
    return original


def export_fast(slabs: Iterable[Slab], properties: CaseProperties, target: Target) -> LabelArray:
    """The labels taken on the network's grid, then resampled: faster, with coarser borders where the grids differ."""
    prepared = np.zeros(target.shape_of(properties.prepared_shape), dtype=target.written_type)
    activation = activation_of(target)
    for slab in slabs:
        labels = activation.decide(slab.scores, dim=0).cpu().numpy()
        planes, rows, _ = labels.shape[-3:]
        prepared[..., slab.start : slab.start + planes, slab.row : slab.row + rows, :] = labels
    return restore_segmentation(prepared, properties, soft=target.soft)


def pieces_on_gpu(free: int) -> Pieces:
    """As large as a GPU with so many free bytes holds, no smaller than a CPU's."""
    voxels = max(IN_CACHES.voxels, min(ON_GPU.voxels, int(SHARE_FOR_EXPORT * free) // BYTES_A_VOXEL))
    return Pieces(scores=max(IN_CACHES.scores, min(ON_GPU.scores, voxels // 2)), voxels=voxels)


def axis_table(old: int, new: int, *, nearest: bool) -> AxisTable:
    """How voxels of a grid of `new` voxels lie between those of one with `old` voxels and the same extent."""
    position = (np.arange(new) + 0.5) * (old / new) - 0.5
    if nearest:
        position = np.floor(position + 0.5)
    position = position.clip(0, old - 1)
    lower = np.floor(position).astype(np.intp)
    weight = position - lower
    return AxisTable(lower=lower, upper=lower + (weight > 0), weight=weight)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Band:
    """Rows of one plane of the new grid that can be made, still with the old grid's columns.

    Attributes:
        plane, row: On the new grid, of the first row.
        scores: `(K, r, X)`: the rows of the old grid that are drawn on.
        table: How the new rows lie between them.
    """

    plane: int
    row: int
    scores: torch.Tensor
    table: AxisPart

    @property
    def rows(self) -> slice:
        """Of the new grid."""
        return slice(self.row, self.row + len(self.table))


class _Stream:
    """Scores `(K, n, ...)` whose second axis comes piece by piece: what of the new grid can be made with each."""

    def __init__(self, table: AxisTable) -> None:
        self.table = table
        self.made = 0
        self.held: torch.Tensor | None = None

    def add(self, start: int, piece: torch.Tensor) -> tuple[int, torch.Tensor, AxisPart]:
        """The first new voxel, the scores that it and those after it are made from, and how they lie between them."""
        scores = piece if self.held is None else torch.cat([self.held, piece], dim=1)
        stop = start + piece.shape[1]
        offset = stop - scores.shape[1]
        first, last = self.made, int(np.searchsorted(self.table.upper, stop))
        needed = min(stop, int(self.table.lower[last])) if last < len(self.table.lower) else stop
        kept = scores.narrow(1, needed - offset, stop - needed)
        if self.held is not None and self.held.shape == kept.shape:
            self.held.copy_(kept)  # in place: pieces that come and go leave holes in the memory between them
        else:
            self.held = kept.clone()  # a view would keep all of the piece in memory
        self.made = last
        return first, scores, AxisPart(table=self.table, first=first, last=last, offset=offset)


@dataclass(frozen=True, kw_only=True)
class _Resampling:
    """From the prepared to the cropped grid, both in transposed order."""

    old: tuple[int, ...]
    new: tuple[int, ...]
    separated: int | None
    wanted: Pieces | None

    @classmethod
    def of(cls, properties: CaseProperties, pieces: Pieces | None) -> _Resampling:
        return cls(
            old=tuple(properties.prepared_shape),
            new=tuple(properties.cropped_shape),
            separated=properties.separated_axis,
            wanted=pieces,
        )

    def pieces(self, device: torch.device) -> Pieces:
        """That suit the device of the scores, which may leave a GPU for main memory."""
        if self.wanted is not None or device.type != "cuda":
            return self.wanted or IN_CACHES
        if device not in self._fitting:
            self._fitting[device] = pieces_on_gpu(free_device_memory(device))
        return self._fitting[device]

    def bands(self, slabs: Iterable[Slab]) -> Iterator[_Band]:
        """All rows of all planes of the new grid; of one plane they come in order."""
        across, down = self._table(0), self._table(1)
        planes: defaultdict[int, _Stream] = defaultdict(lambda: _Stream(across))  # by the slab's first row
        rows: defaultdict[int, _Stream] = defaultdict(lambda: _Stream(down))  # by the new plane
        for piece in self._pieces(slabs):
            first, scores, table = planes[piece.row].add(piece.start, piece.scores)
            for number in range(len(table)):
                plane = first + number
                row, made_from, part = rows[plane].add(piece.row, table.between(scores, number))
                if len(part):
                    yield _Band(plane=plane, row=row, scores=made_from, table=part)
                if rows[plane].made == self.new[1]:
                    del rows[plane]

    def decided(self, band: _Band, activation: Activation) -> LabelArray:
        """The label of each voxel of a band, `(r, X)` of the new grid, or its masks `(outputs, r, X)`."""

        def enlarge(scores: torch.Tensor) -> Iterator[tuple[int, torch.Tensor]]:
            return self.enlarged_chunks(replace(band, scores=scores))

        shape = (len(band.table), self.new[2])
        return activation.decide_interpolated(band.scores, enlarge, shape).cpu().numpy()

    def enlarged_chunks(self, band: _Band) -> Iterator[tuple[int, torch.Tensor]]:
        """The scores of a band on the new grid's rows and columns, some classes at a time, with the first's index."""
        most = self.pieces(band.scores.device).voxels
        size = max(1, most // (len(band.table) * self.new[2]))
        for first in range(0, len(band.scores), size):
            yield first, self._along_rows(band.table.rows(band.scores[first : first + size]))

    def _table(self, axis: int) -> AxisTable:
        return axis_table(self.old[axis], self.new[axis], nearest=self.separated == axis)

    def _along_rows(self, scores: torch.Tensor) -> torch.Tensor:
        """`(K, r, X)` on the new grid's columns."""
        if self.old[2] == self.new[2]:
            return scores
        if self.separated == 2:
            return scores.index_select(2, self._columns.on(scores.device)[0])
        return F.interpolate(scores, size=self.new[2], mode="linear", align_corners=False)

    def _pieces(self, slabs: Iterable[Slab]) -> Iterator[Slab]:
        """Some rows of one plane each."""
        for slab in slabs:
            classes, planes, height, width = slab.scores.shape
            some = max(1, self.pieces(slab.scores.device).scores // (classes * width))
            for plane in range(planes):
                for row in range(0, height, some):
                    scores = slab.scores[:, plane : plane + 1, row : row + some]
                    yield Slab(start=slab.start + plane, row=slab.row + row, scores=scores)

    @cached_property
    def _columns(self) -> AxisTable:
        return self._table(2)

    @cached_property
    def _fitting(self) -> dict[torch.device, Pieces]:
        return {}
