"""Which process: recognised even when its number has been given to another one since."""

from __future__ import annotations

import os
import socket
from dataclasses import dataclass
from pathlib import Path

START_TIME_FIELD = 22
"""Of /proc/<pid>/stat, counted from 1 (proc(5)): ticks from boot to the process's start."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ProcessIdentity:
    """A process on some computer.

    Attributes:
        born: Boot and start time, where the system tells them (Linux); no later process of this number has the same.
    """

    host: str
    pid: int
    born: str | None

    @classmethod
    def of(cls, pid: int) -> ProcessIdentity:
        """A process of this computer."""
        return cls(host=socket.gethostname(), pid=pid, born=_birth(pid))

    @property
    def is_elsewhere(self) -> bool:
        """On another computer, so that nobody here can tell whether it runs."""
        return self.host != socket.gethostname()

    @property
    def runs_here(self) -> bool:
        """Whether it runs on this computer now."""
        if self.is_elsewhere:
            return False
        now = _birth(self.pid)
        if self.born is not None or now is not None:
            return self.born == now
        return _exists(self.pid)


def place_of_processes() -> str:
    """Equal for two processes that can see each other: in a container there are others than outside of it."""
    try:
        boot = Path("/proc/sys/kernel/random/boot_id").read_text().strip()
        return f"{boot}/{os.readlink('/proc/self/ns/pid')}"  # noqa: PTH115
    except OSError:
        return socket.gethostname()


def _birth(pid: int) -> str | None:
    """None also for a process that has ended and only waits to be collected."""
    try:
        boot = Path("/proc/sys/kernel/random/boot_id").read_text().strip()
        # The program's name, in parentheses, may hold spaces and parentheses itself.
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return None
    state, start = fields[0], fields[START_TIME_FIELD - 3]
    return None if state in "ZX" else f"{boot}/{start}"


def _exists(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True
