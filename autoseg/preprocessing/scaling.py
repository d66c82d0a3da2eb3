"""Rules that bring one channel of one image to a common scale, each measured on the image itself.

Most are linear: what is subtracted, and what is divided by. They are measured inside the nonzero region, or above a
background value, and applied everywhere.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any, Protocol

import numpy as np

from autoseg.arrays import Array, Float32Array, Mask
from autoseg.dataset.normalisations import Normalisation, OwnFunction
from autoseg.errors import ExtensionError
from autoseg.extensions import digest_of_code, import_file

LARGEST_BYTE, LARGEST_WORD = 255.0, 65_535.0
"""Of a colour in 8 and in 16 bits."""

QUARTERS = (25.0, 75.0)

QUANTILES = 1000
"""As many as scikit-learn's QuantileTransformer takes."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Linear:
    """A value v becomes (v - shift) / divisor, after it was clipped where bounds are given."""

    shift: float
    divisor: float
    bounds: tuple[float, float] | None = None

    def apply(self, values: Float32Array, result: Float32Array) -> None:
        """Write the scaled values into an array of their shape, which may be their own."""
        source = values if self.bounds is None else np.clip(values, *self.bounds, out=result)
        np.subtract(source, self.shift, out=result, dtype=np.float64, casting="same_kind")
        np.divide(result, self.divisor or 1.0, out=result, dtype=np.float64, casting="same_kind")


class Measured(Protocol):
    """Values of which the least and the largest are known, such as an array."""

    def min(self) -> Any: ...
    def max(self) -> Any: ...


def scale(values: Float32Array, result: Float32Array, rule: Normalisation, outside: Mask | None) -> None:
    """Scale one channel by any rule but CT, nonCT and noNorm.

    rgb: over 255, or over 65535 where a value is larger than 255. min_max: the least value becomes 0, the largest 1.
    percentile: the same of two percentiles, to which all is clipped. robust: minus the median, over the interquartile
    range. max_abs: over the largest absolute value. quantile: the share of measured values that lie below. histogram:
    contrast-limited adaptive equalisation (CLAHE), between 0 and 1. Where all measured values are alike, or there are
    none, they become 0 (by max_abs of zeros, too).

    Args:
        values: `(Z, Y, X)`; may be `result` itself.
        outside: `(Z, Y, X)`, of what is not measured; None measures all.

    Raises:
        ExtensionError: A function of the user's own that cannot be found, or returns anything but such an array.
    """
    if (own := rule.own) is not None:
        result[...] = _by_own(values, own, outside)
        return
    if rule.name == "histogram":
        result[...] = _equalised(values, rule, outside)
        return
    left_out = not_measured(values, rule, outside)
    measured = values.reshape(-1) if left_out is None else values[~left_out]
    if not measured.size:
        result[...] = 0
    elif rule.name == "quantile":
        result[...] = _ranked(values, measured)
    else:
        LINEAR[rule.name](measured, rule).apply(values, result)


def not_measured(values: Float32Array, rule: Normalisation, outside: Mask | None) -> Mask | None:
    """Which of the voxels do not count: what is outside the mask, or not above the background; None: all count."""
    background = rule.background
    if (percentile := rule.background_percentile) is not None:
        background = float(np.percentile(values, percentile))
    return outside if background is None else values <= background


def _rgb(measured: Measured, _: Normalisation) -> Linear:
    return Linear(shift=0.0, divisor=LARGEST_BYTE if measured.max() <= LARGEST_BYTE else LARGEST_WORD)


def _min_max(measured: Measured, _: Normalisation) -> Linear:
    low, high = float(measured.min()), float(measured.max())
    return Linear(shift=low, divisor=high - low)


def _percentile(measured: Array, rule: Normalisation) -> Linear:
    low, high = np.percentile(measured.astype(np.float64), (rule.number("low"), rule.number("high"))).tolist()
    return Linear(shift=low, divisor=high - low, bounds=(low, high))


def _robust(measured: Array, _: Normalisation) -> Linear:
    low, median, high = np.percentile(measured.astype(np.float64), (QUARTERS[0], 50, QUARTERS[1])).tolist()
    return Linear(shift=median, divisor=high - low)


def _max_abs(measured: Measured, _: Normalisation) -> Linear:
    return Linear(shift=0.0, divisor=max(-float(measured.min()), float(measured.max())))


OF_EXTREMES: Mapping[str, Callable[[Measured, Normalisation], Linear]] = {
    "rgb": _rgb,
    "min_max": _min_max,
    "max_abs": _max_abs,
}
"""Rules that follow from the least and the largest value."""

LINEAR: Mapping[str, Callable[[Array, Normalisation], Linear]] = {
    **OF_EXTREMES,
    "percentile": _percentile,
    "robust": _robust,
}


def _ranked(values: Float32Array, measured: Array) -> Array:
    """The share of the measured values below each value, linear between quantiles, ties in the middle but at the ends."""
    shares = np.linspace(0, 1, min(QUANTILES, measured.size))
    quantiles = np.quantile(measured.astype(np.float64), shares)
    if quantiles[0] == quantiles[-1]:
        return np.zeros_like(values)
    up = np.interp(values, quantiles, shares)
    down = np.interp(-values.astype(np.float64), -quantiles[::-1], -shares[::-1])
    ranked: Array = np.where(values <= quantiles[0], 0, np.where(values >= quantiles[-1], 1, (up - down) / 2))
    return ranked


def _equalised(values: Float32Array, rule: Normalisation, outside: Mask | None) -> Array:
    from skimage.exposure import equalize_adapthist

    inside = values if outside is None else values[~outside]
    low, high = (float(inside.min()), float(inside.max())) if inside.size else (0.0, 0.0)
    if low == high:
        return np.zeros_like(values)
    between = np.clip((values.astype(np.float64) - low) / (high - low), 0, 1)
    squeezed = between.squeeze()  # it does not take an axis of one voxel
    equalised: Array = equalize_adapthist(squeezed, clip_limit=rule.number("clip")).reshape(values.shape)
    return equalised


def _by_own(values: Float32Array, own: OwnFunction, outside: Mask | None) -> Array:
    """What the user's function makes of a copy of the channel and of where it counts, `(Z, Y, X)` each."""
    inside = np.ones(values.shape, dtype=bool) if outside is None else ~outside
    found = np.asarray(_own_function(own)(values.copy(), inside))
    if found.shape != values.shape or found.dtype.kind not in "iuf" or not np.isfinite(found).all():
        raise ExtensionError(
            f"{own.file}:{own.name}: of an image of {values.shape} voxels it returned an array of shape {found.shape} and type "
            f"{found.dtype}, or numbers that are not finite; return one finite number for each voxel"
        )
    return found


@lru_cache(maxsize=16)
def _own_function(own: OwnFunction) -> Callable[[Float32Array, Mask], Array]:
    """The function, if its file still does what it did when the plans were made: plans may come from elsewhere."""
    path = Path(own.file)
    if path.is_file() and digest_of_code(path) != own.digest:
        raise ExtensionError(
            f"{path}: is not the file that the plans were made with, which name the digest of its code; bring that file "
            "back, or plan and preprocess anew"
        )
    function: Callable[[Float32Array, Mask], Array] | None = getattr(import_file(path), own.name, None)
    if not callable(function):
        raise ExtensionError(f"{path}: has no function {own.name}; define {own.name}(image, inside) there")
    return function
