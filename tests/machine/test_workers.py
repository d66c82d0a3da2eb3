"""A worker's life and death: answers, words for how it ended, and a lock that no other process can keep."""

from __future__ import annotations

import multiprocessing
import os
import signal
from collections.abc import Callable, Iterator
from multiprocessing.connection import Connection

import pytest
from tqdm import tqdm

from autoseg.machine.workers import (
    Worker,
    WorkerDied,
    answered_or_died,
    describe_death,
    end,
    leave_termination_to_parent,
    stop_when_terminated,
    use_own_terminal_lock,
)


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


def doubled_or_gone(number: int, connection: Connection) -> None:
    if number == 3:
        os._exit(3)
    if number == 15:
        os.kill(os.getpid(), signal.SIGTERM)
    connection.send(2 * number)


def answer_of(worker: Worker, number: int) -> object:
    worker.hand(0, number)
    assert answered_or_died([worker]) == [worker]
    return worker.take()


@pytest.fixture
def start() -> Iterator[Callable[[Callable[[], object]], Worker]]:
    started: list[Worker] = []

    def begin(at_start: Callable[[], object]) -> Worker:
        started.append(Worker.start(doubled_or_gone, at_start))
        return started[-1]

    yield begin
    for worker in started:
        worker.dismiss()
    end(started)
    assert not multiprocessing.active_children()


def test_a_worker_answers_one_thing_after_the_other_and_is_free_between(start) -> None:  # type: ignore[no-untyped-def]
    worker = start(stop_when_terminated)

    assert [answer_of(worker, number) for number in (1, 2, 4)] == [2, 4, 8]
    assert worker.number is None


def test_a_death_is_told_with_how_it_came(start) -> None:  # type: ignore[no-untyped-def]
    worker = start(stop_when_terminated)

    with pytest.raises(WorkerDied, match=r"^ended with code 3$") as caught:
        answer_of(worker, 3)
    assert (caught.value.code, worker.number) == (3, 0)


def test_termination_ends_a_worker_or_is_left_to_its_parent(start) -> None:  # type: ignore[no-untyped-def]
    with pytest.raises(WorkerDied, match=r"^was stopped by SIGTERM$"):
        answer_of(start(stop_when_terminated), 15)
    assert answer_of(start(leave_termination_to_parent), 15) == 30
