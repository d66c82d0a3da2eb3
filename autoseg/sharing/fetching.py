"""Files from the web that are large: continued after a break, and checked before anybody opens them."""

from __future__ import annotations

import errno
import hashlib
import http.client
import shutil
import tarfile
import urllib.error
import urllib.request
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path, PurePosixPath
from typing import IO

from autoseg.errors import DiskError, ModelError, StorageError
from autoseg.files.storage import remove_file
from autoseg.machine.progress import progress
from autoseg.sharing.downloading import BLOCK, TIMEOUT_SECONDS, require_web_address, web_opener
from autoseg.sharing.index import Offer
from autoseg.words import in_bytes, readable

PARTIAL = ".partial"
SLACK = 2.0
"""How many times its stated size a file may have; beyond that it is another."""

LEAST_LIMIT = 50 * 2**20
PARTIAL_CONTENT, RANGE_NOT_SATISFIABLE = 206, 416


def fetch(offer: Offer, folder: Path) -> Path:
    """The file of an offer in `folder`, fetched or continued, and checked; one that is there already is only checked.

    Raises:
        ModelError: It is not the file that is meant: larger than stated, or of another digest; it is removed.
        StorageError: The server cannot be reached, or the connection broke; what came stays and is continued.
        DiskError: The disk is full.
    """
    require_web_address(offer.address)
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / (PurePosixPath(offer.address).name or offer.name)
    partial = path.with_name(path.name + PARTIAL)
    if not path.is_file():
        _download(offer, partial)
        partial.rename(path)
    _require_digest(offer, path)
    return path


def _download(offer: Offer, partial: Path) -> None:
    have = partial.stat().st_size if partial.is_file() else 0
    request = urllib.request.Request(offer.address, headers={"Range": f"bytes={have}-"} if have else {})
    try:
        with web_opener().open(request, timeout=TIMEOUT_SECONDS) as answer:
            _append(offer, answer, partial, have if answer.status == PARTIAL_CONTENT else 0)
    except urllib.error.HTTPError as error:
        if error.code == RANGE_NOT_SATISFIABLE and have:  # all of it is there
            return
        raise _broken(offer, error.reason, partial) from error
    except (OSError, http.client.HTTPException, ValueError) as error:
        if getattr(error, "errno", None) in (errno.ENOSPC, errno.EDQUOT):
            raise DiskError(f"{partial}: the disk is full; free some space and run again, what came is kept") from error
        raise _broken(offer, getattr(error, "reason", None) or error, partial) from error


def _append(offer: Offer, answer: http.client.HTTPResponse, partial: Path, have: int) -> None:
    declared = answer.headers.get("Content-Length", "")
    expected = have + int(declared) if declared.isascii() and declared.isdecimal() else None
    limit = max(LEAST_LIMIT, int(SLACK * offer.megabytes * 10**6))
    with (
        partial.open("ab" if have else "wb") as file,
        progress(expected or 0, f"fetching {offer.name}", unit="B") as bar,
    ):
        bar.update(have)
        while have <= limit and (block := answer.read(BLOCK)):
            have += len(block)
            file.write(block)
            bar.update(len(block))
    if have > limit:
        remove_file(partial)
        raise ModelError(f"{offer.address}: refused: larger than the {offer.megabytes:g} MB that it is said to have")
    if expected is not None and have < expected:
        raise StorageError(
            f"{offer.address}: the connection broke after {in_bytes(have)} of {in_bytes(expected)}; run again, it goes on from there"
        )


def _broken(offer: Offer, reason: object, partial: Path) -> StorageError:
    kept = f"; what came is kept in {partial}, and continued" if partial.is_file() else ""
    return StorageError(f"{offer.address}: cannot be fetched: {reason}; check the address and the connection{kept}")


def _require_digest(offer: Offer, path: Path) -> None:
    kind, _, expected = offer.digest.partition(":")
    digest = hashlib.new(kind, usedforsecurity=False)
    with path.open("rb") as file:
        while block := file.read(BLOCK):
            digest.update(block)
    if digest.hexdigest() != expected:
        remove_file(path)
        raise ModelError(
            f"{offer.address}: refused: its {kind} is {digest.hexdigest()}, where {expected} was expected, so it is damaged or "
            "another file; it was removed, run again"
        )


@contextmanager
def unpacked(path: Path, folder: Path) -> Iterator[Path]:
    """The dataset's folder in an archive, unpacked beside `folder` and removed afterwards.

    Raises:
        ModelError: It is no archive, holds links or names that lead elsewhere, or more than one folder.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
        _unpack(path, folder)
        inner = [one for one in sorted(folder.iterdir()) if one.name[0] not in "._"]
        if not inner:
            raise ModelError(f"{path}: holds nothing")
        yield inner[0] if len(inner) == 1 and inner[0].is_dir() else folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _unpack(path: Path, folder: Path) -> None:
    try:
        if zipfile.is_zipfile(path):
            with zipfile.ZipFile(path) as archive:
                for entry in archive.infolist():
                    if not entry.is_dir():
                        with archive.open(entry) as content:
                            _write(content, entry.filename, folder, path)
            return
        with tarfile.open(path) as archive:
            for member in archive:
                if member.isdir():
                    continue
                file = archive.extractfile(member) if member.isreg() else None
                if file is None:
                    raise ModelError(f"{path}: refused: {readable(member.name)} in it is no plain file")
                with file:
                    _write(file, member.name, folder, path)
    except (tarfile.TarError, zipfile.BadZipFile, EOFError) as error:
        raise ModelError(f"{path}: no archive that can be unpacked: {error}") from error


def _write(content: IO[bytes], name: str, folder: Path, archive: Path) -> None:
    place = PurePosixPath(name)
    if place.is_absolute() or ".." in place.parts or "\\" in name or not place.parts:
        raise ModelError(f"{archive}: refused: {readable(name)} in it leads elsewhere")
    target = folder / place
    target.parent.mkdir(parents=True, exist_ok=True)
    with target.open("xb") as file:
        shutil.copyfileobj(content, file)
