"""Reading an archive that may be hostile: everything about it is checked before a byte of it is unpacked.

First the directory at its end (size, names, kinds of members, declared sizes), then the manifest, which must list
exactly what is there; then each member is unpacked in blocks, counted and hashed against the manifest.
"""

from __future__ import annotations

import hashlib
import os
import stat
import struct
import tempfile
import zipfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

from autoseg.errors import AutosegError, ModelError, StorageError
from autoseg.files.storage import SPACE_AND_PERMISSIONS
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

BLOCK = 2**20
PACKINGS = (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED)
ENCRYPTED = 0x1
DOS_FOLDER = 0x10

# The records at a zip file's end (PKWARE APPNOTE 6.3.10, sections 4.3.14 to 4.3.16).
END = struct.Struct("<4s4H2LH")
END_64_LOCATOR = struct.Struct("<4sLQL")
END_64 = struct.Struct("<4sQ2H2L4Q")


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
        with refusing(path), _zip_errors():
            _check_end(file)
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


@contextmanager
def _zip_errors() -> Iterator[None]:
    """Whatever the zip library finds wrong becomes one error: from a mutated file it raises nearly anything."""
    try:
        yield
    except AutosegError:
        raise
    except Exception as error:
        raise ModelError(f"the zip file is damaged ({type(error).__name__}: {error!s:.200})") from error


def _check_end(file: BinaryIO) -> None:
    """Refuse what is no zip file, and a directory too large to be read into memory."""
    size = file.seek(0, 2)
    if size > LARGEST_ARCHIVE:
        raise ModelError(
            f"it has {counted(size, 'byte')}, more than the {LARGEST_ARCHIVE} that an archive of models may have"
        )
    end = _read_record(file, END, size - END.size, b"PK\5\6")
    if end is None or end[-1] != 0:
        raise ModelError("it is no zip file, or not whole")
    number, length = end[4], end[5]
    locator_at = size - END.size - END_64_LOCATOR.size
    if locator := _read_record(file, END_64_LOCATOR, locator_at, b"PK\6\7"):
        at = locator_at - END_64.size
        large = _read_record(file, END_64, at, b"PK\6\6")
        if large is None or locator[2] != at:
            raise ModelError("it is no zip file, or not whole")
        number, length = large[7], large[8]
    if number > MOST_MEMBERS or length > LARGEST_DIRECTORY:
        raise ModelError(
            f"it lists {counted(number, 'file')} in {counted(length, 'byte')}; an archive has at most {MOST_MEMBERS} "
            "files"
        )
    file.seek(0)


def _read_record(file: BinaryIO, layout: struct.Struct, at: int, signature: bytes) -> tuple[Any, ...] | None:
    if at < 0:
        return None
    file.seek(at)
    fields = layout.unpack(file.read(layout.size))
    return fields if fields[0] == signature else None


def _checked(path: Path, opened: zipfile.ZipFile) -> Archive:
    entries = opened.infolist()
    if len(entries) > MOST_MEMBERS:
        raise ModelError(f"it lists {counted(len(entries), 'file')}; an archive has at most {MOST_MEMBERS} files")
    for entry in entries:
        _refuse_all_but_files(entry)
    members = parse_members(entry.filename for entry in entries)
    by_name = {entry.filename: entry for entry in entries}
    for name, member in members.items():
        _require_size(by_name[name], member)
    if sum(entry.file_size for entry in entries) > LARGEST_ARCHIVE:
        raise ModelError(f"its files declare more than {LARGEST_ARCHIVE} bytes together")
    manifest = _manifest(opened, by_name[MANIFEST])
    require_equal_names(manifest, members)
    for name, expected in manifest.files.items():
        if by_name[name].file_size != expected.bytes:
            raise ModelError(
                f"{shown(name)} has {counted(by_name[name].file_size, 'byte')}, but {MANIFEST} says {expected.bytes}"
            )
    return Archive(path=path, members=members, manifest=manifest, entries=by_name, file=opened)


def _refuse_all_but_files(entry: zipfile.ZipInfo) -> None:
    name, mode = shown(entry.orig_filename), entry.external_attr >> 16
    if entry.orig_filename != entry.filename:
        raise ModelError(f"{name} holds characters that cannot be printed")
    if stat.S_ISLNK(mode):
        raise ModelError(f"{name} is a link; an archive of models holds files only")
    if stat.S_IFMT(mode) not in (0, stat.S_IFREG) or entry.external_attr & DOS_FOLDER:
        raise ModelError(f"{name} is a folder or a device; an archive of models lists files only")
    if entry.flag_bits & ENCRYPTED:
        raise ModelError(f"{name} is encrypted")
    if entry.compress_type not in PACKINGS:
        raise ModelError(f"{name} is packed with method {entry.compress_type}; only deflate is read")


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
        for block in _blocks(opened, entry):
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


def _blocks(opened: zipfile.ZipFile, entry: zipfile.ZipInfo) -> Iterator[bytes]:
    with _zip_errors(), opened.open(entry) as source:
        while block := source.read(BLOCK):
            yield block
