"""One process at a time: a lock file that names its holder, who shows from time to time that it lives.

Beside the lock lies its lease. A holder on this computer is looked for among its processes; of any other the lease tells.
A lock without a lease, as versions before wrote it, ends with its process, or on another computer by hand.
"""

from __future__ import annotations

import os
import secrets
import socket
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from datetime import datetime
from pathlib import Path
from typing import Any

from autoseg.errors import StorageError, WorkspaceError
from autoseg.files.layout import LOCK_FILE
from autoseg.files.leases import USUAL, Heartbeat, Lease, end_where_over, read_lease, remove_lease
from autoseg.files.storage import (
    TEMPORARY_PREFIX,
    ask_before_writing,
    content_hash,
    decode,
    parse_json,
    to_json,
    write_json,
)
from autoseg.machine.processes import ProcessIdentity, place_of_processes
from autoseg.remedies import cannot_be_read, describe_os_error
from autoseg.words import counted

"""Of the folder that only one process at a time may work in."""

SETTLING_SECONDS = 0.2
"""In which a lock that holds nothing readable would be written, where a file system cannot give it its name when it is whole."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Holder:
    """What the lock file holds."""

    process: ProcessIdentity
    since: str

    def lease(self, lock: Path) -> Path:
        """Its sign of life."""
        return lock.with_name(f".{lock.name}-{content_hash(self)[:16]}")

    def __str__(self) -> str:
        return f"process {self.process.pid} on {self.process.host}, since {self.since.partition('.')[0]}"


@contextmanager
def hold_lock(path: Path, what: str, *, heartbeat: Heartbeat = USUAL) -> Iterator[None]:
    """Hold the lock while the body runs; its folder is made where it is not there.

    Where the lock was taken over meanwhile, as this process stood still for longer than its lease, nothing more is
    written below the lock's folder: whatever tries to raises `WorkspaceError`.

    Args:
        what: Is already being done when the lock is held ("autoseg_run of Task004_Hippocampus", "results/.../fold_0: training or validating").

    Raises:
        WorkspaceError: Another process holds it; its number and computer are named.
    """
    me = Holder(process=ProcessIdentity.of(os.getpid()), since=datetime.now().isoformat(timespec="microseconds"))
    lease = Lease(me.lease(path), place_of_processes(), heartbeat)
    try:
        _take(path, me, what, heartbeat)
        try:
            with ask_before_writing(lambda target: _require_held(target, path, me, lease)):
                yield
        finally:
            if lease.renew() and _read(path) == me:  # then nobody takes it over just now
                path.unlink(missing_ok=True)
    finally:
        lease.end()


def require_no_holder(folder: Path, *, heartbeat: Heartbeat = USUAL) -> None:
    """Refuse to move or delete a folder in which, or below which, a process is at work.

    Raises:
        WorkspaceError: The process and its computer are named.
    """
    for path in sorted(folder.rglob(LOCK_FILE)):
        if (holder := _read(path)) is not None and _may_be_alive(path, holder, heartbeat):
            raise WorkspaceError(_refusal(path, holder, f"{path.parent}: work in this folder", heartbeat))


def _require_held(target: Path, lock: Path, me: Holder, lease: Lease) -> None:
    if lease.is_fresh or lock.parent not in target.parents:
        return
    renewed, holder = lease.renew(), _read(lock)
    if holder not in (None, me) or not (renewed or holder is None):
        raise WorkspaceError(
            f"{lock.parent}: nothing more is written here: this process stood still for too long, and its work is taken "
            f"over by {'another' if holder == me else holder}; leave it to that one"
        )


def _take(path: Path, me: Holder, what: str, heartbeat: Heartbeat) -> None:
    own = path.with_name(f"{TEMPORARY_PREFIX}{secrets.token_hex(8)}-{path.name}")
    own.write_bytes(to_json(me))
    try:
        while not _link(own, path):
            content = _bytes(path)
            if content is None:
                continue
            holder = _holder(content)
            if holder is None and _is_being_written(path, content):
                continue
            if holder is not None and _may_be_alive(path, holder, heartbeat):
                raise WorkspaceError(_refusal(path, holder, what, heartbeat))
            if _take_over(path, content, own, me, what, heartbeat):
                return
    finally:
        own.unlink(missing_ok=True)


def _take_over(path: Path, content: bytes, own: Path, me: Holder, what: str, heartbeat: Heartbeat) -> bool:
    """Put our lock in the place of one that nobody holds; only whoever holds the lock on doing so may.

    That second lock belongs to the content of the first. Who finds it free late finds another content there by now.
    """
    claim = path.with_name(f".{path.name}-after-{content_hash(content.hex())[:16]}")
    _take(claim, me, what, heartbeat)
    try:
        if _bytes(path) != content:
            return False
        _copy(own).replace(path)
        if (before := _holder(content)) is not None:
            remove_lease(before.lease(path))
        return True
    finally:
        claim.unlink(missing_ok=True)


def _may_be_alive(path: Path, holder: Holder, heartbeat: Heartbeat) -> bool:
    """Whether it runs, or might: where nobody here can see it, its lease decides."""
    if holder.process.runs_here:
        return True
    lease = holder.lease(path)
    place = read_lease(lease)
    if place is None:
        return holder.process.is_elsewhere
    if place == place_of_processes():
        return replace(holder.process, host=socket.gethostname()).runs_here
    return not end_where_over(lease, heartbeat)


def create_json(path: Path, value: Any) -> bool:
    """Write JSON where there is no such file, in one step that only one process can succeed in; whether it was this one.

    Raises:
        StorageError: It cannot be written.
    """
    own = path.with_name(f"{TEMPORARY_PREFIX}{secrets.token_hex(8)}-{path.name}")
    write_json(own, value)
    try:
        return _link(own, path)
    except OSError as error:
        raise StorageError(f"{path}: cannot be written: {describe_os_error(error)}") from error
    finally:
        own.unlink(missing_ok=True)


def _link(own: Path, path: Path) -> bool:
    """Give a whole file another name, in one step that only one process can succeed in."""
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


def _copy(own: Path) -> Path:
    copy = own.with_name(f"{own.name}-copy")
    copy.write_bytes(own.read_bytes())
    return copy


def _is_being_written(path: Path, content: bytes) -> bool:
    time.sleep(SETTLING_SECONDS)
    return _bytes(path) != content


def _read(path: Path) -> Holder | None:
    """The holder; None where there is no lock, or one that nobody can have written."""
    content = _bytes(path)
    return None if content is None else _holder(content)


def _bytes(path: Path) -> bytes | None:
    """None where there is no lock.

    Raises:
        AutosegError: It may not be read, which does not mean that nobody holds it.
    """
    try:
        return path.read_bytes()
    except FileNotFoundError:
        return None
    except OSError as error:
        raise cannot_be_read(path, error) from error


def _holder(content: bytes) -> Holder | None:
    with suppress(StorageError):
        holder: Holder = decode(Holder, parse_json(content, LOCK_FILE), LOCK_FILE)
        return holder
    return None


def _refusal(path: Path, holder: Holder, what: str, heartbeat: Heartbeat) -> str:
    remedy = "wait for it, or stop it with Ctrl-C there"
    if not holder.process.runs_here:
        remedy += (
            f"; if it no longer runs there, its lock ends {counted(round(heartbeat.lease), 'second')} after its last sign of life, "
            "run the same command again then"
            if read_lease(holder.lease(path)) is not None
            else f"; if it no longer runs on that computer, delete {path}"
        )
    return f"{what} is already being done by {holder}; {remedy}"
