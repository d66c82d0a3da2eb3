from __future__ import annotations

import os
import subprocess
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from autoseg.diagnosis import folders
from autoseg.diagnosis.folders import check_folder, check_leftovers, check_room, check_variables
from autoseg.diagnosis.page import Diagnosis
from autoseg.files.storage import STALE_SECONDS


def aged(path: Path, content: bytes = b"") -> Path:
    """A file, or a folder with one, that nobody has touched for more than a day."""
    if path.suffix:
        path.write_bytes(content)
    else:
        path.mkdir()
        (path / "inside").write_bytes(content)
    os.utime(path, (time.time() - STALE_SECONDS - 60,) * 2)
    return path


def test_a_folder_that_takes_a_file_is_well_and_keeps_none(tmp_path: Path) -> None:
    assert check_folder("results", tmp_path) == Diagnosis(
        level="ok", subject="results", found=f"{tmp_path}; a file could be written"
    )
    assert check_folder("results", tmp_path / "a" / "b") == Diagnosis(
        level="ok", subject="results", found=f"{tmp_path}/a/b, which is not there yet; a file could be written"
    )
    assert list(tmp_path.iterdir()) == []


def test_a_file_in_the_place_of_a_folder_is_a_fault(tmp_path: Path) -> None:
    (tmp_path / "file").touch()

    assert check_folder("results", tmp_path / "file" / "results") == Diagnosis(
        level="fault",
        subject="results",
        found=f"{tmp_path}/file/results, which is not there yet: {tmp_path}/file is a file",
        remedy="move that file away, or name another folder with `home` or AUTOSEG_HOME",
    )


def test_a_folder_that_cannot_be_written_to_is_a_fault_unless_it_is_only_read(
    small_disk: Callable[[int], Path],
) -> None:
    disk = small_disk(65_536)
    (disk / "results").mkdir()
    subprocess.run(["mount", "-o", "remount,ro", disk], check=True)

    assert check_folder("results", disk / "results") == Diagnosis(
        level="fault",
        subject="results",
        found=f"{disk}/results: Read-only file system",
        remedy=f"make room and give yourself the right to write in {disk}/results, or name another folder (`home`)",
    )
    assert check_folder("results", disk / "new").level == "fault"
    assert check_folder("raw_data", disk / "new", needs_writing=False).level == "fault"
    assert check_folder("raw_data", disk / "results", needs_writing=False) == Diagnosis(
        level="ok", subject="raw_data", found=f"{disk}/results; can be read only: enough but for converting"
    )


def test_a_full_disk_is_a_fault_of_the_disk_and_of_the_folder(small_disk: Callable[[int], Path]) -> None:
    disk = small_disk(65_536)
    (disk / "fill").write_bytes(bytes(65_536))

    assert check_folder("results", disk).found == f"{disk}: No space left on device"
    (room,) = check_room([disk, disk / "results"])
    assert (room.level, room.found) == ("fault", f"0 kB free where {disk} lies")
    assert "AUTOSEG_PREPROCESSED" in room.remedy


def test_room_is_told_for_each_disk_once(tmp_path: Path, small_disk: Callable[[int], Path]) -> None:
    disk = small_disk(3 * 10**9)
    here, there = check_room([tmp_path, disk, tmp_path / "a"])

    assert here.found.endswith(f" GB free where {tmp_path} lies")
    assert (there.level, there.found) == ("warning", f"3.0 GB free where {disk} lies")


def test_a_disk_on_which_hardly_a_file_may_be_made_is_told(small_disk: Callable[[int], Path]) -> None:
    disk = small_disk(65_536)
    subprocess.run(["mount", "-o", "remount,size=100M,nr_inodes=50", disk], check=True)

    (room,) = check_room([disk])
    assert (room.level, room.remedy) == ("warning", "delete files, or use another disk")
    assert room.found.startswith("105 MB free where ") and "but only 49 more files may be made" in room.found


def test_variables_are_told_and_those_that_nobody_reads() -> None:
    environment = {"AUTOSEG_HOME": "/data", "AUTOSEG_RESULT": "/r", "AUTOSEG_XYZ": "1", "HOME": "/root"}

    assert check_variables(environment, home=None) == [
        Diagnosis(level="ok", subject="AUTOSEG_HOME", found="/data"),
        Diagnosis(
            level="warning",
            subject="AUTOSEG_RESULT",
            found="nothing reads this variable",
            remedy="set AUTOSEG_RESULTS instead",
        ),
        Diagnosis(
            level="warning",
            subject="AUTOSEG_XYZ",
            found="nothing reads this variable",
            remedy="known are AUTOSEG_HOME, AUTOSEG_RAW_DATA, AUTOSEG_PREPROCESSED, AUTOSEG_RESULTS",
        ),
    ]


def test_a_variable_that_home_wins_over_or_that_is_relative_is_told() -> None:
    assert check_variables({"AUTOSEG_HOME": "/data"}, home=Path("/mine")) == [
        Diagnosis(level="ok", subject="AUTOSEG_HOME", found="/data, which `home=/mine` wins over")
    ]
    assert check_variables({"AUTOSEG_RESULTS": "results"}, home=None) == [
        Diagnosis(
            level="warning",
            subject="AUTOSEG_RESULTS",
            found="results: another folder wherever you start autoseg",
            remedy="give the whole path, from / on",
        )
    ]
    assert check_variables({"AUTOSEG_RESULTS": "~/results"}, home=None)[0].level == "ok"


def test_what_killed_processes_left_is_found_told_and_removed(tmp_path: Path) -> None:
    (tmp_path / "task").mkdir()
    old = aged(tmp_path / "task" / ".writing-1-a.npy", bytes(1_000_000))
    folder = aged(tmp_path / ".installing-x", bytes(2_000_000))
    fresh = tmp_path / "task" / ".writing-2-b.npy"
    fresh.touch()
    kept = aged(tmp_path / ".replaced-y")

    half, replaced = check_leftovers([tmp_path], clean=False)
    assert (half.level, half.found) == ("warning", f"half-written: 2 files of killed processes, 3 MB, as {folder}")
    assert half.remedy == "`check_leftovers(clean=True)` removes them; whoever writes in their folder next does, too"
    assert replaced.found == f"{kept}: models that were about to be replaced when installing was killed"
    assert old.exists() and folder.exists()

    assert check_leftovers([tmp_path], clean=True)[0] == Diagnosis(
        level="ok", subject="left-overs", found="removed 2 files of killed processes, 3 MB"
    )
    assert not old.exists() and not folder.exists() and fresh.exists() and kept.exists()
    assert check_leftovers([tmp_path, tmp_path / "absent"], clean=False)[0].found == "no half-written files"


def test_known_variables_are_those_of_the_workspace() -> None:
    assert set(folders.VARIABLES) - {"AUTOSEG_TEST_DATA", "AUTOSEG_INDEX"} == {
        "AUTOSEG_HOME",
        "AUTOSEG_RAW_DATA",
        "AUTOSEG_PREPROCESSED",
        "AUTOSEG_RESULTS",
    }


@pytest.mark.parametrize("count", [0, 49])
def test_sizes_are_in_words(count: int, tmp_path: Path) -> None:
    for number in range(count):
        aged(tmp_path / f".writing-{number}-a.npy", bytes(10**6))
    found = check_leftovers([tmp_path], clean=False)[0].found
    assert ("49 files of killed processes, 49 MB" in found) == (count == 49)
