"""What is done to a patch, as values: drawn first, applied later, to numpy's arrays by a worker or to a device's tensors.

Draws come from numpy's and python's global generators, which are seeded for each sample, in batchgenerators' order.
"""

from __future__ import annotations

import random
from abc import ABC, abstractmethod
from collections.abc import Callable
from typing import Any, TypeAlias

import numpy as np
from torch import Tensor

from autoseg.geometry import Shape

Values: TypeAlias = Any
"""An array of numpy or a tensor of torch, where the same expression serves both."""

Range: TypeAlias = tuple[float, float]


class Variation(ABC):
    """A change whose numbers are known."""

    @abstractmethod
    def apply(self, data: Values, labels: Values) -> None:
        """Change `data` `(C, *patch)` float32 and `labels` `(S, *patch)`, arrays of numpy, in place."""

    def apply_on_device(self, data: Tensor, labels: Tensor) -> None:
        """The same with tensors, up to rounding; nothing is asked of the device."""
        self.apply(data, labels)

    def mapped(self, _: Callable[[Any], Any]) -> Variation:
        """The same with something done to each array that it holds."""
        return self


class Drawing(ABC):
    """A transform that draws, without a look at the patch, what it then applies."""

    @abstractmethod
    def draw(self, channels: int, shape: Shape) -> Variation | None:
        """What is done to a patch of so many channels and of that shape; None: nothing."""

    def __call__(self, **sample: Any) -> dict[str, Any]:
        """Draw for each sample of `data` `(B, C, *patch)` and `seg` `(B, S, *patch)`, and change it in place."""
        for data, labels in zip(sample["data"], sample["seg"], strict=True):
            if (drawn := self.draw(len(data), data.shape[1:])) is not None:
                drawn.apply(data, labels)
        return sample


class Always(Variation, Drawing):
    """A change without anything to draw."""

    def draw(self, channels: int, shape: Shape) -> Variation:  # noqa: ARG002
        """Itself."""
        return self


def is_drawn(probability: float) -> bool:
    """By numpy's generator."""
    return bool(np.random.uniform() < probability)


def draw_between(ends: Range) -> float:
    """By python's generator, which is not asked where both ends are equal."""
    low, high = ends
    return low if low == high else random.uniform(low, high)


def draw_around_one(ends: Range) -> float:
    """A factor or exponent, half of the draws below 1 where the range begins there."""
    low, high = ends
    if is_drawn(0.5) and low < 1:
        return float(np.random.uniform(low, 1))
    return float(np.random.uniform(max(low, 1), high))
