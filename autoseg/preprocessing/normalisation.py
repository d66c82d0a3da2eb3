"""Bringing intensities to a common scale, by one rule for each channel."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Protocol, TypeAlias

import numpy as np

from autoseg.arrays import Float32Array, Float64Array, LabelArray, Mask
from autoseg.dataset.normalisations import CT, NO_NORM, Z_SCORE, Normalisation
from autoseg.dataset.target import is_outside
from autoseg.errors import PlanError
from autoseg.plans import IntensityRule, IntensityStatistics
from autoseg.preprocessing.scaling import OF_EXTREMES, Linear, Measured, not_measured, scale

SMALLEST_DEVIATION = 1e-8
"""What the intensities of training cases are divided by at least, where all are the same."""

Scale: TypeAlias = Callable[[Float32Array, Float32Array], None]
"""Writes what becomes of some values into an array of their shape, of each by itself."""


class Planes(Measured, Protocol):
    """A channel that is gone through plane by plane, such as an array `(Z, Y, X)`."""

    @property
    def size(self) -> int: ...
    def __iter__(self) -> Iterator[Float32Array]: ...


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
            _ct(statistics[channel], channel)(data[channel], normalised[channel])
        else:
            _normalise_channel(data[channel], normalised[channel], rule.normalisation, outside)
        if outside is not None and rule.normalisation.name != NO_NORM:
            normalised[channel][outside] = 0
    return normalised


def _normalise_channel(values: Float32Array, result: Float32Array, rule: Normalisation, outside: Mask | None) -> None:
    if rule.name == NO_NORM:
        _unchanged(values, result)
        return
    if rule.name != Z_SCORE:
        scale(values, result, rule, outside)
        return
    _z_score(values, not_measured(values, rule, outside)).apply(values, result)


def is_by_planes(rule: IntensityRule) -> bool:
    """Whether a rule brings each value to its scale by itself, once all planes of a channel were seen one by one."""
    return not rule.masked and (rule.normalisation.name in (CT, NO_NORM) or _is_measured_by_planes(rule.normalisation))


def scaling_by_planes(
    planes: Planes, rule: IntensityRule, statistics: IntensityStatistics | None, channel: int
) -> Scale:
    """What `normalise` does to the values of a channel of which no more than a plane is held.

    Args:
        planes: The channel.
        rule: One for which `is_by_planes` holds.
        statistics: Of the training cases.
        channel: Its number.

    Raises:
        PlanError: As `normalise`.
    """
    normalisation = rule.normalisation
    if normalisation.name == CT:
        return _ct(statistics, channel)
    if normalisation.name == NO_NORM:
        return _unchanged
    if normalisation.name == Z_SCORE:
        return _z_score(planes, None).apply
    return OF_EXTREMES[normalisation.name](planes, normalisation).apply


def _is_measured_by_planes(rule: Normalisation) -> bool:
    measures_all = rule.background is None and rule.background_percentile is None
    return measures_all and (rule.name == Z_SCORE or rule.name in OF_EXTREMES)


def _ct(statistics: IntensityStatistics | None, channel: int) -> Scale:
    if statistics is None:
        raise PlanError(
            f"channel {channel}: CT normalisation needs the intensities of the training cases, which these plans do not "
            "hold; make them with autoseg_plan_and_preprocess, or plan from a fingerprint.json that has intensities"
        )
    low, high = statistics.percentile_00_5, statistics.percentile_99_5
    mean, deviation = np.float32(statistics.mean), np.float32(max(statistics.sd, SMALLEST_DEVIATION))

    def scale_ct(values: Float32Array, result: Float32Array) -> None:
        np.clip(values, low, high, out=result)
        result -= mean
        result /= deviation

    return scale_ct


def _unchanged(values: Float32Array, result: Float32Array) -> None:
    result[...] = values


def _z_score(values: Planes, outside: Mask | None) -> Linear:
    mean, deviation = _mean_and_deviation(values, outside)
    return Linear(shift=mean, divisor=deviation)


def _mean_and_deviation(values: Planes, outside: Mask | None) -> tuple[float, float]:
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


def _inside(values: Planes, outside: Mask | None) -> Iterator[Float32Array]:
    """The values inside the mask, a slice at a time to spare memory."""
    for number, plane in enumerate(values):
        yield plane if outside is None else plane[~outside[number]]
