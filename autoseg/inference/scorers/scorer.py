"""What every way of scoring a case has in common: it is asked for a case, and gives its scores slab by slab."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Protocol, TypeAlias

import torch

from autoseg.preprocessing.prepare import PreparedCase
from autoseg.preprocessing.slabs import CaseInSlabs

AnyCase: TypeAlias = PreparedCase | CaseInSlabs
"""Held, or made as it is asked for."""

OnParts: TypeAlias = Callable[[int, int], object]
"""Called with how many parts of a case, such as tiles, the network has answered, and of how many."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Slab:
    """Finished scores of some rows of some planes.

    Attributes:
        start: The first plane's index along axis 0 of the case.
        row: The first row's index along axis 1.
        scores: `(K, n, r, X)` float32: what a reduction makes of all the answers for each voxel.
    """

    start: int
    row: int = 0
    scores: torch.Tensor


class Scorer(Protocol):
    """A way to ask networks about a whole case."""

    def scores(self, case: AnyCase, on_parts: OnParts) -> Iterator[Slab]:
        """The scores of a case on its own grid.

        Yields:
            Slabs without gaps and overlaps: planes in order, several at once, and of these the rows in order. They may
            come one by one as they are finished, or all at the end.

        Raises:
            ModelError: The device's memory does not hold one part.
        """
