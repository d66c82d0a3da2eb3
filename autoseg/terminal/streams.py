"""The three standard streams, whatever became of them: closed before we began, or with nobody at the other end."""

from __future__ import annotations

import io
import os
import select
import signal
import sys
from collections.abc import Callable
from contextlib import suppress
from typing import TextIO

from autoseg.remedies import describe_os_error

READER_GONE = 128 + 13
"""What a shell reports of a program that SIGPIPE ended, as it ends other tools whose reader wants no more."""

STREAMS = {0: ("stdin", "r"), 1: ("stdout", "w"), 2: ("stderr", "w")}


def with_streams(work: Callable[[], int]) -> int:
    """Do a command's work with all standard streams there; quiet once nobody reads what it writes.

    Args:
        work: Returns the exit code. It lets pass what is raised because the reader of its output is gone.
    """
    open_missing()
    _prepare_output()
    try:
        code = work()
        if sys.stdout is not None and not sys.stdout.closed:
            sys.stdout.flush()
    except BrokenPipeError:
        _silence("stdout")
        return READER_GONE
    except OSError as error:
        _silence("stdout")
        say(f"standard output: {describe_os_error(error)}")
        return 1
    return code


def open_missing() -> None:
    """Give a closed stream /dev/null: else the next file that is opened takes its number, and messages end in that."""
    for number in STREAMS:
        try:
            os.fstat(number)
        except OSError:
            with suppress(OSError):
                os.set_inheritable(os.open(os.devnull, os.O_RDWR), True)  # the lowest free number is this one
    for name, mode in STREAMS.values():
        if getattr(sys, name) is None:
            setattr(sys, name, _nowhere(mode))


def say(text: str) -> None:
    """Write a line to stderr; where that is impossible, nothing is left to be said."""
    with suppress(OSError, ValueError):
        print(text, file=sys.stderr, flush=True)


def write_message(write: Callable[[], object]) -> None:
    """Write a remark to stderr. One whose reader is gone stops the work as SIGTERM does, so that its state is saved;
    one that cannot be written for another reason, as when the terminal was closed, is not worth stopping for."""
    try:
        write()
    except BrokenPipeError:
        _silence("stderr")
        if callable(signal.getsignal(signal.SIGTERM)):
            signal.raise_signal(signal.SIGTERM)
    except (OSError, ValueError):
        _silence("stderr")


def reader_is_gone() -> bool:
    """Whether stdout or stderr is a pipe that nobody reads any longer."""
    if not hasattr(select, "poll"):
        return True
    poll = select.poll()
    for number in (1, 2):
        poll.register(number, 0)
    return any(event & select.POLLERR for _, event in poll.poll(0))


def _prepare_output() -> None:
    """In a pipe or a file, results and log lines keep their order; names that the terminal cannot show are spelt out."""
    if isinstance(sys.stdout, io.TextIOWrapper):
        cannot = sys.stdout.errors in ("strict", "surrogateescape")
        errors = "backslashreplace" if cannot else sys.stdout.errors
        sys.stdout.reconfigure(line_buffering=True, errors=errors)


def _silence(name: str) -> None:
    """Send a stream that failed to /dev/null, with what it still holds."""
    stream: TextIO = getattr(sys, name)
    try:
        null = os.open(os.devnull, os.O_WRONLY)
        os.dup2(null, stream.fileno())
        os.close(null)
    except (OSError, ValueError, AttributeError):
        setattr(sys, name, _nowhere("w"))


def _nowhere(mode: str) -> TextIO:
    return open(os.devnull, mode, encoding="utf-8")  # type: ignore[return-value]  # noqa: PTH123
