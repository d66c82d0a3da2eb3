"""Progress: without a terminal a line a minute with the time left, and none of cases that take less."""

from __future__ import annotations

import logging

import pytest

from autoseg.inference.progress import TileProgress


class Clock:
    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


def test_a_long_case_is_spoken_of_now_and_then(caplog: pytest.LogCaptureFixture) -> None:
    clock = Clock()

    with caplog.at_level(logging.INFO, logger="autoseg"), TileProgress(5, done=2, clock=clock) as shown:
        show = shown.start("liver_7")
        clock.now += 500  # until it is prepared
        for done in range(1, 801):
            show(done, 800)
            clock.now += 1
        shown.start("liver_8")(1, 800)

    assert caplog.messages[:2] == [
        "liver_7 (3 of 5): 2 of 800 tiles, about 13 min left",
        "liver_7 (3 of 5): 62 of 800 tiles, about 12 min left",
    ]
    assert len(caplog.messages) == 14
    assert caplog.messages[-1] == "liver_7 (3 of 5): 782 of 800 tiles, about 1 min left"


def test_hours_are_told_as_hours_and_short_cases_not_at_all(caplog: pytest.LogCaptureFixture) -> None:
    clock = Clock()

    with caplog.at_level(logging.INFO, logger="autoseg"), TileProgress(2, clock=clock) as shown:
        show = shown.start("a")
        show(1, 4)
        clock.now += 59
        show(4, 4)
        show = shown.start("b")
        show(1, 201)
        clock.now += 60
        show(2, 201)

    assert caplog.messages == ["b (2 of 2): 2 of 201 tiles, about 3 h 19 min left"]
