"""Which cases' intensities lie far from all others': stored in another unit, shifted, or another kind of image."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from autoseg.arrays import Float64Array

LARGEST_FACTOR = 3.0
"""Between the widths of two ranges that count as near: scanners of one protocol differ by less."""

LARGEST_SHIFT = 0.25
"""Between two near ranges, in their own widths; CT stored with 1024 added shifts by a third to a half of its width."""

ODD_SHARE = 0.05
"""More cases than this that resemble each other are a population, not odd ones: real data may hold several, whose
intensities differ by orders of magnitude (Task04_Hippocampus: uint8, and floats up to 500000)."""

BROAD_SHARE = 0.2
"""Where more of the training cases than this have none near them, ranges differ in this dataset, and none is odd for it:
in half of 60 colour pictures of stained tissue blue runs over a few values at the bright end."""

FEWEST_CASES = 6
"""With fewer there is no telling which of them is the odd one."""


def far_ranges(ranges: Sequence[tuple[float, float]], training: int) -> list[int]:
    """Indices of the ranges (lowest, highest; not empty) that have too few training cases near them.

    Two measures are compared that do not depend on the dataset's unit: the width of a range, as a factor, and where
    it lies relative to zero, in its own widths.

    Args:
        training: How many of `ranges`, from the first, are training cases.
    """
    if training < FEWEST_CASES:
        return []
    low, high = np.array(ranges, dtype=np.float64).T
    width = high - low
    far = _far(np.log(width), training, math.log(LARGEST_FACTOR)) | _far(low / width, training, LARGEST_SHIFT)
    return sorted(far)


def _far(values: Float64Array, training: int, reach: float) -> set[int]:
    companions = math.ceil(ODD_SHARE * training)
    far = set()
    for index, value in enumerate(values):
        others = np.delete(values[:training], index) if index < training else values[:training]
        if np.partition(np.abs(others - value), companions - 1)[companions - 1] > reach:
            far.add(index)
    is_broad = sum(index < training for index in far) > BROAD_SHARE * training
    return set() if is_broad else far
