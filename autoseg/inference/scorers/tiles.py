"""Tiles: a window slides over the case, and what the networks say of it is averaged where tiles overlap."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import replace

import torch

from autoseg.arrays import LabelArray
from autoseg.errors import ModelError
from autoseg.geometry import Shape
from autoseg.inference.members import Members
from autoseg.inference.memory import BYTES_PER_VALUE, fitting_batch, most_tiles, say_once, tiles_at_once
from autoseg.inference.scorers.halo import NO_HALO, Halo
from autoseg.inference.scorers.scorer import AnyCase, OnParts, Slab
from autoseg.inference.scorers.sliding_window import ImageSource, predict_slabs
from autoseg.inference.scorers.tiling import Tiling
from autoseg.machine.resources import available_memory
from autoseg.networks.devices import free_device_memory
from autoseg.plans import ConfigurationPlan
from autoseg.words import in_gigabytes

SHARE_OF_DEVICE_MEMORY = 0.4
"""Of the GPU's free memory: scores that need more are summed in main memory."""

SHARE_OF_MEMORY = 0.8
"""Of the free main memory, for scores and tiles; what is estimated may err, and other threads read and write images."""


class Tiles:
    """The scorer of a network that sees patches, or slices, of the prepared grid.

    Args:
        members: Who answers for a tile.
        plan: Says how large a tile is.
        tile: Bytes that one takes while the network runs.
        step: How far the window moves, as a fraction of the patch.
        halo: What becomes of the border of tiles.
    """

    def __init__(
        self, members: Members, plan: ConfigurationPlan, *, tile: int, step: float, halo: Halo = NO_HALO
    ) -> None:
        self.members = members
        self.plan = plan
        self.tile = tile
        self.step = step
        self.halo = halo
        self.device = members.networks.device
        self.at_once = tiles_at_once(self._most_at_once)

    def scores(self, case: AnyCase, on_parts: OnParts) -> Iterator[Slab]:
        """See `Scorer`; slabs come as soon as the window has passed them."""
        reduction = self.members.reduction
        previous = () if case.previous is None else case.previous.reshape(-1, *case.data.shape[1:])
        for slab in self.averages(case.data, case.properties.identifier, on_parts, labels=previous):
            yield replace(slab, scores=reduction.scores(slab.scores))

    def averages(
        self, image: ImageSource, identifier: str, on_parts: OnParts, *, labels: Iterable[LabelArray] = ()
    ) -> Iterator[Slab]:
        """Of all answers for each voxel of an image, before they are reduced.

        Args:
            identifier: Of the case.
            labels: `(Z, Y, X)`, what a cascade refines.

        Raises:
            ModelError: The network returned NaN, or the device's memory does not hold one tile.
        """
        tiling = self._tiling(image.shape[1:], identifier)
        sums_on = self._device_of_sums(tiling)

        def answer(tiles: torch.Tensor) -> torch.Tensor:
            is_usual = len(tiles) == tiling.batch_size
            return self.members.averages(tiles, self.at_once, is_usual=is_usual).to(sums_on)

        try:
            for slab in predict_slabs(
                answer, image, tiling, labels=labels, on_parts=on_parts, on_room=self.at_once.restart
            ):
                _require_finite(slab, identifier)
                yield slab
        except torch.OutOfMemoryError as error:
            raise ModelError(
                f"case {identifier}: one tile of {tiling.patch} voxels alone does not fit into the memory of "
                f"{self.device}; free some, or predict with `device=cpu`"
            ) from error

    @property
    def _most_at_once(self) -> int:
        return most_tiles(self.plan, self.tile, self.device)

    def _tiling(self, shape: Shape, identifier: str) -> Tiling:
        """An image's tiles, in batches that memory holds."""
        tiling = Tiling(shape=shape, patch_size=self.plan.sampling.patch_size, step=self.step, halo=self.halo)
        if self.device.type == "cpu":
            self._fit_batch(tiling, identifier)
        return replace(tiling, batch_size=max(1, self.at_once.number // len(self.members.flips)))

    def _fit_batch(self, tiling: Tiling, identifier: str) -> None:
        """Estimate main memory before it is taken: a GPU says when it is full, but here the process would be killed.

        Each case anew: what was short for one may be there again for the next.
        """
        each, sums = self.tile, self._bytes_of_sums(tiling)
        free = int(SHARE_OF_MEMORY * available_memory())
        if sums + each > free:
            say_once(
                "memory",
                f"case {identifier}: predicting it takes about {in_gigabytes(sums + each)}, and {in_gigabytes(free)} "
                "are free; where that does not do, end other programs or use `preprocessing_threads=1` "
                "(of other such cases this is not said)",
            )
        self.at_once.number = fitting_batch(self._most_at_once, each, free - sums)

    def _device_of_sums(self, tiling: Tiling) -> torch.device:
        """Where tiles are summed up: on the GPU when what is held at once fits there."""
        if self.device.type != "cuda":
            return torch.device("cpu")
        fits = self._bytes_of_sums(tiling) < SHARE_OF_DEVICE_MEMORY * free_device_memory(self.device)
        return self.device if fits else torch.device("cpu")

    def _bytes_of_sums(self, tiling: Tiling) -> int:
        return BYTES_PER_VALUE * (self.members.channels + 1) * tiling.held_voxels


def _require_finite(slab: Slab, identifier: str) -> None:
    if not torch.isfinite(slab.scores.sum()):
        raise ModelError(
            f"case {identifier}: the network returned NaN; try `precision=fp32`, and if that does not help train again"
        )
