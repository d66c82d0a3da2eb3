"""One run at a time, and a dead holder is recognised."""

from __future__ import annotations

import json
import multiprocessing
import os
import re
import signal
import socket
import subprocess
import sys
import threading
import time
from contextlib import nullcontext, suppress
from dataclasses import dataclass, replace
from pathlib import Path

import pytest

from autoseg.errors import StorageError, WorkspaceError
from autoseg.files import locking
from autoseg.files.layout import LOCK_FILE
from autoseg.files.leases import Heartbeat
from autoseg.files.locking import Holder, hold_lock, require_no_holder
from autoseg.files.storage import write_json
from autoseg.machine.processes import ProcessIdentity, place_of_processes


def holder(process: ProcessIdentity) -> Holder:
    return Holder(process=process, since="2026-11-04T12:00:00")


def test_held_while_the_body_runs_and_gone_afterwards(tmp_path: Path) -> None:
    path = tmp_path / "lock.json"

    with hold_lock(path, "work"):
        assert json.loads(path.read_text())["process"]["pid"] == os.getpid()
    assert list(tmp_path.iterdir()) == []

    with pytest.raises(ZeroDivisionError), hold_lock(path, "work"):
        raise ZeroDivisionError
    assert list(tmp_path.iterdir()) == []


def test_a_second_one_is_refused_with_host_and_process(tmp_path: Path) -> None:
    path = tmp_path / "lock.json"
    with (
        hold_lock(path, "autoseg_run of Task004_X"),
        pytest.raises(WorkspaceError) as caught,
        hold_lock(path, "autoseg_run of Task004_X"),
    ):
        pass

    message = str(caught.value)
    assert message.startswith("autoseg_run of Task004_X is already being done by process ")
    assert f"process {os.getpid()} on {socket.gethostname()}, since 2" in message
    assert message.endswith("; wait for it, or stop it with Ctrl-C there")


def test_a_dead_process_holds_nothing(tmp_path: Path) -> None:
    child = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE)
    path = tmp_path / "lock.json"
    write_json(path, holder(ProcessIdentity.of(child.pid)))
    with pytest.raises(WorkspaceError, match=f"process {child.pid} on"), hold_lock(path, "work"):
        pass

    child.kill()
    child.wait()

    with hold_lock(path, "work"):
        assert json.loads(path.read_text())["process"]["pid"] == os.getpid()
    assert list(tmp_path.iterdir()) == []


def test_a_number_given_to_another_process_since_is_not_mistaken_for_it(tmp_path: Path) -> None:
    me = ProcessIdentity.of(os.getpid())
    if me.born is None:
        pytest.skip("this system does not tell when a process was started")
    path = tmp_path / "lock.json"
    write_json(path, holder(ProcessIdentity(host=me.host, pid=me.pid, born="an earlier boot/1")))

    with hold_lock(path, "work"):
        assert json.loads(path.read_text())["process"]["born"] == me.born


def test_another_computer_cannot_be_judged_from_here(tmp_path: Path) -> None:
    path = tmp_path / "lock.json"
    write_json(path, holder(ProcessIdentity(host="elsewhere", pid=7, born=None)))

    with pytest.raises(WorkspaceError) as caught, hold_lock(path, "work"):
        pass

    assert str(caught.value) == (
        "work is already being done by process 7 on elsewhere, since 2026-11-04T12:00:00; wait for it, or stop it with "
        f"Ctrl-C there; if it no longer runs on that computer, delete {path}"
    )


@pytest.mark.parametrize("content", ["", "{", '{"process": 3}'])
def test_a_damaged_lock_is_nobodys(tmp_path: Path, content: str) -> None:
    path = tmp_path / "lock.json"
    path.write_text(content)

    with hold_lock(path, "work"):
        assert json.loads(path.read_text())["process"]["pid"] == os.getpid()


def test_a_file_system_without_hard_links(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_paths: Path) -> None:
        raise PermissionError("no links here")

    monkeypatch.setattr(os, "link", refuse)
    path = tmp_path / "lock.json"

    with hold_lock(path, "work"):
        assert json.loads(path.read_text())["process"]["pid"] == os.getpid()
        with pytest.raises(WorkspaceError, match="work is already being done"), hold_lock(path, "work"):
            pass
    assert list(tmp_path.iterdir()) == []


def test_of_many_that_find_a_stale_lock_one_gets_it(tmp_path: Path) -> None:
    path = tmp_path / "lock.json"
    start = "import sys, time\nfrom pathlib import Path\nfrom autoseg.files.locking import hold_lock\n"
    code = f"{start}with hold_lock(Path({str(path)!r}), 'work'):\n    print('held', flush=True)\n    time.sleep(60)\n"
    write_json(path, holder(ProcessIdentity(host=socket.gethostname(), pid=2**22 + 1, born=None)))

    children = [
        subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
        for _ in range(6)
    ]
    said: dict[int, str] = {}
    readers = [
        threading.Thread(target=lambda child: said.__setitem__(child.pid, child.stdout.readline()), args=(child,))
        for child in children
    ]
    try:
        for reader in readers:
            reader.start()
        end = time.monotonic() + 30
        while sum(child.poll() is not None for child in children) < len(children) - 1:
            assert time.monotonic() < end
            time.sleep(0.05)
    finally:
        for child in children:
            child.kill()
        for reader in readers:
            reader.join(10)
    assert sorted(said.values()) == ["", "", "", "", "", "held\n"]


def test_a_folder_in_which_a_process_works_is_not_to_be_moved(tmp_path: Path) -> None:
    fold = tmp_path / "model" / "fold_0"
    with hold_lock(fold / LOCK_FILE, "training"), pytest.raises(WorkspaceError) as caught:
        require_no_holder(tmp_path / "model")

    assert str(caught.value).startswith(
        f"{fold}: work in this folder is already being done by process {os.getpid()} on "
    )
    require_no_holder(tmp_path / "model")


# ------------------------------------------------------------------------------- leases

QUICK = Heartbeat(beat=0.1, lease=1.0)

HOLD = """
import sys, time
from pathlib import Path
from autoseg.files.leases import Heartbeat
from autoseg.files.locking import hold_lock
from autoseg.files.storage import write_bytes
with hold_lock(Path({path!r}), "work", heartbeat=Heartbeat(beat=0.1, lease=1.0)):
    print("held", flush=True)
    for line in sys.stdin:
        write_bytes(Path({path!r}).with_name(line.strip()), b"written")
        print("written", flush=True)
"""


@dataclass
class Container:
    """A process on another computer, as far as it can tell: other processes, another name."""

    path: Path

    def __enter__(self) -> Container:
        code = HOLD.format(path=str(self.path))
        self.process = subprocess.Popen(
            ["unshare", "-u", "-p", "-f", "--kill-child", "--mount-proc", "sh", "-c"]
            + [f'hostname another; exec "{sys.executable}" -c "$0"', code],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        assert self.process.stdout is not None
        if self.process.stdout.readline() != "held\n":
            pytest.skip("needs the right to make namespaces (root on Linux)")
        return self

    @property
    def inner(self) -> int:
        return int(Path(f"/proc/{self.process.pid}/task/{self.process.pid}/children").read_text().split()[0])

    def write(self, name: str) -> str:
        assert self.process.stdin is not None and self.process.stdout is not None
        self.process.stdin.write(f"{name}\n")
        self.process.stdin.flush()
        return self.process.stdout.readline()

    def __exit__(self, *_: object) -> None:
        self.process.kill()
        self.process.communicate()


def test_a_holder_elsewhere_keeps_its_lock_as_long_as_it_lives_and_no_longer(tmp_path: Path) -> None:
    path = tmp_path / LOCK_FILE
    with Container(path) as other:
        for _ in range(3):
            time.sleep(0.5)
            with pytest.raises(WorkspaceError) as caught, hold_lock(path, "work", heartbeat=QUICK):
                pass
        assert re.fullmatch(
            r"work is already being done by process \d+ on another, since [-\dT:]+; wait for it, or stop it with Ctrl-C "
            r"there; if it no longer runs there, its lock ends 1 second after its last sign of life, run the same command "
            r"again then",
            str(caught.value),
        )
        assert other.write("a") == "written\n"

    time.sleep(1.1)
    require_no_holder(tmp_path, heartbeat=QUICK)
    with hold_lock(path, "work", heartbeat=QUICK):
        assert json.loads(path.read_text())["process"]["pid"] == os.getpid()
    assert [file.name for file in tmp_path.iterdir()] == ["a"]


def test_one_that_stood_still_for_too_long_writes_nothing_more(tmp_path: Path) -> None:
    path = tmp_path / LOCK_FILE
    with Container(path) as other:
        os.kill(other.inner, signal.SIGSTOP)
        time.sleep(1.1)
        with hold_lock(path, "work", heartbeat=QUICK):
            mine = path.read_bytes()
            os.kill(other.inner, signal.SIGCONT)
            assert other.write("a") == ""
            assert other.process.stderr is not None
            told = other.process.stderr.read()
            assert (
                f"WorkspaceError: {tmp_path}: nothing more is written here: this process stood still for too long, and its "
                f"work is taken over by process {os.getpid()} on {socket.gethostname()}, since "
            ) in told
            assert path.read_bytes() == mine
    assert list(tmp_path.iterdir()) == []


def test_one_that_stands_still_on_this_computer_is_not_robbed(tmp_path: Path) -> None:
    path = tmp_path / LOCK_FILE
    child = subprocess.Popen(
        [sys.executable, "-c", HOLD.format(path=str(path))], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    assert child.stdout is not None
    assert child.stdout.readline() == "held\n"
    os.kill(child.pid, signal.SIGSTOP)
    time.sleep(1.1)
    with pytest.raises(WorkspaceError, match=f"process {child.pid} on"), hold_lock(path, "work", heartbeat=QUICK):
        pass
    child.kill()
    child.communicate()
    with hold_lock(path, "work", heartbeat=QUICK):
        pass
    assert list(tmp_path.iterdir()) == []


def elsewhere(path: Path, *, age: float) -> Path:
    """A lock of another computer with its lease, last touched so many seconds ago."""
    one = holder(ProcessIdentity(host="elsewhere", pid=7, born="boot/1"))
    write_json(path, one)
    lease = one.lease(path)
    lease.write_text("another boot/pid:[1]")
    os.utime(lease, (time.time() - age, time.time() - age))
    return lease


@pytest.mark.parametrize(("age", "robbed"), [(-3600, False), (0, False), (0.5, False), (5, True), (86_400, True)])
def test_the_lease_decides_by_the_file_systems_time(tmp_path: Path, age: float, robbed: bool) -> None:
    path = tmp_path / LOCK_FILE
    elsewhere(path, age=age)

    if robbed:
        with hold_lock(path, "work", heartbeat=QUICK):
            pass
        assert list(tmp_path.iterdir()) == []
    else:
        with pytest.raises(WorkspaceError, match="process 7 on elsewhere"), hold_lock(path, "work", heartbeat=QUICK):
            pass


def test_a_holder_whose_clock_is_behind_is_not_robbed(tmp_path: Path) -> None:
    path = tmp_path / LOCK_FILE
    lease, over = elsewhere(path, age=3600), threading.Event()

    def beat() -> None:
        while not over.wait(QUICK.beat):
            with suppress(FileNotFoundError):
                os.utime(lease, (time.time() - 3600, time.time() - 3600))

    thread = threading.Thread(target=beat)
    thread.start()
    try:
        with pytest.raises(WorkspaceError, match="process 7 on elsewhere"), hold_lock(path, "work", heartbeat=QUICK):
            pass
    finally:
        over.set()
        thread.join()


def test_a_computer_that_has_another_name_by_now_knows_its_processes(tmp_path: Path) -> None:
    path = tmp_path / LOCK_FILE
    me = ProcessIdentity.of(os.getpid())
    for process, alive in ((replace(me, host="before"), True), (replace(me, host="before", pid=2**22 + 1), False)):
        one = holder(process)
        write_json(path, one)
        one.lease(path).write_text(place_of_processes())
        with pytest.raises(WorkspaceError) if alive else nullcontext(), hold_lock(path, "work", heartbeat=QUICK):
            pass


def test_who_finds_a_dead_holder_late_does_not_take_the_lock_of_its_successor(tmp_path: Path) -> None:
    """Three processes read the lock of a dead one; the first takes it over, then the others go on."""
    path = tmp_path / LOCK_FILE
    write_json(path, holder(ProcessIdentity(host=socket.gethostname(), pid=2**22 + 1, born=None)))
    seen = path.read_bytes()
    with hold_lock(path, "work"):
        mine = path.read_bytes()
        for number in (1, 2):
            late = holder(ProcessIdentity(host=socket.gethostname(), pid=number, born=None))
            own = tmp_path / f"own-{number}"
            write_json(own, late)
            assert not locking._take_over(path, seen, own, late, "work", QUICK)
            assert path.read_bytes() == mine
            own.unlink()
    assert list(tmp_path.iterdir()) == []


def test_of_many_that_come_and_die_two_never_hold_it_at_once(tmp_path: Path) -> None:
    """Each that gets the lock is killed while it holds it, or releases it; a second one at that time would tell."""
    path, inside, twice = tmp_path / "here" / LOCK_FILE, tmp_path / "inside", tmp_path / "twice"
    path.parent.mkdir()

    def work(number: int) -> None:
        end = time.monotonic() + 0.7
        while time.monotonic() < end:
            with suppress(WorkspaceError), hold_lock(path, "work"):
                try:
                    inside.mkdir()
                except FileExistsError:
                    twice.touch()
                inside.rmdir()
                if number % 2:
                    os._exit(0)

    for _ in range(2):
        children = [multiprocessing.get_context("fork").Process(target=work, args=(number,)) for number in range(8)]
        for child in children:
            child.start()
        for child in children:
            child.join()
    assert not twice.exists()


def test_what_the_lock_holds_is_what_versions_before_read(tmp_path: Path) -> None:
    with hold_lock(tmp_path / LOCK_FILE, "work"):
        content = json.loads((tmp_path / LOCK_FILE).read_text())
    assert sorted(content) == ["process", "since"]
    assert sorted(content["process"]) == ["born", "host", "pid"]


def test_a_lock_that_cannot_be_read_is_somebodys(tmp_path: Path) -> None:
    (tmp_path / LOCK_FILE).mkdir()
    with (
        pytest.raises(StorageError, match=r"lock\.json: cannot be read: Is a directory"),
        hold_lock(tmp_path / LOCK_FILE, "work"),
    ):
        pass
    assert [path.name for path in tmp_path.iterdir()] == [LOCK_FILE]


def test_hidden_files_removed_by_hand_do_no_harm(tmp_path: Path) -> None:
    with hold_lock(tmp_path / LOCK_FILE, "work", heartbeat=QUICK):
        for path in tmp_path.glob(".*"):
            path.unlink()
        time.sleep(0.6)
        write_json(tmp_path / "a", 1)
    assert [path.name for path in tmp_path.iterdir()] == ["a"]
