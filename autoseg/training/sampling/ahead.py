"""Making ahead of time: worker processes of which any free one makes what is due next, and a thread that receives it.

What is made comes out in order, whoever made it and whenever it was ready. A worker writes which case it begins into
memory that both processes share, so that the case is known when it dies. An answer's arrays lie in such memory, too.
"""

from __future__ import annotations

import ctypes
import multiprocessing
import signal
import threading
from collections.abc import Callable, Generator, Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from multiprocessing.connection import Connection
from typing import Any, Generic, TypeVar

import torch
import torch.multiprocessing

from autoseg.errors import TrainingError
from autoseg.machine.workers import (
    STOPPING_SECONDS,
    Worker,
    WorkerDied,
    answered_or_died,
    end,
    leave_termination_to_parent,
)
from autoseg.remedies import shortage

Key = TypeVar("Key")
Made = TypeVar("Made")
Note = Callable[[str], object]

NOTE_BYTES = 1024
"""Of a case's name, four times as long as a file system's names are."""

MORE_SHARED_MEMORY = "give the container more (docker run --shm-size 8g)"


def make_ahead(
    make: Callable[[Key, Note], Made],
    keys: Iterable[Key],
    *,
    workers: int,
    ahead: int,
    receive: Callable[[Made], Made] | None = None,
) -> Generator[Made, None, None]:
    """Make something of every key, in their order.

    Args:
        make: Picklable; it tells its second argument each case that it begins.
        workers: Processes; without any, each is made when it is asked for.
        ahead: How many, at least one for each worker, are ready or under way beyond the last that was taken.
        receive: Done to each, in a thread of this process while it waits to be taken.

    Raises:
        TrainingError: A worker died; its last case, the cause and what to do are named.
    """
    finish = receive or _as_it_is
    if not workers:
        yield from (finish(make(key, ignore)) for key in keys)
        return
    running: list[_Maker] = []
    receiver = _Receiver(running, keys, max(workers, ahead), finish)
    try:
        for _ in range(workers):
            running.append(_Maker.start(make))
        receiver.start()
        yield from receiver.in_order()
    finally:
        receiver.stop()
        for maker in running:
            maker.worker.process.kill()  # it holds nothing that would have to be put in order
        receiver.join()
        end([maker.worker for maker in running])


@dataclass(frozen=True, slots=True)
class _NoRoom:
    """Sent by a worker in place of what it made and cannot hand over."""

    cause: str


@dataclass(frozen=True, slots=True)
class _Maker:
    """A worker, and in memory that both processes share the case that it works on; empty before its first."""

    worker: Worker
    case: Any

    @classmethod
    def start(cls, make: Callable[[Any, Note], Any]) -> _Maker:
        case = multiprocessing.get_context().RawArray(ctypes.c_char, NOTE_BYTES)
        return cls(Worker.start(partial(_answer, make, case), _begin), case)

    @property
    def at_work_on(self) -> str:
        return bytes(self.case.value).decode(errors="replace")

    @property
    def batch(self) -> str:
        """What it makes, as far as it said of what."""
        return f"case {self.at_work_on}: its batch" if self.at_work_on else "a batch"


class _Receiver(Generic[Made]):
    """The thread that gives each free worker the next key and takes in what was made, until told to stop.

    Attributes:
        most: Keys beyond the last that was taken for which something may be under way or ready.
    """

    def __init__(
        self, running: Sequence[_Maker], keys: Iterable[Any], most: int, finish: Callable[[Made], Made]
    ) -> None:
        self._running = running
        self._coming = enumerate(keys)
        self._most = most
        self._finish = finish
        self._ready: dict[int, Made] = {}
        self._taken = 0
        self._asked = 0
        self._all_asked = False
        self._failure: BaseException | None = None
        self._changed = threading.Condition()
        self._woken, self._wake = multiprocessing.Pipe(duplex=False)
        self._thread = threading.Thread(target=self._work, daemon=True)

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        """Have the thread end; what it waits for from a worker ends with that."""
        self._failure = self._failure or GeneratorExit()
        self._notify()

    def join(self) -> None:
        if self._thread.ident is not None:
            self._thread.join(STOPPING_SECONDS)
        for connection in (self._woken, self._wake):
            connection.close()

    def in_order(self) -> Generator[Made, None, None]:
        """What was made of each key, as soon as it is there."""
        while True:
            with self._changed:
                self._changed.wait_for(self._has_news)
                if self._failure is not None:
                    raise self._failure
                if self._taken not in self._ready:
                    return
                made = self._ready.pop(self._taken)
                self._taken += 1
            self._notify()
            yield made

    def _has_news(self) -> bool:
        finished = self._all_asked and self._taken == self._asked
        return self._failure is not None or finished or self._taken in self._ready

    def _notify(self) -> None:
        with suppress(OSError):
            self._wake.send_bytes(b"")

    def _work(self) -> None:
        try:
            while self._failure is None:
                self._ask_who_is_free()
                self._receive()
        except BaseException as error:
            with self._changed:
                self._failure = self._failure or error
        finally:
            with self._changed:
                self._changed.notify()

    def _ask_who_is_free(self) -> None:
        for maker in self._running:
            if maker.worker.number is None and self._asked - self._taken < self._most and not self._all_asked:
                self._ask(maker.worker)

    def _ask(self, worker: Worker) -> None:
        following = next(self._coming, None)
        with self._changed:
            if following is None:
                self._all_asked = True
                self._changed.notify()
                return
            self._asked += 1
        worker.hand(*following)

    def _receive(self) -> None:
        """Wait for an answer, for something to have been taken, or for the death of any worker."""
        ready = answered_or_died([maker.worker for maker in self._running], self._woken)
        if self._woken.poll():
            self._woken.recv_bytes()
        for maker in self._running:
            if maker.worker in ready:
                self._take_in(maker)

    def _take_in(self, maker: _Maker) -> None:
        number = maker.worker.number
        answer = _taken(maker)
        self._ask_who_is_free()  # before anything else: it should not wait for what is done to its answer
        made = self._finish(answer)
        with self._changed:
            self._ready[number] = made  # type: ignore[index]
            self._changed.notify()


def ignore(_: str) -> None:
    """For a case that nobody wants to be told of."""


def _as_it_is(made: Made) -> Made:
    return made


def _taken(maker: _Maker) -> Any:
    """What it made.

    Raises:
        TrainingError: It died, or what it made finds no room.
    """
    try:
        answer = maker.worker.take()
    except (WorkerDied, RuntimeError) as error:
        cause = error.__cause__ if isinstance(error, WorkerDied) else error
        if cause is not None and (what := shortage(cause)) is not None:
            raise TrainingError(f"{maker.batch} cannot be received: {what}") from cause
        if isinstance(error, WorkerDied):
            raise _explain_death(maker, error) from None
        raise
    if isinstance(answer, _NoRoom):
        if (what := shortage(RuntimeError(answer.cause))) is not None:
            raise TrainingError(f"{maker.batch} cannot be handed over: {what}")
        raise TrainingError(
            f"{maker.batch} cannot be handed over in shared memory (/dev/shm): {answer.cause}; "
            f"{MORE_SHARED_MEMORY}, or continue with `resume=True` and fewer workers (`settings.workers`; 0 needs none)"
        )
    return answer


def _explain_death(maker: _Maker, death: WorkerDied) -> TrainingError:
    case = maker.at_work_on
    who = f"case {case}: the worker at work on it" if case else "a worker that makes batches"
    remedy = "continue with `resume=True` and fewer workers (`settings.workers`)"
    if death.code == -signal.SIGBUS:
        remedy += f"; shared memory (/dev/shm) may be too small: {MORE_SHARED_MEMORY}"
    return TrainingError(f"{who} {death}; {remedy}")


def _begin() -> None:
    """One thread each; SIGTERM is the parent's to handle, which may ask for batches to the epoch's end."""
    leave_termination_to_parent()
    torch.set_num_threads(1)


def _answer(make: Callable[[Any, Note], Any], case: Any, key: Any, connection: Connection) -> None:
    def note(name: str) -> None:
        case.value = name.encode()[: NOTE_BYTES - 1]

    made = make(key, note)
    try:
        connection.send(made)
    except (RuntimeError, OSError) as error:
        if isinstance(error, ConnectionError):  # nobody is there to receive it
            raise
        connection.send(_NoRoom(str(error)))
