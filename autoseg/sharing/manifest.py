"""The list of an archive's files with their sizes and SHA-256 sums."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import autoseg
from autoseg.errors import ModelError
from autoseg.files.storage import decode, read_json
from autoseg.sharing.members import MANIFEST, shown
from autoseg.versions import warn_if_newer
from autoseg.words import counted

FORMAT = 1
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
    format: Number of the archive's format.
    version: Version of autoseg that wrote it.
    files: Every file of the archive but the manifest itself.
    """

    format: int
    version: str
    files: Mapping[str, FileEntry]


def read_manifest(path: Path) -> Manifest:
    """Read an unpacked manifest.

    Raises:
        ModelError: Its format is another; both versions are named.
        StorageError: Naming the field that does not fit.
    """
    content: Any = read_json(path)
    found = content.get("format") if isinstance(content, dict) else None
    if type(found) is not int or found != FORMAT:
        version = content.get("version") if isinstance(content, dict) else None
        raise ModelError(
            f"an archive of format {found!r:.40} (autoseg {version!s:.40}), but this is autoseg {autoseg.__version__}, "
            f"which reads format {FORMAT}; install a matching version"
        )
    warn_if_newer(Path(MANIFEST), content)
    manifest: Manifest = decode(Manifest, content, MANIFEST)
    return manifest


def require_equal_names(manifest: Manifest, names: Iterable[str]) -> None:
    """Refuse a file that is not listed, and a listed file that is not there."""
    present = set(names) - {MANIFEST}
    if unlisted := sorted(present - manifest.files.keys()):
        raise ModelError(f"{shown(unlisted[0])} is not listed in {MANIFEST}")
    if absent := sorted(manifest.files.keys() - present):
        raise ModelError(f"{shown(absent[0])} is listed in {MANIFEST}, but not there")
