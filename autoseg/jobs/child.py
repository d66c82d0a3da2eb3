"""Running one command line: its output to a log file and the terminal, signals passed on, no orphan left behind."""

from __future__ import annotations

import codecs
import os
import shlex
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from types import FrameType
from typing import BinaryIO, TextIO

from autoseg.machine.workers import death_notice
from autoseg.terminal.starting import STEP_OF_RUN

LOOK_SECONDS = 0.2
"""How often the log is looked at for new output."""

STOPPING_SECONDS = 30
"""What a command has to save its state when the run fails around it."""

PATIENCE = 3
"""The first signal asks a command to save and stop, the second to stop at once; so many end it."""

LARGEST_MESSAGE = 2000
"""Characters of a failed command's last words that are repeated."""

ENDS_WITH_PARENT = sys.platform == "linux"


@dataclass(frozen=True, slots=True, kw_only=True)
class Ending:
    """How a command ended.

    Attributes:
        code: Exit code; negative when a signal ended it.
        signals: That were passed on to it.
        message: The last it said, when it failed.
    """

    code: int
    signals: tuple[int, ...]
    message: str


def run_child(argv: Sequence[str], *, log: Path, output: TextIO, started: Callable[[int], None]) -> Ending:
    """Run a command to its end.

    The command writes to the log file itself, so that its output needs nobody who reads it.

    Args:
        log: Appended to.
        output: Gets the same text as it comes.
        started: Called with the process's number.

    Raises:
        OSError: The program or the log's folder is not there.
    """
    log.parent.mkdir(parents=True, exist_ok=True)
    with log.open("ab") as sink, log.open("rb") as source, _passing_on() as signals:
        now = datetime.now().isoformat(sep=" ", timespec="seconds")
        sink.write(f"{now}  $ {shlex.join(argv)}\n".encode())
        sink.flush()
        beginning = source.seek(0, os.SEEK_END)
        process = _start(argv, sink)
        try:
            started(process.pid)
            signals.attach(process)
            _copy_until_end(process, source, output)
        finally:
            _end(process)
        source.seek(beginning)
        message = last_words(source.read().decode(errors="replace")) if process.returncode else ""
    return Ending(code=process.returncode, signals=tuple(signals.received), message=message)


def last_words(text: str) -> str:
    """The error message at the end of a command's output: from the last line that begins like one of ours."""
    lines = text.rstrip().splitlines()
    starts = [number for number, line in enumerate(lines) if line.startswith("autoseg") and ": " in line]
    return "\n".join(lines[starts[-1] :] if starts else lines[-1:])[:LARGEST_MESSAGE]


def _start(argv: Sequence[str], sink: BinaryIO) -> subprocess.Popen[bytes]:
    """In a session of its own, so that Ctrl-C in the terminal reaches the command once, through us."""
    return subprocess.Popen(
        list(argv),
        stdin=subprocess.DEVNULL,
        stdout=sink,
        stderr=subprocess.STDOUT,
        env={**os.environ, "PYTHONUNBUFFERED": "1", STEP_OF_RUN: "1"},
        start_new_session=True,
        preexec_fn=_death_notice(),
    )


def _death_notice() -> Callable[[], None] | None:
    """What a child calls before it begins: ask to be sent SIGTERM when its parent dies, however that dies."""
    if not ENDS_WITH_PARENT:
        return None
    notice, parent = death_notice(signal.SIGTERM), os.getpid()

    def ask() -> None:
        notice()
        if os.getppid() != parent:
            os._exit(1)

    return ask


def _copy_until_end(process: subprocess.Popen[bytes], source: BinaryIO, output: TextIO) -> None:
    decoder = codecs.getincrementaldecoder("utf-8")(errors="replace")
    ended = False
    while not ended:
        try:
            process.wait(LOOK_SECONDS)
            ended = True
        except subprocess.TimeoutExpired:
            pass
        if text := decoder.decode(source.read(), final=ended):
            output.write(text)
            output.flush()


def _end(process: subprocess.Popen[bytes]) -> None:
    """Only where something else than the child failed; one that does not end when it is asked to is killed."""
    if process.poll() is not None:
        return
    process.terminate()
    try:
        process.wait(STOPPING_SECONDS)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait(STOPPING_SECONDS)


@dataclass(slots=True)
class _PassedOn:
    """Signals received while the child runs."""

    received: list[int] = field(default_factory=list)
    process: subprocess.Popen[bytes] | None = None

    def attach(self, process: subprocess.Popen[bytes]) -> None:
        self.process = process
        for number in self.received:
            process.send_signal(number)

    def take(self, number: int, _frame: FrameType | None) -> None:
        self.received.append(number)
        if self.process is not None:
            self.process.send_signal(signal.SIGKILL if len(self.received) >= PATIENCE else number)


@contextmanager
def _passing_on() -> Iterator[_PassedOn]:
    """Pass SIGINT and SIGTERM on to the child instead of ending ourselves."""
    signals = _PassedOn()
    try:
        before = {number: signal.signal(number, signals.take) for number in (signal.SIGINT, signal.SIGTERM)}
    except ValueError:  # not the main thread: whoever called us owns the signals
        yield signals
        return
    try:
        yield signals
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
