"""Bringing intensities to a common scale, by one rule for each channel."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Sequence

import numpy as np

from autoseg.arrays import Float32Array, Float64Array, LabelArray, Mask
from autoseg.dataset.normalisations import CT, NO_NORM, Z_SCORE, Normalisation
from autoseg.dataset.target import is_outside
from autoseg.errors import PlanError
from autoseg.plans import IntensityRule, IntensityStatistics
from autoseg.preprocessing.scaling import not_measured, scale

SMALLEST_DEVIATION = 1e-8
"""What the intensities of training cases are divided by at least, where all are the same."""


def normalise(
    data: Float32Array,
    segmentation: LabelArray | None,
    *,
    rules: Sequence[IntensityRule],
    intensities: Sequence[IntensityStatistics | None] | None,
    out: Float32Array | None = None,
) -> Float32Array:
    """Normalise every channel by its rule.

    CT: clipped to the 0.5 and 99.5 percentiles of the training cases' foreground, then minus its mean, over its
    standard deviation. nonCT: minus the image's own mean, over its own standard deviation, both measured in double
    precision; a constant image becomes 0. noNorm: unchanged. All others: `preprocessing.scaling`.
    With a mask, all but CT and noNorm measure inside only, and everything but noNorm is 0 outside.

    Args:
        data: `(C, Z, Y, X)`.
        segmentation: `(Z, Y, X)`, negative outside the mask; may be None where no channel uses the mask.
        rules: Of each channel.
        intensities: Foreground intensities of the training cases for each channel; needed by CT.
        out: Where to write, `data` itself if wanted; a new array otherwise.

    Returns:
        `(C, Z, Y, X)` float32.

    Raises:
        PlanError: A CT channel without intensities in the plans, or a mask that is not given.
        ExtensionError: A function of the user's own that cannot be found, or returns anything but such an array.

    Source: Isensee et al. 2021, Fig. 2, "Intensity normalization".
    """
    normalised = np.empty(data.shape, dtype=np.float32) if out is None else out
    statistics = intensities if intensities is not None else [None] * len(data)
    if any(rule.masked for rule in rules) and segmentation is None:
        raise PlanError("a channel is normalised inside the mask, so a segmentation with the mask is needed")
    for channel, rule in enumerate(rules):
        outside = is_outside(segmentation) if rule.masked and segmentation is not None else None
        if rule.normalisation.name == CT:
            _normalise_ct(data[channel], normalised[channel], statistics[channel], channel)
        else:
            _normalise_channel(data[channel], normalised[channel], rule.normalisation, outside)
        if outside is not None and rule.normalisation.name != NO_NORM:
            normalised[channel][outside] = 0
    return normalised


def _normalise_channel(values: Float32Array, result: Float32Array, rule: Normalisation, outside: Mask | None) -> None:
    if rule.name == NO_NORM:
        result[...] = values
        return
    if rule.name != Z_SCORE:
        scale(values, result, rule, outside)
        return
    mean, deviation = _mean_and_deviation(values, not_measured(values, rule, outside))
    np.subtract(values, mean, out=result, dtype=np.float64, casting="same_kind")
    np.divide(result, deviation or 1.0, out=result, dtype=np.float64, casting="same_kind")


def _normalise_ct(
    values: Float32Array, result: Float32Array, statistics: IntensityStatistics | None, channel: int
) -> None:
    if statistics is None:
        raise PlanError(
            f"channel {channel}: CT normalisation needs the intensities of the training cases, which these plans do not "
            "hold; make them with autoseg_plan_and_preprocess, or plan from a fingerprint.json that has intensities"
        )
    np.clip(values, statistics.percentile_00_5, statistics.percentile_99_5, out=result)
    result -= np.float32(statistics.mean)
    result /= np.float32(max(statistics.sd, SMALLEST_DEVIATION))


def _mean_and_deviation(values: Float32Array, outside: Mask | None) -> tuple[float, float]:
    """Mean and standard deviation inside the mask, in double precision; zeros where nothing is inside.

    Sums are of what differs from some value of the image, so that nothing of a large offset is left, and of a constant
    image exactly 0.
    """
    count = values.size if outside is None else values.size - int(np.count_nonzero(outside))
    if not count:
        return 0.0, 0.0
    offset = next(float(part.flat[0]) for part in _inside(values, outside) if part.size)
    mean = offset + _sum(np.subtract(part, offset, dtype=np.float64) for part in _inside(values, outside)) / count
    squares = (np.square(np.subtract(part, mean, dtype=np.float64)) for part in _inside(values, outside))
    return mean, math.sqrt(_sum(squares) / count)


def _sum(parts: Iterable[Float64Array]) -> float:
    return sum(float(part.sum()) for part in parts)


def _inside(values: Float32Array, outside: Mask | None) -> Iterator[Float32Array]:
    """The values inside the mask, a slice at a time to spare memory."""
    for number, plane in enumerate(values):
        yield plane if outside is None else plane[~outside[number]]
