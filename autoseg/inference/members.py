"""The folds of a model, each on every flip of a tile, averaged."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import partial
from itertools import chain, combinations
from typing import TypeAlias

import torch

from autoseg.networks.activations import Activation
from autoseg.networks.fitting import FittingNumber, parts

Forward: TypeAlias = Callable[[torch.Tensor], torch.Tensor]
"""Tiles `(B, C, *patch)` to logits `(B, K, *patch)`, one fold."""

Answer: TypeAlias = tuple[slice, torch.Tensor]
"""Some of the tiles of a batch, and one fold's logits of these."""

Ask: TypeAlias = Callable[[Sequence[Forward], torch.Tensor], Iterable[Answer]]
"""How the folds are called on a batch; the answers come in the same order each time, so that sums are the same."""

Answers: TypeAlias = Callable[[torch.Tensor], Iterable[Answer]]
"""The folds of a model, asked so."""

VALUES_AT_ONCE = 2**23
"""Most scores that are turned into probabilities at once."""

Sum: TypeAlias = Callable[[torch.Tensor], torch.Tensor]
"""Tiles to the sum of all folds' probabilities."""

Flip: TypeAlias = tuple[int, ...]
"""Axes of a batch of tiles."""


def all_flips(axes: Sequence[int]) -> list[Flip]:
    """Every combination of the axes of a patch, as axes of a batch of tiles; the first flips nothing."""
    moved = [axis + 2 for axis in axes]
    return list(chain.from_iterable(combinations(moved, number) for number in range(len(moved) + 1)))


def in_turn(forwards: Sequence[Forward], tiles: torch.Tensor) -> Iterator[Answer]:
    """All tiles at once through fold after fold."""
    return ((slice(None), forward(tiles)) for forward in forwards)


@torch.inference_mode()
def mean_probabilities(
    forwards: Sequence[Forward],
    flips: Sequence[Flip],
    tiles: torch.Tensor,
    at_once: FittingNumber,
    activation: Activation,
    ask: Ask = in_turn,
) -> torch.Tensor:
    """The mean of the probabilities over all folds and flips: `(B, C, *patch)` to `(B, K, *patch)` float32.

    Flips are batched like tiles, and each is turned and turned back once for all folds.

    Raises:
        torch.OutOfMemoryError: One tile alone does not fit into the device's memory.
    """

    sum_over_folds = partial(_sum_over_folds, partial(ask, forwards), activation)

    def mean(size: int) -> torch.Tensor:
        sums = [_sum(sum_over_folds, flips, some, size) for some in torch.split(tiles, size)]
        total = sums[0] if len(sums) == 1 else torch.cat(sums)
        return total if len(forwards) * len(flips) == 1 else total.div_(len(forwards) * len(flips))

    return at_once.run(mean)


def _sum(sum_over_folds: Sum, flips: Sequence[Flip], tiles: torch.Tensor, size: int) -> torch.Tensor:
    total: torch.Tensor | None = None
    for group in parts(len(flips), max(1, size // len(tiles))):
        some = flips[group]
        flipped = torch.cat([_flipped(tiles, flip) for flip in some]) if len(some) > 1 else _flipped(tiles, some[0])
        scores = sum_over_folds(flipped)
        for flip, part in zip(some, torch.split(scores, len(tiles)), strict=True):
            total = _flipped(part, flip) if total is None else total.add_(_flipped(part, flip))
    assert total is not None
    return total


def _sum_over_folds(answers: Answers, activation: Activation, tiles: torch.Tensor) -> torch.Tensor:
    total: torch.Tensor | None = None
    for part, logits in answers(tiles):
        if total is None:
            total = torch.zeros((len(tiles), *logits.shape[1:]), device=logits.device)
        _add_probabilities(total[part], activation, logits)
    assert total is not None
    return total


def _add_probabilities(total: torch.Tensor, activation: Activation, logits: torch.Tensor) -> None:
    """Some planes at a time: a copy in fp32 of all classes of a large tile would be the most that a tile takes."""
    planes = max(1, VALUES_AT_ONCE // max(1, logits[:, :, 0].numel()))
    for part, some in zip(torch.split(total, planes, dim=2), torch.split(logits, planes, dim=2), strict=True):
        part += activation.probabilities(some.float())


def _flipped(tiles: torch.Tensor, flip: Flip) -> torch.Tensor:
    return tiles.flip(flip) if flip else tiles
