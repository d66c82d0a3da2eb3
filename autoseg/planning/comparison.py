"""Is a new image like the training cases? Each of its measures is held against theirs, widened by their own spread.

A measure is far off when it lies beyond three things: the range of the training cases, that range widened by what
scanners and protocols differ by, and what cases spread like them would reach by chance. Images without absolute units,
such as MRI, are compared by the form of their histogram; CT, and channels that are not normalised, by their values.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from scipy.special import stdtrit

from autoseg.arrays import Float64Array
from autoseg.geometry import Geometry
from autoseg.planning.appearance import Appearance, Direction, IntensityRange
from autoseg.planning.fingerprint import DatasetFingerprint
from autoseg.planning.normalisation import choose_scheme
from autoseg.words import counted

AXES = ("z", "y", "x")

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

LIKENESS = "likeness"

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

MIRRORED = 180.0
"""Degrees: no rotation undoes it."""

LARGEST_LOGARITHM = 700.0
"""Of a limit: a few very different cases allow anything, but a number that a file can hold."""

FOLDS = 5
"""As in cross-validation; in blocks of the case list, where cases of one patient are neighbours."""

NOT_COMPARED = (
    "only voxel and image size can be compared with the training cases': the fingerprint is of an earlier version; "
    "run autoseg_plan_and_preprocess again"
)

LIKENESS_NOT_COMPARED = "noise cannot be told from an image: the fingerprint is of an earlier version; plan again"

REMEDIES = {
    "spacing": "check the voxel size in its header, which is meant in mm",
    "size": "check that it shows what the training images show, and its voxel size",
    "orientation": "check whether it was mirrored or its axes swapped, and reorient it as they are",
    "relative": "check that it is the same kind of image, neither inverted, shifted nor windowed",
    LIKENESS: "check that it is an image: neighbouring voxels differ as in noise, or where voxels are out of order",
    "absolute": "check the unit: CT is stored in Hounsfield units, with air at -1000",
}


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
class InputWarning:
    """Something in which an image is unlike the training cases.

    Attributes:
        name: `spacing`, `size`, `orientation`, `channel_0` ...
        text: What is far off, the training cases' range, and what to check.
    """

    name: str
    text: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Comparison:
    """An image held against the training cases.

    Attributes:
        values: Every measure, by name.
        orientation: Where the file's axes point, such as RAS; None where it was not measured.
    """

    values: Mapping[str, float]
    orientation: str | None
    warnings: tuple[InputWarning, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Reference:
    """What the training cases look like together.

    Attributes:
        limits: Of every measure, by name.
        directions: `(n, 3, 3)`, as in `Geometry`, each once; empty where they were not measured.
        orientations: Where the axes point, each kind once, the most frequent first.
    """

    cases: int
    channels: tuple[str, ...]
    limits: Mapping[str, Limits]
    directions: Float64Array
    orientations: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class FalseAlarms:
    """How many training cases would be warned of, were they new: each compared with those of the other folds.

    Attributes:
        cases: How many were compared.
        warned: Those with a warning.
        rate: Their share; None where nothing could be compared.
    """

    cases: int
    warned: tuple[str, ...]
    rate: float | None


def make_reference(fingerprint: DatasetFingerprint) -> Reference:
    """What new images are compared with; measures that the fingerprint does not hold are left out."""
    cases = fingerprint.appearances
    return _reference(cases, [_measures(case, fingerprint.channels) for case in cases], fingerprint.channels)


def count_false_alarms(fingerprint: DatasetFingerprint) -> FalseAlarms:
    """Cross-validate the comparison on the training cases themselves."""
    cases, warned = fingerprint.appearances, []
    blocks = [block for block in np.array_split(np.arange(len(cases)), FOLDS) if len(block)]
    if len(blocks) < 2:
        return FalseAlarms(cases=0, warned=(), rate=None)
    measured = [_measures(case, fingerprint.channels) for case in cases]
    for block in blocks:
        others = np.delete(np.arange(len(cases)), block)
        reference = _reference(
            [cases[index] for index in others], [measured[index] for index in others], fingerprint.channels
        )
        turns = _turns_from([cases[index] for index in block], reference)
        warned += [
            fingerprint.cases[index]
            for index, turn in zip(block, turns, strict=True)
            if _far(measured[index] | turn, reference)
        ]
    return FalseAlarms(cases=len(cases), warned=tuple(warned), rate=len(warned) / len(cases))


def compare(case: Appearance, reference: Reference) -> Comparison:
    """Hold an image against the training cases.

    Args:
        case: With as many channels as they have.
    """
    values = _measures(case, reference.channels) | _turns_from([case], reference)[0]
    far = _far(values, reference)
    names = dict.fromkeys(_topic(name) for name in far)
    orientation = _orientation(case)
    return Comparison(
        values=values,
        orientation=orientation,
        warnings=tuple(
            InputWarning(name=topic, text=_text(topic, far, values, orientation, reference)) for topic in names
        ),
    )


def _far(values: Mapping[str, float], reference: Reference) -> dict[str, Limits]:
    """The limits that an image does not keep; what it is too small to measure keeps them."""
    return {
        name: limits
        for name, limits in reference.limits.items()
        if not limits.holds(values.get(name, math.nan)) and (name in values or not name.endswith(LIKENESS))
    }


# ------------------------------------------------------------------ measures


def _measures(case: Appearance, channels: Sequence[str]) -> dict[str, float]:
    """Every measure but the turn; those of a channel without any value, or with a single one, are left out."""
    values: dict[str, float] = {}
    for axis, side, voxels in zip(AXES, case.spacing, case.shape, strict=True):
        values |= {f"spacing_{axis}": side, f"size_{axis}": side * voxels}
    values |= {
        f"channel_{number}_{LIKENESS}": likeness
        for number, likeness in enumerate(case.likenesses)
        if likeness is not None
    }
    for number, (channel, found) in enumerate(zip(channels, case.ranges, strict=False)):
        if found is not None and found.width > 0:
            measured = _absolute(found) if _is_absolute(channel) else _relative(found)
            values |= {f"channel_{number}_{name}": value for name, value in measured.items()}
    return values


def _is_absolute(channel: str) -> bool:
    return choose_scheme(channel) != "nonCT"


def _absolute(found: IntensityRange) -> dict[str, float]:
    return {"low": found.percentile_00_5, "median": found.median, "high": found.percentile_99_5}


def _relative(found: IntensityRange) -> dict[str, float]:
    """The width of the range; then in widths where it starts, where its median lies, and how much longer the bright
    tail (75th to 95th percentile) is than the dark one (5th to 25th)."""
    bright = found.percentile_95 - found.percentile_75
    dark = found.percentile_25 - found.percentile_05
    return {
        "width": found.width,
        "start": found.percentile_00_5 / found.width,
        "middle": (found.median - found.percentile_00_5) / found.width,
        "tails": (bright - dark) / found.width,
    }


def _turns_from(cases: Sequence[Appearance], reference: Reference) -> list[dict[str, float]]:
    """How far each case is turned from the nearest training case; nothing where that was not measured."""
    if any(case.direction is None for case in cases) or not len(reference.directions):
        return [{} for _ in cases]
    nearest = _turns(_axes(cases), reference.directions).min(axis=1)
    return [{"orientation": turn} for turn in nearest.tolist()]


def _turns(directions: Float64Array, others: Float64Array) -> Float64Array:
    """`(n, 3, 3)` and `(m, 3, 3)` to `(n, m)` degrees: the most by which an axis differs; a mirrored grid by 180."""
    cosines = np.einsum("nij,mij->nmj", directions, others).min(axis=2)
    mirrored = np.linalg.det(directions)[:, None] * np.linalg.det(others) < 0
    return np.where(mirrored, MIRRORED, np.degrees(np.arccos(np.clip(cosines, -1, 1))))


def _axes(cases: Sequence[Appearance]) -> Float64Array:
    return np.array([case.direction for case in cases if case.direction is not None]).reshape(-1, 3, 3)


def _orientation(case: Appearance) -> str | None:
    return None if case.direction is None else _orientation_by(case.direction)


@lru_cache(maxsize=4096)
def _orientation_by(direction: Direction) -> str:
    return Geometry(spacing=(1.0, 1.0, 1.0), direction=direction).orientation


# -------------------------------------------------------------------- limits


def _reference(
    cases: Sequence[Appearance], measured: Sequence[Mapping[str, float]], channels: tuple[str, ...]
) -> Reference:
    # what some training case lacks, such as an empty channel, is no ground to warn of another that lacks it
    names = [name for name in measured[0] if all(name in values for values in measured) and name not in _flat(cases)]
    units = [_unit(cases, number) for number in range(len(channels))]
    directions = _axes(cases)
    limits = {name: _limits(name, [values[name] for values in measured], units) for name in names}
    limits = {name: found for name, found in limits.items() if not name.endswith(LIKENESS) or found.lowest >= NOISY}
    codes = [code for case in cases if (code := _orientation(case))]
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


# --------------------------------------------------------------------- words


def _topic(name: str) -> str:
    return name.rpartition("_")[0] or name


def _text(
    topic: str, far: Mapping[str, Limits], values: Mapping[str, float], orientation: str | None, reference: Reference
) -> str:
    if topic == "orientation":
        usual = " or ".join(reference.orientations)
        reversed_ = values[topic] > MIRRORED - 0.5
        how = "mirrored or reversed" if reversed_ else f"turned by {counted(f'{values[topic]:.0f}', 'degree')}"
        return f"its axes point to {orientation}, {how} against the training cases' {usual}; {REMEDIES[topic]}"
    theirs = {name: limits for name, limits in far.items() if _topic(name) == topic and name in values}
    parts = [_part(name.rpartition("_")[2], values[name], limits) for name, limits in theirs.items()]
    if topic in REMEDIES:
        what = {"spacing": "voxel size in mm", "size": "size in mm"}[topic]
        return f"{what} far from the training cases': {', '.join(parts)}; {REMEDIES[topic]}"
    channel = reference.channels[int(topic.rpartition("_")[2])]
    where = f"channel {topic.rpartition('_')[2]} ({channel})"
    if not parts:
        return f"{where} is empty or holds one value only, unlike in the training cases; check the file"
    kinds = ["absolute" if _is_absolute(channel) else "relative"] * any(not name.endswith(LIKENESS) for name in theirs)
    kinds += [LIKENESS] * any(name.endswith(LIKENESS) for name in theirs)
    remedy = "; ".join(REMEDIES[kind] for kind in kinds)
    return f"the intensities of {where} are far from the training cases': {', '.join(parts)}; {remedy}"


def _part(measure: str, value: float, limits: Limits) -> str:
    words = {
        "low": "lowest",
        "high": "highest",
        "start": "start (in widths of the range)",
        "middle": "median (in widths above the start)",
        "tails": "bright tail minus dark tail (in widths)",
        LIKENESS: "correlation of neighbouring voxels",
    }
    theirs = f"{limits.lowest:.4g}"
    if f"{limits.highest:.4g}" != theirs:
        theirs += f" to {limits.highest:.4g}"
    return f"{words.get(measure, measure)} {value:.4g} (theirs {theirs})"
