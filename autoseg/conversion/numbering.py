"""Which label gets which number, from what stands in all label files: by their names where these disagree with the numbers."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from autoseg.conversion.label_files import LabelFile
from autoseg.dataset import LARGEST_LABEL
from autoseg.errors import DatasetError
from autoseg.images.segments import plain_name
from autoseg.words import counted, first_few, readable

BACKGROUND = "background"
REMEDY = "name them alike, or convert label images without names"

FEWEST_ENDS = 5
"""So many different largest values are told of; a few labels are absent here and there."""

MANY_LABELS = 255
"""Atlases of the whole brain have about a hundred; more may be an image that was taken for a label."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Numbering:
    """The labels of a new task.

    Attributes:
        names: Background first; the index is the number.
        numbers: Of each case, the number of each value in its label file; None leaves all files as they are.
        notes: What a user should know of it.
    """

    names: tuple[str, ...]
    numbers: Mapping[str, Mapping[int, int]] | None = None
    notes: tuple[str, ...] = ()


def number_labels(
    folder: Path, files: Sequence[LabelFile], *, remap_labels: bool, names: Sequence[str] | None = None
) -> Numbering:
    """Number the labels of all files 1, 2, ...

    Where every name has one value in all files, the values decide; else the names do.

    Args:
        folder: Where the label files lie, for messages.
        remap_labels: Whether values with gaps may be renumbered.
        names: What the user calls the labels, in the order of their numbers.

    Raises:
        DatasetError: Values that are no labels, or with gaps; names that contradict each other, or are not one a label.
    """
    _require_one_spelling(folder, files)
    numbering = _by_names(folder, files) if _disagree(files) else _by_values(folder, files, remap_labels=remap_labels)
    if len(numbering.names) - 1 > LARGEST_LABEL:
        raise DatasetError(
            f"{readable(folder)}: the files hold {counted(len(numbering.names) - 1, 'different label')} together, and "
            f"{LARGEST_LABEL} can be used; are these images rather than labels?"
        )
    return numbering if names is None else _renamed(folder, numbering, names)


def _values_of_names(files: Sequence[LabelFile]) -> dict[str, dict[int, list[str]]]:
    """For each name, each value that it has, with the cases."""
    found: dict[str, dict[int, list[str]]] = defaultdict(lambda: defaultdict(list))
    for file in files:
        for value, name in file.names.items():
            found[name][value].append(file.case)
    return found


def _disagree(files: Sequence[LabelFile]) -> bool:
    """Whether one name has two values, or one value two names."""
    pairs = {(name, value) for file in files for value, name in file.names.items()}
    return any(times > 1 for side in zip(*pairs, strict=True) for times in Counter(side).values())


def _require_one_spelling(folder: Path, files: Sequence[LabelFile]) -> None:
    spellings: dict[str, dict[str, str]] = defaultdict(dict)
    for file in files:
        for name in file.names.values():
            spellings[name.casefold()].setdefault(name, file.case)
    for found in spellings.values():
        if len(found) > 1:
            where = ", ".join(f"{readable(name)} in {readable(case)}" for name, case in sorted(found.items()))
            raise DatasetError(f"{readable(folder)}: segments whose names differ in case only: {where}; {REMEDY}")
    if BACKGROUND in spellings:
        (case,) = spellings[BACKGROUND].values()
        raise DatasetError(
            f"{readable(folder)}: a segment of {readable(case)} is called {BACKGROUND}, which is what lies in no segment; "
            "rename or delete it"
        )


# ----------------------------------------------------------------- by names


def _by_names(folder: Path, files: Sequence[LabelFile]) -> Numbering:
    """One number for each name; the value that most cases give it decides the order."""
    found = _values_of_names(files)
    differing = "; ".join(_differing(found))
    if nameless := [file.case for file in files if not file.names and any(file.values)]:
        raise DatasetError(
            f"{readable(folder)}: the names of segments have other numbers in other cases ({differing}), "
            f"and the labels of {first_few(nameless)} have no names to go by; name their segments in 3D Slicer, "
            "or take them away"
        )
    common = {name: max(values, key=lambda value: (len(values[value]), -value)) for name, values in found.items()}
    order = sorted(found, key=lambda name: (common[name], name))
    number = {name: place for place, name in enumerate(order, start=1)}
    numbers: dict[str, dict[int, int]] = {}
    for file in files:
        own = {0: 0, **{value: number[name] for value, name in file.names.items()}}
        if numbers.setdefault(file.case, own) != own:
            raise DatasetError(
                f"{readable(folder)}: the raters of {readable(file.case)} number their segments differently ({differing}); "
                "export them with the same segments, in the same order"
            )
    note = f"cases number their segments differently, so labels go by the names: {differing}; the copies are renumbered"
    return Numbering(names=(BACKGROUND, *order), numbers=numbers, notes=(note,))


def _differing(found: Mapping[str, Mapping[int, Sequence[str]]]) -> Iterator[str]:
    """`liver is 1 in p0, p1 and 2 in p3`, for each name with several values; all names where each has one value only."""
    several = {name: values for name, values in found.items() if len(values) > 1} or found
    for name, values in sorted(several.items()):
        places = [f"{value} in {first_few(cases)}" for value, cases in sorted(values.items())]
        yield f"{readable(name)} is {' and '.join(places)}"


# ---------------------------------------------------------------- by values


def _by_values(folder: Path, files: Sequence[LabelFile], *, remap_labels: bool) -> Numbering:
    values = sorted(set().union(*(file.values for file in files)))
    number = _numbers(folder, values, remap_labels=remap_labels)
    named = {value: name for file in files for value, name in file.names.items()}
    names = tuple(named.get(value, f"label_{value}") for value in number if value != 0)
    _require_each_once(folder, names)
    changed = any(old != new for old, new in number.items())
    return Numbering(
        names=(BACKGROUND, *names),
        numbers={file.case: number for file in files} if changed else None,
        notes=tuple(_notes(files, number, named)),
    )


def _numbers(folder: Path, values: Sequence[int], *, remap_labels: bool) -> dict[int, int]:
    """The number of each value: itself where they are consecutive, else its place among the values above 0."""
    above = [value for value in values if value != 0]
    if not above or above[0] < 0:
        reason = "holds background (0) only" if not above else f"holds negative values ({first_few(values)})"
        raise DatasetError(f"{readable(folder)}: {reason}; labels are numbered 1, 2, ...")
    numbers = {0: 0, **{value: place for place, value in enumerate(above, start=1)}}
    if above[-1] != len(above) and not remap_labels:
        becomes = first_few([f"{old} to {new}" for old, new in numbers.items()])
        doubt = "; are these images rather than labels?" if len(above) > MANY_LABELS else ""
        raise DatasetError(
            f"{readable(folder)}: the values are {first_few(values)}, but labels are numbered 0, 1, 2, ... without a gap; "
            f"add `remap_labels` to have them renumbered in the copies ({becomes}){doubt}"
        )
    return numbers


def _notes(files: Sequence[LabelFile], number: Mapping[int, int], named: Mapping[int, str]) -> Iterator[str]:
    if any(old != new for old, new in number.items()):
        yield f"label values renumbered: {first_few([f'{old} to {new}' for old, new in number.items()])}"
    if len(number) - 1 > MANY_LABELS:
        yield f"{counted(len(number) - 1, 'label')}, which is many; are these images rather than labels?"
    if numbered := _numbered_objects(files):
        yield numbered
    nameless = [file.case for file in files if not file.names and any(file.values)]
    if named and nameless:
        yield f"the names of segments are taken for the same values of {first_few(nameless)}, too, which name none"


def _numbered_objects(files: Sequence[LabelFile]) -> str:
    """A doubt, where every file numbers its values 1, 2, ... and most end at another number, as objects are counted."""
    largest = [max(file.values) for file in files if any(file.values)]
    in_a_row = all(max(file.values) == len(set(file.values) - {0}) for file in files if any(file.values))
    ends = len(set(largest))
    if not in_a_row or ends < FEWEST_ENDS or ends <= len(largest) / 2:
        return ""
    return (
        f"each file holds 1 to another number, from {min(largest)} to {max(largest)}: are single objects numbered rather than "
        "labels? A network learns what is an object from masks of 0 and 1"
    )


# ---------------------------------------------------------- names of the user


def _renamed(folder: Path, numbering: Numbering, names: Sequence[str]) -> Numbering:
    wanted, found = tuple(plain_name(name) for name in names), numbering.names[1:]
    if len(wanted) != len(found):
        raise DatasetError(
            f"{readable(folder)}: {counted(len(wanted), 'label')} named ({first_few(wanted)}), but the files hold "
            f"{len(found)} ({first_few(found)}); name each once, in this order, without the background"
        )
    _require_each_once(folder, wanted)
    if moved := [name for name, other in zip(wanted, found, strict=True) if name != other and name in found]:
        raise DatasetError(
            f"{readable(folder)}: {first_few(moved)}: the label files give this name to another number "
            f"(1, 2, ...: {first_few(found)}); name labels in this order, or leave `labels` out"
        )
    return Numbering(names=(BACKGROUND, *wanted), numbers=numbering.numbers, notes=numbering.notes)


def _require_each_once(folder: Path, names: Sequence[str]) -> None:
    if "" in names:
        raise DatasetError(f"{readable(folder)}: a label is given an empty name; name each")
    if double := [name for name, count in Counter((BACKGROUND, *names)).items() if count > 1]:
        raise DatasetError(f"{readable(folder)}: labels are named alike: {first_few(double)}; name each differently")
