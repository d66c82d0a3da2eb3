"""Between what a new image counts as like the training cases: for each measure, their range, widened by their own spread.

A measure is far off when it lies beyond three things: the range of the training cases, that range widened by what
scanners and protocols differ by, and what cases spread like them would reach by chance.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from scipy.special import stdtrit

from autoseg.arrays import Float64Array
from autoseg.planning.appearance import Appearance
from autoseg.planning.measures import AXES, LIKENESS, directions_of, orientation_of

CHANCE = 1e-4
"""Of a training-like case to lie beyond a limit, were the measure normally distributed: with two limits for each of a
dozen measures, a quarter of a percent of such cases is warned of."""

GRID_FACTOR = 2.0
"""Voxels twice as large, or half, and so the field of view: resampling and augmentation cope with less."""

WIDTH_FACTOR = 1000.0
"""Scanners and file types scale images without units as they like, and each case is normalised by itself: hippocampus
MRI of one task differ 5800 times. Beyond, it is worth a look all the same."""

SHIFT = 0.25
"""Of a range's width: CT stored with 1024 added shifts by a third to a half (as `intensity_comparison` has it)."""

MEDIAN_SHIFT = 0.1
"""Of a range's width: 200 hippocampus MRI differ by 0.24 among themselves, an image with a third of it air by more."""

TAIL_SHIFT = 0.05
"""Of a range's width: hippocampus MRI lie between -0.19 and 0, the same images inverted between 0 and 0.19."""

LEAST_LIKENESS = 0.5
"""Of the training case whose neighbouring voxels resemble each other least: half way to noise, whose do not at all.
Scanners, resolutions and filters move it by less (0.46 to 0.99 in the real data tried, of one task by a third)."""

NOISY = 0.2
"""Training images that are little but noise themselves tell nothing of what an image is."""

LARGEST_TURN = 45.0
"""Degrees: beyond, an axis lies nearer to another axis of the training cases than to its own."""

TURN_PER_TILT = 2.0
"""Oblique grids are placed by hand along an organ and turned at will (Sunnybrook: tilted by 48 degrees, one patient
turned by 95 against others). None is tilted by more than 55 degrees, so that a mirrored one is always told."""

LARGEST_LOGARITHM = 700.0
"""Of a limit: a few very different cases allow anything, but a number that a file can hold."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """Of one measure: the training cases' range, and between what a new image counts as like them."""

    lowest: float
    highest: float
    lower_limit: float
    upper_limit: float

    def holds(self, value: float) -> bool:
        """Whether a value is near enough."""
        return self.lower_limit <= value <= self.upper_limit


@dataclass(frozen=True, slots=True, kw_only=True)
class Reference:
    """What the training cases look like together.

    Attributes:
        limits: Of every measure, by name.
        directions: `(n, 3, 3)`, as in `Geometry`, each once; empty where they were not measured.
        orientations: Where the axes point, each kind once, the most frequent first.
        in_pixels: Nothing says how large the voxels of any case are.
    """

    cases: int
    channels: tuple[str, ...]
    limits: Mapping[str, Limits]
    directions: Float64Array
    orientations: tuple[str, ...]
    in_pixels: bool = False


def summarise_training(
    cases: Sequence[Appearance], measured: Sequence[Mapping[str, float]], channels: tuple[str, ...]
) -> Reference:
    """What these cases look like together.

    Args:
        measured: `measures_of` each case.
    """
    # what some training case lacks, such as an empty channel, is no ground to warn of another that lacks it
    names = [name for name in measured[0] if all(name in values for values in measured) and name not in _flat(cases)]
    units = [_unit(cases, number) for number in range(len(channels))]
    directions = directions_of(cases)
    limits = {name: _limits(name, [values[name] for values in measured], units) for name in names}
    limits = {name: found for name, found in limits.items() if not name.endswith(LIKENESS) or found.lowest >= NOISY}
    codes = [code for case in cases if (code := orientation_of(case))]
    return Reference(
        cases=len(cases),
        channels=channels,
        limits=limits | _turn_limits(directions),
        directions=np.unique(directions, axis=0),
        orientations=tuple(sorted(set(codes), key=lambda code: (-codes.count(code), code))),
    )


def _flat(cases: Sequence[Appearance]) -> set[str]:
    """Of slices without neighbours the thickness means nothing."""
    axes = [axis for number, axis in enumerate(AXES) if all(case.shape[number] == 1 for case in cases)]
    return {f"{measure}_{axis}" for measure in ("spacing", "size") for axis in axes}


def _unit(cases: Sequence[Appearance], channel: int) -> float:
    """The usual width of a channel's range."""
    found = [case.ranges[channel] for case in cases if case.ranges]
    return float(np.median([one.width for one in found if one] or [0.0]))


def _limits(name: str, values: Sequence[float], units: Sequence[float]) -> Limits:
    if name.startswith(("spacing", "size")):
        return _factor_limits(values, GRID_FACTOR)
    _, number, measure = name.split("_")
    if measure == LIKENESS:
        lowest, highest = min(values), max(values)
        return Limits(lowest=lowest, highest=highest, lower_limit=lowest * LEAST_LIKENESS, upper_limit=1.0)
    if measure == "width":
        return _factor_limits(values, WIDTH_FACTOR)
    shifts = {"start": SHIFT, "middle": MEDIAN_SHIFT, "tails": TAIL_SHIFT}
    return _shift_limits(np.array(values), shifts.get(measure, SHIFT * units[int(number)]))


def _factor_limits(values: Sequence[float], factor: float) -> Limits:
    found = _shift_limits(np.log(values), math.log(factor))
    ends = np.array([found.lowest, found.highest, found.lower_limit, found.upper_limit])
    lowest, highest, lower, upper = np.exp(np.clip(ends, -LARGEST_LOGARITHM, LARGEST_LOGARITHM)).tolist()
    return Limits(lowest=lowest, highest=highest, lower_limit=lower, upper_limit=upper)


def _shift_limits(values: Float64Array, shift: float) -> Limits:
    """The range widened by `shift` on both sides, or the interval that the next of normally distributed values falls
    in, whichever goes further: few cases tell little of what others may be like."""
    number, mean = len(values), float(values.mean())
    reach = 0.0
    if number > 1:
        reach = float(stdtrit(number - 1, 1 - CHANCE) * values.std(ddof=1) * math.sqrt(1 + 1 / number))
    lowest, highest = float(values.min()), float(values.max())
    return Limits(
        lowest=lowest,
        highest=highest,
        lower_limit=min(lowest - shift, mean - reach),
        upper_limit=max(highest + shift, mean + reach),
    )


def _turn_limits(directions: Float64Array) -> dict[str, Limits]:
    """In degrees against the nearest training case, which for these are they themselves; more the more oblique they lie."""
    if not len(directions):
        return {}
    tilts = np.degrees(np.arccos(np.clip(np.abs(directions).max(axis=1).min(axis=1), 0, 1)))
    allowed = LARGEST_TURN + TURN_PER_TILT * float(np.median(tilts))
    return {"orientation": Limits(lowest=0.0, highest=0.0, lower_limit=0.0, upper_limit=allowed)}
