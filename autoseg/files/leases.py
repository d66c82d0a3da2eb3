"""A sign of life: a file that its process touches again and again, so that others see when nobody does any longer.

Only times that one file system gave are compared, for the clocks of two computers differ. Where even those come from the
computers, a lease that seems to have ended is watched for a while: it has ended when nobody touches it.
"""

from __future__ import annotations

import os
import secrets
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from autoseg.files.storage import TEMPORARY_PREFIX, write_bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class Heartbeat:
    """How often a sign of life is given, and how long one holds, in seconds.

    A network file system may show the time of a file up to a minute late (nfs(5), acregmax).
    """

    beat: float = 10.0
    lease: float = 120.0

    @property
    def watch(self) -> float:
        """How long one looks for another sign before the last one is taken for the end."""
        return 3 * self.beat


USUAL = Heartbeat()


class Lease:
    """Ours, while we hold something.

    Args:
        path: The file that is touched.
        content: What it holds, for whoever reads it.
    """

    def __init__(self, path: Path, content: str, heartbeat: Heartbeat) -> None:
        self.path, self.heartbeat = path, heartbeat
        self.renewed = seconds_awake_or_not()
        self._over = threading.Event()
        write_bytes(path, content.encode())
        try:
            threading.Thread(target=self._beat, daemon=True).start()
        except RuntimeError:  # no thread can be started
            self.end()
            raise

    @property
    def is_fresh(self) -> bool:
        """Whether nobody can have found it ended: it was renewed less than half its time ago."""
        return seconds_awake_or_not() - self.renewed < self.heartbeat.lease / 2

    def renew(self) -> bool:
        """Touch it; False where others found it ended."""
        now = seconds_awake_or_not()
        try:
            os.utime(self.path)
        except FileNotFoundError:
            return not _ended(self.path).exists()
        except OSError:  # the network is away; others do not see it either
            return True
        self.renewed = now
        return True

    def end(self) -> None:
        """Give no more signs."""
        self._over.set()
        with suppress(OSError):
            self.path.unlink(missing_ok=True)

    def _beat(self) -> None:
        while not self._over.wait(self.heartbeat.beat):
            self.renew()


def end_where_over(path: Path, heartbeat: Heartbeat) -> bool:
    """Whether another's lease has ended, after which it stays so.

    Its file is renamed before it is looked at for the last time, so that its holder, should it live, can no longer renew
    it unseen. Whoever holds a lease may rely on it as long as it can renew it.
    """
    ended = _ended(path)
    with suppress(FileNotFoundError):  # someone else renamed it
        if not ended.exists():
            if not (_is_old(path, heartbeat) and _stays_untouched(path, heartbeat)):
                return False
            path.rename(ended)
    if _is_old(ended, heartbeat):
        return True
    with suppress(FileNotFoundError):
        ended.rename(path)
    return False


def read_lease(path: Path) -> str | None:
    """What another's lease holds, ended or not; None where there is none."""
    for file in (path, _ended(path)):
        with suppress(FileNotFoundError):
            return file.read_text(errors="replace")
    return None


def remove_lease(path: Path) -> None:
    """Remove what is left of another's lease."""
    for file in (path, _ended(path)):
        file.unlink(missing_ok=True)


def seconds_awake_or_not() -> float:
    """A clock that goes on while the computer sleeps."""
    return time.clock_gettime(time.CLOCK_BOOTTIME) if hasattr(time, "CLOCK_BOOTTIME") else time.time()


def _ended(path: Path) -> Path:
    return path.with_name(f"{path.name}.ended")


def _is_old(path: Path, heartbeat: Heartbeat) -> bool:
    touched = _touched(path)
    if touched is None:
        return False
    try:
        with _probe(path.parent) as now:
            return now - touched > heartbeat.lease
    except OSError:  # without a time of this file system nobody can tell
        return False


def _stays_untouched(path: Path, heartbeat: Heartbeat) -> bool:
    before, end = _touched(path), time.monotonic() + heartbeat.watch
    while time.monotonic() < end:
        time.sleep(heartbeat.beat / 4)
        if _touched(path) != before:
            return False
    return before is not None


def _touched(path: Path) -> float | None:
    """By opening it, for then a network file system asks its server."""
    try:
        with path.open("rb") as file:
            return os.fstat(file.fileno()).st_mtime
    except OSError:
        return None


@contextmanager
def _probe(folder: Path) -> Iterator[float]:
    """The present time, as the file system gives it to a file that is touched."""
    path = folder / f"{TEMPORARY_PREFIX}{secrets.token_hex(8)}"
    with path.open("xb") as file:
        try:
            os.utime(path)
            yield os.fstat(file.fileno()).st_mtime
        finally:
            path.unlink(missing_ok=True)
