"""Is a new image like the training cases? Each of its measures is held against the limits that theirs set."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace

import numpy as np

from autoseg.planning.appearance import Appearance
from autoseg.planning.fingerprint import DatasetFingerprint
from autoseg.planning.input_warnings import InputWarning, warn_of
from autoseg.planning.limits import Limits, Reference, summarise_training
from autoseg.planning.measures import LIKENESS, measures_of, orientation_of, turns_from

FOLDS = 5
"""As in cross-validation; in blocks of the case list, where cases of one patient are neighbours."""


@dataclass(frozen=True, slots=True, kw_only=True)
class InputComparison:
    """An image held against the training cases.

    Attributes:
        values: Every measure, by name.
        orientation: Where the file's axes point, such as RAS; None where it was not measured.
    """

    values: Mapping[str, float]
    orientation: str | None
    warnings: tuple[InputWarning, ...]


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
    measured = [measures_of(case, fingerprint.channels) for case in cases]
    return replace(summarise_training(cases, measured, fingerprint.channels), in_pixels=fingerprint.in_pixels)


def count_false_alarms(fingerprint: DatasetFingerprint) -> FalseAlarms:
    """Cross-validate the comparison on the training cases themselves."""
    cases, warned = fingerprint.appearances, []
    blocks = [block for block in np.array_split(np.arange(len(cases)), FOLDS) if len(block)]
    if len(blocks) < 2:
        return FalseAlarms(cases=0, warned=(), rate=None)
    measured = [measures_of(case, fingerprint.channels) for case in cases]
    for block in blocks:
        others = np.delete(np.arange(len(cases)), block)
        reference = summarise_training(
            [cases[index] for index in others], [measured[index] for index in others], fingerprint.channels
        )
        turns = turns_from([cases[index] for index in block], reference.directions)
        warned += [
            fingerprint.cases[index]
            for index, turn in zip(block, turns, strict=True)
            if _far(measured[index] | turn, reference)
        ]
    return FalseAlarms(cases=len(cases), warned=tuple(warned), rate=len(warned) / len(cases))


def compare_input(case: Appearance, reference: Reference) -> InputComparison:
    """Hold an image against the training cases.

    Args:
        case: With as many channels as they have.
    """
    values = measures_of(case, reference.channels) | turns_from([case], reference.directions)[0]
    orientation = orientation_of(case)
    return InputComparison(
        values=values,
        orientation=orientation,
        warnings=warn_of(_far(values, reference), values, orientation, reference),
    )


def _far(values: Mapping[str, float], reference: Reference) -> dict[str, Limits]:
    """The limits that an image does not keep; what it is too small to measure keeps them."""
    return {
        name: limits
        for name, limits in reference.limits.items()
        if not limits.holds(values.get(name, math.nan)) and (name in values or not name.endswith(LIKENESS))
    }
