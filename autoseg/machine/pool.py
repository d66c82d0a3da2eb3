"""The one way to work on many cases: worker processes, a progress bar, failures that name their case.

Each worker is handed one case at a time, so a worker that dies (killed for memory, crashed in a library) is noticed
at once and its case is known. The other cases are finished before the failures are raised together.
"""

from __future__ import annotations

import logging
import signal
import traceback
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import partial
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any, Generic, TypeVar

from tqdm import tqdm

from autoseg.errors import AutosegError, CasesFailed, DiskError
from autoseg.machine.progress import progress
from autoseg.machine.resources import ROOT, available_cores, available_memory
from autoseg.machine.workers import CRASHES, Worker, WorkerDied, answered_or_died, end, stop_when_terminated
from autoseg.remedies import describe_os_error, shortage
from autoseg.words import agreeing, counted, in_gigabytes

log = logging.getLogger(__name__)

Item = TypeVar("Item")
Result = TypeVar("Result")

FEWER_WORKERS = "use fewer workers (`workers`)"


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


def _run_here(function: Callable[[Item], Result], items: Sequence[Item], tally: _Tally[Result]) -> None:
    for number, item in enumerate(items):
        tally.add(number, _attempt(function, item))
        if tally.hopeless is not None:
            return


def _run_in_processes(
    function: Callable[[Item], Result], items: Sequence[Item], workers: int, tally: _Tally[Result]
) -> None:
    waiting = deque(range(len(items)))
    running: list[Worker] = []
    try:
        while waiting or running:
            while waiting and len(running) < workers:
                running.append(Worker.start(partial(_answer, function), stop_when_terminated))
                _hand_next(running[-1], waiting, items)
            for worker in answered_or_died(running):
                if (number := worker.number) is not None:
                    tally.add(number, _collect(worker))
                if tally.hopeless is not None:
                    waiting.clear()
                if waiting and worker.process.is_alive():
                    _hand_next(worker, waiting, items)
                else:
                    running.remove(worker)
                    worker.dismiss()
                    end([worker])
    finally:
        for worker in running:
            worker.process.terminate()
        end(running)


def _hand_next(worker: Worker, waiting: deque[int], items: Sequence[Any]) -> None:
    number = waiting.popleft()
    worker.hand(number, items[number])


def _answer(function: Callable[[Any], Any], item: Any, connection: Connection) -> None:
    connection.send(_attempt(function, item))


def _collect(worker: Worker) -> _Outcome[Any]:
    try:
        outcome: _Outcome[Any] = worker.take()
    except WorkerDied as death:
        return _Outcome(failure=_explain_death(death))
    return outcome


def _explain_death(death: WorkerDied) -> str:
    if death.code == -signal.SIGKILL:
        remedy = FEWER_WORKERS
    elif death.code is not None and -death.code in CRASHES:
        remedy = "look at this case's files, and run again with one worker to see whether it is this case that does it"
    else:
        remedy = "run the same command again"
    return f"its worker {death}; {remedy}"
