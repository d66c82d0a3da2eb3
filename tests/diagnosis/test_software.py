"""Versions, of distributions that are really there to be found, made for the test."""

from __future__ import annotations

import platform
import sys
from pathlib import Path

import pytest

from autoseg.diagnosis.page import Diagnosis
from autoseg.diagnosis.software import check_installation


def distribution(folder: Path, name: str, version: str, *lines: str) -> None:
    info = folder / f"{name}-{version}.dist-info"
    info.mkdir()
    head = ["Metadata-Version: 2.1", f"Name: {name}", f"Version: {version}", *lines]
    (info / "METADATA").write_text("\n".join(head) + "\n")


@pytest.fixture
def packages(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(sys, "path", [str(tmp_path), *sys.path])
    return tmp_path


def test_everything_in_its_range_is_one_line(packages: Path) -> None:
    distribution(packages, "thing_one", "1.5")
    distribution(packages, "thing_two", "2.0+cu128")
    distribution(
        packages,
        "tool",
        "1.0",
        "Requires-Python: >=3.10",
        "Requires-Dist: thing_one>=1.4",
        "Requires-Dist: thing_two!=2.1",
    )

    assert check_installation("tool") == [
        Diagnosis(level="ok", subject="Python", found=platform.python_version()),
        Diagnosis(level="ok", subject="2 packages", found="thing_one 1.5, thing_two 2.0+cu128"),
    ]


def test_what_is_missing_or_out_of_its_range_is_a_fault_with_the_command(packages: Path) -> None:
    distribution(packages, "thing_one", "1.5")
    distribution(
        packages,
        "tool",
        "1.0",
        "Requires-Python: >=3.99",
        "Requires-Dist: thing_one!=1.5,>=1.4",
        "Requires-Dist: thing_three>=3",
        "Requires-Dist: never; python_version < '3'",
    )

    assert check_installation("tool") == [
        Diagnosis(
            level="fault",
            subject="Python",
            found=f"{platform.python_version()}, but >=3.99 is needed",
            remedy="install Python >=3.99",
        ),
        Diagnosis(
            level="fault",
            subject="thing_one",
            found="1.5, but !=1.5,>=1.4 is needed",
            remedy='pip install "thing_one!=1.5,>=1.4"',
        ),
        Diagnosis(level="fault", subject="thing_three", found="not installed", remedy='pip install "thing_three>=3"'),
    ]


def test_extras_are_told_and_no_fault(packages: Path) -> None:
    distribution(packages, "thing_one", "1.5")
    distribution(packages, "old", "0.1")
    extras = {"tensorboard": "absent_board>=2.16", "good": "thing_one>=1", "bad": "old>=1", "test": "nothing>=1"}
    lines = [f"Requires-Dist: {package}; extra == '{extra}'" for extra, package in extras.items()]
    distribution(packages, "tool", "1.0", *(f"Provides-Extra: {extra}" for extra in extras), *lines)

    assert check_installation("tool")[2:] == [
        Diagnosis(
            level="ok",
            subject="tensorboard",
            found='not installed (curves of a training in a browser); pip install "absent_board>=2.16" adds it',
        ),
        Diagnosis(level="ok", subject="good", found="thing_one 1.5"),
        Diagnosis(level="warning", subject="bad", found="old 0.1, but >=1 is needed", remedy='pip install "old>=1"'),
    ]


def test_a_package_that_is_not_installed_is_told() -> None:
    (diagnosis,) = check_installation("no-such-package")
    assert (diagnosis.level, diagnosis.found) == ("warning", "runs, but is not installed")


def test_this_installation_is_well() -> None:
    assert [diagnosis for diagnosis in check_installation() if diagnosis.level == "fault"] == []
