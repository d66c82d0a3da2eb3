"""What the machine does to a running command: workers killed, disks full or read-only, files taken away.

Each is really done. A command then ends with exit code 1 and says why; what was finished is whole, and no process is left.
"""

from __future__ import annotations

import os
import re
import signal
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from autoseg.commands import export_model, plan_and_preprocess, predict, train, verify_dataset
from autoseg.machine.processes import ProcessIdentity

TASK = "Task001_Balls"
TINY = "--iterations_per_epoch 1 --batch_size 2 --seed 1 -device cpu --precision fp32".split()
KILLED = "was killed, most likely because memory ran out; "
Told = pytest.CaptureFixture[str]


@pytest.fixture(scope="module")
def raw(make_task: Any, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A task whose cases take a worker long enough for being killed at one."""
    folder = tmp_path_factory.mktemp("raw")
    make_task(TASK, parent=folder / "raw_data", cases=6, test_cases=1, shape=(60, 72, 64))
    return folder / "raw_data"


@pytest.fixture(scope="module")
def trained(make_task: Any, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A prepared task with one fold of one epoch."""
    home = tmp_path_factory.mktemp("home")
    make_task(TASK, parent=home / "raw_data", cases=5, test_cases=1)
    assert plan_and_preprocess.main(["-t", "1", "-tf", "1", "-pl2d", "None", "--home", str(home)]) == 0
    assert train.main([*FOLD, "--epochs", "1", "--num_workers", "0", *TINY, "--home", str(home)]) == 0
    return home


FOLD = ("3d_fullres", "Trainer", "1", "0")


@pytest.fixture
def own(raw: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The raw data of all, the rest of this test alone."""
    monkeypatch.setenv("AUTOSEG_HOME", str(tmp_path))
    monkeypatch.setenv("AUTOSEG_RAW_DATA", str(raw))
    return tmp_path


def children() -> list[int]:
    """Processes that the main thread of this one started and that have not ended."""
    started = Path(f"/proc/self/task/{os.getpid()}/children").read_text().split()
    return [process for process in map(int, started) if ProcessIdentity.of(process).runs_here]


def is_at_work(process: int) -> bool:
    """Whether it is a worker that has begun, which leaves Ctrl-C to its parent; libraries start short programs, too."""
    try:
        status = Path(f"/proc/{process}/status").read_text()
    except OSError:
        return False
    ignored = re.search(r"^SigIgn:\s*(\w+)$", status, re.MULTILINE)
    return ignored is not None and bool(int(ignored[1], 16) >> (signal.SIGINT - 1) & 1)


class Killer(threading.Thread):
    """Kills one worker as soon as there is one and `when` is true."""

    def __init__(self, when: Callable[[], bool]) -> None:
        super().__init__(daemon=True)
        self.when = when
        self.killed = float("inf")

    def run(self) -> None:
        deadline = time.monotonic() + 60
        while time.monotonic() < deadline:
            if self.when() and (workers := list(filter(is_at_work, children()))):
                os.kill(workers[0], signal.SIGKILL)
                self.killed = time.monotonic()
                return
            time.sleep(0.0005)


def ended_by_a_killed_worker(main: Callable[[list[str]], int], argv: list[str], when: Callable[[], bool]) -> None:
    """Run a command, kill a worker of it, and see that it ends in time with nothing left behind."""
    killer = Killer(when)
    killer.start()
    code = main(argv)
    seconds = time.monotonic() - killer.killed
    killer.join(10)

    assert code == 1
    assert 0 <= seconds < 10
    assert children() == []


def test_a_worker_killed_while_verifying(raw: Path, capsys: Told) -> None:
    argv = ["-t", "1", "--workers", "2", "--home", str(raw.parent)]
    ended_by_a_killed_worker(verify_dataset.main, argv, lambda: True)

    told = capsys.readouterr()
    assert re.search(rf"case_00\d: .*its worker {KILLED}use fewer workers \(-tl and -tf, or --workers\)\n", told.out)
    assert told.err == (
        f"autoseg_verify_dataset: errors in {TASK} (1); put right what the report names and verify again\n"
    )


def test_a_worker_killed_while_preparing(own: Path, capsys: Told) -> None:
    plans = own / "preprocessed" / TASK / "autoseg_plans_3D.pkl"
    ended_by_a_killed_worker(plan_and_preprocess.main, ["-t", "1", "-tl", "2", "-tf", "2"], plans.is_file)

    told = capsys.readouterr().err
    assert "Traceback" not in told
    assert re.search(
        r"^autoseg_plan_and_preprocess: preparing: 1 of 6 cases failed; the others are finished\n"
        rf"  case_00\d: its worker {KILLED}use fewer workers \(-tl and -tf, or --workers\)\n\Z",
        told,
        re.MULTILINE,
    )


def test_a_worker_killed_while_training(
    trained: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Told
) -> None:
    monkeypatch.setenv("AUTOSEG_RESULTS", str(tmp_path))
    monkeypatch.setenv("AUTOSEG_HOME", str(trained))
    argv = [*FOLD, "--epochs", "1000", "--num_workers", "2", *TINY]
    checkpoint = tmp_path / "3d_fullres" / TASK / "Trainer__autoseg" / "fold_0" / "checkpoint.pt"

    ended_by_a_killed_worker(train.main, argv, checkpoint.is_file)

    assert re.search(
        rf"^autoseg_train: case case_00\d: the worker at work on it {KILLED}"
        r"continue with -c and fewer workers \(--num_workers\)\n\Z",
        capsys.readouterr().err,
        re.MULTILINE,
    )
    assert checkpoint.is_file()


# ---------------------------------------------------------------------------- disks and files


@pytest.fixture
def disk(small_disk: Callable[[int], Path]) -> Path:
    return small_disk(10**9)


def fill_up(disk: Path, spare: int) -> None:
    """Leave only so many bytes, a page at least."""
    used = os.statvfs(disk)
    taken = (used.f_blocks - used.f_bfree) * used.f_frsize
    subprocess.run(["mount", "-o", f"remount,size={taken + spare}", disk], check=True)


def read_only(disk: Path) -> None:
    subprocess.run(["mount", "-o", "remount,ro", disk], check=True)


def hidden(folder: Path) -> list[Path]:
    return [path for path in folder.rglob(".*") if path.is_file()]


def last_line(capsys: Told) -> str:
    told = capsys.readouterr().err
    assert "Traceback" not in told and "Logging error" not in told
    return told.splitlines()[-1]


def test_a_full_disk_while_preparing(
    raw: Path, tmp_path: Path, small_disk: Callable[[int], Path], monkeypatch: pytest.MonkeyPatch, capsys: Told
) -> None:
    disk = small_disk(4_000_000)  # more than half of the estimate, which is demanded, and less than is needed
    monkeypatch.setenv("AUTOSEG_HOME", str(tmp_path))
    monkeypatch.setenv("AUTOSEG_RAW_DATA", str(raw))
    monkeypatch.setenv("AUTOSEG_PREPROCESSED", str(disk))
    argv = ["-t", "1", "-tl", "2", "-tf", "2"]

    assert plan_and_preprocess.main(argv) == 1

    assert re.fullmatch(
        rf"autoseg_plan_and_preprocess: preparing: stopped at case_00\d: {disk}/.*: cannot be written: "
        r"(No space left on device|Not enough free space .*|\d+ requested and \d+ written); check space and permissions; "
        r"[1-5] of 6 cases (is|are) finished, run the same command again for the others",
        last_line(capsys),
    )
    assert hidden(disk) == [] and children() == []
    subprocess.run(["mount", "-o", "remount,size=1G", disk], check=True)
    assert plan_and_preprocess.main(argv) == 0
    finished = re.search(r"(\d) cases prepared, (\d) skipped as nothing changed", capsys.readouterr().err)
    assert finished is not None and int(finished[2]) >= 1


@pytest.fixture
def fold(trained: Path, disk: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """The trained fold on a disk of its own."""
    subprocess.run(["cp", "-a", f"{trained}/results/.", disk], check=True)
    monkeypatch.setenv("AUTOSEG_HOME", str(trained))
    monkeypatch.setenv("AUTOSEG_RESULTS", str(disk))
    yield disk / "3d_fullres" / TASK / "Trainer__autoseg" / "fold_0"


MORE = [*FOLD, "-c", "--epochs", "3", "--num_workers", "0", *TINY]


@pytest.mark.parametrize(
    ("spoil", "cause"),
    [(lambda disk: fill_up(disk, 65_536), "No space left on device"), (read_only, "Read-only file system")],
    ids=["full", "read-only"],
)
def test_a_training_that_cannot_save_keeps_its_checkpoint(
    fold: Path, disk: Path, capsys: Told, spoil: Callable[[Path], None], cause: str
) -> None:
    before = (fold / "checkpoint.pt").read_bytes()
    capsys.readouterr()
    spoil(disk)

    assert train.main(MORE) == 1

    assert re.fullmatch(
        rf"autoseg_train: {fold}/\S+: cannot be written: {cause}; check space and permissions; "
        "the last checkpoint is whole, then continue with -c",
        last_line(capsys),
    )
    assert (fold / "checkpoint.pt").read_bytes() == before
    assert hidden(fold) == []


def test_a_full_disk_while_predicting(trained: Path, disk: Path, capsys: Told) -> None:
    argv = ["-i", str(trained / "raw_data" / TASK / "imagesTs"), "-o", str(disk / "out"), "-t", "1", "-m", "3d_fullres"]
    argv += ["-f", "0", "-device", "cpu", "--precision", "fp32", "--disable_tta", "--home", str(trained)]
    (disk / "out").mkdir()
    fill_up(disk, 4096)

    assert predict.main(argv) == 1

    assert re.fullmatch(
        rf"autoseg_predict: predicting: stopped at \w+: {disk}/out/\S+: cannot be written: No space left on device; "
        "check space and permissions; what is finished is kept, run the same command again for the others",
        last_line(capsys),
    )
    assert [path.name for path in (disk / "out").iterdir() if path.suffix in (".gz", ".npz")] == []
    assert hidden(disk) == []


def test_a_full_disk_while_exporting(trained: Path, disk: Path, capsys: Told) -> None:
    target = disk / "model.zip"
    target.write_bytes(b"an older archive")
    fill_up(disk, 65_536)

    assert export_model.main(["-t", "1", "-o", str(target), "--home", str(trained)]) == 1

    assert last_line(capsys) == (
        f"autoseg_export_model: {target}: cannot be written: No space left on device; check space and permissions"
    )
    assert target.read_bytes() == b"an older archive"
    assert [path.name for path in disk.iterdir()] == ["model.zip"]


def test_an_image_taken_away_while_verifying(make_task: Any, tmp_path: Path, capsys: Told) -> None:
    folder = make_task(TASK, parent=tmp_path / "raw_data", cases=3, test_cases=1)
    (folder / "imagesTr" / "case_001_0000.nii.gz").unlink()

    assert verify_dataset.main(["-t", "1", "--workers", "2", "--home", str(tmp_path)]) == 1
    told = capsys.readouterr()
    assert "Traceback" not in told.err + told.out
    assert "case_001_0000.nii.gz" in told.out + told.err
