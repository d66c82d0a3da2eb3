"""How every command ends: its exit code, and what it says."""

from __future__ import annotations

import argparse
import os
import re
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

import autoseg
from autoseg.commands.running import Command, Parser, run_command
from autoseg.errors import AutosegError, CasesFailed, DatasetError, Interrupted
from autoseg.machine.pool import run_on_cases
from autoseg.paths import Workspace


def command(action: Callable[[], None] = lambda: None, *, uses_workspace: bool = True) -> Command:
    def add_arguments(parser: Parser) -> None:
        parser.add_argument("-i")
        parser.add_argument("-o")
        parser.add_argument("-output_task_id", type=int)
        parser.add_argument("--epochs", type=int)
        parser.add_argument("--overwrite", action="store_true")

    def run(arguments: argparse.Namespace, workspace: Workspace) -> None:
        print(vars(arguments), workspace.raw_data)
        action()

    return Command(
        name="autoseg_try",
        summary="try it",
        reads="this",
        writes="that",
        example="autoseg_try -i x",
        add_arguments=add_arguments,
        run=run,
        uses_workspace=uses_workspace,
    )


def raising(error: BaseException) -> Callable[[], None]:
    def action() -> None:
        raise error

    return action


@pytest.mark.parametrize(
    ("error", "code", "message"),
    [
        (DatasetError("case a: is empty; look at it"), 1, "autoseg_try: case a: is empty; look at it\n"),
        (CasesFailed("scoring", [("a", "broken")], 3), 1, "autoseg_try: scoring: 1 of 3 cases failed; the others "),
        (
            Interrupted("stopped in epoch 3; continue with -c"),
            75,
            "autoseg_try: stopped in epoch 3; continue with -c\n",
        ),
        (KeyboardInterrupt(), 130, "autoseg_try: stopped by Ctrl-C; run the same command again to go on\n"),
        (MemoryError(), 1, "autoseg_try: out of memory; use fewer workers, or a smaller batch or patch\n"),
        (
            PermissionError(13, "Permission denied", "/x/y"),
            1,
            "autoseg_try: /x/y: Permission denied; check its permissions\n",
        ),
        (
            OSError(28, "No space left on device"),
            1,
            "autoseg_try: No space left on device; make room there\n",
        ),
    ],
)
def test_each_way_to_end_has_its_code_and_its_line(
    capsys: pytest.CaptureFixture[str], error: BaseException, code: int, message: str
) -> None:
    assert run_command(command(raising(error), uses_workspace=False), []) == code

    told = capsys.readouterr().err
    assert told.startswith(message)
    assert "Traceback" not in told


def test_a_bug_of_ours_says_so_with_traceback_and_versions(capsys: pytest.CaptureFixture[str]) -> None:
    assert run_command(command(raising(KeyError("lost"))), ["--home", "h"]) == 3

    told = capsys.readouterr().err
    assert "Traceback (most recent call last)" in told
    assert "KeyError: 'lost'" in told
    assert "autoseg_try: this is a bug of autoseg; please report it with the lines above" in told
    assert f"autoseg {autoseg.__version__}, Python 3." in told
    assert re.search(r"torch \d", told)


def test_with_v_an_error_shows_where_it_arose(capsys: pytest.CaptureFixture[str]) -> None:
    run_command(command(raising(AutosegError("wrong"))), ["-v"])

    assert "raise error\nautoseg.errors.AutosegError: wrong" in capsys.readouterr().err


def test_work_that_is_done_is_code_0(capsys: pytest.CaptureFixture[str]) -> None:
    assert run_command(command(), ["-i", "x", "-output_task_id", "7", "--epochs=3", "--home", "h"]) == 0

    told = capsys.readouterr()
    assert "'i': 'x', 'o': None, 'output_task_id': 7, 'epochs': 3" in told.out
    assert told.out.endswith("h/raw_data\n")
    assert told.err == ""


def test_without_any_folder_set_it_is_said_in_one_line(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    run_command(command(), [])
    assert capsys.readouterr().err == (
        "raw_data, preprocessed, results: in ./autoseg_data, as neither --home nor AUTOSEG_HOME is set\n"
    )
    monkeypatch.setenv("AUTOSEG_HOME", "/somewhere")
    run_command(command(), [])
    told = capsys.readouterr()
    assert told.err == ""
    assert told.out.endswith("/somewhere/raw_data\n")


@pytest.mark.parametrize(
    ("argv", "message"),
    [
        # argparse alone would take the first three for -o with a value
        (["-overwrite"], "unknown option -overwrite; did you mean --overwrite?"),
        (["-output_taskid", "4"], "unknown option -output_taskid; did you mean -output_task_id?"),
        (["-oOUT"], "unknown option -oOUT"),
        (["--epoch", "4"], "unknown option --epoch; did you mean --epochs?"),
        (["--epoch=4"], "unknown option --epoch; did you mean --epochs?"),
        (["-t", "4"], "unknown option -t"),
        (["--epochs", "many"], "argument --epochs: invalid int value: 'many'"),
        (["-i"], "argument -i: expected one argument"),
        (["stray"], "unrecognized arguments: stray"),
    ],
)
def test_what_is_mistyped_is_code_2(capsys: pytest.CaptureFixture[str], argv: list[str], message: str) -> None:
    assert run_command(command(raising(AssertionError("must not run"))), argv) == 2

    told = capsys.readouterr().err
    assert told.startswith("usage: autoseg_try ")
    assert f"autoseg_try: error: {message}\n" in told


def test_numbers_below_zero_are_values_not_options(capsys: pytest.CaptureFixture[str]) -> None:
    assert run_command(command(), ["--epochs", "-3"]) == 0
    assert "'epochs': -3" in capsys.readouterr().out


def terminate_myself() -> None:
    os.kill(os.getpid(), signal.SIGTERM)
    signal.pause()


def test_sigterm_ends_the_work_as_resumable_and_the_old_handler_comes_back(capsys: pytest.CaptureFixture[str]) -> None:
    before = signal.getsignal(signal.SIGTERM)

    assert run_command(command(terminate_myself), []) == 75

    assert "autoseg_try: stopped by SIGTERM; run the same command again to go on\n" in capsys.readouterr().err
    assert signal.getsignal(signal.SIGTERM) is before


def terminate_in_a_case(number: int) -> None:
    if number == 1:
        terminate_myself()


def test_sigterm_is_no_failure_of_the_case_that_was_worked_on(capsys: pytest.CaptureFixture[str]) -> None:
    def work() -> None:
        run_on_cases(terminate_in_a_case, [0, 1, 2], task="testing", workers=1)

    assert run_command(command(work), []) == 75
    assert "cases failed" not in capsys.readouterr().err


def test_ctrl_c_in_a_real_process_is_130_without_a_traceback(tmp_path: Path) -> None:
    script = tmp_path / "run.py"
    script.write_text(
        "import sys, time\n"
        "from autoseg.commands.running import Command, run_command\n"
        "def run(arguments, workspace):\n"
        "    print('ready', flush=True)\n"
        "    time.sleep(60)\n"
        "command = Command(name='x', summary='', reads='', writes='', example='', add_arguments=lambda p: None, run=run)\n"
        "sys.exit(run_command(command, ['--home', 'h']))\n"
    )
    process = subprocess.Popen([sys.executable, script], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    assert process.stdout is not None
    assert process.stdout.readline() == "ready\n"

    process.send_signal(signal.SIGINT)

    assert process.communicate(timeout=10)[1] == "x: stopped by Ctrl-C; run the same command again to go on\n"
    assert process.returncode == 130
