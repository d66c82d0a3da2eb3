from __future__ import annotations

import logging
from typing import Any

import pytest
import torch

from autoseg.training.sampling.batches import BatchKey
from autoseg.training.sampling.samples import TRAINING, VALIDATION
from autoseg.training.time_needed import BatchTimer, Length, say_time_needed

LOSS = torch.zeros(())


def key(number: int, stream: int = TRAINING) -> BatchKey:
    return BatchKey(stream, 0, number)


def timed(ends: list[float], training: int = 1000) -> list[float | None]:
    """What the timer says after each batch, of batches that end at these times."""
    times = iter(ends)
    timer = BatchTimer(lambda: next(times))
    return [timer.batch_done(key(number, TRAINING if number < training else VALIDATION), LOSS) for number in range(10)]


def test_five_batches_after_the_first_are_timed() -> None:
    assert timed([100.0, 102, 104, 106, 108, 111]) == [None] * 5 + [2.2] + [None] * 4


def test_one_batch_of_more_than_a_minute_tells_enough() -> None:
    assert timed([100.0, 190]) == [None, 90.0] + [None] * 8


def test_an_epoch_of_few_batches_tells_what_it_can() -> None:
    assert timed([100.0, 102, 105], training=3) == [None, None, None, 2.5] + [None] * 6
    assert timed([100.0], training=1) == [None] * 10


def said(caplog: pytest.LogCaptureFixture, seconds: float, **changes: Any) -> list[tuple[str, str]]:
    length = {"epochs": 1000, "done": 0, "training": 250, "validation": 50, "device": "cpu", **changes}
    caplog.clear()
    with caplog.at_level(logging.INFO, logger="autoseg"):
        say_time_needed(Length(**length), seconds)
    return [(record.levelname, record.getMessage()) for record in caplog.records]


def test_a_training_of_days_names_what_shortens_it_and_what_a_short_one_reaches(
    caplog: pytest.LogCaptureFixture,
) -> None:
    ((level, message),) = said(caplog, 21.7)

    assert level == "WARNING"
    assert message == (
        "a batch takes 22 s, so 1000 epochs of 250 batches take about 67 days. What shortens it: a GPU (`device=cuda`), "
        "`epochs`, `iterations_per_epoch` or `batch_size`; `epochs=14` takes a day. A short one is not wasted: 10 epochs "
        "of 50 batches reached a mean Dice of 0.87 on hippocampi, and 0.85 after 10 of 30 (batches of 2). To change it, "
        "stop with Ctrl-C and start anew with `overwrite=True`"
    )


def test_where_even_ten_epochs_take_more_than_a_day_they_are_made_shorter(caplog: pytest.LogCaptureFixture) -> None:
    ((_, message),) = said(caplog, 60.0, validation=0)

    assert "`epochs=10, iterations_per_epoch=144` takes a day" in message  # 10 x 144 minutes


def test_a_gpu_is_not_told_to_be_a_gpu(caplog: pytest.LogCaptureFixture) -> None:
    ((level, message),) = said(caplog, 0.5, device="cuda")

    assert level == "WARNING" and "about 37.0 h" in message and "a GPU" not in message


def test_what_takes_less_than_a_day_is_told_and_what_takes_minutes_is_not(caplog: pytest.LogCaptureFixture) -> None:
    assert said(caplog, 0.25) == [("INFO", "a batch takes 0.25 s, so 1000 epochs of 250 batches take about 18.5 h")]
    assert said(caplog, 0.25, epochs=8) == []


def test_of_a_continued_training_what_is_left_counts(caplog: pytest.LogCaptureFixture) -> None:
    ((level, message),) = said(caplog, 0.25, done=900)

    assert level == "INFO" and message.endswith("so what is left of 1000 epochs of 250 batches takes about 1.9 h")
