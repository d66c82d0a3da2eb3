"""A command's output, its end, and what signals and deaths do to it."""

from __future__ import annotations

import io
import os
import shlex
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from autoseg.jobs.child import ENDS_WITH_PARENT, Ending, last_words, run_child
from autoseg.machine.processes import ProcessIdentity

WAITS = """
import signal, sys, time
def ask(number, frame):
    print("asked by", signal.Signals(number).name)
    sys.exit(75 if number == signal.SIGTERM else 130)
signal.signal(signal.SIGTERM, ask)
signal.signal(signal.SIGINT, ask)
print("ready")
time.sleep(60)
"""


def run(code: str, log: Path, output: io.StringIO | None = None) -> Ending:
    return run_child([sys.executable, "-c", code], log=log, output=output or io.StringIO(), started=lambda _pid: None)


def wait_for(condition, seconds: float = 20) -> None:
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.02)


def test_output_goes_to_the_log_and_to_the_terminal(tmp_path: Path) -> None:
    log, output = tmp_path / "logs" / "a.log", io.StringIO()
    code = "import sys; print('grün'); print('error', file=sys.stderr); sys.stdout.buffer.write(b'\\xff\\n')"

    assert run(code, log, output) == Ending(code=0, signals=(), message="")

    assert sorted(output.getvalue().splitlines()) == sorted(["grün", "error", "�"])
    first, *rest = log.read_bytes().decode(errors="replace").splitlines()
    assert first.endswith(f"  $ {shlex.join([sys.executable, '-c', code])}")
    assert sorted(rest) == sorted(["grün", "error", "�"])


def test_the_log_keeps_earlier_attempts_and_the_message_is_this_ones(tmp_path: Path) -> None:
    log = tmp_path / "a.log"
    run("raise SystemExit('autoseg train: first')", log)

    ending = run(
        "import sys; print('work'); print('autoseg train: second\\n  more', file=sys.stderr); sys.exit(1)", log
    )

    assert ending == Ending(code=1, signals=(), message="autoseg train: second\n  more")
    assert "autoseg train: first" in log.read_text()


def test_last_words() -> None:
    assert last_words("a\nautoseg train: x: wrong\n  case_1\n\n") == "autoseg train: x: wrong\n  case_1"
    assert last_words("Traceback\nKeyError: 3\n") == "KeyError: 3"
    assert last_words("") == ""


def test_a_program_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        run_child(["/no/such"], log=tmp_path / "a.log", output=io.StringIO(), started=lambda _pid: None)


@pytest.mark.parametrize(("number", "code"), [(signal.SIGTERM, 75), (signal.SIGINT, 130)])
def test_signals_are_passed_on_and_waited_for(tmp_path: Path, number: int, code: int) -> None:
    output = io.StringIO()
    before = signal.getsignal(number)

    def send() -> None:
        wait_for(lambda: "ready" in output.getvalue())
        os.kill(os.getpid(), number)

    sender = threading.Thread(target=send)
    sender.start()
    ending = run(WAITS, tmp_path / "a.log", output)
    sender.join()

    assert (ending.code, ending.signals) == (code, (number,))
    assert output.getvalue() == f"ready\nasked by {signal.Signals(number).name}\n"
    assert signal.getsignal(number) is before


def test_a_command_that_does_not_listen_is_ended_by_the_third_signal(tmp_path: Path) -> None:
    output = io.StringIO()
    deaf = "import signal, time\nsignal.signal(signal.SIGINT, lambda *_: print('no'))\nprint('ready')\n" + (
        "for _ in range(600): time.sleep(0.1)"
    )

    def send() -> None:
        wait_for(lambda: "ready" in output.getvalue())
        for said in ("ready\nno\n", "ready\nno\nno\n"):
            os.kill(os.getpid(), signal.SIGINT)
            wait_for(lambda said=said: output.getvalue() == said)
        os.kill(os.getpid(), signal.SIGINT)

    sender = threading.Thread(target=send)
    sender.start()
    ending = run(deaf, tmp_path / "a.log", output)
    sender.join()

    assert ending.code == -signal.SIGKILL
    assert ending.signals == (signal.SIGINT,) * 3


def test_a_signal_that_comes_before_the_command_runs_reaches_it(tmp_path: Path) -> None:
    ending = run_child(
        [sys.executable, "-c", "import time; time.sleep(60)"],
        log=tmp_path / "a.log",
        output=io.StringIO(),
        started=lambda _pid: os.kill(os.getpid(), signal.SIGTERM),
    )
    assert (ending.code, ending.signals) == (-signal.SIGTERM, (signal.SIGTERM,))


def test_an_error_of_ours_leaves_no_command_behind(tmp_path: Path) -> None:
    pids = []

    def fail(pid: int) -> None:
        pids.append(pid)
        raise OSError("disk full")

    with pytest.raises(OSError, match="disk full"):
        run_child(
            [sys.executable, "-c", "import time; time.sleep(60)"],
            log=tmp_path / "a.log",
            output=io.StringIO(),
            started=fail,
        )
    assert not ProcessIdentity.of(pids[0]).runs_here


@pytest.mark.skipif(not ENDS_WITH_PARENT, reason="needs Linux's parent death signal")
def test_when_the_parent_is_killed_the_command_is_asked_to_save_its_state(tmp_path: Path) -> None:
    log = tmp_path / "a.log"
    code = (
        "import sys; from pathlib import Path; from autoseg.jobs.child import run_child\n"
        f"run_child([sys.executable, '-c', {WAITS!r}], log=Path({str(log)!r}), output=sys.stdout, started=print)"
    )
    parent = subprocess.Popen([sys.executable, "-u", "-c", code], stdout=subprocess.PIPE, text=True)
    assert parent.stdout is not None
    child = ProcessIdentity.of(int(parent.stdout.readline()))
    assert parent.stdout.readline() == "ready\n"
    assert child.runs_here

    parent.kill()
    parent.wait()
    parent.stdout.close()

    wait_for(lambda: not child.runs_here)
    assert log.read_text().endswith("ready\nasked by SIGTERM\n")
