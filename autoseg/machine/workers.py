"""A worker process: started, handed one thing after the other, its answers taken in, its death noticed, and ended.

Who hands what to whom, in which order, and what is said of a death, is for those who have workers.
"""

from __future__ import annotations

import ctypes
import multiprocessing
import os
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from multiprocessing.connection import Connection, wait
from multiprocessing.process import BaseProcess
from types import FrameType
from typing import Any, NoReturn, TypeAlias

from threadpoolctl import threadpool_limits
from tqdm import tqdm

Answer: TypeAlias = Callable[[Any, Connection], object]
"""What a worker does with a thing it was handed: it works on it, and sends what came of it."""

STOPPING_SECONDS = 5
"""What a process has to end once it is told to; one that is killed is gone at once, unless its system call hangs."""

NO_MORE = ()

CRASHES = (signal.SIGSEGV, signal.SIGBUS, signal.SIGABRT, signal.SIGILL, signal.SIGFPE)

SET_PARENT_DEATH_SIGNAL = 1
"""PR_SET_PDEATHSIG of Linux's prctl(2)."""


class WorkerDied(Exception):  # noqa: N818 - it says what happened
    """A worker ended before it answered, or while it did.

    Attributes:
        code: Of its exit; None where it hangs.
    """

    def __init__(self, code: int | None) -> None:
        super().__init__(describe_death(code))
        self.code = code


@dataclass(slots=True, eq=False)
class Worker:
    """A process that answers one thing after the other.

    Attributes:
        number: Of what it was handed; None while it is free.
    """

    process: BaseProcess
    connection: Connection
    number: int | None = None

    @classmethod
    def start(cls, answer: Answer, at_start: Callable[[], object]) -> Worker:
        """Start one; it ends with this process.

        Args:
            answer: Picklable.
            at_start: Picklable; done first, to say what SIGTERM means to it and how it computes. Ctrl-C is for this
                process alone.
        """
        context = multiprocessing.get_context()
        ours, theirs = context.Pipe()
        process = context.Process(target=_live, args=(answer, at_start, theirs), daemon=True)
        with _sigterm_held_back():
            process.start()
        theirs.close()
        return cls(process, ours)

    def hand(self, number: int, item: Any) -> None:
        """Give a free one the next thing; if it is dead, asking for its answer says so."""
        self.number = number
        with suppress(ConnectionError):
            self.connection.send((item,))

    def take(self) -> Any:
        """Its answer, which is there, or the death of it; it is free then.

        Raises:
            WorkerDied: Its cause is the error that reading ended with, if any.
        """
        try:
            if not self.connection.poll():
                raise EOFError
            answer = self.connection.recv()
        except (EOFError, OSError) as error:  # OSError: in the middle of its answer
            raise WorkerDied(self._exit_code()) from error
        self.number = None
        return answer

    def dismiss(self) -> None:
        """Say that there is nothing left; a sibling holds a copy of our end, so closing it would not be seen."""
        with suppress(ConnectionError):
            self.connection.send(NO_MORE)

    def _exit_code(self) -> int | None:
        self.process.join(STOPPING_SECONDS)
        return self.process.exitcode


def answered_or_died(workers: Sequence[Worker], *woken: Connection) -> list[Worker]:
    """Those that have an answer, or are dead; waits until there is one, or something comes through the others."""
    sentinels = [worker.process.sentinel for worker in workers]
    ready = wait([*(worker.connection for worker in workers), *sentinels, *woken])
    return [worker for worker in workers if worker.connection in ready or worker.process.sentinel in ready]


def end(workers: Sequence[Worker]) -> None:
    """Give workers that were told to end some seconds for it, all together; then kill them."""
    deadline = time.monotonic() + STOPPING_SECONDS
    for worker in workers:
        worker.connection.close()
        worker.process.join(max(0.0, deadline - time.monotonic()))
        if worker.process.is_alive():
            worker.process.kill()
            worker.process.join(STOPPING_SECONDS)


def stop_when_terminated() -> None:
    """Have SIGTERM end this worker's work as an error does, so that a half-written file is removed."""
    signal.signal(signal.SIGTERM, _stop)


def leave_termination_to_parent() -> None:
    """Have this worker go on at SIGTERM, which schedulers send to all processes."""
    signal.signal(signal.SIGTERM, signal.SIG_IGN)


def end_with_parent() -> None:
    """Have this worker end, even in the middle of its work, when the process that started it ends in any way."""
    parent = multiprocessing.parent_process()
    if parent is None:
        return
    try:
        threading.Thread(target=_end_after, args=(parent.sentinel,), daemon=True).start()
    except RuntimeError:  # no thread can be started
        if sys.platform != "linux":
            raise
    if sys.platform == "linux" and os.getppid() == parent.pid:
        death_notice(signal.SIGKILL)()  # reaches also a worker whose library lets no other thread run


def death_notice(number: signal.Signals) -> Callable[[], object]:
    """What a process of Linux calls to be sent a signal when its parent dies; made before a fork, it is safe after it."""
    prctl = ctypes.CDLL(None).prctl
    return lambda: prctl(SET_PARENT_DEATH_SIGNAL, int(number))


def describe_death(exit_code: int | None) -> str:
    """How a process ended that should have lived: "was killed, most likely because memory ran out"."""
    if exit_code == -signal.SIGKILL:
        return "was killed, most likely because memory ran out"
    if exit_code is None or exit_code >= 0:
        return f"ended with code {exit_code}"
    try:
        name = signal.Signals(-exit_code).name
    except ValueError:
        name = f"signal {-exit_code}"
    return f"crashed ({name})" if -exit_code in CRASHES else f"was stopped by {name}"


def use_own_terminal_lock() -> None:
    """Replace the progress bar's lock, which forked workers share: one killed while it logs would keep it for ever."""
    tqdm.set_lock(threading.RLock())


class _Stopped(BaseException):
    """SIGTERM, raised inside the work."""


def _stop(_number: int, _frame: FrameType | None) -> NoReturn:
    raise _Stopped


@contextmanager
def _sigterm_held_back() -> Iterator[None]:
    """Until a new worker knows what to do about it: it would take it for the command's own."""
    if not hasattr(signal, "pthread_sigmask"):
        yield
        return
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGTERM})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def _live(answer: Answer, at_start: Callable[[], object], connection: Connection) -> None:
    """A worker's life, with one thread: it ends when it is told to, or when the other side is gone."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        at_start()
        if hasattr(signal, "pthread_sigmask"):
            signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGTERM})
        end_with_parent()
        use_own_terminal_lock()
        with threadpool_limits(1):
            while message := connection.recv():
                answer(message[0], connection)
    except (EOFError, BrokenPipeError, ConnectionResetError):
        return
    except _Stopped:
        signal.signal(signal.SIGTERM, signal.SIG_DFL)
        os.kill(os.getpid(), signal.SIGTERM)


def _end_after(parent: int) -> None:
    wait([parent])
    os._exit(1)
