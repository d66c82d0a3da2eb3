"""From class scores on the network's grid to labels on the original grid, slab by slab.

Resampling is linear, so it goes axis by axis: first between the few planes at hand, then within the plane that
results, some classes at a time. Of the full resolution, a few classes of one plane are all that ever exists.

Source: Isensee et al. 2021, "Inference"; the axis across slices is told apart on both grids in transposed order.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch.nn import functional as F

from autoseg.geometry import box_slices
from autoseg.inference.probabilities import Packer
from autoseg.inference.tiles import Slab
from autoseg.preprocessing.prepare import CaseProperties, restore_segmentation

LabelArray = npt.NDArray[np.integer[Any]]

CHUNK_VOXELS = 2**23
"""Most scores held at full resolution at once: 32 MB, 32 classes of a plane of 512x512."""

LARGEST_UINT8 = 255

ROUNDING = 1e-5
"""Relative; interpolated values may leave the range of those they are made of by single precision's rounding."""


@dataclass(frozen=True, slots=True, kw_only=True)
class AxisTable:
    """For each voxel of the finer grid along one axis: two voxels of the other, and how much of the upper to take."""

    lower: npt.NDArray[np.intp]
    upper: npt.NDArray[np.intp]
    weight: npt.NDArray[np.float64]


def export_segmentation(
    slabs: Iterable[Slab], properties: CaseProperties, classes: int, *, packer: Packer | None = None
) -> LabelArray:
    """The label of the highest score of each voxel of the original grid.

    Scores are resampled linearly from the prepared to the cropped grid, across a separated axis by nearest
    neighbour, before the labels are taken; what was cropped away is background.

    Args:
        slabs: The prepared case's scores `(classes, n, Y, X)`, in order and without gaps.
        packer: Is given all classes' resampled scores too, where probabilities are to be kept.

    Returns:
        `(Z, Y, X)` in the original axis order, uint8, or uint16 where there are more than 255 labels.
    """
    original = np.zeros(properties.original_shape, dtype=_label_type(classes))
    cropped = original[box_slices(properties.crop)].transpose(properties.transpose_forward)
    resampling = _Resampling.of(properties)
    for index, plane in enumerate(resampling.planes(slabs)):
        cropped[index] = resampling.winners(plane)
        if packer is not None:
            packer.add(scores for _, scores in resampling.enlarged_chunks(plane))
    return original


def export_fast(slabs: Iterable[Slab], properties: CaseProperties, classes: int) -> LabelArray:
    """The labels taken on the network's grid, then resampled: faster, with coarser borders where the grids differ."""
    prepared = np.zeros(properties.prepared_shape, dtype=_label_type(classes))
    for slab in slabs:
        labels = slab.scores.max(dim=0).indices.cpu().numpy()
        prepared[slab.start : slab.start + len(labels)] = labels
    return restore_segmentation(prepared, properties)


def axis_table(old: int, new: int, *, nearest: bool) -> AxisTable:
    """How voxels of a grid of `new` voxels lie between those of one with `old` voxels and the same extent."""
    position = (np.arange(new) + 0.5) * (old / new) - 0.5
    if nearest:
        position = np.floor(position + 0.5)
    position = position.clip(0, old - 1)
    lower = np.floor(position).astype(np.intp)
    return AxisTable(lower=lower, upper=np.minimum(lower + 1, old - 1), weight=position - lower)


def _label_type(classes: int) -> type[np.uint8] | type[np.uint16]:
    return np.uint8 if classes - 1 <= LARGEST_UINT8 else np.uint16


@dataclass(frozen=True, slots=True, kw_only=True)
class _Resampling:
    """From the prepared to the cropped grid, both in transposed order."""

    old: tuple[int, ...]
    new: tuple[int, ...]
    separated: int | None

    @classmethod
    def of(cls, properties: CaseProperties) -> _Resampling:
        return cls(
            old=tuple(properties.prepared_shape),
            new=tuple(properties.cropped_shape),
            separated=properties.separated_axis,
        )

    def planes(self, slabs: Iterable[Slab]) -> Iterator[torch.Tensor]:
        """The planes of the new grid along axis 0, `(K, Y, X)` with the old grid's rows and columns, in order."""
        table = axis_table(self.old[0], self.new[0], nearest=self.separated == 0)
        held: dict[int, torch.Tensor] = {}
        index = 0
        for slab in slabs:
            held |= {slab.start + number: plane for number, plane in enumerate(slab.scores.unbind(1))}
            while index < self.new[0] and table.upper[index] in held:
                lower, upper, weight = table.lower[index], table.upper[index], float(table.weight[index])
                yield torch.lerp(held[lower], held[upper], weight) if weight else held[lower]
                index += 1
            needed = table.lower[index] if index < self.new[0] else self.old[0]
            held = {number: plane for number, plane in held.items() if number >= needed}

    def winners(self, plane: torch.Tensor) -> LabelArray:
        """The class of the highest score of each voxel of a plane: `(Y, X)` of the new grid."""
        candidates = _possible_winners(plane)
        if len(candidates) == 1:
            return np.full(self.new[1:], int(candidates[0]))
        best: torch.Tensor | None = None
        winners = torch.zeros(0)
        for first, scores in self.enlarged_chunks(plane[candidates]):
            highest, place = scores.max(dim=0)
            labels = candidates[place + first]
            winners = labels if best is None else torch.where(highest > best, labels, winners)
            best = highest if best is None else torch.maximum(highest, best)
        return winners.cpu().numpy()

    def enlarged_chunks(self, plane: torch.Tensor) -> Iterator[tuple[int, torch.Tensor]]:
        """The scores of a plane on the new grid's rows and columns, some classes at a time, with the first's index."""
        size = max(1, CHUNK_VOXELS // (self.new[1] * self.new[2]))
        for first in range(0, len(plane), size):
            yield first, self._enlarged(plane[first : first + size])

    def _enlarged(self, scores: torch.Tensor) -> torch.Tensor:
        for axis in (1, 2):
            if self.separated == axis and self.old[axis] != self.new[axis]:
                index = axis_table(self.old[axis], self.new[axis], nearest=True).lower
                scores = scores.index_select(axis, torch.from_numpy(index).to(scores.device))
        if scores.shape[1:] == self.new[1:]:
            return scores
        return F.interpolate(scores[None], size=self.new[1:], mode="bilinear", align_corners=False)[0]


def _possible_winners(plane: torch.Tensor) -> torch.Tensor:
    """Classes, ascending, that can be highest somewhere in the plane after linear interpolation.

    The highest of several scores is never below their mean, and interpolation keeps both within the range they have
    on the plane; so a class whose greatest score stays below the smallest mean is nowhere the highest.
    """
    floor = plane.mean(dim=0).amin()
    peaks = plane.amax(dim=(1, 2))
    return torch.nonzero(peaks >= floor - ROUNDING * floor.abs()).flatten()
