"""What an image is compared by: each measure a number with a name, of its grid, its orientation and its intensities.

Images without absolute units, such as MRI, are measured by the form of their histogram; CT, and channels that are not
normalised, by their values.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache

import numpy as np

from autoseg.arrays import Float64Array
from autoseg.geometry import Geometry
from autoseg.planning.appearance import Appearance, Direction, IntensityRange
from autoseg.planning.normalisation import choose_scheme

AXES = ("z", "y", "x")

LIKENESS = "likeness"

MIRRORED = 180.0
"""Degrees: no rotation undoes it."""


def measures_of(case: Appearance, channels: Sequence[str]) -> dict[str, float]:
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
            measured = _absolute(found) if is_absolute(channel) else _relative(found)
            values |= {f"channel_{number}_{name}": value for name, value in measured.items()}
    return values


def is_absolute(channel: str) -> bool:
    """Whether a channel's values have a unit, so that they mean the same in every image."""
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


def turns_from(cases: Sequence[Appearance], others: Float64Array) -> list[dict[str, float]]:
    """How far each case is turned from the nearest of the `(n, 3, 3)` directions; nothing where that was not measured."""
    if any(case.direction is None for case in cases) or not len(others):
        return [{} for _ in cases]
    nearest = _turns(directions_of(cases), others).min(axis=1)
    return [{"orientation": turn} for turn in nearest.tolist()]


def _turns(directions: Float64Array, others: Float64Array) -> Float64Array:
    """`(n, 3, 3)` and `(m, 3, 3)` to `(n, m)` degrees: the most by which an axis differs; a mirrored grid by 180."""
    cosines = np.einsum("nij,mij->nmj", directions, others).min(axis=2)
    mirrored = np.linalg.det(directions)[:, None] * np.linalg.det(others) < 0
    return np.where(mirrored, MIRRORED, np.degrees(np.arccos(np.clip(cosines, -1, 1))))


def directions_of(cases: Sequence[Appearance]) -> Float64Array:
    """`(n, 3, 3)`, as in `Geometry`, of the cases whose direction was measured."""
    return np.array([case.direction for case in cases if case.direction is not None]).reshape(-1, 3, 3)


def orientation_of(case: Appearance) -> str | None:
    """Where the file's axes point, such as RAS; None where it was not measured."""
    return None if case.direction is None else _orientation_by(case.direction)


@lru_cache(maxsize=4096)
def _orientation_by(direction: Direction) -> str:
    return Geometry(spacing=(1.0, 1.0, 1.0), direction=direction).orientation
