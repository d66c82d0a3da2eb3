"""The page as a user sees it, well and with a fault."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path

import pytest

from autoseg.commands.doctor import main
from autoseg.diagnosis import disk_speed, speed


def test_a_healthy_machine_is_code_0_and_nothing_is_left(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    code = main(["--home", str(tmp_path)])

    told = capsys.readouterr().out
    headings = ["folders", "disk", "machine", "packages", "computing", "images", "processes"]
    assert re.findall(r"^(\w+)$", told, re.MULTILINE) == headings
    assert f"  ok       results          {tmp_path}/results, which is not there yet; a file could be written\n" in told
    lines = re.findall(r"^  (ok|warning|fault) ", told, re.MULTILINE)
    assert len(lines) >= 17
    assert (code == 0) == ("fault" not in lines)
    assert "fault" in lines or told.endswith(
        f"0 faults, {lines.count('warning')} warning{'s' * (lines.count('warning') != 1)}\n"
    )
    assert list(tmp_path.iterdir()) == []


def test_a_fault_is_code_1_and_the_page_is_whole(
    small_disk: Callable[[int], Path], capsys: pytest.CaptureFixture[str]
) -> None:
    disk = small_disk(65_536)
    (disk / "fill").write_bytes(bytes(65_536))

    assert main(["--home", str(disk)]) == 1

    told = capsys.readouterr()
    assert f"  fault    results          {disk}/results, which is not there yet: No space left on device\n" in told.out
    assert f"-> make room and give yourself the right to write in {disk}, or name another folder (--home)\n" in told.out
    assert "  ok       workers " in told.out
    assert re.search(
        r"autoseg_doctor: 4 faults, \d warnings?; do what stands below each fault, and ask again\n", told.err
    )
    assert [path.name for path in disk.iterdir()] == ["fill"]


def test_a_benchmark_adds_what_is_measured(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(speed, "SECONDS", 0.1)
    monkeypatch.setattr(speed, "CASE_SHAPE", (130, 130, 130))
    monkeypatch.setattr(speed, "SMALLER", (16, 16, 16))
    monkeypatch.setattr(speed, "SMALLER_LEVELS", 3)
    monkeypatch.setattr(disk_speed, "PIECES", 1)

    assert main(["--home", str(tmp_path), "--benchmark"]) == 0

    told = capsys.readouterr().out
    assert re.findall(r"^(\w+)$", told, re.MULTILINE)[-2:] == ["speed", "storage"]
    subjects = re.findall(r"^  (?:ok|warning)  +(step|batches|training|disk speed) ", told, re.MULTILINE)
    assert subjects[-4:] == ["step", "batches", "training", "disk speed"]
    assert list(tmp_path.iterdir()) == []
