"""Are the files that dataset.json lists there, and no others? What is there instead of one tells what to correct."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Mapping, Sequence, Set
from dataclasses import dataclass
from pathlib import Path

from autoseg.dataset import Case, Description, channel_file
from autoseg.errors import DatasetError
from autoseg.images import files_of, split_ending
from autoseg.planning.inspection import LISTED_NAMES, Finding, relative
from autoseg.words import counted, first_few, readable

NUMBERED = re.compile("(.*)_([0-9]{1,3})")
"""A name that ends in a channel's number of too few digits."""


@dataclass(frozen=True, slots=True, kw_only=True)
class _Absence:
    """A listed file that is not there.

    Attributes:
        instead: The file that is there and surely is meant, None where none is.
        kind: What tells the two apart; faults of one kind are told together.
    """

    case: Case
    path: Path
    remedy: str
    instead: Path | None = None
    kind: str = ""


def faulty_files(
    folder: Path, description: Description, training: Sequence[Case], test: Sequence[Case]
) -> list[Finding]:
    """Files that are listed and missing, shared by two cases, or there without being listed.

    Args:
        training, test: Each case once.
    """
    cases = [*training, *test]
    expected = {path for case in cases for path in case.paths}
    needed = [folder / "imagesTr", folder / "labelsTr", *[folder / "imagesTs"] * bool(test)]
    absent = [path for path in needed if not path.is_dir()]
    findings = [Finding(severity="error", where=path.name, text=_no_folder(path)) for path in absent]
    absences = _absences(cases, expected, absent)
    findings += _missing_files(absences, folder)
    findings += _shared_labels(training, folder)
    if description.channels:
        known = expected | {absence.instead for absence in absences if absence.instead}
        findings += _strays(folder / "imagesTr", known) + _strays(folder / "labelsTr", known)
        # many a dataset.json leaves its test images out; they are then simply not looked at
        findings += _strays(folder / "imagesTs", known) if test else _unlisted(folder / "imagesTs")
    return findings


def _no_folder(path: Path) -> str:
    siblings = path.parent.iterdir() if path.parent.is_dir() else ()
    alike = (one.name for one in siblings if one.is_dir() and one.name.casefold() == path.name.casefold())
    other = next(alike, None)
    if other is None:
        return "there is no such folder; the task needs it"
    return f"there is no such folder, only {readable(other)}; rename that one, upper and lower case matter"


def _absences(cases: Sequence[Case], expected: Set[Path], absent: Sequence[Path]) -> list[_Absence]:
    missing = [
        (case, path) for case in cases for path in case.paths if path.parent not in absent and not path.is_file()
    ]
    spare = {parent: _spare_files(parent, expected) for parent in {path.parent for _, path in missing}}
    return [_absence(case, path, spare[path.parent]) for case, path in missing]


def _spare_files(folder: Path, expected: Set[Path]) -> Mapping[str, Path]:
    """The images that nobody lists, by what their names have in common with the listed ones."""
    return {_likeness(path): path for path in _contents(folder)[0] if path not in expected}


def _likeness(path: Path) -> str:
    """The name without its ending, in lower case, with the channel's number in four digits."""
    stem = split_ending(path.name)[0].casefold()
    match = NUMBERED.fullmatch(stem)
    return f"{match[1]}_{int(match[2]):04d}" if match else stem


def _absence(case: Case, path: Path, spare: Mapping[str, Path]) -> _Absence:
    if path.is_symlink():
        return _Absence(case=case, path=path, remedy="is a link that leads nowhere; correct it")
    is_image = path in case.image_paths
    stem, ending = split_ending(path.name)
    unnumbered = path.with_name(case.identifier + ending)
    if is_image and unnumbered.is_file():
        remedy = "without a channel number; rename it, or convert the whole task with autoseg_convert_decathlon_task"
        return _Absence(case=case, path=path, remedy=remedy, instead=unnumbered, kind="unnumbered")
    instead = spare.get(_likeness(path)) or (None if is_image else spare.get(f"{stem.casefold()}_0000"))
    if instead is None:
        return _Absence(case=case, path=path, remedy="there is no such file; add it")
    found, other = split_ending(instead.name)
    if found == stem:
        listed = f"./{path.parent.name}/{case.identifier if is_image else stem}{other}"
        return _Absence(
            case=case,
            path=path,
            remedy=f"; list it with that ending, {readable(listed)}",
            instead=instead,
            kind="ending",
        )
    if found.casefold() == stem.casefold():
        remedy = ", and upper and lower case matter; list it as it is called"
        return _Absence(case=case, path=path, remedy=remedy, instead=instead, kind="case")
    remedy = f"; rename it to {readable(stem + other)}" if is_image else "; list it by that name"
    return _Absence(case=case, path=path, remedy=remedy, instead=instead, kind="name")


def _missing_files(absences: Sequence[_Absence], folder: Path) -> list[Finding]:
    """A finding each, but those of one kind that have a remedy in common together."""
    groups: dict[object, list[_Absence]] = defaultdict(list)
    for absence in absences:
        groups[(absence.kind, absence.path in absence.case.image_paths) if absence.kind else absence.path].append(
            absence
        )
    return [
        Finding(
            severity="error",
            where=f"case {group[0].case.identifier}, {relative(group[0].path, folder)}",
            text=_words(group[0]) + f"; {counted(len(group) - 1, 'more file')} alike" * (len(group) > 1),
        )
        for group in groups.values()
    ]


def _words(absence: _Absence) -> str:
    if absence.instead is None:
        return f"{absence.remedy}, or take the case off the list in dataset.json"
    blank = "" if absence.remedy[0] in ";," else " "
    return f"there is no such file, only {readable(absence.instead.name)}{blank}{absence.remedy}"


def _shared_labels(training: Sequence[Case], folder: Path) -> list[Finding]:
    users = defaultdict(list)
    for case in training:
        users[case.segmentation].append(case.identifier)
    return [
        Finding(
            severity="error",
            where=relative(path, folder),
            text=f"is the label of several cases: {first_few(names, LISTED_NAMES)}; list each case with its own file",
        )
        for path, names in users.items()
        if path and len(names) > 1
    ]


def _strays(inside: Path, known: Set[Path]) -> list[Finding]:
    """Files that no case in dataset.json owns; those no one could take for an image are only mentioned."""
    images, others = _contents(inside)
    findings = [
        Finding(
            severity="error",
            where=f"{inside.name}/{path.name}",
            text=f"{_owner(path, known)}; list its case in dataset.json, or move the file away",
        )
        for path in images
        if path not in known
    ]
    if others:
        text = f"holds what is no image: {first_few([path.name for path in others], LISTED_NAMES)}; it is ignored, delete it"
        findings.append(Finding(severity="warning", where=inside.name, text=text))
    return findings


def _unlisted(inside: Path) -> list[Finding]:
    images, _ = _contents(inside)
    if not images:
        return []
    text = f"dataset.json lists no test case, so these are not looked at: {first_few([path.name for path in images], LISTED_NAMES)}"
    return [Finding(severity="warning", where=inside.name, text=f"{text}; list them under test to have them checked")]


def _contents(inside: Path) -> tuple[list[Path], list[Path]]:
    """What could be images, and everything else in a folder (hidden files, folders, notes), sorted."""
    try:
        found = sorted(inside.iterdir()) if inside.is_dir() else []
    except OSError as error:
        raise DatasetError(f"{inside}: cannot be listed: {error.strerror}; check its permissions") from error
    images = [path for path in found if split_ending(path.name)[1] and path.name[0] != "." and not path.is_dir()]
    read = {file for image in images for file in files_of(image)}
    return images, [path for path in found if path not in read]


def _owner(path: Path, known: Set[Path]) -> str:
    stem, ending = split_ending(path.name)
    identifier, _, number = stem.rpartition("_")
    if number.isdecimal() and path.with_name(channel_file(identifier, 0, ending)) in known:
        return f"is channel {int(number)} of case {readable(identifier)}, which dataset.json does not declare under modality"
    other = path.with_name(stem + (".nii" if ending.lower() == ".nii.gz" else ".nii.gz"))
    if other in known:
        return f"is a second file for {readable(other.name)}"
    return "belongs to no case in dataset.json"
