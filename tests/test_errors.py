"""The family of errors, and how messages count and quote."""

from __future__ import annotations

import inspect

import pytest

from autoseg import errors
from autoseg.errors import AutosegError, CasesFailed
from autoseg.words import counted, readable


def test_all_errors_are_of_one_family() -> None:
    found = [value for value in vars(errors).values() if inspect.isclass(value) and issubclass(value, Exception)]
    assert len(found) > 8
    assert [value for value in found if not issubclass(value, AutosegError)] == []


@pytest.mark.parametrize(
    ("failures", "total", "message"),
    [
        ([("a", "broken")], 3, "scoring: 1 of 3 cases failed; the others are finished\n  a: broken"),
        ([("a", "broken"), ("b", "lost")], 2, "scoring: 2 of 2 cases failed\n  a: broken\n  b: lost"),
        ([("a", "broken")], 1, "scoring: 1 of 1 case failed\n  a: broken"),
    ],
)
def test_failed_cases_are_counted_and_named(failures: list[tuple[str, str]], total: int, message: str) -> None:
    error = CasesFailed("scoring", failures, total)

    assert str(error) == message
    assert error.failures == tuple(failures)


def test_numbers_and_nouns_agree() -> None:
    assert [counted(number, "case") for number in (0, 1, 2)] == ["0 cases", "1 case", "2 cases"]
    assert [counted(number, "batch", "batches") for number in (1, 2)] == ["1 batch", "2 batches"]


@pytest.mark.parametrize(
    ("name", "shown"),
    [
        ("liver 01.nii.gz", "liver 01.nii.gz"),
        ("Leber_ö.nii.gz", "Leber_ö.nii.gz"),
        ("two\nlines", r"'two\nlines'"),
        ("\x1b[31mred", r"'\x1b[31mred'"),
        ("broken\udcff", r"'broken\udcff'"),
    ],
)
def test_names_that_would_spoil_a_terminal_are_quoted(name: str, shown: str) -> None:
    assert readable(name) == shown
