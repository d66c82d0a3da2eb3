"""The cases that dataset.json lists: its paths understood, or refused with what to write instead."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from typing import Any

from autoseg.dataset.cases import Case, channel_file, images_of
from autoseg.dataset.notes import Notes
from autoseg.images import EXAMPLES, split_ending
from autoseg.words import counted, readable

LONGEST_NAME = 200
"""Bytes; disks take 255, of which temporary names and endings need some."""

FOLDERS = ("imagesTr", "labelsTr", "imagesTs")
KEYS = {"training": {"image", "label"}, "test": {"image"}}
ROI = "roi"
"""What a mask of what is known is called: a key of a case, a column of a table, a file beside an image."""

DRIVE = re.compile(r"[A-Za-z]:(?=[\\/])")


@dataclass(frozen=True, slots=True)
class _Task:
    """The task's folder, and of folders of files whether they lie in it; each is looked at once."""

    folder: Path
    _inside: dict[Path, bool] = field(default_factory=dict)

    def holds(self, folder: Path) -> bool:
        """Whether a folder, links followed, lies below the task's (the files in it may be links to data elsewhere)."""
        if folder not in self._inside:
            try:
                self._inside[folder] = folder.resolve().is_relative_to(self.folder.resolve())
            except (OSError, RuntimeError):
                self._inside[folder] = False
        return self._inside[folder]


@dataclass(frozen=True, slots=True, kw_only=True)
class _Entry:
    """One case as it is listed; `where` is its place in dataset.json."""

    where: str
    image: Path
    label: Path | None


def read_cases(entries: Any, key: str, folder: Path, channels: int, notes: Notes) -> tuple[Case, ...]:
    """The cases under `training` or `test`, sorted; those that cannot be understood are left out and noted.

    A path that is wrong in a way that leaves no doubt what is meant is noted, and the case is there all the same.
    """
    if not isinstance(entries, list):
        notes.add(f"{key}: expected a list of cases, found {entries!r}")
        return ()
    _note_unread_keys(entries, key, notes)
    task = _Task(folder)
    listed = [
        found
        for number, entry in enumerate(entries)
        if (found := _entry(entry, f"{key}[{number}]", task, notes, labelled=key == "training"))
    ]
    meant = _without_channel([entry.image for entry in listed], channels)
    cases = [_case(entry, meant, channels, notes) for entry in listed]
    times = Counter(case.identifier for case in cases)
    for name, count in times.items():
        if count > 1:
            notes.add(f"{key}: case {readable(name)} is listed {counted(count, 'time')}; list it once")
    return tuple(sorted(cases, key=lambda case: case.identifier))


def _note_unread_keys(entries: Sequence[Any], key: str, notes: Notes) -> None:
    unread = [entry.keys() - KEYS[key] for entry in entries if isinstance(entry, dict)]
    names = sorted({name for keys in unread for name in keys})
    if ROI in names:
        notes.add(
            f"{key}: {ROI} is read where a dataset is converted, which writes what lies outside of it as ignored; move the "
            "folder out of raw_data if it lies there, and make a task of it with `convert_dataset(FOLDER)`"
        )
        names.remove(ROI)
    if names:
        number, known = sum(map(bool, unread)), " and ".join(sorted(KEYS[key]))
        notes.remarks.append(
            f"{key}: {counted(number, 'case has', 'cases have')} keys that nobody reads: "
            f"{', '.join(map(readable, names))}; "
            f"what is read is {known}, correct the spelling or take them out"
        )


def _entry(entry: Any, where: str, task: _Task, notes: Notes, *, labelled: bool) -> _Entry | None:
    listed = entry if isinstance(entry, dict) else {"image": entry}
    image = _path_inside(listed.get("image"), f"{where}.image", task, notes)
    label = _path_inside(listed.get("label"), f"{where}.label", task, notes) if labelled else None
    if image is None or (labelled and label is None):
        return None
    stem, ending = split_ending(image.name)
    if not ending or not stem:
        notes.add(
            f"{where}.image: {listed['image']!r} does not end as images do, <case>.nii.gz or {EXAMPLES}; "
            "convert the file, or correct its name"
        )
        return None
    return _Entry(where=where, image=image, label=label)


def _case(entry: _Entry, meant: Mapping[Path, str], channels: int, notes: Notes) -> Case:
    identifier, ending = split_ending(entry.image.name)
    if entry.image in meant:
        identifier = meant[entry.image]
        path = f"./{entry.image.parent.name}/{entry.image.name}"
        notes.add(
            f"{entry.where}.image: {readable(path)} is listed with its channel number; list the case without it, "
            f"./{readable(f'{entry.image.parent.name}/{identifier}{ending}')}",
            kind=f"channel number {entry.where.partition('[')[0]}",
        )
    images = images_of(entry.image.with_name(identifier + ending), channels)
    return Case(identifier=identifier, images=images, segmentation=entry.label)


def _without_channel(images: Sequence[Path], channels: int) -> Mapping[Path, str]:
    """The case's name for every image that is listed with its channel number.

    Those listed files are there under the very name. Where others are there that carry no channel's number, it is the
    Decathlon's layout, and a number belongs to the case ("la_0001" of one channel, too).
    """
    if not any(_case_of_channel(image, channels) for image in images):
        return {}
    there = [image for image in images if image.is_file() and not _with_channel(image).is_file()]
    meant = {image: name for image in there if (name := _case_of_channel(image, channels))}
    return meant if len(meant) == len(there) else {}


def _case_of_channel(image: Path, channels: int) -> str:
    """What stands before a channel's number; empty where there is none."""
    name, _, number = split_ending(image.name)[0].rpartition("_")
    return name if re.fullmatch("[0-9]{4}", number) and int(number) < channels else ""


def _with_channel(image: Path) -> Path:
    stem, ending = split_ending(image.name)
    return image.with_name(channel_file(stem, 0, ending))


# -------------------------------------------------------------------- paths


def _path_inside(value: Any, where: str, task: _Task, notes: Notes) -> Path | None:
    """The path an entry names, refused when it is no text or leaves the task's folder."""
    if not isinstance(value, str) or not value:
        notes.add(f"{where}: expected a path such as ./imagesTr/case.nii.gz, found {value!r}")
        return None
    meant = _as_meant(value, task.folder)
    relative = PurePosixPath(value if meant is None else meant)
    if not _is_file_name(relative.name):
        notes.add(
            f"{where}: {value!a:.{LONGEST_NAME}} is longer than {LONGEST_NAME} bytes, or no text; rename the file"
        )
        return None
    path = task.folder / relative
    inside = not relative.is_absolute() and ".." not in relative.parts and not {"\0", "\\"} & set(str(relative))
    if not inside or not task.holds(path.parent):
        notes.add(f"{where}: {value!r} leaves the task's folder; list files inside it only")
        return None
    if meant is not None:
        wrong = _what_is_wrong(value)
        notes.add(f"{where}: {value!r} {wrong}; write {readable(meant)}", kind=f"{where.rpartition('.')[2]} {wrong}")
    return path


def _as_meant(value: str, folder: Path) -> str | None:
    """What should stand there instead of a path that was written on Windows, is absolute, or has blanks around it."""
    plain = DRIVE.sub("", value.strip().replace("\\", "/"))
    relative = PurePosixPath(plain)
    if relative.is_absolute():
        if relative.parent.name not in FOLDERS or not (folder / relative.parent.name).is_dir():
            return None
        plain = f"./{relative.parent.name}/{relative.name}"
    return None if plain == value else plain


def _what_is_wrong(value: str) -> str:
    if value != value.strip():
        return "begins or ends with a blank"
    if DRIVE.match(value) or value.startswith("/"):
        return "is the path on one computer, where one relative to the task's folder is needed"
    return "has backslashes, which separate folders on Windows only"


def _is_file_name(name: str) -> bool:
    try:
        return len(name.encode()) <= LONGEST_NAME
    except UnicodeEncodeError:
        return False
