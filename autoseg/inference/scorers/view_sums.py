"""What several views say of each voxel of a case, summed as it comes: two bytes a value."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator

import numpy as np
import numpy.typing as npt
import torch

from autoseg.geometry import Shape
from autoseg.machine.disk_arrays import zeros_on_disk
from autoseg.machine.resources import available_memory

MOST = np.iinfo(np.uint16).max
"""Stands for 1 from every view."""

SMALLEST_SHARE = 1e-3
"""Of what is said of a value: where the views that reach a voxel have less, it says nothing."""

SHARE_OF_MEMORY = 0.4
"""Of the free main memory; larger sums lie in a temporary file."""

VOXELS_AT_ONCE = 2**20


class ViewSums:
    """Sums over views, each of which says its part of a voxel once or not at all.

    What a view says lies between 0 and 1, and is rounded to less than one in ten thousand.

    Args:
        shape: Of the case.
        shares: `(views, channels)`, of each view in what is said of each value of a voxel; of all together 1.
    """

    def __init__(self, shape: Shape, shares: torch.Tensor) -> None:
        self.shape = shape
        self.shares = shares
        self._scale = MOST - len(shares)  # room for what each of them is rounded up by
        self._codes = _zeros((shares.shape[1], math.prod(shape)))

    def add(self, view: int, channel: int, places: torch.Tensor, values: torch.Tensor) -> None:
        """What one view says of one value of some voxels, each of them once.

        Args:
            places: `(N,)`, the voxels' places in the case, in main memory.
            values: `(N,)`, from 0 to 1.
        """
        share = float(self.shares[view, channel]) * self._scale
        codes = values.clamp(0, 1).mul_(share).round_().to(torch.int32).cpu().numpy()
        self._codes[channel][places.numpy()] += codes.astype(np.uint16)

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
            shares = self.shares.T @ reached(planes).float()
            codes = self._codes[:, start * height * width : planes.stop * height * width].astype(np.float32)
            averages = torch.from_numpy(codes) / (self._scale * shares.clamp(min=SMALLEST_SHARE))
            averages = torch.where(shares > SMALLEST_SHARE, averages, background[:, None])
            yield start, averages.reshape(len(codes), -1, height, width)


def _zeros(shape: Shape) -> npt.NDArray[np.uint16]:
    if math.prod(shape) * np.dtype(np.uint16).itemsize <= SHARE_OF_MEMORY * available_memory():
        return np.zeros(shape, np.uint16)
    return zeros_on_disk(shape, np.uint16)
