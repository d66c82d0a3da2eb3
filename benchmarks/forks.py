"""Commands of autoseg in forks of this process, so that a kill falls into their work and not into the imports before it."""

from __future__ import annotations

import importlib
import os
import signal
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from autoseg.commands import umbrella

PRELOADED = ("convert_dataset", "plan_and_preprocess", "train", "predict", "ensemble", "find_best_configuration")
LONGEST_END = 10.0
"""Seconds within which the workers of a process that was killed alone must be gone."""


def preload() -> None:
    """Import what the commands import, so that a fork of this process starts with its work."""
    for name in PRELOADED:
        importlib.import_module(f"autoseg.commands.{name}")
    for name in ("training", "inference.cases", "ensembling", "planning", "reporting.overlays"):
        importlib.import_module(f"autoseg.{name}")
    for name in ("pandas", "matplotlib.figure", "sklearn.model_selection", "scipy.spatial.transform", "scipy.stats"):
        importlib.import_module(name)


@dataclass(frozen=True)
class Process:
    """A command in a fork of this process, leader of a group of its own."""

    number: int
    codes: list[int] = field(default_factory=list)

    def ended(self) -> bool:
        if not self.codes:
            number, status = os.waitpid(self.number, os.WNOHANG)
            self.codes.extend([os.waitstatus_to_exitcode(status)] if number else [])
        return bool(self.codes)

    def wait(self) -> int:
        while not self.ended():
            time.sleep(0.01)
        return self.codes[0]

    def kill(self, *, by_itself: bool) -> None:
        if by_itself:
            os.kill(self.number, signal.SIGKILL)
        else:
            os.killpg(self.number, signal.SIGKILL)
        self.wait()

    def left_behind(self) -> list[int]:
        """Members of its session that are still there once they had their time."""
        deadline = time.monotonic() + LONGEST_END
        while (left := session_members(self.number)) and time.monotonic() < deadline:
            time.sleep(0.05)
        return left


def start(words: Sequence[str], home: Path) -> Process:
    """Begin a command; HOME in its words stands for the folder, into whose `log` it writes."""
    words = [word.replace("HOME", str(home)) for word in words]
    number = os.fork()
    if number:
        return Process(number)
    os.setsid()
    log = os.open(home / "log", os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    os.dup2(log, 1)
    os.dup2(log, 2)
    code = 3
    try:
        code = umbrella.main([*words, "--home", str(home)])
        sys.stdout.flush()
    finally:
        os._exit(code)


def wait_for(process: Process, home: Path, name: str | None) -> float:
    while name and not (home / name).is_file() and not process.ended():
        time.sleep(0.01)
    return time.monotonic()


def session_members(leader: int) -> list[int]:
    """Processes of a session that are not only waiting to be collected."""
    found = []
    for path in Path("/proc").glob("[0-9]*/stat"):
        try:
            state, _, _, session = path.read_text().rpartition(")")[2].split()[:4]
        except OSError:
            continue
        if int(session) == leader and state not in "ZX":
            found.append(int(path.parent.name))
    return found


def log_of(home: Path) -> str:
    path = home / "log"
    return path.read_text(errors="replace") if path.is_file() else ""
