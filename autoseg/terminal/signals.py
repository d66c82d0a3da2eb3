"""SIGTERM and Ctrl-C: they end the work from inside, or first only ask it to stop, so that its state is saved."""

from __future__ import annotations

import logging
import signal
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType
from typing import NoReturn

from autoseg.errors import Interrupted

log = logging.getLogger(__name__)

SECONDS_OF_ONE_REQUEST = 2.0
"""Signals so close together are one request: `timeout` and some schedulers send theirs to the process and to its group."""


class Terminated(KeyboardInterrupt):
    """SIGTERM arrived. Of KeyboardInterrupt's family, so that no work on a single case takes it for a failure."""

    def __init__(self, message: str = "stopped by SIGTERM; run the same command again to go on") -> None:
        super().__init__(message)


@contextmanager
def sigterm_as_interruption() -> Iterator[None]:
    """Make SIGTERM end the work from inside, as Ctrl-C does, so that workers are ended and half-written files removed."""

    def stop(_number: int, _frame: FrameType | None) -> NoReturn:
        raise Terminated

    try:
        before = signal.signal(signal.SIGTERM, stop)
    except ValueError:  # not the main thread: whoever called us owns the signals
        yield
        return
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


@contextmanager
def stop_request() -> Iterator[Callable[[], bool]]:
    """Let the first Ctrl-C or SIGTERM only ask the work to stop, so that it can save its state; a second one insists.

    Yields:
        Whether a stop was asked for. The work answers by raising `Interrupted`, which here becomes KeyboardInterrupt
        where it was Ctrl-C that asked.
    """
    asked: list[int] = []
    first = 0.0

    def ask(number: int, _frame: FrameType | None) -> None:
        nonlocal first
        if not asked:
            first = time.monotonic()
            asked.append(number)
            log.warning("stopping after this batch and saving the state; once more stops at once")
        elif time.monotonic() - first > SECONDS_OF_ONE_REQUEST:
            raise Terminated if number == signal.SIGTERM else KeyboardInterrupt

    before = {number: signal.signal(number, ask) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield lambda: bool(asked)
    except Interrupted as error:
        if asked == [signal.SIGINT]:
            raise KeyboardInterrupt(str(error)) from error
        raise
    finally:
        if asked:  # what is sent right after the first signal must not end the process before it says how it ended
            time.sleep(max(0.0, first + SECONDS_OF_ONE_REQUEST - time.monotonic()))
        for number, handler in before.items():
            signal.signal(number, handler)
