"""The list of an archive's files with their sizes and SHA-256 sums."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from autoseg.errors import ModelError
from autoseg.files.records import RecordFormat, decode_record, require_format, write_record
from autoseg.files.storage import read_json
from autoseg.sharing.members import MANIFEST, shown
from autoseg.words import counted

FORMAT = RecordFormat(number=1, what="an archive", error=ModelError, another="install a matching version")
SHA256 = re.compile(r"[0-9a-f]{64}")


@dataclass(frozen=True, slots=True, kw_only=True)
class FileEntry:
    """What one file must be: its SHA-256 sum, 64 lower-case hexadecimal digits, and its size."""

    sha256: str
    bytes: int

    def __post_init__(self) -> None:
        if not SHA256.fullmatch(self.sha256) or self.bytes < 0:
            raise ModelError(
                f"{MANIFEST}: no SHA-256 sum of a file: {shown(self.sha256)} with {counted(self.bytes, 'byte')}"
            )


@dataclass(frozen=True, slots=True, kw_only=True)
class Manifest:
    """Attributes:
    version: Version of autoseg that wrote it.
    files: Every file of the archive but the manifest itself.
    """

    version: str
    files: Mapping[str, FileEntry]


def save_manifest(manifest: Manifest, path: Path) -> None:
    """Write it for packing."""
    write_record(path, manifest, FORMAT)


def read_manifest(path: Path) -> Manifest:
    """Read an unpacked manifest.

    Raises:
        ModelError: Its format is another; both versions are named.
        StorageError: Naming the field that does not fit.
    """
    content: Any = read_json(path)
    require_format(content, FORMAT)
    return decode_record(content, Manifest, FORMAT, Path(MANIFEST))


def require_equal_names(manifest: Manifest, names: Iterable[str]) -> None:
    """Refuse a file that is not listed, and a listed file that is not there."""
    present = set(names) - {MANIFEST}
    if unlisted := sorted(present - manifest.files.keys()):
        raise ModelError(f"{shown(unlisted[0])} is not listed in {MANIFEST}")
    if absent := sorted(manifest.files.keys() - present):
        raise ModelError(f"{shown(absent[0])} is listed in {MANIFEST}, but not there")
