"""One run at a time, and a dead holder is recognised."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from autoseg.errors import WorkspaceError
from autoseg.locking import LOCK_FILE, Holder, hold_lock, require_no_holder
from autoseg.processes import ProcessIdentity
from autoseg.storage import write_json


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
    start = "import sys, time\nfrom pathlib import Path\nfrom autoseg.locking import hold_lock\n"
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
