"""What of this machine the process may use: its cores and memory, whatever a container or a scheduler leaves of them.

Control groups are nested, and a limit of any of them holds: each from our own up to the outermost that is seen here is
asked, in both versions (Linux: admin-guide/cgroup-v1/memory, admin-guide/cgroup-v2, scheduler/sched-bwc).
"""

from __future__ import annotations

import ctypes
import os
import shutil
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

ROOT = Path("/")

PRECISIONS = ("auto", "fp32", "bf16", "fp16")
"""In which a network may be computed, as far as the machine has them in hardware; `auto` takes the fastest it has."""

UNKNOWN_MEMORY = 8 * 2**30
"""Bytes taken to be there where the system does not say."""

KEPT_MEMORY = 512 * 2**20
"""Bytes at the end of the heap that are kept for what comes next. A network's layers take and free as much again and again:
prediction took 25 s in place of 32 s so, and 40 MB more."""

LARGEST_KEPT = 32 * 2**20
"""Bytes of the largest piece that is kept; glibc allows no more."""

TRIM_THRESHOLD, MMAP_THRESHOLD = -1, -3
"""M_TRIM_THRESHOLD and M_MMAP_THRESHOLD of mallopt(3)."""

NO_LIMIT = 2**60
"""Version 1 writes a number beyond all memory where there is no limit."""

MEMORY_FILES = (
    ("memory.max", "memory.current", "inactive_file"),
    ("memory.high", "memory.current", "inactive_file"),
    ("memory.limit_in_bytes", "memory.usage_in_bytes", "total_inactive_file"),
)
"""Limit, use, and what the use holds of file pages that are given back when memory is short."""


@dataclass(frozen=True, slots=True, kw_only=True)
class MemoryLimit:
    """What a control group allows, in bytes."""

    group: Path
    limit: int
    free: int


def available_cores(root: Path = ROOT) -> int:
    """Cores this process may use: by affinity, which a scheduler sets, and by the control groups' quotas.

    Args:
        root: Where `proc` and `sys` lie.
    """
    return max(1, min([_own_cores(), *(round(quota) for quota in core_quotas(root))]))


def core_quotas(root: Path = ROOT) -> list[float]:
    """How many cores' time each control group allows, where it sets a limit."""
    return [quota for group in _groups("cpu", root) for quota in _quota(group)]


def available_memory(root: Path = ROOT) -> int:
    """Bytes this process may still take: what is free, and what the control groups allow where that is less."""
    return max(0, min([_free_memory(root), *(limit.free for limit in memory_limits(root))]))


def memory_limits(root: Path = ROOT) -> list[MemoryLimit]:
    """The limits of the control groups that set one."""
    return [limit for group in _groups("memory", root) for limit in _limits(group)]


def keep_freed_memory() -> None:
    """Have this process keep memory that it frees for what it allocates next; handed back, it is cleared page by page.

    Only glibc has to be told; what other systems do is left as it is.
    """
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None) if sys.platform == "linux" else None
    if mallopt is not None:
        mallopt(MMAP_THRESHOLD, LARGEST_KEPT)
        mallopt(TRIM_THRESHOLD, KEPT_MEMORY)


def free_shared_memory(root: Path = ROOT) -> int | None:
    """Bytes through which processes may hand over arrays; containers often have little. None where nobody counts them."""
    try:
        return shutil.disk_usage(root / "dev/shm").free
    except OSError:
        return None


def _own_cores() -> int:
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def _quota(group: Path) -> Iterator[float]:
    words = [*_text(group / "cpu.max").split(), *_text(group / "cpu.cfs_quota_us").split()]
    words += _text(group / "cpu.cfs_period_us").split()
    if len(words) == 2 and words[0].isdecimal() and int(words[1]):
        yield int(words[0]) / int(words[1])


def _limits(group: Path) -> Iterator[MemoryLimit]:
    for limit_file, use_file, reclaimable in MEMORY_FILES:
        limit, use = _text(group / limit_file).strip(), _text(group / use_file).strip()
        if limit.isdecimal() and use.isdecimal() and int(limit) < NO_LIMIT:
            used = int(use) - _field(group / "memory.stat", reclaimable)
            yield MemoryLimit(group=group, limit=int(limit), free=int(limit) - used)


def _groups(controller: str, root: Path) -> Iterator[Path]:
    """The folders of all control groups that this process is in, inner ones first.

    Inside a container the names of groups may be those outside of it, and its own group is all that is mounted.
    """
    mounts = root / "sys/fs/cgroup"
    for line in _text(root / "proc/self/cgroup").splitlines() or ["0::/", f"1:{controller}:/"]:
        _, names, name = line.split(":", 2)
        if names and controller not in names.split(","):
            continue
        tops = (mounts / names, mounts / controller) if names else (mounts / "unified", mounts)
        top = next((folder for folder in tops if folder.is_dir()), mounts)
        inner = top if ".." in name else top / name.lstrip("/")
        yield from (folder for folder in (inner, *inner.parents) if folder.is_relative_to(top))


def _free_memory(root: Path) -> int:
    """In kB in /proc/meminfo (proc(5))."""
    return _field(root / "proc/meminfo", "MemAvailable:") * 1024 or UNKNOWN_MEMORY


def _field(path: Path, name: str) -> int:
    """The number after a name, in a file of such lines; 0 where there is none."""
    rows = (line.split() for line in _text(path).splitlines())
    return next((int(row[1]) for row in rows if len(row) > 1 and row[0] == name and row[1].isdecimal()), 0)


def _text(path: Path) -> str:
    try:
        return path.read_text()
    except (OSError, UnicodeDecodeError):
        return ""
