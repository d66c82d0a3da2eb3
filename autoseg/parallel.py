"""The one way to work on many cases: worker processes, a progress bar, failures that name their case.

Each worker is handed one case at a time, so a worker that dies (killed for memory, crashed in a library) is noticed
at once and its case is known. The other cases are finished before the failures are raised together.
"""

from __future__ import annotations

import logging
import multiprocessing
import os
import signal
import threading
import traceback
from collections import deque
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from multiprocessing.connection import Connection, wait
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import Any, Generic, TypeVar

from threadpoolctl import threadpool_limits
from tqdm import tqdm

from autoseg.errors import AutosegError, CasesFailed
from autoseg.machine import ROOT, available_cores, available_memory

log = logging.getLogger(__name__)

Item = TypeVar("Item")
Result = TypeVar("Result")

STOPPING_SECONDS = 5
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
    """
    results: dict[int, Result] = {}
    failures: dict[int, str] = {}
    with progress(len(items), task) as bar:
        if min(workers, len(items)) <= 1:
            for number, item in enumerate(items):
                _store(number, _attempt(function, item), results, failures)
                bar.update()
        else:
            _run_in_processes(function, items, min(workers, len(items)), results, failures, bar)
    if failures:
        raise CasesFailed(task, [(name(items[number]), failures[number]) for number in sorted(failures)], len(items))
    return [results[number] for number in range(len(items))]


def progress(total: int, task: str, *, unit: str = "case") -> tqdm[Any]:
    """A progress bar with the time left; silent where there is no terminal."""
    return tqdm(total=total, desc=task, unit=unit, disable=None, leave=False, dynamic_ncols=True)


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
                "%d workers may need %.1f GB of memory, %.1f GB are free; %d would fit",
                *(wanted, wanted * bytes_per_worker / 1e9, memory / 1e9, max(1, fitting)),
            )
        return max(1, wanted)
    by_cores = min(most, available_cores(root))
    if fitting < by_cores:
        log.info("%d workers, as many as memory holds (%.1f GB each)", max(1, fitting), bytes_per_worker / 1e9)
    return max(1, min(by_cores, fitting))


@dataclass(frozen=True, slots=True)
class _Outcome(Generic[Result]):
    result: Result | None
    failure: str | None


def _attempt(function: Callable[[Item], Result], item: Item) -> _Outcome[Result]:
    try:
        return _Outcome(function(item), None)
    except AutosegError as error:
        return _Outcome(None, str(error))
    except MemoryError:
        return _Outcome(None, "out of memory; use fewer workers")
    except Exception as error:
        log.debug("%s", traceback.format_exc())
        return _Outcome(None, f"{type(error).__name__}: {error}\n{traceback.format_exc()}")


def _store(number: int, outcome: _Outcome[Result], results: dict[int, Result], failures: dict[int, str]) -> None:
    if outcome.failure is None:
        results[number] = outcome.result  # type: ignore[assignment]
    else:
        failures[number] = outcome.failure


@dataclass(slots=True)
class _Worker:
    process: BaseProcess
    connection: Connection
    working_on: int | None = None


def _run_in_processes(
    function: Callable[[Item], Result],
    items: Sequence[Item],
    workers: int,
    results: dict[int, Result],
    failures: dict[int, str],
    bar: tqdm[Any],
) -> None:
    waiting = deque(range(len(items)))
    running: list[_Worker] = []
    try:
        while waiting or running:
            while waiting and len(running) < workers:
                running.append(_start_worker(function))
                _hand_next(running[-1], waiting, items)
            for worker in _ready(running):
                number = worker.working_on
                if number is not None:
                    _store(number, _collect(worker), results, failures)
                    bar.update()
                worker.working_on = None
                if waiting and worker.process.is_alive():
                    _hand_next(worker, waiting, items)
                else:
                    running.remove(worker)
                    _stop_worker(worker)
    finally:
        for worker in running:
            worker.process.terminate()
        for worker in running:
            _stop_worker(worker)


def _start_worker(function: Callable[[Item], Result]) -> _Worker:
    context = multiprocessing.get_context()
    ours, theirs = context.Pipe()
    process = context.Process(target=_work, args=(function, theirs), daemon=True)
    process.start()
    theirs.close()
    return _Worker(process, ours)


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
    except (EOFError, ConnectionResetError):
        pass
    worker.process.join(STOPPING_SECONDS)
    return _Outcome(None, _cause_of_death(worker.process.exitcode))


def _cause_of_death(exit_code: int | None) -> str:
    if exit_code == -signal.SIGKILL:
        return "its worker was killed, most likely because memory ran out; use fewer workers (-tl, -tf)"
    if exit_code is not None and exit_code < 0:
        return f"its worker was stopped by signal {signal.Signals(-exit_code).name}"
    return f"its worker ended with code {exit_code}"


def _stop_worker(worker: _Worker) -> None:
    # A forked sibling holds a copy of our end of the pipe, so closing it alone would not be seen.
    with suppress(BrokenPipeError, ConnectionResetError):
        worker.connection.send(NO_MORE_ITEMS)
    worker.connection.close()
    worker.process.join(STOPPING_SECONDS)
    if worker.process.is_alive():
        worker.process.kill()
        worker.process.join()


def _work(function: Callable[[Any], Any], connection: Connection) -> None:
    """A worker's life: take a case, work on it with one thread, answer; end when the other side is gone."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    threading.Thread(target=_end_with_parent, daemon=True).start()
    with threadpool_limits(1):
        while True:
            try:
                message = connection.recv()
                if not message:
                    return
                (item,) = message
                connection.send(_attempt(function, item))
            except (EOFError, BrokenPipeError, ConnectionResetError):
                return


def _end_with_parent() -> None:
    """End this worker, even in the middle of a case, when the process that started it is gone."""
    parent = multiprocessing.parent_process()
    if parent is not None:
        wait([parent.sentinel])
        os._exit(1)
