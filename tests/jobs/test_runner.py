"""Steps that are done stay done, whatever happens between: failures, changes, signals, kill -9."""

from __future__ import annotations

import importlib.util
import io
import json
import os
import re
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import pytest

from autoseg.errors import StorageError, WorkspaceError
from autoseg.files.layout import LOCK_FILE
from autoseg.files.locking import hold_lock
from autoseg.jobs import runner as runner_module
from autoseg.jobs.journal import Journal, Record
from autoseg.jobs.runner import Runner, set_aside
from autoseg.jobs.steps import Step
from autoseg.machine.processes import ProcessIdentity

TOY = Path(__file__).with_name("toy_work.py")
specification = importlib.util.spec_from_file_location("toy_work", TOY)
assert specification is not None and specification.loader is not None
toy_work = importlib.util.module_from_spec(specification)
specification.loader.exec_module(toy_work)
toy_steps, NAMES = toy_work.toy_steps, toy_work.NAMES

SELECTION = "choose(train a1(plan(verify())),train b(plan(verify())))"


def run(folder: Path, steps: tuple[Step, ...] | None = None, **wishes: str) -> tuple[Runner, str]:
    """A run and what it said, without the counting of the steps, all seconds as 0."""
    output = io.StringIO()
    steps = steps or toy_steps(folder, **wishes)
    runner = Runner(folder / "run", output)
    runner.run(steps, total=len(steps))
    said = re.sub(r"\b\d+ s\b", "0 s", output.getvalue())
    return runner, "\n".join(line for line in said.splitlines() if line.startswith(("step", " ")))


def starts(folder: Path) -> list[str]:
    """Names of the steps in the order in which they were started, since last asked."""
    path = folder / "starts.txt"
    names = path.read_text().splitlines() if path.exists() else []
    path.unlink(missing_ok=True)
    return names


def states(runner: Runner) -> list[str]:
    return [runner.outcomes[name].state for name in NAMES if name in runner.outcomes]


def test_everything_is_done_once_in_its_order(tmp_path: Path) -> None:
    runner, said = run(tmp_path)

    assert starts(tmp_path) == list(NAMES)
    assert states(runner) == ["done"] * 5
    assert (tmp_path / "choose" / "product").read_text() == SELECTION
    assert said.splitlines()[:2] == ["step 1/5  verify", "step 1/5  verify  (done in 0 s)"]
    assert "step 3/5  train a  (done in 0 s; about 0 s of training left)" in said
    assert said.endswith("step 5/5  choose  (done in 0 s)")
    assert (tmp_path / "run" / "logs" / "train_a.log").read_text().endswith("train a 4/4\n")

    again, said = run(tmp_path)
    assert starts(tmp_path) == []
    assert states(again) == ["done before"] * 5
    assert said.splitlines()[0] == "step 1/5  verify  (done before, in 0 s)"


def test_a_second_list_of_steps_continues_the_first(tmp_path: Path) -> None:
    steps = toy_steps(tmp_path)
    output = io.StringIO()
    runner = Runner(tmp_path / "run", output)

    runner.run(steps[:2], total=None)
    assert starts(tmp_path) == ["verify", "plan"]
    runner.run(steps, total=5)

    assert starts(tmp_path) == ["train a", "train b", "choose"]
    assert re.search(r"step 2  plan  \(done in \d+ s\)\nstep 3/5  train a\n", output.getvalue())


def test_a_failing_step_stops_what_depends_on_it_and_nothing_else(tmp_path: Path) -> None:
    runner, said = run(tmp_path, fail="train a")

    assert starts(tmp_path) == ["verify", "plan", "train b"]
    assert states(runner) == ["done", "done", "failed", "done", "skipped"]
    assert runner.outcomes["train a"].message == "autoseg toy: train a: no such luck; try again"
    assert runner.outcomes["choose"].message == "needs train a"
    assert runner.stopped is None
    assert said.endswith("step 5/5  choose  (skipped: needs train a)")

    runner, said = run(tmp_path)
    assert starts(tmp_path) == ["train a", "choose"]
    assert "step 3/5  train a  (failed the last time)" in said
    assert (tmp_path / "choose" / "product").read_text() == SELECTION


def test_a_failure_early_skips_all_that_follows(tmp_path: Path) -> None:
    runner, _ = run(tmp_path, fail="plan")

    assert states(runner) == ["done", "failed", "skipped", "skipped", "skipped"]
    assert runner.outcomes["choose"].message == "needs train a, train b"


def test_a_changed_setting_does_the_step_and_what_depends_on_it_anew_and_keeps_the_old(tmp_path: Path) -> None:
    run(tmp_path)
    starts(tmp_path)

    _, said = run(tmp_path, settings="2")

    assert starts(tmp_path) == ["train a", "choose"]
    assert "step 3/5  train a  (changed: settings)" in said
    assert "step 5/5  choose  (changed: train a)" in said
    (kept,) = (tmp_path / "run" / "replaced").iterdir()
    assert f"  what was made before is kept in {kept / 'train a'}" in said
    assert (kept / "train a" / "product").read_text() == "train a1(plan(verify()))"
    assert (tmp_path / "train a" / "product").read_text() == "train a2(plan(verify()))"


def test_a_removed_product_is_made_again_from_what_is_left(tmp_path: Path) -> None:
    run(tmp_path)
    starts(tmp_path)
    (tmp_path / "train b" / "product").unlink()

    _, said = run(tmp_path)

    assert starts(tmp_path) == ["train b"], "the choice would read the very same"
    assert f"step 4/5  train b  (missing: {tmp_path / 'train b' / 'product'})" in said
    assert not (tmp_path / "run" / "replaced").exists()

    (tmp_path / "train b" / "product").write_text("otherwise")
    run(tmp_path)
    assert starts(tmp_path) == ["choose"]


def test_a_step_that_ends_well_without_its_product_has_failed(tmp_path: Path) -> None:
    step = Step(name="idle", argv=(sys.executable, "-c", "pass"), products=(tmp_path / "x",))

    runner, _ = run(tmp_path, (step,))

    assert runner.outcomes["idle"].state == "failed"
    assert runner.outcomes["idle"].message == f"it ended well, but did not write {tmp_path / 'x'}"


def test_products_found_afterwards_are_kept_in_the_journal_and_looked_for(tmp_path: Path) -> None:
    found = tmp_path / "found"
    code = f"open({str(found)!r}, 'w').write('x')"
    step = Step(name="find", argv=(sys.executable, "-c", code), find_products=lambda: (found,))
    run(tmp_path, (step,))
    journal = Journal(tmp_path / "run" / "journal.json")
    assert journal.read()["find"].products == (str(found),)
    assert json.loads(journal.path.read_text())["steps"]["find"]["products"] == ["../found"], "folders can be moved"
    assert run(tmp_path, (step,))[0].outcomes["find"].state == "done before"

    found.unlink()

    assert run(tmp_path, (step,))[0].outcomes["find"].state == "done"
    assert found.exists()


@pytest.mark.parametrize(("code", "stopped"), [(75, 75), (130, 130), (1, None), (3, None)])
def test_a_step_that_was_interrupted_stops_the_run_with_its_code(
    tmp_path: Path, code: int, stopped: int | None
) -> None:
    runner, _ = run(tmp_path, fail="")
    steps = toy_steps(tmp_path)
    stopping = replace(steps[3], argv=(sys.executable, "-c", f"raise SystemExit({code})"), settings=("other",))

    runner, _ = run(tmp_path, (*steps[:3], stopping, steps[4]))

    assert runner.stopped == stopped
    assert runner.outcomes["train b"].state == ("failed" if stopped is None else "interrupted")
    assert ("choose" in runner.outcomes) is (stopped is None)
    assert Journal(tmp_path / "run" / "journal.json").read()["train b"].code == code


def test_a_step_that_was_killed_is_explained(tmp_path: Path) -> None:
    step = Step(name="big", argv=(sys.executable, "-c", "import os; print('working'); os.kill(os.getpid(), 9)"))

    runner, _ = run(tmp_path, (step,))

    assert runner.stopped is None
    assert runner.outcomes["big"].message == (
        "it was killed (SIGKILL), most likely because memory ran out; use fewer workers or a smaller batch\nworking"
    )


def test_the_journal_says_what_was_done_when_and_how_long(tmp_path: Path) -> None:
    run(tmp_path)
    content = json.loads((tmp_path / "run" / "journal.json").read_text())
    record = content["steps"]["train a"]

    assert content["format"] == 1
    assert list(content["steps"]) == list(NAMES)
    assert (record["state"], record["code"]) == ("done", 0)
    assert record["argv"][1:4] == [str(TOY.with_name("toy_step.py")), str(tmp_path / "train a"), "1"]
    assert record["started"] <= record["finished"]
    assert 0 < record["seconds"] < 10
    assert record["process"]["pid"] > 0


@pytest.mark.parametrize("content", ["{", '{"format": 2}', '{"format": 1}', "[]"])
def test_a_damaged_journal_is_refused(tmp_path: Path, content: str) -> None:
    path = tmp_path / "run" / "journal.json"
    path.parent.mkdir()
    path.write_text(content)

    with pytest.raises(StorageError, match=r"journal.json: not a journal that this version reads .*; delete it, and "):
        run(tmp_path)
    assert path.read_text() == content


# ----------------------------------------------------------------------------------- cut off


def start(folder: Path, seconds: float) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-u", str(TOY), str(folder), str(seconds)], stdout=subprocess.PIPE, text=True
    )


def wait_for(path: Path, content: str, process: subprocess.Popen[str]) -> None:
    end = time.monotonic() + 30
    while not (path.exists() and path.read_text() == content):
        assert process.poll() is None and time.monotonic() < end, f"{path} never held {content!r}"
        time.sleep(0.01)


@pytest.mark.parametrize(("step", "units"), [("verify", 1), ("plan", 3), ("train a", 2), ("train b", 1), ("choose", 3)])
def test_killed_anywhere_it_continues_where_it_was(tmp_path: Path, step: str, units: int) -> None:
    killed = start(tmp_path, 0.1)
    wait_for(tmp_path / step / "units", "x" * units, killed)
    killed.kill()
    killed.wait()
    assert killed.stdout is not None
    killed.stdout.close()
    before = starts(tmp_path)
    assert before == list(NAMES[: NAMES.index(step) + 1])

    runner, said = run(tmp_path)

    assert starts(tmp_path) == list(NAMES[NAMES.index(step) :]), "the step that was hit, and what had not begun"
    assert f"  {step}  (was cut off)" in said
    assert states(runner) == ["done before"] * NAMES.index(step) + ["done"] * (5 - NAMES.index(step))
    assert (tmp_path / "choose" / "product").read_text() == SELECTION
    log = (tmp_path / "run" / "logs" / f"{step.replace(' ', '_')}.log").read_text()
    counted = dict.fromkeys(
        line for line in log.splitlines() if "$" not in line
    )  # the last before a kill may be said twice
    assert list(counted) == [f"{step} {number}/4" for number in range(1, 5)]


@pytest.mark.parametrize(("number", "code"), [(signal.SIGTERM, 75), (signal.SIGINT, 130)])
def test_a_signal_ends_the_step_and_the_run_and_the_next_run_goes_on(tmp_path: Path, number: int, code: int) -> None:
    process = start(tmp_path, 0.1)
    wait_for(tmp_path / "train a" / "units", "xx", process)
    process.send_signal(number)

    assert process.wait(20) == code
    assert process.stdout is not None
    assert re.fullmatch(r"step 3/5  train a  \(interrupted in \d+ s\)", process.stdout.read().splitlines()[-1])
    process.stdout.close()
    assert Journal(tmp_path / "run" / "journal.json").read()["train a"].state == "interrupted"
    starts(tmp_path)

    _, said = run(tmp_path)
    assert "step 3/5  train a  (was stopped)" in said
    assert starts(tmp_path) == ["train a", "train b", "choose"]
    assert (tmp_path / "choose" / "product").read_text() == SELECTION


def leave_a_survivor(folder: Path, seconds: float) -> subprocess.Popen[bytes]:
    """A process that the journal says works on `plan`."""
    survivor = subprocess.Popen([sys.executable, "-c", f"import time; time.sleep({seconds})"])
    record = Record(
        state="running", argv=(), settings="", inputs={}, started="", process=ProcessIdentity.of(survivor.pid)
    )
    Journal(folder / "run" / "journal.json").write("plan", record)
    return survivor


def test_a_process_that_a_killed_run_left_behind_is_waited_for(tmp_path: Path) -> None:
    survivor = leave_a_survivor(tmp_path, 1)
    output = io.StringIO()

    Runner(tmp_path / "run", output).run(toy_steps(tmp_path), total=5)

    assert survivor.wait(0) == 0
    assert output.getvalue().startswith(
        f"plan: process {survivor.pid} of the run before is still ending; waiting for it\nstep 1/5  verify\n"
    )
    assert (tmp_path / "choose" / "product").read_text() == SELECTION


def test_one_that_does_not_end_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(runner_module, "SAVING_SECONDS", 0.3)
    survivor = leave_a_survivor(tmp_path, 60)
    try:
        with pytest.raises(WorkspaceError) as caught:
            run(tmp_path)
        assert str(caught.value) == (
            f"plan: process {survivor.pid} of an earlier run still works on it; end it (kill {survivor.pid}) and start again"
        )
        os.kill(survivor.pid, 0)
    finally:
        survivor.kill()
        survivor.wait()
    assert starts(tmp_path) == []


def test_what_another_process_works_on_is_not_set_aside(tmp_path: Path) -> None:
    fold = tmp_path / "fold_0"
    with hold_lock(fold / LOCK_FILE, "training"), pytest.raises(WorkspaceError, match="work in this folder is already"):
        set_aside(fold, tmp_path / "replaced", name="train")

    assert fold.is_dir()
    assert not (tmp_path / "replaced").exists()
