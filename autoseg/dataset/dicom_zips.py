"""Zip files of DICOM series, as they come from an archive of images: unpacked into a folder that goes away.

Only DICOM files are taken, each under a number of our own into one flat folder, so that no name in the zip decides where
anything is written. Sizes and the list of files are checked before.
"""

from __future__ import annotations

import re
import shutil
import zipfile
from collections.abc import Sequence
from pathlib import Path, PurePosixPath

from autoseg.errors import AutosegError, DatasetError
from autoseg.files.zips import ZipLimits, blocks_of, check_end, fault_of, zip_errors
from autoseg.images.formats.dicom_slices import MARK, MARK_AT
from autoseg.remedies import describe_os_error
from autoseg.words import in_gigabytes, readable

LIMITS = ZipLimits(kind="a zip of DICOM series", size=64 * 2**30, members=100_000, directory=64 * 2**20)
"""A study of ten thousand slices is a large one; a file in the list takes some 150 bytes."""

LARGEST_RATIO = 100
"""Images shrink to a third, empty ones to a fiftieth; a bomb's zeros to a thousandth."""

RATIO_COUNTS_FROM = 2**26
"""Bytes of all files; below, a zip may shrink by any factor: it fills no disk."""

PLAIN_NAME = re.compile(r"[\w.-]{1,80}", re.ASCII)


def zips_in(folder: Path) -> list[Path]:
    """The zip files of a folder, by their names."""
    return [path for path in sorted(folder.iterdir()) if is_zip(path)]


def is_zip(path: Path) -> bool:
    """Whether a file is called as zip files are."""
    return path.suffix.lower() == ".zip" and not path.name.startswith(".") and path.is_file()


def unpack_dicom(path: Path, folder: Path) -> None:
    """Write the DICOM files of a zip into a new folder.

    Raises:
        DatasetError: It is damaged, larger than it should be, or holds what no zip of images does; or the disk is full.
    """
    try:
        folder.mkdir(parents=True)
        with path.open("rb") as file:
            with zip_errors():
                check_end(file, LIMITS)
                opened = zipfile.ZipFile(file)
            with opened:
                _unpack(opened, folder)
    except AutosegError as error:
        raise DatasetError(
            f"{readable(path)}: refused: {error}; get it again, or unpack it yourself and name the folder"
        ) from error
    except OSError as error:
        raise DatasetError(f"{readable(path)}: cannot be unpacked: {describe_os_error(error)}") from error


def _unpack(opened: zipfile.ZipFile, folder: Path) -> None:
    entries = [entry for entry in opened.infolist() if not entry.is_dir()]
    _require_harmless(entries)
    whole = sum(entry.file_size for entry in entries)
    packed = sum(entry.compress_size for entry in entries)
    if whole > LIMITS.size or whole > max(RATIO_COUNTS_FROM, LARGEST_RATIO * packed):
        raise DatasetError(f"its files declare {in_gigabytes(whole)}, packed in {in_gigabytes(packed)} (a zip bomb)")
    if whole > (free := shutil.disk_usage(folder).free):
        raise DatasetError(
            f"its files need {in_gigabytes(whole)} of the disk for temporary files, {in_gigabytes(free)} are free"
        )
    for number, entry in enumerate(entries):
        _write(opened, entry, folder / _own_name(number, entry.filename))


def _require_harmless(entries: Sequence[zipfile.ZipInfo]) -> None:
    for entry in entries:
        name = ascii(entry.orig_filename[:100])
        if fault := fault_of(entry):
            raise DatasetError(f"{name} in it {fault}")
        parts = re.split(r"[/\\]", entry.filename)
        if ".." in parts or not parts[0] or ":" in parts[0]:
            raise DatasetError(f"{name} in it leads elsewhere")


def _own_name(number: int, name: str) -> str:
    """A number, and the file's name where it is one that any disk can have, for messages."""
    plain = PurePosixPath(name).name
    return f"{number:06d}_{plain}" if PLAIN_NAME.fullmatch(plain) else f"{number:06d}"


def _write(opened: zipfile.ZipFile, entry: zipfile.ZipInfo, path: Path) -> None:
    """Write a member that begins as DICOM files do; stop when it is longer than it declares."""
    written = 0
    with path.open("xb") as target:
        for block in blocks_of(opened, entry):
            if not written and block[MARK_AT : MARK_AT + len(MARK)] != MARK:
                break
            written += len(block)
            if written > entry.file_size:
                raise DatasetError(f"{entry.filename[:100]!a} in it is longer than it declares")
            target.write(block)
    if not written:
        path.unlink()
