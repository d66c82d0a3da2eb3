"""Making batches ahead of time: worker processes that are asked and answer in turn, and end with whoever asks them.

Each worker says which case it begins, so that the case is known when it dies. An answer's arrays lie in memory that both
processes share; only their names go through the pipe, which is why no answer waits for being read.
"""

from __future__ import annotations

import signal
from collections import deque
from collections.abc import Callable, Generator, Iterable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from itertools import islice
from multiprocessing.connection import Connection, wait
from multiprocessing.process import BaseProcess
from typing import Any, TypeVar

import torch
import torch.multiprocessing
from threadpoolctl import threadpool_limits

from autoseg.errors import TrainingError
from autoseg.workers import describe_death, end_with_parent, use_own_terminal_lock

Key = TypeVar("Key")
Made = TypeVar("Made")
Note = Callable[[str], object]

STOPPING_SECONDS = 5
"""A killed process is gone at once, unless its system call hangs."""

MORE_SHARED_MEMORY = "give the container more (docker run --shm-size 8g)"


@dataclass(frozen=True, slots=True)
class Begun:
    """Sent by a worker before it works on a case."""

    case: str


@dataclass(frozen=True, slots=True)
class NoRoom:
    """Sent by a worker in place of what it made and cannot hand over."""

    cause: str


@dataclass(slots=True)
class _Worker:
    process: BaseProcess
    connection: Connection
    case: str | None = None


def make_ahead(
    make: Callable[[Key, Note], Made], keys: Iterable[Key], *, workers: int, ahead: int
) -> Generator[Made, None, None]:
    """Make something of every key, in their order.

    Args:
        make: Picklable; it tells its second argument each case that it begins.
        workers: Processes; without any, each is made when it is asked for.
        ahead: How many each of them has ready or under way.

    Raises:
        TrainingError: A worker died; its last case, the cause and what to do are named.
    """
    if not workers:
        yield from (make(key, ignore) for key in keys)
        return
    coming = iter(keys)
    running: list[_Worker] = []
    due: deque[_Worker] = deque()
    try:
        for _ in range(workers):
            running.append(_start(make))
        for worker in running * ahead:
            _ask(worker, coming, due)
        while due:
            worker = due.popleft()
            made = _receive(worker, running)
            _ask(worker, coming, due)
            yield made
    finally:
        _end(running)


def ignore(_: str) -> None:
    """For a case that nobody wants to be told of."""


def _start(make: Callable[[Any, Note], Any]) -> _Worker:
    context = torch.multiprocessing.get_context()
    ours, theirs = context.Pipe()
    process = context.Process(target=_work, args=(make, theirs), daemon=True)
    process.start()
    theirs.close()
    return _Worker(process, ours)


def _ask(worker: _Worker, coming: Iterator[Any], due: deque[_Worker]) -> None:
    for key in islice(coming, 1):
        with suppress(OSError):  # it died, which waiting for its answer finds out
            worker.connection.send((key,))
        due.append(worker)


def _receive(worker: _Worker, running: Sequence[_Worker]) -> Any:
    """The next thing a worker made; waits for that, or for the death of any."""
    sentinels = [one.process.sentinel for one in running]
    while True:
        ready = wait([worker.connection, *sentinels])
        for one in running:
            if one.process.sentinel in ready:
                raise _explain_death(one)
        try:
            answer = worker.connection.recv()
        except (EOFError, OSError):  # it dies just now, in the middle of its answer
            raise _explain_death(worker) from None
        if isinstance(answer, NoRoom):
            raise TrainingError(
                f"case {worker.case}: its batch cannot be handed over in shared memory (/dev/shm): {answer.cause}; "
                f"{MORE_SHARED_MEMORY}, or continue with -c and fewer workers (--num_workers; 0 needs none)"
            )
        if not isinstance(answer, Begun):
            return answer
        worker.case = answer.case


def _explain_death(worker: _Worker) -> TrainingError:
    _read_what_is_left(worker)
    worker.process.join(STOPPING_SECONDS)
    code = worker.process.exitcode
    who = "a worker that makes batches" if worker.case is None else f"case {worker.case}: the worker at work on it"
    remedy = "continue with -c and fewer workers (--num_workers)"
    if code == -signal.SIGBUS:
        remedy += f"; shared memory (/dev/shm) may be too small: {MORE_SHARED_MEMORY}"
    return TrainingError(f"{who} {describe_death(code)}; {remedy}")


def _read_what_is_left(worker: _Worker) -> None:
    """The cases that a dead worker began can still be read; what it made is gone with the memory it shared."""
    while True:
        try:
            answer = worker.connection.recv()
        except EOFError:
            return
        except OSError:
            continue
        if isinstance(answer, Begun):
            worker.case = answer.case


def _end(running: Sequence[_Worker]) -> None:
    """Workers hold nothing that would have to be put in order."""
    for worker in running:
        worker.process.kill()
    for worker in running:
        worker.process.join(STOPPING_SECONDS)
        worker.connection.close()


def _work(make: Callable[[Any, Note], Any], connection: Connection) -> None:
    """One thread each. Ctrl-C and SIGTERM, which schedulers send to all processes, are the parent's to handle."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    end_with_parent()
    use_own_terminal_lock()
    torch.set_num_threads(1)
    with threadpool_limits(1), suppress(EOFError, OSError):
        while True:
            (key,) = connection.recv()
            made = make(key, lambda case: connection.send(Begun(case)))
            try:
                connection.send(made)
            except RuntimeError as error:
                connection.send(NoRoom(str(error)))
