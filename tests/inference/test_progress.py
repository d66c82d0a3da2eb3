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


LESS = "larger steps take less"


def test_of_the_first_case_its_tiles_are_told_and_after_some_of_them_the_time_of_all(
    caplog: pytest.LogCaptureFixture,
) -> None:
    clock = Clock()
    with caplog.at_level(logging.INFO, logger="autoseg"), TileProgress(4, done=1, remedy=LESS, clock=clock) as shown:
        show = shown.start("a")
        show(0, 750)
        clock.now += 30  # the network starts with the first tile
        for done in range(1, 6):
            show(done, 750)
            clock.now += 6
        shown.start("b")(0, 750)

    assert caplog.messages == [
        "a (2 of 4): 750 tiles",
        "a (2 of 4): about 1 h 15 min, 3 h 45 min for 3 cases if they are as large",
        "a (2 of 4): 750 tiles take about 1 h 15 min; larger steps take less",
    ]
    assert [record.levelname for record in caplog.records] == ["INFO", "INFO", "WARNING"]


def test_a_case_of_less_than_an_hour_is_no_warning_and_a_short_prediction_is_not_spoken_of(
    caplog: pytest.LogCaptureFixture,
) -> None:
    for tiles, cases in ((300, 1), (15, 2)):
        clock = Clock()
        with caplog.at_level(logging.INFO, logger="autoseg"), TileProgress(cases, remedy=LESS, clock=clock) as shown:
            show = shown.start("a")
            show(0, tiles)
            for done in range(1, 9):
                show(done, tiles)
                clock.now += 2
    assert caplog.messages == ["a (1 of 1): 300 tiles", "a (1 of 1): about 10 min"]


def test_a_later_case_that_takes_long_is_warned_of_too(caplog: pytest.LogCaptureFixture) -> None:
    clock = Clock()
    with caplog.at_level(logging.WARNING, logger="autoseg"), TileProgress(3, remedy=LESS, clock=clock) as shown:
        for identifier, tiles in (("a", 20), ("b", 4000), ("c", 4000)):
            show = shown.start(identifier)
            for done in range(20):
                show(done, tiles)
                clock.now += 1
    assert caplog.messages == ["b (2 of 3): 4000 tiles take about 1 h 7 min; larger steps take less"]
