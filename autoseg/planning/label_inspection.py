"""What is wrong with the labels of a case, by themselves and on its images, and with the labels of all cases together."""

from __future__ import annotations

from collections.abc import Mapping, Sequence, Set

import numpy as np

from autoseg.arrays import Array
from autoseg.dataset import BACKGROUND
from autoseg.geometry import bounding_box, box_slices
from autoseg.images.whole_numbers import fractional_values, rounded_values
from autoseg.words import agreeing, counted, first_few, in_digits, readable

LISTED_LABELS = 10


def label_values(label: Array) -> Array:
    """The distinct values of a volume, sorted."""
    return np.unique(np.concatenate([np.unique(plane) for plane in label]))  # by planes: no second copy of the volume


def label_faults(values: Array, declared: Sequence[int] | None) -> list[str]:
    """What is wrong with the values of a label file.

    Args:
        declared: All label values, background included; None where they are not known.
    """
    faults = []
    fractions = fractional_values(values)
    if len(fractions):
        faults.append(
            f"holds values that are no whole numbers: {first_few(fractions, say=in_digits)}; "
            "save the labels as integers, resampled without interpolation"
        )
    undeclared = values[~np.isin(values, (*fractions, *declared)) & ~np.isnan(values)] if declared else values[:0]
    if declared and len(undeclared):
        known = f"0 to {declared[-1]}" if isinstance(declared, range) else first_few(declared)
        faults.append(
            f"holds the {agreeing(len(undeclared), 'value')} {first_few(undeclared, say=in_digits)}, which dataset.json does not declare ({known}); "
            "declare them under labels, or renumber them in the file"
        )
    return faults


def scaled_labels(stored: Array) -> str | None:
    """What is to be said of whole numbers that are so but for rounding; None where they are whole as they are stored."""
    rounded = rounded_values(stored)
    if not len(rounded):
        return None
    return (
        f"its values are whole but for the rounding of its header's scaling or of interpolation, {first_few(rounded, say=in_digits)}; "
        f"taken as {first_few(np.unique(np.rint(rounded)), say=in_digits)}; save labels as integers, unscaled"
    )


def cut_away(channels: Sequence[Array], label: Array, names: Sequence[str]) -> str | None:
    """How much of which label lies outside the box around all that is not zero, which preparing keeps; None of none.

    Args:
        channels: `(Z, Y, X)` each, on the label's grid.
        names: Of the labels; may be empty.
    """
    nonzero = channels[0] != 0
    for channel in channels[1:]:
        nonzero |= channel != 0
    if (box := bounding_box(nonzero)) is None:  # that is said of the image
        return None
    kept = label[box_slices(box)]
    if np.count_nonzero(label) == np.count_nonzero(kept):
        return None
    total, rest = _counts(label), _counts(kept)
    lost = {value: number - rest.get(value, 0) for value, number in total.items() if rest.get(value, 0) < number}
    parts = [
        f"{number} of {counted(total[value], 'voxel')} of label {_named(value, names)}"
        for value, number in lost.items()
    ]
    them = agreeing(sum(lost.values()), "it", "them")
    return (
        f"{'; '.join(parts[:LISTED_LABELS])} {agreeing(sum(lost.values()), 'lies', 'lie')} outside the box in which "
        "a channel is not 0, to which images are "
        f"cropped: training never sees {them}, validation counts {them} as missed; check whether image and label were "
        "masked, moved or turned alike"
    )


def rare_labels(names: Sequence[str], holders: Mapping[str, Set[int]], patients: Mapping[str, str]) -> list[str]:
    """What is to be said of labels that no training case holds, or cases of one patient only.

    Args:
        names: As declared; the index is the value.
        holders: For each training case the values in its label file.
        patients: Whose each case is; a case that is not there is a patient of its own.
    """
    found = {
        value: sorted(case for case, values in holders.items() if value in values) for value in range(1, len(names))
    }
    absent = [value for value, cases in found.items() if not cases]
    remarks = []
    if absent and holders:
        it = agreeing(len(absent), "it", "them")
        remarks.append(
            f"{_listing(absent, names)} {agreeing(len(absent), 'is', 'are')} in no training case: nothing can be "
            "learned of "
            f"{it}, and each voxel where {agreeing(len(absent), 'it is', 'one of them is')} predicted lowers the mean "
            f"Dice; take {it} off the list of labels, or add cases that hold {it}"
        )
    if len({patients.get(case, case) for case in holders}) < 2:
        return remarks
    for value, cases in found.items():
        if len({patients.get(case, case) for case in cases}) == 1:
            where = (
                f"one training case {cases[0]}"
                if len(cases) == 1
                else f"training cases of one patient, {', '.join(map(readable, cases))}"
            )
            remarks.append(
                f"{_listing([value], names)} is in {where} only: the fold that validates there has nothing to "
                "learn it from; add cases that hold it"
            )
    return remarks


def _counts(label: Array) -> dict[int, int]:
    values, numbers = np.unique(label[label != BACKGROUND], return_counts=True)
    return {int(value): int(number) for value, number in zip(values, numbers, strict=True)}


def _listing(values: Sequence[int], names: Sequence[str]) -> str:
    return f"{agreeing(len(values), 'label')} {first_few(values, say=lambda value: _named(value, names))}"


def _named(value: int, names: Sequence[str]) -> str:
    return f"{value} ({readable(names[value])})" if 0 <= value < len(names) else str(value)
