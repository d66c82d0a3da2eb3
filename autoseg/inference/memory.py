"""Memory of prediction: what it takes, how many tiles that allows at once, and fewer where it runs out."""

from __future__ import annotations

import logging
import math
from collections.abc import Callable
from functools import cache

import torch

from autoseg.errors import counted
from autoseg.plans import ConfigurationPlan

log = logging.getLogger(__name__)

BYTES_PER_VALUE = 4

LARGE_ACTIVATIONS = 6
"""Activations of a network's finest level that exist at once, where nothing is kept for gradients: what came from
below and the skip, both joined, the convolution's input, output and workspace."""

SCORE_COPIES = 3
"""Of a tile's scores: as the network returned them, their softmax, and the sum over folds and flips."""


def tile_bytes(plan: ConfigurationPlan, classes: int) -> int:
    """What one tile takes while the network runs."""
    return math.prod(plan.patch_size) * BYTES_PER_VALUE * (LARGE_ACTIVATIONS * plan.features + SCORE_COPIES * classes)


def fitting_batch(most: int, each: int, free: int) -> int:
    """How many tiles to hand to the network at once: as many as fit into `free` bytes, at least one."""
    return max(1, min(most, free // each))


class FittingBatch:
    """Calls a function with a batch size, and again with half of it where that was too much for the device's memory.

    Attributes:
        size: The batch size that is known to fit, or not known not to.
    """

    def __init__(self, size: int) -> None:
        self.size = size

    def run(self, function: Callable[[int], torch.Tensor]) -> torch.Tensor:
        """The function's result with the largest batch that fits.

        Raises:
            torch.OutOfMemoryError: Not even one tile at once fits. Other errors are the function's own.
        """
        while True:
            try:
                return function(self.size)
            except torch.OutOfMemoryError:
                if self.size == 1:
                    raise
            self.size //= 2
            say_once(f"the device's memory is full: {counted(self.size, 'tile')} at once from here on")


@cache
def say_once(message: str) -> None:
    """Warn, the first time only."""
    log.warning(message)
