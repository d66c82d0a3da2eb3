"""A script for every fold: in order, up to the first failure, and on from there."""

from __future__ import annotations

import io
import sys
from pathlib import Path

import pytest

from autoseg.errors import AutosegError, WorkspaceError
from autoseg.jobs.for_folds import read_script, run_for_folds

APPEND = "import sys; open(sys.argv[1], 'a').write(sys.argv[2] + ' ')"


def script(tmp_path: Path, *lines: str) -> Path:
    path = tmp_path / "steps.txt"
    path.write_text("\n".join(lines))
    return path


def append(log: Path, what: str) -> str:
    return f'{sys.executable} -c "{APPEND}" {log} "{what}"'


def run(path: Path, *folds: str) -> str:
    said = io.StringIO()
    run_for_folds(path, folds, path.with_name("kept"), said)
    return said.getvalue()


def test_all_lines_for_one_fold_then_for_the_next(tmp_path: Path) -> None:
    log = tmp_path / "log"
    path = script(
        tmp_path, "# first one, then the other", append(log, "train{fold}"), "", append(log, "predict {fold}")
    )

    said = run(path, "0", "3")

    assert log.read_text() == "train0 predict 0 train3 predict 3 "
    assert "step 4/4  fold 3 line 4" in said
    assert "done before" in run(path, "0", "3") and log.read_text().count("train") == 2


def test_the_first_failure_stops_all_and_mended_it_goes_on(tmp_path: Path) -> None:
    log, needed = tmp_path / "log", tmp_path / "needed1"
    needs = f"{sys.executable} -c \"open(r'{tmp_path / 'needed'}{{fold}}')\""
    (tmp_path / "needed0").touch()
    path = script(tmp_path, append(log, "a{fold}"), needs, append(log, "b{fold}"))

    with pytest.raises(AutosegError, match=r"steps\.txt: 5 of 9 steps are not done; put right what is named above"):
        run(path, "0", "1", "2")
    assert log.read_text() == "a0 b0 a1 "

    needed.touch()
    (tmp_path / "needed2").touch()
    run(path, "0", "1", "2")
    assert log.read_text() == "a0 b0 a1 b1 a2 b2 "


def test_what_follows_a_line_that_changed_is_run_again(tmp_path: Path) -> None:
    log = tmp_path / "log"
    run(script(tmp_path, append(log, "a"), append(log, "b"), append(log, "c")), "0")
    log.unlink()
    run(script(tmp_path, append(log, "a"), append(log, "B"), append(log, "c")), "0")

    assert log.read_text() == "B c "


def test_our_own_commands_are_those_of_this_installation(tmp_path: Path) -> None:
    assert "autoseg 0" in run(script(tmp_path, "autoseg_train --version"), "0")


@pytest.mark.parametrize(
    ("lines", "said"),
    [
        (["# nothing"], "holds no command; write one a line, with {fold} where the fold is meant"),
        (["no_such_program {fold}"], "no such program: no_such_program in line 1; correct it"),
        (["", "echo 'a"], "line 2: No closing quotation; close the quotation"),
    ],
)
def test_what_is_no_script(tmp_path: Path, lines: list[str], said: str) -> None:
    with pytest.raises(WorkspaceError) as raised:
        read_script(script(tmp_path, *lines))
    assert said in str(raised.value)


def test_a_script_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(WorkspaceError, match=r"none\.txt: no such file; name a text file with a command in each line"):
        read_script(tmp_path / "none.txt")
