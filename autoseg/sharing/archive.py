"""Reading an archive that may be hostile: everything about it is checked before a byte of it is unpacked.

First the directory at its end (size, names, kinds of members, declared sizes), then the manifest, which must list
exactly what is there; then each member is unpacked in blocks, counted and hashed against the manifest.
"""

from __future__ import annotations

import hashlib
import os
import tempfile
import zipfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from autoseg.errors import AutosegError, ModelError, StorageError
from autoseg.files.storage import SPACE_AND_PERMISSIONS
from autoseg.files.zips import ZipLimits, blocks_of, check_end, fault_of, zip_errors
from autoseg.machine.progress import progress
from autoseg.remedies import remedy
from autoseg.sharing.manifest import Manifest, read_manifest, require_equal_names
from autoseg.sharing.members import (
    LARGEST_ARCHIVE,
    MANIFEST,
    MOST_MEMBERS,
    ArchiveMember,
    parse_members,
    shown,
    unpacked_path,
)
from autoseg.words import counted

LARGEST_DIRECTORY = 2 * 2**20
"""Bytes; a thousand entries take a tenth. The zip library holds it in memory."""

LARGEST_RATIO = 100
"""Weights shrink by a tenth and JSON by a factor of ten or so; a bomb's zeros by a thousand."""

RATIO_COUNTS_FROM = 16 * 2**20
"""Bytes; below, a member may shrink by any factor: it fills no disk."""

ONLY_FILES = {
    "is a link": "; an archive of models holds files only",
    "is a folder or a device": "; an archive of models lists files only",
}

LIMITS = ZipLimits(kind="an archive of models", size=LARGEST_ARCHIVE, members=MOST_MEMBERS, directory=LARGEST_DIRECTORY)


@dataclass(frozen=True, slots=True, kw_only=True)
class Archive:
    """An archive whose directory and manifest were found in order.

    Attributes:
        members: All its files by name, the manifest too.
    """

    path: Path
    members: Mapping[str, ArchiveMember]
    manifest: Manifest
    entries: Mapping[str, zipfile.ZipInfo]
    file: zipfile.ZipFile

    @property
    def folders(self) -> tuple[str, ...]:
        """The model folders it holds, sorted."""
        return tuple(sorted({member.folder for member in self.members.values() if member.folder}))

    @property
    def size(self) -> int:
        """Bytes of all its files unpacked."""
        return sum(entry.bytes for entry in self.manifest.files.values())

    def unpack(self, folder: Path) -> None:
        """Write every file below `folder`, comparing each with the manifest."""
        with progress(len(self.manifest.files), "unpacking", unit="file") as bar:
            for name in self.manifest.files:
                self.unpack_one(name, folder)
                bar.update()

    def unpack_one(self, name: str, folder: Path) -> Path:
        """Write one file below `folder` and return its path.

        Raises:
            ModelError: Its content is not what the manifest says.
        """
        expected = self.manifest.files[name]
        path = unpacked_path(folder, self.members[name])
        with refusing(self.path):
            if _write(self.file, self.entries[name], path, expected.bytes) != expected.sha256:
                raise ModelError(f"{shown(name)} is damaged or was changed: its SHA-256 sum is not that of {MANIFEST}")
        return path


def is_archive(path: Path) -> bool:
    """Whether a file looks like an archive of models that autoseg wrote; only opening it says whether it is sound."""
    try:
        with zipfile.ZipFile(path) as content:
            return MANIFEST in content.namelist()
    except (OSError, zipfile.BadZipFile):
        return False


@contextmanager
def open_archive(path: Path) -> Iterator[Archive]:
    """Open an archive of models, once its directory and manifest are found in order.

    Raises:
        ModelError: Naming the archive and what is wrong with it.
    """
    if not path.is_file():
        raise ModelError(f"{path}: no such file; name the archive that autoseg_export_model wrote")
    with disk_errors(path), path.open("rb") as file:
        with refusing(path), zip_errors():
            check_end(file, LIMITS)
            opened = zipfile.ZipFile(file)
        with opened:
            with refusing(path):
                archive = _checked(path, opened)
            yield archive


@contextmanager
def refusing(path: Path, *, unpacked: Path | None = None) -> Iterator[None]:
    """Whatever is found wrong meanwhile refuses the archive; `unpacked`, a folder that goes away, is not spoken of."""
    try:
        yield
    except AutosegError as error:
        reason = str(error).replace(f"{unpacked}/", "") if unpacked else str(error)
        raise ModelError(
            f"{path}: refused: {reason}\nNothing of it was kept. Get the file again, as autoseg_export_model wrote it, "
            "from someone you trust."
        ) from error


@contextmanager
def disk_errors(path: Path) -> Iterator[None]:
    """What the disk cannot do becomes an error that names the file, or `path`."""
    try:
        yield
    except OSError as error:
        where = error.filename or path
        raise StorageError(f"{where}: {error.strerror or error}; {remedy(error, SPACE_AND_PERMISSIONS)}") from error


def _checked(path: Path, opened: zipfile.ZipFile) -> Archive:
    entries = opened.infolist()
    if len(entries) > LIMITS.members:
        raise ModelError(
            f"it lists {counted(len(entries), 'file')}; an archive has at most {counted(LIMITS.members, 'file')}"
        )
    for entry in entries:
        _refuse_all_but_files(entry)
    members = parse_members(entry.filename for entry in entries)
    by_name = {entry.filename: entry for entry in entries}
    for name, member in members.items():
        _require_size(by_name[name], member)
    if sum(entry.file_size for entry in entries) > LIMITS.size:
        raise ModelError(f"its files declare more than {counted(LIMITS.size, 'byte')} together")
    manifest = _manifest(opened, by_name[MANIFEST])
    require_equal_names(manifest, members)
    for name, expected in manifest.files.items():
        if by_name[name].file_size != expected.bytes:
            raise ModelError(
                f"{shown(name)} has {counted(by_name[name].file_size, 'byte')}, but {MANIFEST} says {expected.bytes}"
            )
    return Archive(path=path, members=members, manifest=manifest, entries=by_name, file=opened)


def _refuse_all_but_files(entry: zipfile.ZipInfo) -> None:
    if fault := fault_of(entry):
        raise ModelError(f"{shown(entry.orig_filename)} {fault}{ONLY_FILES.get(fault, '')}")


def _require_size(entry: zipfile.ZipInfo, member: ArchiveMember) -> None:
    if entry.file_size > member.limit:
        raise ModelError(
            f"{shown(member.name)} declares {counted(entry.file_size, 'byte')}, more than the {member.limit} allowed"
        )
    if entry.file_size > max(RATIO_COUNTS_FROM, LARGEST_RATIO * entry.compress_size):
        raise ModelError(f"{shown(member.name)} would grow more than {LARGEST_RATIO} times when unpacked (a zip bomb)")


def _manifest(opened: zipfile.ZipFile, entry: zipfile.ZipInfo) -> Manifest:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / MANIFEST
        _write(opened, entry, path, entry.file_size)
        try:
            return read_manifest(path)
        except StorageError as error:
            raise ModelError(str(error).replace(f"{folder}/", "")) from error


def _write(opened: zipfile.ZipFile, entry: zipfile.ZipInfo, path: Path, size: int) -> str:
    """Unpack one member into a new file and return its SHA-256 sum; stop when it is longer than `size`."""
    digest, written = hashlib.sha256(), 0
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("xb") as target:
        for block in blocks_of(opened, entry):
            written += len(block)
            if written > size:
                break
            digest.update(block)
            target.write(block)
        target.flush()
        os.fsync(target.fileno())
    if written != size:
        raise ModelError(f"{shown(entry.filename)} has not the {counted(size, 'byte')} it declares")
    return digest.hexdigest()
