"""Zip files that may be hostile: what is checked before any of one is unpacked, and unpacking that believes no declared size.

Layout: PKWARE APPNOTE 6.3.10, sections 4.3.14 to 4.3.16.
"""

from __future__ import annotations

import stat
import struct
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, BinaryIO

from autoseg.errors import AutosegError, StorageError
from autoseg.words import counted

BLOCK = 2**20
PACKINGS = (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED)
ENCRYPTED = 0x1
DOS_FOLDER = 0x10

END = struct.Struct("<4s4H2LH")
END_64_LOCATOR = struct.Struct("<4sLQL")
END_64 = struct.Struct("<4sQ2H2L4Q")


@dataclass(frozen=True, slots=True, kw_only=True)
class ZipLimits:
    """What a zip file of some kind may have at most.

    Attributes:
        kind: In words, "an archive of models".
        size: Bytes of it, packed or unpacked.
        members: Files in it.
        directory: Bytes of the list of them, which the zip library holds in memory.
    """

    kind: str
    size: int
    members: int
    directory: int


def check_end(file: BinaryIO, limits: ZipLimits) -> None:
    """Refuse what is no zip file, and a directory too large to be read into memory.

    Raises:
        StorageError: Without the file's name.
    """
    size = file.seek(0, 2)
    if size > limits.size:
        raise StorageError(f"it has {counted(size, 'byte')}, more than the {limits.size} that {limits.kind} may have")
    end = _read_record(file, END, size - END.size, b"PK\5\6")
    if end is None or end[-1] != 0:
        raise StorageError("it is no zip file, or not whole")
    number, length = end[4], end[5]
    locator_at = size - END.size - END_64_LOCATOR.size
    if locator := _read_record(file, END_64_LOCATOR, locator_at, b"PK\6\7"):
        at = locator_at - END_64.size
        large = _read_record(file, END_64, at, b"PK\6\6")
        if large is None or locator[2] != at:
            raise StorageError("it is no zip file, or not whole")
        number, length = large[7], large[8]
    if number > limits.members or length > limits.directory:
        raise StorageError(
            f"it lists {counted(number, 'file')} in {counted(length, 'byte')}; an archive has at most "
            f"{counted(limits.members, 'file')}"
        )
    file.seek(0)


@contextmanager
def zip_errors() -> Iterator[None]:
    """Whatever the zip library finds wrong becomes one error: from a mutated file it raises nearly anything."""
    try:
        yield
    except AutosegError:
        raise
    except Exception as error:
        raise StorageError(f"the zip file is damaged ({type(error).__name__}: {error!s:.200})") from error


def fault_of(entry: zipfile.ZipInfo) -> str:
    """What is wrong with a member that is to be a plain file; empty where nothing is."""
    mode = entry.external_attr >> 16
    if entry.orig_filename != entry.filename:
        return "holds characters that cannot be printed"
    if stat.S_ISLNK(mode):
        return "is a link"
    if stat.S_IFMT(mode) not in (0, stat.S_IFREG) or entry.external_attr & DOS_FOLDER:
        return "is a folder or a device"
    if entry.flag_bits & ENCRYPTED:
        return "is encrypted"
    if entry.compress_type not in PACKINGS:
        return f"is packed with method {entry.compress_type}; only deflate is read"
    return ""


def blocks_of(opened: zipfile.ZipFile, entry: zipfile.ZipInfo) -> Iterator[bytes]:
    """A member's content, a block at a time."""
    with zip_errors(), opened.open(entry) as source:
        while block := source.read(BLOCK):
            yield block


def _read_record(file: BinaryIO, layout: struct.Struct, at: int, signature: bytes) -> tuple[Any, ...] | None:
    if at < 0:
        return None
    file.seek(at)
    fields = layout.unpack(file.read(layout.size))
    return fields if fields[0] == signature else None
