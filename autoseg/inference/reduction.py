"""What becomes of the many answers for one voxel: those of folds, of flips, and of parts of a case that overlap.

However they come, answers are only ever averaged, so that no more than a sum of them is held. A reduction says what of
each answer is averaged, and what the averages say: for the mean both are the probabilities; for a variance the squares
are averaged, too, and for an entropy each answer's own.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

from torch import Tensor


class Reduction(Protocol):
    """Of each answer some moments, and of their averages the scores."""

    def channels(self, outputs: int) -> int:
        """How many moments there are for each voxel."""

    def moments(self, probabilities: Tensor) -> Tensor:
        """One answer's `(B, K, *space)` to what is averaged of it, `(B, channels, *space)`."""

    def scores(self, averages: Tensor) -> Tensor:
        """The averages over all answers, `(channels, *space)`, to the class probabilities and what there is behind them."""


@dataclass(frozen=True, slots=True)
class Mean:
    """The probabilities' mean, and nothing behind it."""

    def channels(self, outputs: int) -> int:
        """One for each output."""
        return outputs

    def moments(self, probabilities: Tensor) -> Tensor:
        """The probabilities themselves."""
        return probabilities

    def scores(self, averages: Tensor) -> Tensor:
        """The averages themselves."""
        return averages


MEAN = Mean()
