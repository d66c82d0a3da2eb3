"""Words for how a process ended, and a lock that no other process can keep."""

from __future__ import annotations

import multiprocessing
import os
import signal
from collections.abc import Callable

import pytest
from tqdm import tqdm

from autoseg.machine.workers import describe_death, use_own_terminal_lock


@pytest.mark.parametrize(
    ("exit_code", "words"),
    [
        (-signal.SIGKILL, "was killed, most likely because memory ran out"),
        (-signal.SIGSEGV, "crashed (SIGSEGV)"),
        (-signal.SIGBUS, "crashed (SIGBUS)"),
        (-signal.SIGTERM, "was stopped by SIGTERM"),
        (-40, "was stopped by signal 40"),
        (3, "ended with code 3"),
        (None, "ended with code None"),
    ],
)
def test_every_end_has_its_words(exit_code: int | None, words: str) -> None:
    assert describe_death(exit_code) == words


def nothing() -> None:
    """Keep the lock that was inherited."""


@pytest.mark.parametrize("prepare", [nothing, use_own_terminal_lock])
def test_a_worker_killed_while_it_logs_keeps_no_lock(prepare: Callable[[], None]) -> None:
    use_own_terminal_lock()
    process = multiprocessing.get_context("fork").Process(target=die_with_the_lock, args=(prepare,))
    process.start()
    process.join(10)

    assert process.exitcode == -signal.SIGKILL
    assert tqdm.get_lock().acquire(timeout=1)
    tqdm.get_lock().release()


def die_with_the_lock(prepare: Callable[[], None]) -> None:
    prepare()
    tqdm.get_lock().acquire()
    os.kill(os.getpid(), signal.SIGKILL)
