"""What several views say of each voxel of a case, summed as it comes: two bytes a value."""

from __future__ import annotations

import math
import tempfile
from collections.abc import Callable, Iterator

import numpy as np
import numpy.typing as npt
import torch

from autoseg.geometry import Shape
from autoseg.machine.resources import available_memory

MOST = np.iinfo(np.uint16).max
"""Stands for 1 from every view."""

SHARE_OF_MEMORY = 0.4
"""Of the free main memory; larger sums lie in a temporary file."""

VOXELS_AT_ONCE = 2**20


class ViewSums:
    """Sums over views, each of which says its part of a voxel once or not at all.

    What a view says lies between 0 and 1, and is rounded to less than one in ten thousand.

    Args:
        channels: Values of a voxel.
        shape: Of the case.
        views: How many there are.
    """

    def __init__(self, channels: int, shape: Shape, *, views: int) -> None:
        self.shape = shape
        self.views = views
        self._scale = MOST // views
        self._codes = _zeros((channels, math.prod(shape)))

    def add(self, places: torch.Tensor, values: torch.Tensor) -> None:
        """What one view says of voxels, each of them once.

        Args:
            places: `(N,)`, the voxels' places in the case.
            values: `(channels, N)`, from 0 to 1.
        """
        at = places.cpu().numpy()
        codes = values.mul(self._scale).round_().clamp_(0, self._scale).to(torch.int32).cpu().numpy()
        for channel, said in zip(self._codes, codes, strict=True):
            channel[at] += said.astype(np.uint16)

    def averages(
        self, reached: Callable[[slice], torch.Tensor], background: torch.Tensor
    ) -> Iterator[tuple[int, torch.Tensor]]:
        """The mean of each voxel over the views that reach it, some slices at once, with the first's number.

        Args:
            reached: Says of some slices which views `(views, voxels)` reach their voxels.
            background: `(channels,)`, where none does.
        """
        depth, height, width = self.shape
        some = max(1, VOXELS_AT_ONCE // (height * width))
        for start in range(0, depth, some):
            planes = slice(start, min(depth, start + some))
            views = reached(planes).sum(dim=0)
            codes = self._codes[:, start * height * width : planes.stop * height * width].astype(np.float32)
            averages = torch.from_numpy(codes) / (self._scale * views.clamp(min=1))
            averages = torch.where(views > 0, averages, background[:, None])
            yield start, averages.reshape(len(codes), -1, height, width)


def _zeros(shape: Shape) -> npt.NDArray[np.uint16]:
    """In memory, or in a file without a name that goes with the array."""
    if math.prod(shape) * np.dtype(np.uint16).itemsize <= SHARE_OF_MEMORY * available_memory():
        return np.zeros(shape, np.uint16)
    with tempfile.TemporaryFile() as file:
        return np.memmap(file, np.uint16, "w+", shape=shape)
