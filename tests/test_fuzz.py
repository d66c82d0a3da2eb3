"""A little of `benchmarks/fuzz.py`: whatever is done to a file, it is read or refused in words, and nothing else happens."""

from __future__ import annotations

import random

import fuzz
import pytest

INPUTS = {"plans": 400, "headers": 400, "formats": 300, "drawings": 300, "json": 600, "archives": 40}


@pytest.mark.parametrize("name", sorted(fuzz.TARGETS))
def test_mutated_files_are_read_or_refused_in_words(name: str) -> None:
    fuzz.fuzz(fuzz.TARGETS[name](), 20, seed=1)  # so that all is imported that reading imports
    count = fuzz.fuzz(fuzz.TARGETS[name](), INPUTS[name], seed=2)

    assert [fault for fault in count.faults if "imported encodings" not in fault] == []
    assert count.inputs == INPUTS[name] == count.read + count.refused
    assert count.passed >= count.inputs / 2


def test_a_fault_is_counted_and_named() -> None:
    def fail(_path: object) -> None:
        raise AttributeError("as no reader may")

    target = fuzz.Target(lambda _: ("x", b"x"), lambda _: None, fail)

    assert fuzz.fuzz(target, 2, seed=3).faults == [
        f"seed 3, input {index}: AttributeError: as no reader may" for index in (0, 1)
    ]


def test_mutations_leave_what_they_are_made_from() -> None:
    before = fuzz.valid_plans()
    changed = [fuzz.mutated(random.Random(seed), before) for seed in range(20)]

    assert before == fuzz.valid_plans()
    assert sum(one != before for one in changed) >= 18
