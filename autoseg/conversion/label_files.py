"""What stands in the label files of someone's data: their values, and the names that some files give to them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

import numpy as np

from autoseg.dataset import LARGEST_LABEL, Case
from autoseg.errors import CasesFailed, DatasetError
from autoseg.images import Reading, read_label
from autoseg.images.segments import read_segments
from autoseg.images.whole_numbers import fractional_values
from autoseg.machine.pool import run_on_cases
from autoseg.words import agreeing, counted, first_few, in_digits, readable


@dataclass(frozen=True, slots=True, kw_only=True)
class LabelFile:
    """What one case's label file holds.

    Attributes:
        values: All of them, sorted.
        names: Of the values above 0, where the file names its segments; else empty.
    """

    case: str
    values: tuple[int, ...]
    names: Mapping[int, str] = field(default_factory=dict)


class _Labelled(NamedTuple):
    """A label file and the case that it is of."""

    case: str
    path: Path
    reading: Reading


def read_label_files(folder: Path, cases: Sequence[Case], workers: int) -> list[LabelFile]:
    """Read the label file of every case that has one, or those of its raters.

    Raises:
        DatasetError: Naming each file that cannot be used.
    """
    labelled = [_Labelled(case.identifier, path, case.reading) for case in cases for path in case.label_paths]
    try:
        return run_on_cases(
            _read, labelled, task="reading labels", workers=workers, name=lambda file: readable(file.path.name)
        )
    except CasesFailed as failed:
        lines = "\n".join(f"  {readable(name)}: {reason}" for name, reason in failed.failures)
        raise DatasetError(
            f"{readable(folder)}: {len(failed.failures)} of {counted(len(labelled), 'label file')} cannot be "
            f"used\n{lines}\n"
            "Nothing was written; put "
            f"{agreeing(len(failed.failures), 'this right, or take it', 'these right, or take them')} away, and "
            "convert again."
        ) from failed


def _read(file: _Labelled) -> LabelFile:
    data = read_label(file.path, file.reading).data
    if len(fractions := fractional_values(data)):
        raise DatasetError(
            f"holds values that are no whole numbers: {first_few(fractions, say=in_digits)}; save labels as integers"
        )
    found = np.unique(data)
    if len(found) > LARGEST_LABEL + 1:
        raise DatasetError(
            f"holds {counted(len(found), 'different value')}, and {LARGEST_LABEL} labels can be used; "
            "are these images rather than labels?"
        )
    values = tuple(int(value) for value in found)
    return LabelFile(case=file.case, values=values, names=_names(file.path, values))


def _names(path: Path, values: Sequence[int]) -> dict[int, str]:
    """Of each value in the file, by its segments; those that are in no voxel are left out."""
    named = {segment.value: segment.name for segment in read_segments(path)}
    if not named:
        return {}
    if nameless := [value for value in values if value != 0 and value not in named]:
        known = ", ".join(f"{readable(name)} ({value})" for value, name in named.items())
        raise DatasetError(
            f"holds the {agreeing(len(nameless), 'value')} {first_few(np.array(nameless), say=in_digits)}, which none of its segments has: {known}; "
            "save it anew in 3D Slicer"
        )
    return {value: named[value] for value in values if value != 0}
