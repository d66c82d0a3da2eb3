"""Fetching an archive from the web, into a file that goes away."""

from __future__ import annotations

import errno
import http.client
import tempfile
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any
from urllib.parse import urlsplit

from autoseg.errors import DiskError, ModelError, StorageError
from autoseg.machine.progress import progress
from autoseg.sharing.members import LARGEST_ARCHIVE, shown
from autoseg.words import counted

TIMEOUT_SECONDS = 60
"""Without an answer, or without the next bytes."""

BLOCK = 2**20
SCHEMES = ("http", "https")


def is_url(text: str) -> bool:
    """Whether this names something to fetch rather than a file."""
    return "://" in text


@contextmanager
def downloaded(url: str, folder: Path, *, limit: int = LARGEST_ARCHIVE) -> Iterator[Path]:
    """Fetch an archive into `folder` and yield its path; it is removed afterwards.

    Raises:
        ModelError: The address is none of http or https (nor may it lead to another), or the file is larger than
            `limit` bytes.
        DiskError: The disk is full.
        StorageError: The server cannot be reached, or does not give the whole file.
    """
    require_web_address(url)
    folder.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=".downloading-", dir=folder) as temporary:
        path = Path(temporary) / "model.zip"
        try:
            with web_opener().open(url, timeout=TIMEOUT_SECONDS) as answer:
                _save(answer, path, url, limit)
        except (OSError, http.client.HTTPException, ValueError) as error:
            if getattr(error, "errno", None) in (errno.ENOSPC, errno.EDQUOT):
                raise DiskError(
                    f"{url}: does not fit into {folder}; free some space, or name a folder on a larger disk (`home`)"
                ) from error
            reason = getattr(error, "reason", None) or error
            raise StorageError(f"{url}: cannot be fetched: {reason}; check the address and the connection") from error
        yield path


class WebOnly(urllib.request.HTTPRedirectHandler):
    """Follows a server's redirections only to web addresses, and never from https to http."""

    def redirect_request(
        self, req: urllib.request.Request, fp: IO[bytes], code: int, msg: str, headers: Any, newurl: str
    ) -> urllib.request.Request | None:
        require_web_address(newurl)
        if req.type == "https" and urlsplit(newurl).scheme.lower() != "https":
            raise ModelError(f"{req.full_url}: refused: it leads from https to {shown(newurl)}, which is not protected")
        return super().redirect_request(req, fp, code, msg, headers, newurl)


def web_opener() -> urllib.request.OpenerDirector:
    """One that knows http and https alone: the default one also opens files and ftp."""
    opener = urllib.request.OpenerDirector()
    for handler in (
        urllib.request.ProxyHandler(),
        urllib.request.HTTPHandler(),
        urllib.request.HTTPSHandler(),
        urllib.request.HTTPDefaultErrorHandler(),
        urllib.request.HTTPErrorProcessor(),
        WebOnly(),
    ):
        opener.add_handler(handler)
    return opener


def require_web_address(url: str) -> None:
    """Refuse what is no address of http or https.

    Raises:
        ModelError: It is none.
    """
    try:
        parts = urlsplit(url)
        fits = parts.scheme.lower() in SCHEMES and bool(parts.netloc)
    except ValueError:
        fits = False
    if not fits:
        raise ModelError(
            f"{shown(url)}: refused: not a web address; give one that starts with https:// or http://, or a file"
        )


def _save(answer: http.client.HTTPResponse, path: Path, url: str, limit: int) -> None:
    declared = answer.headers.get("Content-Length", "")
    expected = int(declared) if declared.isascii() and declared.isdecimal() else None
    received = 0
    with path.open("xb") as file, progress(expected or 0, "downloading", unit="B") as bar:
        while (expected or 0) <= limit and received <= limit and (block := answer.read(BLOCK)):
            received += len(block)
            file.write(block)
            bar.update(len(block))
    if received > limit or (expected or 0) > limit:
        raise ModelError(f"{url}: refused: larger than the {counted(limit, 'byte')} that an archive of models may have")
    if expected is not None and received != expected:
        raise StorageError(f"{url}: {received} of {counted(expected, 'byte')} came; try again")
