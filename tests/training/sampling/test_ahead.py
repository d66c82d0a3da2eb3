"""Making ahead of time: in order, whoever makes it, and every way in which a worker can go."""

from __future__ import annotations

import faulthandler
import multiprocessing
import os
import re
import resource
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest
import torch

from autoseg.errors import TrainingError
from autoseg.machine.processes import ProcessIdentity
from autoseg.training.sampling.ahead import Note, ignore, make_ahead


def make(number: int, note: Note) -> tuple[int, torch.Tensor]:
    """A tensor of the number; of some numbers, something else."""
    note(f"case_{number}")
    if number == 10:
        os.kill(os.getpid(), signal.SIGKILL)
    if number == 11:
        faulthandler.disable()
        os.kill(os.getpid(), signal.SIGBUS)
    if number == 12:
        os._exit(3)
    if number == 13:
        os.kill(os.getpid(), signal.SIGSTOP)
    return os.getpid(), torch.full((1000,), float(number))


@pytest.mark.parametrize("workers", [0, 1, 3])
def test_everything_is_made_in_order(workers: int) -> None:
    made = list(make_ahead(make, range(8), workers=workers, ahead=2))

    assert [int(tensor.mean()) for _, tensor in made] == list(range(8))
    makers = {process for process, _ in made}
    assert 1 <= len(makers) <= max(1, workers)
    assert (os.getpid() in makers) == (workers == 0)
    assert not multiprocessing.active_children()


def test_a_free_worker_does_not_wait_for_a_slow_one() -> None:
    """Of ten, the first is slow: the other worker makes all the others meanwhile, and they come out in order."""
    made = list(make_ahead(slow_first, range(10), workers=2, ahead=10))

    assert [number for number, _, _ in made] == list(range(10))
    (_, slow, ready), *others = made
    assert {process for _, process, _ in others} != {slow} and slow not in {process for _, process, _ in others}
    assert all(when < ready for _, _, when in others)


def slow_first(number: int, _: Note) -> tuple[int, int, float]:
    time.sleep(0 if number else 1.0)
    return number, os.getpid(), time.monotonic()


def test_cases_that_nobody_reads_of_stop_no_worker() -> None:
    """A batch of hundreds of slices names hundreds of cases; once they filled the pipe."""
    made = make_ahead(many_cases, range(2), workers=1, ahead=2)
    first = next(made)
    time.sleep(0.5)
    started = time.monotonic()

    assert (first, next(made)) == (0, 1)
    assert time.monotonic() - started < 0.1
    made.close()


def many_cases(number: int, note: Note) -> int:
    for case in range(20_000):
        note(f"case_{case}")
    return number


def test_what_is_received_is_finished_in_a_thread_of_this_process() -> None:
    threads: set[int] = set()

    def double(number: int) -> int:
        threads.add(threading.get_ident())
        return 2 * number

    assert list(make_ahead(itself, range(4), workers=2, ahead=4, receive=double)) == [0, 2, 4, 6]
    assert len(threads) == 1 and threading.get_ident() not in threads


def itself(number: int, _: Note) -> int:
    return number


def test_an_error_while_finishing_reaches_whoever_asks() -> None:
    def broken(_: int) -> int:
        raise MemoryError("no room to pin")

    with pytest.raises(MemoryError, match="no room to pin"):
        list(make_ahead(itself, range(4), workers=2, ahead=4, receive=broken))
    assert not multiprocessing.active_children()


def test_workers_run_ahead_by_as_many_as_they_may(tmp_path: Path) -> None:
    made = make_ahead(Touch(tmp_path), range(20), workers=2, ahead=4)
    next(made)

    deadline = time.monotonic() + 10
    while len(list(tmp_path.iterdir())) < 5 and time.monotonic() < deadline:
        time.sleep(0.02)
    time.sleep(0.2)
    assert sorted(int(path.name) for path in tmp_path.iterdir()) == [0, 1, 2, 3, 4]
    made.close()


class Touch:
    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def __call__(self, number: int, _: Note) -> int:
        (self.folder / str(number)).touch()
        return number


@pytest.mark.parametrize(
    ("number", "cause"),
    [
        (
            10,
            "was killed, most likely because memory ran out; continue with `resume=True` and fewer workers (`settings.workers`)",
        ),
        (
            11,
            "crashed (SIGBUS); continue with `resume=True` and fewer workers (`settings.workers`); shared memory (/dev/shm) may be too "
            "small: give the container more (docker run --shm-size 8g)",
        ),
        (12, "ended with code 3; continue with `resume=True` and fewer workers (`settings.workers`)"),
    ],
)
@pytest.mark.parametrize("workers", [1, 3])
def test_a_dead_worker_is_named_with_its_case(workers: int, number: int, cause: str) -> None:
    started = time.monotonic()

    with pytest.raises(TrainingError) as caught:
        list(make_ahead(make, [0, 1, 2, number, 3, 4, 5], workers=workers, ahead=2))

    assert str(caught.value) == f"case case_{number}: the worker at work on it {cause}"
    assert time.monotonic() - started < 5
    assert not multiprocessing.active_children()


def test_a_worker_that_dies_before_its_first_case_is_explained() -> None:
    with pytest.raises(
        TrainingError, match=r"^a worker that makes batches ended with code 5; continue with `resume=True`"
    ):
        list(make_ahead(silent, [1], workers=1, ahead=1))


def silent(_: int, __: Note) -> None:
    os._exit(5)


def test_a_batch_that_shared_memory_does_not_hold_is_explained() -> None:
    with pytest.raises(TrainingError) as caught:
        list(make_ahead(too_large, [7], workers=1, ahead=1))

    assert re.fullmatch(
        r"case case_7: its batch cannot be handed over in shared memory \(/dev/shm\): unable to .*; give the container more "
        r"\(docker run --shm-size 8g\), or continue with `resume=True` and fewer workers \(`settings.workers`; 0 needs none\)",
        str(caught.value),
    )
    assert not multiprocessing.active_children()


def test_a_batch_of_no_case_is_called_just_that() -> None:
    with pytest.raises(TrainingError, match=r"^a batch cannot be handed over in shared memory"):
        list(make_ahead(too_large_of_nothing, [7], workers=1, ahead=1))


def too_large_of_nothing(number: int, _: Note) -> torch.Tensor:
    return too_large(number, ignore)


def too_large(number: int, note: Note) -> torch.Tensor:
    """For this process, which may make no file of that size: shared memory is one."""
    note(f"case_{number}")
    resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, 100_000))
    return torch.zeros(10**6)


def test_a_worker_that_hangs_keeps_nobody_from_ending() -> None:
    made = make_ahead(make, [1, 13, 2], workers=2, ahead=1)
    next(made)
    started = time.monotonic()
    made.close()

    assert time.monotonic() - started < 2
    assert not multiprocessing.active_children()


ORPHANS = """
import os, time
from autoseg.training.sampling.ahead import make_ahead

def make(number, note):
    os.write(1, b"%d\\n" % os.getpid())
    time.sleep(60)

list(make_ahead(make, [1, 2, 3], workers=3, ahead=1))
"""


def test_no_worker_outlives_a_training_that_is_killed() -> None:
    parent = subprocess.Popen([sys.executable, "-c", ORPHANS], stdout=subprocess.PIPE, text=True)
    assert parent.stdout is not None
    workers = [ProcessIdentity.of(int(parent.stdout.readline())) for _ in range(3)]

    parent.kill()
    parent.wait(timeout=10)

    deadline = time.monotonic() + 5
    while any(worker.runs_here for worker in workers) and time.monotonic() < deadline:
        time.sleep(0.05)
    assert not any(worker.runs_here for worker in workers)
