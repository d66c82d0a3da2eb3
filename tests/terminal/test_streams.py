"""Commands whose standard streams are closed, full, not read any longer, or cannot show every name."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from autoseg.commands import plan_and_preprocess
from autoseg.terminal.streams import READER_GONE

START = """
import logging, os, sys
from autoseg.commands.running import Command, run_command
log = logging.getLogger("autoseg.try")
def run(arguments, workspace):
    {body}
sys.exit(run_command(Command(name="autoseg_try", summary="s", reads="r", writes="w", example="e",
    add_arguments=lambda parser: None, run=run, uses_workspace=False), []))
"""


def shell(body: str, redirected: str, folder: Path, **variables: str) -> subprocess.CompletedProcess[str]:
    """Run a command whose work is `body`, with its streams redirected by a shell; its own exit code is printed last."""
    script = folder / "try.py"
    script.write_text(START.format(body=body))
    line = f'set -o pipefail; "$@" {redirected}'
    return subprocess.run(
        ["bash", "-c", line, "bash", sys.executable, str(script)],
        env={**os.environ, **variables},
        cwd=folder,
        capture_output=True,
        check=False,
        timeout=60,
        text=True,
    )


@pytest.mark.parametrize("closed", ["2>&-", ">&-", "<&-", ">&- 2>&-", "<&- >&- 2>&-"])
def test_a_closed_stream_is_nowhere_and_no_file_takes_its_place(tmp_path: Path, closed: str) -> None:
    body = """
    with open("result", "w") as file:
        file.write("whole")
        file.flush()
        print("printed"); log.warning("logged"); os.write(2, b"from a library"); os.write(1, b"more")
        from autoseg.machine.progress import progress
        progress(3, "trying").update()
        file.write(" and done")"""

    ended = shell(body, closed, tmp_path)

    assert (ended.returncode, (tmp_path / "result").read_text()) == (0, "whole and done")
    assert ("printed" in ended.stdout) == (">&-" not in closed.replace("2>&-", ""))


def test_progress_needs_no_stderr_in_python_either() -> None:
    code = "import sys\nsys.stderr = None\nfrom autoseg.machine.pool import run_on_cases\nprint(run_on_cases(abs, [-1, -2], task='t', workers=1))"
    ended = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert ended.stdout == "[1, 2]\n"


@pytest.mark.parametrize(
    ("body", "reader"),
    [
        ("[print(number) for number in range(100_000)]", "head -c 20"),
        ("import time; time.sleep(0.3); sys.stdout.write('no end of line')", "true"),
    ],
)
def test_a_reader_who_wants_no_more_ends_it_without_a_word(tmp_path: Path, body: str, reader: str) -> None:
    ended = shell(body, f"| {reader} >/dev/null", tmp_path)
    assert (ended.returncode, ended.stdout, ended.stderr) == (READER_GONE, "", "")


def test_so_does_help_and_the_list_of_commands() -> None:
    line = 'set -o pipefail; ("$@"; echo $? >&2) | true'
    for words in (["train", "--help"], []):
        ended = subprocess.run(
            ["bash", "-c", line, "bash", sys.executable, "-m", "autoseg", *words],
            capture_output=True,
            text=True,
            check=False,
        )
        assert ended.stderr in ("0\n", f"{READER_GONE}\n")


def test_a_reader_of_messages_who_is_gone_stops_it_as_sigterm_does(tmp_path: Path) -> None:
    body = """
    try:
        import time
        for number in range(1000):
            log.info("line %d", number); time.sleep(0.01)
    finally:
        open("saved", "w").close()"""

    ended = shell(body, "2>&1 | head -2", tmp_path)

    assert (ended.returncode, ended.stdout, ended.stderr) == (75, "line 0\nline 1\n", "")
    assert (tmp_path / "saved").exists()


def test_messages_that_cannot_be_written_do_not_stop_the_work(tmp_path: Path) -> None:
    ended = shell("log.info('one'); log.info('two'); print('done')", "2>/dev/full", tmp_path)
    assert (ended.returncode, ended.stdout) == (0, "done\n")


def test_results_that_cannot_be_written_do(tmp_path: Path) -> None:
    ended = shell("print('done')", ">/dev/full", tmp_path)
    assert (ended.returncode, ended.stderr) == (1, "autoseg_try: No space left on device; make room there\n")


@pytest.mark.parametrize(
    "variables", [{"PYTHONIOENCODING": "ascii"}, {"LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"}]
)
def test_a_name_that_the_terminal_cannot_show_is_spelt_out(tmp_path: Path, variables: dict[str, str]) -> None:
    ended = shell(r"print('Sch\xe4del \u2265 3'); log.warning('Gr\xf6\xdfe')", "", tmp_path, **variables)
    assert (ended.returncode, ended.stdout) == (0, "Sch\\xe4del \\u2265 3\n")
    assert ended.stderr == "warning: Gr\\xf6\\xdfe\n"


def test_another_pipe_that_breaks_is_no_reader_of_ours(tmp_path: Path) -> None:
    body = "ours, theirs = os.pipe(); os.close(ours); os.write(theirs, b'x')"
    ended = shell(body, "", tmp_path)
    assert ended.returncode == 1
    assert ended.stderr == (
        "autoseg_try: Broken pipe; the program at the other end has ended; run the same command again\n"
    )


# ------------------------------------------------------------------------------- limits


def limited(limits: str, words: str, folder: Path, **variables: str) -> subprocess.CompletedProcess[str]:
    line = f'{limits}; exec "$0" -m autoseg {words}'
    environment = {**os.environ, "AUTOSEG_HOME": str(folder), **variables}
    return subprocess.run(
        ["bash", "-c", line, sys.executable], env=environment, capture_output=True, text=True, check=False, timeout=100
    )


TRAIN = "train 3d_fullres Trainer 1 0 --epochs 1 --iterations_per_epoch 2 --batch_size 2 --num_workers 1 -device cpu"


@pytest.mark.parametrize(
    ("limits", "words", "told"),
    [
        ("ulimit -n 6", TRAIN, "oo many open files; this process may have 6 open (ulimit -n); raise it (ulimit -n 4096)"),
        ("ulimit -v 400000", TRAIN, "out of memory; this process may have 410 MB of address space (ulimit -v); raise it"),
        ("ulimit -v 60000", "verify_dataset -t 1", "out of memory; this process may have 61 MB of address space (ulimit -v)"),
        ("ulimit -f 1", TRAIN, "File too large; this process may write files of 1 kB (ulimit -f); raise it (ulimit -f unlimited)"),
        ("mkdir -p $AUTOSEG_HOME/gone; cd $AUTOSEG_HOME/gone; rmdir ../gone", TRAIN, "autoseg train: the folder that this is started in was deleted; change to another (cd)"),
    ],
    ids=["open files", "address space", "hardly any", "file size", "deleted folder"],
)  # fmt: skip
def test_a_limit_that_is_met_is_named_with_the_way_out(
    tmp_path: Path, make_task: Any, limits: str, words: str, told: str
) -> None:
    make_task(parent=tmp_path / "raw_data")
    assert plan_and_preprocess.main(["-t", "1", "-pl2d", "None", "-tf", "1", "--home", str(tmp_path)]) == 0

    ended = limited(limits, words, tmp_path)

    assert ended.returncode == 1, ended.stderr
    assert told in ended.stderr.strip().splitlines()[-1]
    assert "Traceback" not in ended.stderr


def test_a_small_address_space_is_said_before_a_library_ends_the_process(tmp_path: Path) -> None:
    ended = limited("ulimit -v 1000000", "list_models", tmp_path)
    assert ended.returncode == 0
    assert ended.stderr == (
        "warning: this process may have 1.0 GB of address space (ulimit -v), which the libraries may not do with; where it "
        "ends without a word, or starts no thread, raise the limit (ulimit -v unlimited)\n"
    )


OPENED = """
import os, resource, sys
from pathlib import Path
from autoseg.preprocessing.store import PreparedCases
from autoseg.training.sampling.batches import _opened
store = PreparedCases(Path(sys.argv[1]))
held = len(os.listdir("/proc/self/fd"))
resource.setrlimit(resource.RLIMIT_NOFILE, (held + 9, held + 9))
for _ in range(3):
    for number in range(5):
        print(_opened(store, None, f"case_{number:03d}").data.shape[0], end=" ")
"""


def test_more_cases_than_files_may_be_open_are_opened_in_turn(tmp_path: Path, make_task: Any) -> None:
    make_task(parent=tmp_path / "raw_data")
    assert plan_and_preprocess.main(["-t", "1", "-pl2d", "None", "-tf", "1", "--home", str(tmp_path)]) == 0
    folder = tmp_path / "preprocessed" / "Task001_Balls" / "autoseg_3d_fullres"

    ended = subprocess.run([sys.executable, "-c", OPENED, str(folder)], capture_output=True, text=True, check=False)

    assert ended.stdout == "1 " * 15, ended.stderr


@pytest.mark.parametrize("limit", [40, 64])
def test_workers_that_open_files_do_not_hold_are_not_started(tmp_path: Path, make_task: Any, limit: int) -> None:
    """One of them may wait for ever for a batch that its process cannot receive."""
    make_task(parent=tmp_path / "raw_data")
    assert plan_and_preprocess.main(["-t", "1", "-pl2d", "None", "-tf", "1", "--home", str(tmp_path)]) == 0

    ended = limited(f"ulimit -n {limit}", TRAIN.replace("--num_workers 1", "--num_workers 4"), tmp_path)

    assert ended.returncode == 0, ended.stderr
    assert (
        f"warning: this process may have {limit} files open (ulimit -n), which holds 0 workers that prepare batches, not 4; "
        "more with ulimit -n 4096 where you start it\n"
    ) in ended.stderr


def test_a_soft_limit_of_open_files_is_no_limit(tmp_path: Path, make_task: Any) -> None:
    make_task(parent=tmp_path / "raw_data")
    assert limited("ulimit -Sn 12", "verify_dataset -t 1", tmp_path).returncode == 0


@pytest.mark.parametrize("variables", [{"HOME": "/proc/nowhere"}, {"HOME": "", "TMPDIR": "/nowhere"}])
def test_no_home_and_no_place_for_temporary_files_matter_little(
    tmp_path: Path, make_task: Any, variables: dict[str, str]
) -> None:
    make_task(parent=tmp_path / "raw_data")
    ended = limited("cd /proc", f"plot_task -t 1 -o {tmp_path}/pictures", tmp_path, **variables)
    assert ended.returncode == 0, ended.stderr
