"""The one way to work on many cases: worker processes, a progress bar, failures that name their case.

Each worker is handed one case at a time, so a worker that dies (killed for memory, crashed in a library) is noticed
at once and its case is known. The other cases are finished before the failures are raised together.
"""

from __future__ import annotations

import logging
import multiprocessing
import os
import signal
import time
import traceback
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from multiprocessing.connection import Connection, wait
from multiprocessing.process import BaseProcess
from pathlib import Path
from types import FrameType
from typing import Any, Generic, NoReturn, TypeVar

from threadpoolctl import threadpool_limits
from tqdm import tqdm

from autoseg.errors import AutosegError, CasesFailed, DiskError
from autoseg.machine.progress import progress
from autoseg.machine.resources import ROOT, available_cores, available_memory
from autoseg.machine.workers import CRASHES, describe_death, end_with_parent, use_own_terminal_lock
from autoseg.remedies import describe_os_error, shortage
from autoseg.words import agreeing, counted, in_gigabytes

log = logging.getLogger(__name__)

Item = TypeVar("Item")
Result = TypeVar("Result")

STOPPING_SECONDS = 5
"""What workers have to end once they are told to; a dead one is noticed at once."""

FEWER_WORKERS = "use fewer workers (`workers`)"
NO_MORE_ITEMS = ()


def run_on_cases(
    function: Callable[[Item], Result],
    items: Sequence[Item],
    *,
    task: str,
    workers: int,
    name: Callable[[Item], str] = lambda item: str(getattr(item, "identifier", item)),
) -> list[Result]:
    """Call `function` on every item, in `workers` processes, and return the results in the items' order.

    Args:
        function: Picklable, as are items and results. With one worker it runs in this process.
        task: What is done, for the progress bar and the error ("verifying").
        name: What an item is called in a failure.

    Raises:
        CasesFailed: After all items were tried, when some failed; it names each with its cause.
        DiskError: One could not be written because the disk is full or read-only; those under way were ended first.
    """
    workers = min(workers, len(items))
    with progress(len(items), task) as bar:
        tally = _Tally[Result](bar)
        if workers <= 1:
            _run_here(function, items, tally)
        else:
            _run_in_processes(function, items, workers, tally)
    if tally.hopeless is not None:
        raise DiskError(
            f"{task}: stopped at {name(items[tally.hopeless])}: {tally.failures[tally.hopeless]}; "
            f"{len(tally.results)} of {counted(len(items), 'case')} {agreeing(len(tally.results), 'is', 'are')} "
            "finished, run the same command again for the others"
        )
    if tally.failures:
        named = [(name(items[number]), tally.failures[number]) for number in sorted(tally.failures)]
        raise CasesFailed(task, named, len(items))
    return [tally.results[number] for number in range(len(items))]


def fitting_workers(wanted: int | None, bytes_per_worker: int, *, most: int = 8, root: Path = ROOT) -> int:
    """How many workers to start: what the user wants, else a worker a core, as memory allows.

    Args:
        wanted: The user's number, which is kept, though it is said where memory may not hold them; None lets the
            machine decide.
        bytes_per_worker: Estimated peak memory of one worker.
        root: Where `proc` and `sys` lie.
    """
    memory = available_memory(root)
    fitting = memory * 8 // 10 // max(1, bytes_per_worker)
    if wanted is not None:
        if wanted > 1 and wanted * bytes_per_worker > memory:
            log.warning(
                "%s may need %s of memory, %s are free; %d would fit",
                *(
                    counted(wanted, "worker"),
                    in_gigabytes(wanted * bytes_per_worker),
                    in_gigabytes(memory),
                    max(1, fitting),
                ),
            )
        return max(1, wanted)
    by_cores = min(most, available_cores(root))
    if fitting < by_cores:
        log.info(
            "%s, as many as memory holds (%s each)", counted(max(1, fitting), "worker"), in_gigabytes(bytes_per_worker)
        )
    return max(1, min(by_cores, fitting))


@dataclass(frozen=True, slots=True)
class _Outcome(Generic[Result]):
    """Of one case; `hopeless` where all others would fail alike."""

    result: Result | None = None
    failure: str | None = None
    hopeless: bool = False


@dataclass(slots=True)
class _Tally(Generic[Result]):
    """What became of the cases, by their number."""

    bar: tqdm[Any]
    results: dict[int, Result] = field(default_factory=dict)
    failures: dict[int, str] = field(default_factory=dict)
    hopeless: int | None = None

    def add(self, number: int, outcome: _Outcome[Result]) -> None:
        if outcome.failure is None:
            self.results[number] = outcome.result  # type: ignore[assignment]
        else:
            self.failures[number] = outcome.failure
            if outcome.hopeless and self.hopeless is None:
                self.hopeless = number
        self.bar.update()


def _attempt(function: Callable[[Item], Result], item: Item) -> _Outcome[Result]:
    try:
        return _Outcome(function(item))
    except DiskError as error:
        return _Outcome(failure=str(error), hopeless=True)
    except AutosegError as error:
        return _Outcome(failure=str(error))
    except OSError as error:
        log.debug("%s", traceback.format_exc())
        return _Outcome(failure=describe_os_error(error))
    except Exception as error:
        log.debug("%s", traceback.format_exc())
        if (what := shortage(error, FEWER_WORKERS)) is not None:
            return _Outcome(failure=what)
        return _Outcome(failure=f"{type(error).__name__}: {error}\n{traceback.format_exc()}")


@dataclass(slots=True)
class _Worker:
    process: BaseProcess
    connection: Connection
    working_on: int | None = None


def _run_here(function: Callable[[Item], Result], items: Sequence[Item], tally: _Tally[Result]) -> None:
    for number, item in enumerate(items):
        tally.add(number, _attempt(function, item))
        if tally.hopeless is not None:
            return


def _run_in_processes(
    function: Callable[[Item], Result], items: Sequence[Item], workers: int, tally: _Tally[Result]
) -> None:
    waiting = deque(range(len(items)))
    running: list[_Worker] = []
    try:
        while waiting or running:
            while waiting and len(running) < workers:
                running.append(_start_worker(function))
                _hand_next(running[-1], waiting, items)
            for worker in _ready(running):
                if worker.working_on is not None:
                    tally.add(worker.working_on, _collect(worker))
                    worker.working_on = None
                if tally.hopeless is not None:
                    waiting.clear()
                if waiting and worker.process.is_alive():
                    _hand_next(worker, waiting, items)
                else:
                    running.remove(worker)
                    _dismiss(worker)
                    _end([worker])
    finally:
        for worker in running:
            worker.process.terminate()
        _end(running)


def _start_worker(function: Callable[[Item], Result]) -> _Worker:
    context = multiprocessing.get_context()
    ours, theirs = context.Pipe()
    process = context.Process(target=_work, args=(function, theirs), daemon=True)
    with _sigterm_held_back():
        process.start()
    theirs.close()
    return _Worker(process, ours)


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


def _hand_next(worker: _Worker, waiting: deque[int], items: Sequence[Any]) -> None:
    worker.working_on = waiting.popleft()
    try:
        worker.connection.send((items[worker.working_on],))
    except (BrokenPipeError, ConnectionResetError):
        log.debug("a worker died before it took its case")


def _ready(running: Sequence[_Worker]) -> list[_Worker]:
    """Workers that answered or died; waits until there is one."""
    ready = wait([worker.connection for worker in running] + [worker.process.sentinel for worker in running])
    return [worker for worker in running if worker.connection in ready or worker.process.sentinel in ready]


def _collect(worker: _Worker) -> _Outcome[Any]:
    try:
        if worker.connection.poll():
            outcome: _Outcome[Any] = worker.connection.recv()
            return outcome
    except (EOFError, OSError):  # OSError: it died in the middle of its answer
        pass
    worker.process.join(STOPPING_SECONDS)
    return _Outcome(failure=_explain_death(worker.process.exitcode))


def _explain_death(exit_code: int | None) -> str:
    if exit_code == -signal.SIGKILL:
        remedy = FEWER_WORKERS
    elif exit_code is not None and -exit_code in CRASHES:
        remedy = "look at this case's files, and run again with one worker to see whether it is this case that does it"
    else:
        remedy = "run the same command again"
    return f"its worker {describe_death(exit_code)}; {remedy}"


def _dismiss(worker: _Worker) -> None:
    """Tell a worker that there is nothing left; a sibling holds a copy of our end, so closing it would not be seen."""
    with suppress(BrokenPipeError, ConnectionResetError):
        worker.connection.send(NO_MORE_ITEMS)


def _end(workers: Sequence[_Worker]) -> None:
    """Give workers that were told to end some seconds for it, all together; then kill them."""
    deadline = time.monotonic() + STOPPING_SECONDS
    for worker in workers:
        worker.connection.close()
        worker.process.join(max(0.0, deadline - time.monotonic()))
        if worker.process.is_alive():
            worker.process.kill()
            worker.process.join(STOPPING_SECONDS)


class _Stopped(BaseException):
    """SIGTERM, raised inside a worker's case so that a half-written file is removed."""


def _stop(_number: int, _frame: FrameType | None) -> NoReturn:
    raise _Stopped


def _work(function: Callable[[Any], Any], connection: Connection) -> None:
    """A worker's life: take a case, work on it with one thread, answer; end when the other side is gone."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        signal.signal(signal.SIGTERM, _stop)
        if hasattr(signal, "pthread_sigmask"):
            signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGTERM})
        end_with_parent()
        use_own_terminal_lock()
        with threadpool_limits(1):
            _answer(function, connection)
    except (EOFError, BrokenPipeError, ConnectionResetError):
        return
    except _Stopped:
        signal.signal(signal.SIGTERM, signal.SIG_DFL)
        os.kill(os.getpid(), signal.SIGTERM)


def _answer(function: Callable[[Any], Any], connection: Connection) -> None:
    while message := connection.recv():
        (item,) = message
        connection.send(_attempt(function, item))
