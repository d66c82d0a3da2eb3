"""Effects that vary over a patch: blank boxes, and brightness or exponents around a place."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np

from autoseg.geometry import Shape

CHANNEL_PROBABILITY = 0.5
LOCAL_CENTRE = (-0.5, 1.5)
"""Where a local effect has its centre, in sides of the patch; ours, as are the ranges of its size and strength."""


@dataclass(frozen=True, slots=True, kw_only=True)
class BlankRectangles:
    """Fills boxes with the mean of what was in them. (batchgenerators' own relies on a function numpy has removed.)

    Attributes:
        number: Fewest and most boxes of a channel.
    """

    patch_size: Shape
    number: tuple[int, int]
    sample_probability: float
    smallest_share: float = 1 / 10
    largest_share: float = 1 / 3

    def __call__(self, **sample: Any) -> dict[str, Any]:
        if np.random.uniform() < self.sample_probability:
            for channel in sample["data"][0]:
                if np.random.uniform() < CHANNEL_PROBABILITY:
                    for _ in range(np.random.randint(self.number[0], self.number[1] + 1)):
                        box = channel[self._draw_box()]
                        box[...] = box.mean()
        return sample

    def _draw_box(self) -> tuple[slice, ...]:
        box = []
        for side in self.patch_size:
            smallest, largest = (max(1, int(side * share)) for share in (self.smallest_share, self.largest_share))
            length = np.random.randint(smallest, largest + 1)
            first = np.random.randint(side - length + 1)
            box.append(slice(first, first + length))
        return tuple(box)


def local_size(shape: Shape, axis: int) -> float:
    """Standard deviation of a local effect in voxels: a sixth of the side up to all of it, small ones as often as large."""
    side = max(shape[axis], 6)
    return float(np.exp(np.random.uniform(math.log(side / 6), math.log(side))))


def gradient_strength(_image: Any, _kernel: Any) -> float:
    """How much is added at most; images have a standard deviation of about 1."""
    return float(np.random.uniform(1, 5) * np.random.choice((-1, 1)))


def local_gamma() -> float:
    """The exponent at the centre of the effect, half of the draws below 1."""
    return float(np.random.uniform(0.01, 0.8) if np.random.uniform() < 0.5 else np.random.uniform(1.5, 4))
