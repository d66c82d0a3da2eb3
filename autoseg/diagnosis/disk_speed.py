"""How fast the disks of a user's folders write and read, beside what a training reads of prepared cases."""

from __future__ import annotations

import os
import shutil
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from autoseg.diagnosis.folders import NO_ROOM, existing_folder
from autoseg.diagnosis.page import Diagnosis
from autoseg.words import in_bytes, readable

PIECE = 16 * 2**20
"""Bytes written and read at once."""

PIECES = 16
MOST_SECONDS = 5.0
"""For writing, and again for reading."""

WANTED = {"cpu": 20e6, "mps": 50e6, "cuda": 250e6}
"""Bytes a second that a training reads where memory does not hold the prepared cases: two patches of 128x128x128 with one
channel are 17 MB, of which a CPU takes less than one a second, a GPU about fifteen."""


@dataclass(frozen=True, slots=True, kw_only=True)
class DiskSpeed:
    """Bytes a second; `is_from_disk`: whether the system could be told to forget what was written before it was read."""

    writing: float
    reading: float
    is_from_disk: bool


def check_disk_speed(folders: Sequence[Path]) -> list[Diagnosis]:
    """Write and read a file on each disk that holds one of the folders; it is removed again."""
    from autoseg.networks.devices import resolve_device

    wanted = WANTED[resolve_device().type]
    disks = {existing.stat().st_dev: existing for existing in map(existing_folder, folders)}
    return [_check(place, wanted) for place in disks.values()]


def _check(place: Path, wanted: float) -> Diagnosis:
    subject, where = "disk speed", readable(place)
    if (free := shutil.disk_usage(place).free) < NO_ROOM:
        found = f"not measured where {where} lies, where {in_bytes(free)} are free"
        return Diagnosis(level="warning", subject=subject, found=found, remedy="free some space, or use another disk")
    try:
        speed = measure_disk(place)
    except OSError as error:
        remedy = "give yourself the right to write there, or name another folder (`home`)"
        found = f"{where}: {error.strerror or error}"
        return Diagnosis(level="fault", subject=subject, found=found, remedy=remedy)
    return judge_disk(where, speed, wanted)


def judge_disk(where: str, speed: DiskSpeed, wanted: float) -> Diagnosis:
    """Whether a training that reads `wanted` bytes a second would wait for this disk."""
    found = f"writes {speed.writing / 1e6:.0f} MB and reads {speed.reading / 1e6:.0f} MB a second where {where} lies"
    if not speed.is_from_disk:
        found += ", as far as memory lets it be seen"
    if speed.reading >= wanted:
        return Diagnosis(level="ok", subject="disk speed", found=found)
    return Diagnosis(
        level="warning",
        subject="disk speed",
        found=f"{found}; a training here reads up to {wanted / 1e6:.0f} MB where memory does not hold its cases",
        remedy="prepare on a local disk (AUTOSEG_PREPROCESSED), or on a machine with more memory than prepared cases",
    )


def measure_disk(folder: Path) -> DiskSpeed:
    """Write a file there, have the system forget it, and read it.

    Raises:
        OSError: It cannot be written or read.
    """
    probe = folder / f".autoseg_doctor-{os.getpid()}"
    piece = os.urandom(PIECE)
    try:
        with probe.open("wb") as file:
            writing = _rate(lambda: file.write(piece), lambda: os.fsync(file.fileno()))
        with probe.open("rb", buffering=0) as file:
            is_from_disk = _forget(file.fileno())
            reading = _rate(lambda: len(file.read(PIECE)), lambda: None)
    finally:
        probe.unlink(missing_ok=True)
    return DiskSpeed(writing=writing, reading=reading, is_from_disk=is_from_disk)


def _rate(move: Callable[[], int], settle: Callable[[], None]) -> float:
    """Bytes a second of moving pieces until they are done or time is up."""
    begun, moved = time.perf_counter(), 0
    for _ in range(PIECES):
        moved += move()
        if time.perf_counter() - begun > MOST_SECONDS:
            break
    settle()
    return moved / (time.perf_counter() - begun)


def _forget(file: int) -> bool:
    """Ask the system not to keep a file in memory; not every system can."""
    advise = getattr(os, "posix_fadvise", None)
    if advise is None:
        return False
    advise(file, 0, 0, os.POSIX_FADV_DONTNEED)
    return True
