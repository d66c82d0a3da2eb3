"""The input guard: what is told, written down and refused, over several runs, threads and processes."""

from __future__ import annotations

import json
import logging
import multiprocessing
import os
import socket
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

import autoseg
from autoseg.dataset.raw_cases import RawCase
from autoseg.errors import DatasetError, ModelError, WorkspaceError
from autoseg.files.locking import Holder
from autoseg.files.storage import write_json
from autoseg.geometry import Geometry
from autoseg.inference import guard as guard_module
from autoseg.inference.guard import InputGuard, load_report
from autoseg.machine.processes import ProcessIdentity
from autoseg.planning.appearance import measure_ranges
from autoseg.planning.fingerprint import DatasetFingerprint

GRID = Geometry(spacing=(3.0, 1.0, 1.0))
WRONG_UNIT = replace(GRID, spacing=(30.0, 10.0, 10.0))
TEXTS = (
    "voxel size in mm far from the training cases': z 30 (theirs 3), y 10 (theirs 1), x 10 (theirs 1); "
    "check the voxel size in its header, which is meant in mm",
    "size in mm far from the training cases': z 120 (theirs 12), y 50 (theirs 5), x 60 (theirs 6); "
    "check that it shows what the training images show, and its voxel size",
)


def raw(identifier: str = "case", geometry: Geometry = GRID) -> RawCase:
    data = np.arange(1, 121, dtype=np.float32).reshape(1, 4, 5, 6)
    return RawCase(identifier=identifier, data=data, segmentation=None, geometry=geometry)


FINGERPRINT = DatasetFingerprint(
    channels=("MRI",),
    labels=("background", "organ"),
    cases=tuple(f"case_{number}" for number in range(10)),
    spacings=((3.0, 1.0, 1.0),) * 10,
    shapes=((4, 5, 6),) * 10,
    kept_fractions=(1.0,) * 10,
    intensities=(None,),
    directions=(GRID.direction,) * 10,
    intensity_ranges=(measure_ranges(raw().data),) * 10,
)


def test_a_case_like_the_training_cases_is_written_down_and_nothing_is_told(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    with InputGuard(FINGERPRINT, report=tmp_path / "out" / "report.json") as guard:
        guard(raw())

    assert (caplog.records, guard.warned) == ([], ())
    content = json.loads((tmp_path / "out" / "report.json").read_text())
    assert content["cases"]["case"] == {
        "warnings": [],
        "refused": False,
        "orientation": "LPS",
        "values": pytest.approx(
            {
                "spacing_z": 3,
                "spacing_y": 1,
                "spacing_x": 1,
                "size_z": 12,
                "size_y": 5,
                "size_x": 6,
                "channel_0_width": 119 * 0.99,
                "channel_0_start": 1.595 / 117.81,
                "channel_0_middle": 0.5,
                "channel_0_tails": 0,
                "orientation": 0,
            },
            abs=1e-6,
        ),
    }
    assert {key: content[key] for key in ("format", "version", "remark", "false_alarms")} == {
        "format": 1,
        "version": autoseg.__version__,
        "remark": None,
        "false_alarms": {"cases": 10, "warned": [], "rate": 0},
    }
    assert (content["training"]["cases"], content["training"]["orientations"]) == (10, ["LPS"])
    assert content["training"]["limits"]["size_y"] == pytest.approx(
        {"lowest": 5, "highest": 5, "lower_limit": 2.5, "upper_limit": 10}
    )


def test_what_is_far_off_is_told_once_and_written_down(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """Several models read the same case; the user is told once."""
    guard = InputGuard(FINGERPRINT, report=tmp_path / "report.json")
    for _ in range(2):
        guard(raw("odd", WRONG_UNIT))
    guard(raw())

    assert [record.getMessage() for record in caplog.records] == [f"case odd: {text}" for text in TEXTS]
    assert {record.levelno for record in caplog.records} == {logging.WARNING}
    assert guard.warned == ("odd",)
    odd = load_report(tmp_path / "report.json").cases["odd"]
    assert [(warning.name, warning.text) for warning in odd.warnings] == list(
        zip(("spacing", "size"), TEXTS, strict=True)
    )
    assert not odd.refused


@pytest.mark.parametrize("strict", [False, True])
def test_what_headers_leave_in_doubt_is_told_once_and_refuses_nothing(
    caplog: pytest.LogCaptureFixture, strict: bool
) -> None:
    guard = InputGuard(FINGERPRINT, strict=strict)
    for _ in range(2):
        guard(replace(raw("odd"), doubts=("odd_0000.nii.gz: its qform and its sform disagree",)))

    assert [record.getMessage() for record in caplog.records] == [
        "case odd: odd_0000.nii.gz: its qform and its sform disagree"
    ]
    assert guard.warned == ()


def test_where_it_is_strict_a_case_far_off_is_an_error_every_time(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    guard = InputGuard(FINGERPRINT, strict=True, report=tmp_path / "report.json")
    guard(raw())
    for _ in range(2):
        with pytest.raises(DatasetError) as caught:
            guard(raw("odd", WRONG_UNIT))

    assert str(caught.value) == (
        f"{TEXTS[0]}; {TEXTS[1]}. It is not predicted, as `strict_inputs` asks; leave that out to predict it all the same"
    )
    assert caplog.records == []
    cases = load_report(tmp_path / "report.json").cases
    assert {name: case.refused for name, case in cases.items()} == {"case": False, "odd": True}


def test_cases_of_earlier_runs_are_kept_and_those_read_again_replaced(tmp_path: Path) -> None:
    report = tmp_path / "report.json"
    guard = InputGuard(FINGERPRINT, report=report)
    guard(raw("b", WRONG_UNIT))
    guard(raw("c", WRONG_UNIT))
    guard = InputGuard(FINGERPRINT, strict=True, report=report)
    guard(raw("a"))
    guard(raw("b"))
    earlier = guard.warned_earlier(["a", "b", "c", "d"])

    assert {name: len(case.warnings) for name, case in load_report(report).cases.items()} == {"a": 0, "b": 0, "c": 2}
    assert earlier == [("c", f"{TEXTS[0]}; {TEXTS[1]}. It was predicted before, without `strict_inputs`")]
    assert InputGuard(FINGERPRINT).warned_earlier(["a"]) == []


def test_without_a_fingerprint_nothing_is_compared_and_the_report_says_so(tmp_path: Path) -> None:
    guard = InputGuard(None, remark="nothing to compare with", report=tmp_path / "report.json")
    guard(raw("odd", WRONG_UNIT))

    found = load_report(tmp_path / "report.json")
    assert (found.remark, found.training, found.false_alarms) == ("nothing to compare with", None, None)
    assert (found.cases["odd"].warnings, found.cases["odd"].values) == ((), {})


def test_an_image_without_any_value_is_left_to_preparing() -> None:
    case = raw()
    InputGuard(FINGERPRINT, strict=True)(replace(case, data=np.zeros_like(case.data)))


def test_without_a_report_nothing_is_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    guard = InputGuard(FINGERPRINT)
    guard(raw("odd", WRONG_UNIT))
    assert guard.warned == ("odd",)
    assert list(tmp_path.iterdir()) == []


# ------------------------------------------------------------------------------- together


def fill(report: Path, part: int) -> None:
    with InputGuard(FINGERPRINT, report=report) as guard:
        for number in range(part, 12, 3):
            guard(raw(f"case_{number:02d}", WRONG_UNIT if number % 2 else GRID))


EXPECTED = {f"case_{number:02d}": 2 * (number % 2) for number in range(12)}


def test_processes_that_fill_one_folder_lose_nothing(tmp_path: Path) -> None:
    report = tmp_path / "report.json"
    context = multiprocessing.get_context("fork")
    processes = [context.Process(target=fill, args=(report, part)) for part in range(3)]
    for process in processes:
        process.start()
    for process in processes:
        process.join(30)

    assert {name: len(case.warnings) for name, case in load_report(report).cases.items()} == EXPECTED
    assert [path.name for path in tmp_path.iterdir()] == ["report.json"]


def test_threads_lose_nothing(tmp_path: Path) -> None:
    guard = InputGuard(FINGERPRINT, report=tmp_path / "report.json")
    with ThreadPoolExecutor(4) as pool:
        cases = [raw(name, WRONG_UNIT if count else GRID) for name, count in EXPECTED.items()]
        list(pool.map(guard, cases))
    found = load_report(tmp_path / "report.json").cases
    assert {name: len(case.warnings) for name, case in found.items()} == EXPECTED


def test_a_case_is_written_down_before_it_is_predicted(tmp_path: Path) -> None:
    """So that a killed run leaves no prediction without its entry."""
    guard = InputGuard(FINGERPRINT, report=tmp_path / "report.json")
    for name in ("a", "b"):
        guard(raw(name))
        assert name in load_report(tmp_path / "report.json").cases


def test_cases_of_a_killed_run_are_taken_into_the_report_by_the_next(tmp_path: Path) -> None:
    report = tmp_path / "report.json"
    InputGuard(FINGERPRINT, report=report)(raw("a", WRONG_UNIT))
    assert sorted(path.name for path in tmp_path.iterdir()) == [".report.json.cases", "report.json"]

    with InputGuard(FINGERPRINT, strict=True, report=report) as guard:
        assert [name for name, _ in guard.warned_earlier(["a"])] == ["a"]

    assert [path.name for path in tmp_path.iterdir()] == ["report.json"]
    assert list(json.loads(report.read_text())["cases"]) == ["a"]


def test_what_a_case_costs_does_not_grow_with_their_number(tmp_path: Path) -> None:
    """Only the case is written, not what is known of all."""
    report = tmp_path / "report.json"
    with InputGuard(FINGERPRINT, report=report) as guard:
        guard(raw("a"))
        before = report.stat()
        for number in range(20):
            guard(raw(f"case_{number}"))
        assert report.stat() == before
    assert len(json.loads(report.read_text())["cases"]) == 21


def test_a_report_that_stays_locked_is_told_with_its_holder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(guard_module, "LONGEST_WAIT", 0.2)
    holder = Holder(process=ProcessIdentity.of(os.getppid()), since="2026-01-01T00:00:00")
    write_json(tmp_path / ".report.json.lock", holder)
    started = time.monotonic()
    with pytest.raises(WorkspaceError) as caught:
        InputGuard(FINGERPRINT, report=tmp_path / "report.json")(raw())
    assert str(caught.value).startswith(
        f"writing {tmp_path / 'report.json'} is already being done by process {os.getppid()} on {socket.gethostname()}"
    )
    assert 0.2 <= time.monotonic() - started < 5


@pytest.mark.parametrize(
    ("written", "message"),
    [
        ("{", "not valid JSON: "),
        ("[1]", "a report of format None, but this autoseg reads format 1"),
        ('{"format": 7}', "a report of format 7, but this autoseg reads format 1"),
        (
            '{"format": 1, "mood": 1}',
            "wrong fields: missing cases, false_alarms, remark, training, version; unknown mood",
        ),
    ],
)
def test_a_report_that_is_not_ours_is_refused(tmp_path: Path, written: str, message: str) -> None:
    path = tmp_path / "report.json"
    path.write_text(written)
    with pytest.raises(ModelError) as caught:
        load_report(path)
    assert str(caught.value).startswith(f"{path}: {message}")
    assert str(caught.value).endswith("; move the file away, or name another folder")
    assert path.read_text() == written


def test_a_case_costs_milliseconds() -> None:
    """An image of 160x160x160; the bound is far above what a processor needs for it."""
    data = np.random.default_rng(0).normal(100, 10, (1, 160, 160, 160)).astype(np.float32)
    guard = InputGuard(FINGERPRINT)
    seconds = []
    for number in range(5):
        started = time.thread_time()
        guard(RawCase(identifier=str(number), data=data, segmentation=None, geometry=GRID))
        seconds.append(time.thread_time() - started)
    assert min(seconds) < 0.2
