"""All that answer for a tile: the folds of a model, each on every flip of it, and the average of their answers."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import reduce
from itertools import chain, combinations
from typing import TypeAlias

import torch

from autoseg.dataset.target import Target
from autoseg.errors import ModelError
from autoseg.inference.cascade import expand_labels
from autoseg.inference.reduction import MEAN, Reduction
from autoseg.networks.activations import CERTAIN, activation_of
from autoseg.networks.algorithms import trying_algorithms
from autoseg.networks.fitting import FittingNumber, parts
from autoseg.words import counted

Forward: TypeAlias = Callable[[torch.Tensor], torch.Tensor]
"""Tiles `(B, C, *patch)` to logits `(B, K, *patch)`, one fold."""

Answer: TypeAlias = tuple[slice, torch.Tensor]
"""Some of the tiles of a batch, and one fold's logits of these."""

Ask: TypeAlias = Callable[[Sequence[Forward], torch.Tensor], Iterable[Answer]]
"""How the folds are called on a batch; the answers come in the same order each time, so that sums are the same."""

VALUES_AT_ONCE = 2**23
"""Most scores that are turned into probabilities at once."""

Flip: TypeAlias = tuple[int, ...]
"""Axes of a batch of tiles."""


def all_flips(axes: Sequence[int]) -> list[Flip]:
    """Every combination of the axes of a patch, as axes of a batch of tiles; the first flips nothing."""
    moved = [axis + 2 for axis in axes]
    return list(chain.from_iterable(combinations(moved, number) for number in range(len(moved) + 1)))


def in_turn(forwards: Sequence[Forward], tiles: torch.Tensor) -> Iterator[Answer]:
    """All tiles at once through fold after fold."""
    return ((slice(None), forward(tiles)) for forward in forwards)


@dataclass(frozen=True, slots=True, kw_only=True)
class Networks:
    """The networks of a model, ready to be called.

    Attributes:
        forwards: One for each fold.
        device: Where they are.
        engine: "torch" or "openvino".
        ask: How they are called.
    """

    forwards: tuple[Forward, ...]
    device: torch.device
    engine: str = "torch"
    ask: Ask = in_turn


@dataclass(frozen=True, slots=True, kw_only=True)
class Members:
    """The folds of a model, each on every flip.

    Attributes:
        flips: From `all_flips`.
        target: What the networks' scores are of.
        refines: Whether the last channels of a tile hold the maps that a cascade refines.
        reduction: What becomes of the answers.
    """

    networks: Networks
    flips: Sequence[Flip]
    target: Target
    refines: bool = False
    reduction: Reduction = MEAN

    @property
    def channels(self) -> int:
        """How many values are held for each voxel."""
        return self.reduction.channels(len(self.target.outputs))

    @property
    def background(self) -> torch.Tensor:
        """What all answers would be where none is asked for: the background for certain, `(channels,)`."""
        activation = activation_of(self.target)
        logits = torch.full((1, len(self.target.outputs), 1), CERTAIN)
        logits[:, activation.scored] = -CERTAIN
        return self.reduction.moments(activation.probabilities(logits))[0, :, 0]

    def averages(self, tiles: torch.Tensor, at_once: FittingNumber, *, is_usual: bool = False) -> torch.Tensor:
        """The averages over all folds and flips: `(B, C, *patch)` to `(B, channels, *patch)` float32 on the networks' device.

        Args:
            at_once: How many tiles, flipped ones counted, the networks are handed at once.
            is_usual: The batch is as large as most; what is left over at an end comes in many sizes.

        Raises:
            ModelError: A network returns other outputs than the target has.
            torch.OutOfMemoryError: One tile alone does not fit into the device's memory.
        """
        tiles = tiles.to(self.networks.device)
        if self.refines:
            tiles = expand_labels(tiles, self.target)
        with torch.inference_mode(), trying_algorithms(is_usual and tiles.is_cuda):
            return at_once.run(lambda size: self._averages_of(tiles, size))

    def _averages_of(self, tiles: torch.Tensor, size: int) -> torch.Tensor:
        """Flips are batched like tiles, `size` at once, and each is turned and turned back once for all folds."""
        sums = [reduce(torch.Tensor.add_, self._sums_by_flip(some, size)) for some in torch.split(tiles, size)]
        total = sums[0] if len(sums) == 1 else torch.cat(sums)
        answers = len(self.networks.forwards) * len(self.flips)
        return total if answers == 1 else total.div_(answers)

    def _sums_by_flip(self, tiles: torch.Tensor, size: int) -> Iterator[torch.Tensor]:
        """For each flip the sum over all folds, turned back."""
        for group in parts(len(self.flips), max(1, size // len(tiles))):
            flips = self.flips[group]
            sums = self._sum_over_folds(_together(tiles, flips))
            for flip, some in zip(flips, torch.split(sums, len(tiles)), strict=True):
                yield _flipped(some, flip)

    def _sum_over_folds(self, tiles: torch.Tensor) -> torch.Tensor:
        total = torch.zeros((len(tiles), self.channels, *tiles.shape[2:]), device=tiles.device)
        for part, logits in self.networks.ask(self.networks.forwards, tiles):
            self._require_outputs(logits.shape[1])
            self._add(total[part], logits)
        return total

    def _require_outputs(self, found: int) -> None:
        if found != len(self.target.outputs):
            raise ModelError(
                f"the network returns {counted(found, 'score')} a voxel, but its plans name "
                f"{counted(len(self.target.outputs), 'output')}, {', '.join(self.target.outputs)}; return one score for each"
            )

    def _add(self, total: torch.Tensor, logits: torch.Tensor) -> None:
        """Some planes at a time: a copy in fp32 of all classes of a large tile would be the most that a tile takes."""
        planes = max(1, VALUES_AT_ONCE // max(1, logits[:, :, 0].numel()))
        probabilities = activation_of(self.target).probabilities
        for part, some in zip(torch.split(total, planes, dim=2), torch.split(logits, planes, dim=2), strict=True):
            part += self.reduction.moments(probabilities(some.float()))


def _together(tiles: torch.Tensor, flips: Sequence[Flip]) -> torch.Tensor:
    return torch.cat([_flipped(tiles, flip) for flip in flips]) if len(flips) > 1 else _flipped(tiles, flips[0])


def _flipped(tiles: torch.Tensor, flip: Flip) -> torch.Tensor:
    return tiles.flip(flip) if flip else tiles
