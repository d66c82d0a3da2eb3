"""Borders of tiles that do not count, as the network sees only a part of what lies around their voxels.

Source: pytorch-3dunet, which once dropped 8 voxels of each patch's border, and now mirrors a halo around it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch

from autoseg.errors import ModelError
from autoseg.geometry import Shape
from autoseg.words import counted


@dataclass(frozen=True, slots=True, kw_only=True)
class Halo:
    """What becomes of the border of tiles.

    Attributes:
        voxels: Width of the border that does not count, along each axis on which a tile is longer than one voxel.
        mirrored: Whether the image is mirrored so far beyond its own border, so that every voxel has as much around it; else
            the border of a tile counts where it is that of the image.
    """

    voxels: int = 0
    mirrored: bool = False

    def __post_init__(self) -> None:
        if self.voxels < 0:
            raise ModelError(f"`halo`: 0 voxels or more, found {self.voxels}")

    def along(self, patch: Shape) -> Shape:
        """Its width along each axis of a tile.

        Raises:
            ModelError: Nothing of the tile would be left.
        """
        sides = [side for side in patch if side > 1]
        if sides and 2 * self.voxels >= min(sides):
            raise ModelError(
                f"`halo`: {counted(self.voxels, 'voxel')} on either side would leave nothing of a tile of {'x'.join(map(str, patch))}; "
                f"name at most {(min(sides) - 1) // 2}"
            )
        return tuple(self.voxels if side > 1 else 0 for side in patch)


NO_HALO = Halo()


class TileWeights:
    """How much each voxel of a tile counts, by where the tile lies.

    Args:
        base: `(*patch)`, of a tile of which everything counts.
        halo: Width of the border that does not count along each axis.
        ends: Along each axis the first and the last start of a tile whose outer border counts all the same; None: none.
    """

    def __init__(self, base: torch.Tensor, halo: Shape, ends: Sequence[tuple[int, int] | None]) -> None:
        self.base = base
        self.halo = halo
        self.ends = ends
        self._known: dict[tuple[tuple[bool, bool], ...], torch.Tensor] = {}

    def at(self, position: Shape) -> torch.Tensor:
        """Of the tile that starts there; the very base where everything counts."""
        if not any(self.halo):
            return self.base
        counting = tuple(map(self._counting, position, self.ends))
        if counting not in self._known:
            self._known[counting] = self._without_borders(counting)
        return self._known[counting]

    def to(self, device: torch.device) -> TileWeights:
        """The same on a device."""
        return TileWeights(self.base.to(device), self.halo, self.ends)

    @staticmethod
    def _counting(start: int, ends: tuple[int, int] | None) -> tuple[bool, bool]:
        return (False, False) if ends is None else (start == ends[0], start == ends[1])

    def _without_borders(self, counting: tuple[tuple[bool, bool], ...]) -> torch.Tensor:
        weights = self.base.clone()
        for axis, (width, (first, last)) in enumerate(zip(self.halo, counting, strict=True)):
            if width and not first:
                weights.narrow(axis, 0, width).zero_()
            if width and not last:
                weights.narrow(axis, weights.shape[axis] - width, width).zero_()
        return weights
