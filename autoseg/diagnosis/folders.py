"""The folders a user works in: where they lie, whether they can be written to, what room they have, what lies about in them."""

from __future__ import annotations

import difflib
import os
import shutil
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from autoseg.diagnosis.page import Diagnosis
from autoseg.errors import StorageError
from autoseg.files.storage import STALE_SECONDS, stale_files, write_bytes
from autoseg.words import counted, in_bytes, readable

PREFIX = "AUTOSEG_"
VARIABLES = (
    *("AUTOSEG_HOME", "AUTOSEG_RAW_DATA", "AUTOSEG_PREPROCESSED", "AUTOSEG_RESULTS"),
    *("AUTOSEG_TEST_DATA", "AUTOSEG_INDEX"),
)

LOOKS_MEANT = 0.85
"""difflib's likeness: AUTOSEG_RESULT is meant to be AUTOSEG_RESULTS, AUTOSEG_XYZ is not meant to be AUTOSEG_HOME."""

NO_ROOM = 2 * 10**9
"""Bytes. A fold of a 3D network leaves two files of weights and a checkpoint, 0.6 GB together, and writes anew beside it."""

LITTLE_ROOM = 20 * 10**9
"""Bytes. Prepared cases are uncompressed: of tasks of usual size they take ten to a hundred GB."""

FEW_FILES = 10_000
"""Each prepared case is four files, each prediction one or two."""

STALE_FOLDERS = (".downloading-*", ".installing-*")
KEPT_FOLDER = ".replaced-*"


def check_variables(environment: Mapping[str, str], *, home: Path | None) -> list[Diagnosis]:
    """Which variables name folders, and which look as if they were meant to."""
    named = {name: environment[name] for name in VARIABLES[:4] if environment.get(name)}
    diagnoses = [_check_variable(name, value, home) for name, value in named.items()]
    for name in sorted(environment):
        if name.startswith(PREFIX) and name not in VARIABLES:
            near = difflib.get_close_matches(name, VARIABLES[:4], n=1, cutoff=LOOKS_MEANT)
            remedy = f"set {near[0]} instead" if near else f"known are {', '.join(VARIABLES[:4])}"
            diagnoses.append(
                Diagnosis(level="warning", subject=name, found="nothing reads this variable", remedy=remedy)
            )
    return diagnoses


def _check_variable(name: str, value: str, home: Path | None) -> Diagnosis:
    if home is not None:
        return Diagnosis(level="ok", subject=name, found=f"{readable(value)}, which `home={home}` wins over")
    if not Path(value.strip("\"'")).expanduser().is_absolute():
        return Diagnosis(
            level="warning",
            subject=name,
            found=f"{readable(value)}: another folder wherever you start autoseg",
            remedy="give the whole path, from / on",
        )
    return Diagnosis(level="ok", subject=name, found=readable(value))


def check_folder(name: str, folder: Path, *, needs_writing: bool = True) -> Diagnosis:
    """Whether a folder is there, or can be made, and takes a file; `needs_writing`: or whether it is only read, too."""
    existing = existing_folder(folder)
    where = f"{readable(folder.absolute())}" + ("" if existing == folder.absolute() else ", which is not there yet")
    if not existing.is_dir():
        return Diagnosis(
            level="fault",
            subject=name,
            found=f"{where}: {readable(existing)} is a file",
            remedy="move that file away, or name another folder with `home` or AUTOSEG_HOME",
        )
    try:
        _try_writing(existing)
    except StorageError as error:
        if existing == folder.absolute() and not needs_writing:
            return Diagnosis(level="ok", subject=name, found=f"{where}; can be read only: enough but for converting")
        return Diagnosis(
            level="fault",
            subject=name,
            found=f"{where}: {(error.__cause__ and getattr(error.__cause__, 'strerror', '')) or error}",
            remedy=f"make room and give yourself the right to write in {readable(existing)}, or name another folder (`home`)",
        )
    return Diagnosis(level="ok", subject=name, found=f"{where}; a file could be written")


def check_room(folders: Sequence[Path]) -> list[Diagnosis]:
    """Free space of each disk that holds one of the folders."""
    disks = {existing.stat().st_dev: existing for existing in map(existing_folder, folders)}
    return [_room_of(place) for place in disks.values()]


def _room_of(place: Path) -> Diagnosis:
    free, files = shutil.disk_usage(place).free, os.statvfs(place)
    found = f"{in_bytes(free)} free where {readable(place)} lies"
    remedy = "free some space, or name folders on a larger disk (AUTOSEG_PREPROCESSED, AUTOSEG_RESULTS)"
    if files.f_files and files.f_favail < FEW_FILES:
        found = f"{found}, but only {counted(files.f_favail, 'more file')} may be made there"
        return Diagnosis(level="warning", subject="disk", found=found, remedy="delete files, or use another disk")
    if free < LITTLE_ROOM:
        level = "fault" if free < NO_ROOM else "warning"
        return Diagnosis(level=level, subject="disk", found=found, remedy=remedy)  # type: ignore[arg-type]
    return Diagnosis(level="ok", subject="disk", found=found)


def leftovers(folders: Sequence[Path]) -> list[Path]:
    """What killed processes left half-written more than a day ago; nobody misses it."""
    found = {path.absolute() for folder in folders for path in _leftovers_below(folder)}
    return sorted(found)


def _leftovers_below(folder: Path) -> Iterator[Path]:
    oldest = time.time() - STALE_SECONDS
    for pattern in STALE_FOLDERS:
        yield from (path for path in folder.glob(pattern) if path.is_dir() and path.stat().st_mtime < oldest)
    for place, _, names in os.walk(folder):
        if names:
            yield from stale_files(Path(place))


def check_leftovers(folders: Sequence[Path], *, clean: bool) -> list[Diagnosis]:
    """Say what was left half-written, and with `clean` remove it."""
    left = leftovers(folders)
    size = sum(_size(path) for path in left)
    what = f"{counted(len(left), 'file')} of killed processes, {in_bytes(size)}"
    if not left:
        diagnoses = [Diagnosis(level="ok", subject="left-overs", found="no half-written files")]
    elif clean:
        for path in left:
            _remove(path)
        diagnoses = [Diagnosis(level="ok", subject="left-overs", found=f"removed {what}")]
    else:
        remedy = "`check_leftovers(clean=True)` removes them; whoever writes in their folder next does, too"
        found = f"half-written: {what}, as {readable(left[0])}"
        diagnoses = [Diagnosis(level="warning", subject="left-overs", found=found, remedy=remedy)]
    return diagnoses + [
        Diagnosis(
            level="warning",
            subject="left-overs",
            found=f"{readable(path)}: models that were about to be replaced when installing was killed",
            remedy="move back what is missing in the results, and delete this folder",
        )
        for folder in folders
        for path in sorted(folder.glob(KEPT_FOLDER))
    ]


def existing_folder(folder: Path) -> Path:
    """The folder, or the nearest above it that is there."""
    return next(path for path in (folder.absolute(), *folder.absolute().parents) if path.exists())


def _try_writing(folder: Path) -> None:
    probe = folder / f".autoseg_doctor-{os.getpid()}"
    write_bytes(probe, b"autoseg_doctor tries whether it can write here")
    probe.unlink()


def _size(path: Path) -> int:
    inside = path.rglob("*") if path.is_dir() else [path]
    return sum(file.lstat().st_size for file in inside if file.is_file())


def _remove(path: Path) -> None:
    if path.is_dir():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)
