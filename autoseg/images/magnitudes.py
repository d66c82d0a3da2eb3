"""Intensities that cannot be computed with: too large, too fine, or so far from all others that these look alike.

Images are kept in single precision; what it does not hold is told of the file, before anything is made from it.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np

from autoseg.arrays import Array
from autoseg.words import counted

LARGEST = 1e37
"""Single precision ends at 3.4e38; splines overshoot, by less than 2 along each of three axes."""

FEWEST_LEVELS = 64
"""Steps that a range must have in single precision: rounding then adds less than a percent to noise over a tenth of it."""

FLAT = 1e-3
"""Standard deviations that all voxels but a few differ by, where it is told as an error: half precision, in which networks
compute, has steps of a thousandth."""

NEARLY_FLAT = 0.05
"""The same, where it is worth a look: the voxels of ordinary images differ by some five."""

TRIMMED, LEAST_TRIMMED = 0.005, 4
"""Share of the distinct values, and how many at least, that are set aside at each end to see what the others differ by."""

FEWEST_VALUES = 20
"""With fewer distinct values the image is a mask or a map of classes, and the rarest may matter most."""

FEW_ODD_VALUES = 16
"""Distinct values that count as odd ones; a sparse image, such as a map of probabilities, has more."""

IMPLAUSIBLE = 1e15
"""No unit of imaging has values like it: as odd however many there are."""

SAMPLED = 100_000
"""Voxels looked at first; those that differ from all others by far show in the whole image's range."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Oddity:
    """What is odd about an image's values.

    Attributes:
        unusable: Whether nothing could be learned from the image, or found in it.
        text: What is wrong, and what to do.
    """

    unusable: bool
    text: str


def odd_magnitudes(data: Array) -> Oddity | None:
    """Whether an image's values can be computed with; None where they can, and where some are no numbers at all.

    Args:
        data: `(Z, Y, X)` as it was read, of any type.
    """
    low, high = data.min(), data.max()
    if not (np.isfinite(low) and np.isfinite(high)) or low == high:
        return None
    text = _too_large(data, float(low), float(high)) or _too_fine(data, low, high)
    return Oddity(unusable=True, text=text) if text else _flattened(data, float(low), float(high))


def spread_values(data: Array, most: int) -> Array:
    """Up to about `most` of an array's values, evenly spaced."""
    values: Array = data.reshape(-1)[:: sampling_step(data.size, most)]
    return values


def sampling_step(size: int, most: int) -> int:
    """Between values of which about `most` are taken of `size`.

    It shares no divisor with the array's sides: it would run along a few columns only.
    """
    step = max(1, size // most)
    while math.gcd(step, size) > 1:
        step += 1
    return step


def _too_large(data: Array, low: float, high: float) -> str | None:
    if max(-low, high) <= LARGEST:
        return None
    count = sum(int(np.count_nonzero(np.abs(plane) > LARGEST)) for plane in data)
    return (
        f"holds {_farthest(data, 0.0)}{_and_more(count)} beyond {LARGEST:g}, which single precision cannot be computed with; "
        "replace what marks missing values by 0 or what lies around, or scale the image"
    )


def _too_fine(data: Array, low: Any, high: Any) -> str | None:
    """Where rounding to single precision loses what the values differ by."""
    if data.dtype in (np.float32, np.float16) or data.dtype.itemsize <= 2:
        return None
    width = float(high.item() - low.item())  # of whole numbers exactly
    step = float(np.spacing(np.float32(max(abs(float(low)), abs(float(high))))))
    if step * FEWEST_LEVELS <= width or not any(np.any(plane != plane.astype(np.float32)) for plane in data):
        return None
    return (
        f"holds values from {low:.15g} to {high:.15g}, which single precision tells apart by {step:.2g} only; "
        "take off what they have in common, or scale them"
    )


def _flattened(data: Array, low: float, high: float) -> Oddity | None:
    """Where a few voxels lie so far out that, over the standard deviation, all others are alike."""
    values = np.unique(np.append(spread_values(data, SAMPLED).astype(np.float64), (low, high)))
    trimmed = max(LEAST_TRIMMED, int(TRIMMED * len(values)))
    if len(values) < FEWEST_VALUES and high - low < IMPLAUSIBLE:
        return None
    trimmed = min(trimmed, (len(values) - 1) // 2)
    first, last = values[trimmed], values[-1 - trimmed]
    width = float(last - first)
    if width >= NEARLY_FLAT * (high - low) / 2:  # no deviation is larger than half the range
        return None
    differ = width / _deviation(data)
    if differ >= NEARLY_FLAT:
        return None
    far = [plane[(plane < first - width) | (plane > last + width)] for plane in data]
    count = sum(part.size for part in far)
    if len(np.unique(np.concatenate(far))) > FEW_ODD_VALUES and max(-low, high) < IMPLAUSIBLE:
        return None
    return Oddity(
        unusable=differ < FLAT,
        text=f"holds {_farthest(data, (first + last) / 2)}{_and_more(count)} so far from all others ({first:.4g} to "
        f"{last:.4g}) that these differ by {differ:.1g} standard deviations only, and look alike once normalised; "
        "replace what marks missing values by 0 or what lies around",
    )


def _deviation(data: Array) -> float:
    mean = sum(float(plane.sum(dtype=np.float64)) for plane in data) / data.size
    squares = (np.square(np.subtract(plane, mean, dtype=np.float64)) for plane in data)
    return math.sqrt(sum(float(part.sum()) for part in squares) / data.size)


def _farthest(data: Array, centre: float) -> str:
    """The value that lies farthest from another, and where."""
    ends = (int(data.argmin()), int(data.argmax()))
    place = max(ends, key=lambda index: abs(float(data.flat[index]) - centre))
    voxel = ", ".join(str(index) for index in reversed(np.unravel_index(place, data.shape)))
    value = data.flat[place]
    written = str(value) if data.dtype.kind in "iu" else f"{value:.4g}"
    return f"{written} at voxel ({voxel}; x, y, z)"


def _and_more(count: int) -> str:
    return "," if count == 1 else f" and {counted(count, 'voxel')} in all"
