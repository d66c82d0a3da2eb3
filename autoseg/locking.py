"""One process at a time: a lock file that names its holder, and that is recognised when the holder is dead."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from autoseg.errors import StorageError, WorkspaceError
from autoseg.processes import ProcessIdentity
from autoseg.storage import decode, read_json, write_json

LOCK_FILE = "lock.json"
"""Of the folder that only one process at a time may work in."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Holder:
    """What the lock file holds."""

    process: ProcessIdentity
    since: str

    @property
    def may_be_alive(self) -> bool:
        """Whether it runs, or its computer is another, where nobody here can know."""
        return self.process.is_elsewhere or self.process.runs_here

    def __str__(self) -> str:
        return f"process {self.process.pid} on {self.process.host}, since {self.since}"


@contextmanager
def hold_lock(path: Path, what: str) -> Iterator[None]:
    """Hold the lock while the body runs; its folder is made where it is not there.

    Args:
        what: Is already being done when the lock is held ("autoseg_run of Task004_Hippocampus", "results/.../fold_0: training or validating").

    Raises:
        WorkspaceError: Another process holds it; its number and computer are named.
    """
    me = Holder(process=ProcessIdentity.of(os.getpid()), since=datetime.now().isoformat(timespec="seconds"))
    _take(path, me, what)
    try:
        yield
    finally:
        if _read(path) == me:
            path.unlink(missing_ok=True)


def require_no_holder(folder: Path) -> None:
    """Refuse to move or delete a folder in which, or below which, a process is at work.

    Raises:
        WorkspaceError: The process and its computer are named.
    """
    for path in sorted(folder.rglob(LOCK_FILE)):
        if (holder := _read(path)) is not None and holder.may_be_alive:
            raise WorkspaceError(_refusal(path, holder, f"{path.parent}: work in this folder"))


def _take(path: Path, me: Holder, what: str) -> None:
    own = path.with_name(f".{path.name}-{me.process.host}-{me.process.pid}")
    write_json(own, me)
    try:
        while not _link(own, path):
            holder = _read(path)
            if holder is not None and holder.may_be_alive:
                raise WorkspaceError(_refusal(path, holder, what))
            _remove_stale(path, holder, own)
    finally:
        own.unlink(missing_ok=True)


def _link(own: Path, path: Path) -> bool:
    """Give the whole file the lock's name, in one step that only one process can succeed in."""
    try:
        os.link(own, path)
    except FileExistsError:
        return False
    except OSError:  # a file system without hard links
        return _create(path, own.read_bytes())
    return True


def _create(path: Path, content: bytes) -> bool:
    try:
        with path.open("xb") as file:
            file.write(content)
    except FileExistsError:
        return False
    return True


def _remove_stale(path: Path, holder: Holder | None, own: Path) -> None:
    """Take the lock of a dead process away, unless someone else did so first and the lock is theirs by now."""
    taken = own.with_name(f"{own.name}-stale")
    with suppress(FileNotFoundError):
        path.rename(taken)
        if _read(taken) != holder:
            _link(taken, path)
        taken.unlink()


def _read(path: Path) -> Holder | None:
    """The holder; None where there is no lock, or one that nobody can have written."""
    try:
        holder: Holder = decode(Holder, read_json(path), path.name)
    except StorageError:
        return None
    return holder


def _refusal(path: Path, holder: Holder, what: str) -> str:
    remedy = "wait for it, or stop it with Ctrl-C there"
    if holder.process.is_elsewhere:
        remedy += f"; if it no longer runs on that computer, delete {path}"
    return f"{what} is already being done by {holder}; {remedy}"
