"""Where the tiles of an image lie, and how much each of their voxels is trusted.

Source of the method and its constants: Isensee et al. 2021, "Inference".
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import torch
from scipy import ndimage

from autoseg.geometry import STEP_SIZE, Box, Shape, tile_starts
from autoseg.inference.scorers.halo import NO_HALO, Halo, TileWeights
from autoseg.inference.scorers.window import Reach, reaches, window_voxels

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
        halo: What becomes of the border of tiles.
    """

    shape: Shape
    patch_size: Shape
    step: float = STEP_SIZE
    batch_size: int = 1
    halo: Halo = NO_HALO

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
        """Voxels of padding before and after the image: where it is smaller than the patch, and of a mirrored halo."""
        beside = self._halo if self.halo.mirrored else (0,) * len(self.patch)
        sides = zip(self.shape, self.patch, beside, strict=True)
        missing = [max(2 * width, wanted - side) for side, wanted, width in sides]
        return [(voxels // 2, voxels - voxels // 2) for voxels in missing]

    @cached_property
    def _halo(self) -> Shape:
        return self.halo.along(self.patch)

    @cached_property
    def weights(self) -> TileWeights:
        """Of each voxel of a tile, by where it starts."""
        base = gaussian(self.patch) if self.overlaps else torch.ones(self.patch)
        ends = [None if self.halo.mirrored else (starts[0], starts[-1]) for starts in self.starts]
        return TileWeights(base, self._halo, ends)

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
        counting = [side - 2 * width for side, width in zip(self.patch, self._halo, strict=True)]
        steps = [min(self.step, some / side) for some, side in zip(counting, self.patch, strict=True)]
        return tile_starts(self.padded, self.patch, steps)

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
