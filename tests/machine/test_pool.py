"""Work on many cases: order kept, failures named, dead workers noticed, nothing left behind."""

from __future__ import annotations

import faulthandler
import multiprocessing
import os
import re
import signal
import struct
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from multiprocessing.connection import Connection
from pathlib import Path

import pytest

from autoseg.errors import CasesFailed, DatasetError, DiskError
from autoseg.machine.pool import fitting_workers, run_on_cases
from autoseg.machine.resources import available_cores
from autoseg.machine.workers import STOPPING_SECONDS


@dataclass(frozen=True)
class Numbered:
    identifier: str
    value: int
    act: str = ""


def work(case: Numbered) -> tuple[int, int]:
    """The value doubled and the process that did it; or what the case asks for."""
    if case.act == "wrong":
        raise DatasetError(f"{case.identifier}: has no label; add one")
    if case.act == "bug":
        raise KeyError("lost")
    if case.act == "memory":
        raise MemoryError
    if case.act == "full":
        raise DiskError("the disk is full; free some space")
    if case.act == "gone":
        Path("/nowhere", case.identifier).read_bytes()
    if case.act == "crashed":
        faulthandler.disable()
        os.kill(os.getpid(), signal.SIGSEGV)
    if case.act == "killed while it answers":
        os.write(connection_to_parent().fileno(), struct.pack("!i", 1000) + b"the beginning")
        os.kill(os.getpid(), signal.SIGKILL)
    if case.act == "killed":
        os.kill(os.getpid(), signal.SIGKILL)
    if case.act == "terminated":
        os.kill(os.getpid(), signal.SIGTERM)
    if case.act == "exit":
        os._exit(7)
    if case.act == "slow":
        time.sleep(0.3)
    return 2 * case.value, os.getpid()


def connection_to_parent() -> Connection:
    """What a worker answers through, found in the functions that called us."""
    frame = sys._getframe()
    while "connection" not in frame.f_locals:
        assert frame.f_back is not None
        frame = frame.f_back
    connection: Connection = frame.f_locals["connection"]
    return connection


def cases(*acts: str) -> list[Numbered]:
    return [Numbered(f"case_{number}", number, act) for number, act in enumerate(acts)]


@pytest.mark.parametrize("workers", [1, 2, 3])
def test_results_keep_the_order_of_the_cases(workers: int) -> None:
    given = cases("slow", "", "", "slow", "", "")

    results = run_on_cases(work, given, task="testing", workers=workers)

    assert [value for value, _ in results] == [0, 2, 4, 6, 8, 10]
    processes = {process for _, process in results}
    assert processes == {os.getpid()} if workers == 1 else len(processes) == workers and os.getpid() not in processes


def test_no_cases_is_no_work() -> None:
    assert run_on_cases(work, [], task="testing", workers=4) == []


def test_workers_that_have_nothing_left_to_do_keep_nobody_waiting() -> None:
    started = time.monotonic()

    run_on_cases(work, cases("", "slow", "slow"), task="testing", workers=3)

    assert time.monotonic() - started < STOPPING_SECONDS - 1


@pytest.mark.parametrize("workers", [1, 2])
def test_failures_name_their_cases_and_the_others_are_finished(workers: int) -> None:
    with pytest.raises(CasesFailed) as caught:
        run_on_cases(work, cases("", "wrong", "slow", "memory", ""), task="testing", workers=workers)

    assert str(caught.value) == (
        "testing: 2 of 5 cases failed; the others are finished\n"
        "  case_1: case_1: has no label; add one\n"
        "  case_3: out of memory; use fewer workers (`workers`)"
    )
    assert caught.value.failures[0] == ("case_1", "case_1: has no label; add one")


def test_a_bug_in_a_worker_keeps_its_traceback() -> None:
    with pytest.raises(CasesFailed, match=r"case_1: KeyError: 'lost'\n(.|\n)*raise KeyError\(\"lost\"\)"):
        run_on_cases(work, cases("", "bug"), task="testing", workers=2)


@pytest.mark.parametrize(
    ("act", "cause"),
    [
        (
            "killed",
            "its worker was killed, most likely because memory ran out; use fewer workers (`workers`)",
        ),
        (
            "killed while it answers",
            "its worker was killed, most likely because memory ran out; use fewer workers (`workers`)",
        ),
        ("terminated", "its worker was stopped by SIGTERM; run the same command again"),
        (
            "crashed",
            "its worker crashed (SIGSEGV); look at this case's files, and run again with one worker to see whether it "
            "is this case that does it",
        ),
        ("exit", "its worker ended with code 7; run the same command again"),
    ],
)
def test_a_dead_worker_is_noticed_at_once_and_named(act: str, cause: str) -> None:
    started = time.monotonic()

    with pytest.raises(CasesFailed) as caught:
        run_on_cases(work, cases("", act, "", act, "", "slow"), task="testing", workers=2)

    assert caught.value.failures == (("case_1", cause), ("case_3", cause))
    assert time.monotonic() - started < STOPPING_SECONDS
    assert multiprocessing.active_children() == []


def test_a_file_taken_away_is_named_in_one_line() -> None:
    with pytest.raises(CasesFailed) as caught:
        run_on_cases(work, cases("", "gone"), task="testing", workers=2)

    assert caught.value.failures == (
        (
            "case_1",
            "/nowhere/case_1: No such file or directory; check that it and its folder exist",
        ),
    )


@pytest.mark.parametrize("workers", [1, 2])
def test_when_nothing_more_can_be_written_the_others_are_not_tried(workers: int, tmp_path: Path) -> None:
    given = [Numbered("case_0", 0), *(Numbered(f"case_{number}", number, "full") for number in range(1, 50))]

    with pytest.raises(DiskError) as caught:
        run_on_cases(partial(work_and_tell, told=tmp_path), given, task="testing", workers=workers)

    assert re.fullmatch(
        r"testing: stopped at case_[12]: the disk is full; free some space; "
        r"1 of 50 cases is finished, run the same command again for the others",
        str(caught.value),
    )
    assert len(list(tmp_path.iterdir())) <= 4
    assert multiprocessing.active_children() == []


def work_and_tell(case: Numbered, *, told: Path) -> tuple[int, int]:
    (told / case.identifier).touch()
    return work(case)


HALF_WRITTEN = """
import sys, time
from functools import partial
from pathlib import Path
from autoseg.machine.pool import run_on_cases
from autoseg.files.storage import atomic_path

def write(number, folder):
    with atomic_path(folder / str(number)) as temporary:
        temporary.write_text("half")
        time.sleep(60)

run_on_cases(partial(write, folder=Path(sys.argv[1])), [1, 2], task="t", workers=2)
"""


def test_ctrl_c_leaves_nothing_half_written(tmp_path: Path) -> None:
    parent = subprocess.Popen([sys.executable, "-c", HALF_WRITTEN, tmp_path], stderr=subprocess.DEVNULL)
    wait_until(lambda: len(list(tmp_path.iterdir())) == 2)

    parent.send_signal(signal.SIGINT)
    parent.wait(timeout=10)

    assert list(tmp_path.iterdir()) == []


def wait_until(condition: Callable[[], bool], seconds: float = 10) -> None:
    deadline = time.monotonic() + seconds
    while not condition() and time.monotonic() < deadline:
        time.sleep(0.02)
    assert condition()


def test_items_without_an_identifier_are_named_as_asked() -> None:
    with pytest.raises(CasesFailed, match="  number 0: ZeroDivisionError"):
        run_on_cases(reciprocal, [0, 1, 2], task="testing", workers=2, name=lambda item: f"number {item}")


def reciprocal(value: int) -> float:
    return 1 / value


ORPHANS = """
import ctypes, os, signal, sys, time
from autoseg.machine.pool import run_on_cases

def announce(number):
    os.write(1, b"%d\\n" % os.getpid())
    if number == 1:
        ctypes.PyDLL(None).sleep(60)  # as a library that lets no other thread run
    time.sleep(60)

run_on_cases(announce, [1, 2, 3], task="t", workers=3)
"""


@pytest.mark.parametrize("sent", [signal.SIGINT, signal.SIGKILL])
def test_no_worker_outlives_its_parent(sent: signal.Signals) -> None:
    parent = subprocess.Popen(
        [sys.executable, "-c", ORPHANS], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
    )
    assert parent.stdout is not None
    workers = [int(parent.stdout.readline()) for _ in range(3)]

    parent.send_signal(sent)
    parent.wait(timeout=10)

    wait_until(lambda: not any(map(alive, workers)), 5)


def alive(process: int) -> bool:
    try:
        return "Z" not in Path(f"/proc/{process}/stat").read_text().split(")")[1].split()[0]
    except OSError:
        return False


def machine_with(folder: Path, *, free: int, limit: int | str = "max", cores: str = "max") -> Path:
    """A root whose /proc and /sys show so much memory, in bytes, and a quota of cores."""
    group = folder / "sys/fs/cgroup"
    group.mkdir(parents=True)
    (folder / "proc").mkdir()
    (folder / "proc/meminfo").write_text(f"MemAvailable: {free // 1024} kB\n")
    (group / "memory.max").write_text(f"{limit}\n")
    (group / "memory.current").write_text("0\n")
    (group / "cpu.max").write_text(f"{cores} 100000\n")
    return folder


def test_the_number_of_workers_fits_the_machine(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    cores = available_cores()
    roomy = machine_with(tmp_path / "roomy", free=1024**4)
    tight = machine_with(tmp_path / "tight", free=1024**4, limit=cores * 10**9)
    slow = machine_with(tmp_path / "slow", free=1024**4, cores="100000")

    assert fitting_workers(None, 1, root=roomy) == min(8, cores)
    assert fitting_workers(None, 1, most=1, root=roomy) == 1
    assert fitting_workers(None, 1, root=slow) == 1
    assert fitting_workers(None, 8 * 10**8, most=10**6, root=tight) == cores
    assert fitting_workers(None, 10**12, root=tight) == 1
    assert fitting_workers(0, 1, root=tight) == 1
    assert fitting_workers(cores + 1, 10**7, root=tight) == cores + 1
    assert not [record for record in caplog.records if record.levelname == "WARNING"]


def test_a_number_of_workers_that_memory_may_not_hold_is_kept_and_remarked_on(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    root = machine_with(tmp_path, free=1024**4, limit=10 * 10**9)

    assert fitting_workers(6, 2 * 10**9, root=root) == 6
    assert caplog.messages == ["6 workers may need 12.0 GB of memory, 10.0 GB are free; 4 would fit"]
