"""When a training ends before its last epoch."""

from __future__ import annotations

from typing import Any

import pytest

from autoseg.errors import TrainingError
from autoseg.training.ending import STOPPINGS, Bounds, Spent, Verdict
from autoseg.training.fold.history import EpochRecord, MeasuredEpoch, next_record
from autoseg.words import rough_time


def history(*values: float | None, dice: bool = False) -> list[EpochRecord]:
    records: list[EpochRecord] = []
    for value in values:
        loss = 0.0 if dice or value is None else value
        measured = MeasuredEpoch(
            learning_rate=0.01,
            loss=0.0,
            validation_loss=loss,
            dice_per_class=(value if dice else None,),
            seconds=1.0,
        )
        records.append(next_record(records, measured))
    return records


def verdict(records: list[EpochRecord], **settings: Any) -> Verdict:
    found: Verdict = STOPPINGS.build(STOPPINGS.part("early", **settings), records=records)
    return found


@pytest.mark.parametrize(
    ("losses", "patience", "stops_after"),
    [
        ([-0.1, -0.2, -0.3, -0.4, -0.5, -0.6], 3, None),
        ([-0.5, -0.6, -0.6, -0.6, -0.6, -0.6], 3, 5),
        ([-0.5, -0.6, -0.55, -0.65, -0.6, -0.7, -0.65, -0.75], 3, None),
        ([-0.5, -0.5000001, -0.5000002, -0.5000003, -0.5000004], 3, 4),
        ([-0.8, -0.2, -0.3, -0.4, -0.5, -0.6, -0.7], 4, 5),
    ],
)
def test_patience_counts_from_the_best_epoch(losses: list[float], patience: int, stops_after: int | None) -> None:
    """The table of ivadomed's rule, put right: against the best so far, not the epoch before."""
    stopped = [
        end
        for end in range(len(losses) + 1)
        if verdict(history(*losses[:end]), patience=patience, least_improvement=1e-5).reason
    ]
    assert (stopped[0] if stopped else None) == stops_after


def test_dice_is_watched_where_asked_and_an_absent_one_is_no_improvement() -> None:
    records = history(0.5, 0.6, None, 0.55, dice=True)

    assert verdict(records, patience=2, watch="dice") == ("2 epochs brought no better validation Dice", 0.75)
    assert verdict(records, patience=3, watch="dice") == ("", 0.75)
    assert verdict(records, patience=1).reason == "1 epoch brought no better validation loss"


def test_the_rate_falls_once_at_half_the_patience_and_again_after_the_next_better_epoch() -> None:
    losses = history(0.5, 0.6, 0.6, 0.6, 0.4, 0.5, 0.5, 0.5)
    rates = [verdict(losses[:end], patience=4, factor=0.5).rate for end in range(len(losses) + 1)]

    assert rates == [1, 1, 1, 0.5, 0.5, 0.5, 0.5, 0.25, 0.25]
    assert STOPPINGS.build(STOPPINGS.part("never"), records=losses) == ("", 1.0)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"patience": 0}, "patience: 1 epoch or more, found 0"),
        ({"least_improvement": -1.0}, "least_improvement: 0 or more, found -1.0"),
        ({"factor": 0.0}, "factor: above 0, at most 1, found 0.0"),
    ],
)
def test_settings_out_of_range_are_refused(settings: dict[str, Any], message: str) -> None:
    with pytest.raises(TrainingError, match=message):
        STOPPINGS.part("early", **settings)


def bounds(**changes: Any) -> Bounds:
    values = {"epochs": 100, "iterations_per_epoch": 10, "validation_batches": 3}
    return Bounds(**{"max_iterations": None, "max_hours": None} | values | changes)


def spent(epochs: float, iterations: int, seconds: float) -> Spent:
    return Spent(epochs=epochs, iterations=iterations, seconds=seconds)


def test_whichever_ends_first() -> None:
    assert bounds().foreseen_epochs(spent(5, 50, 1e9)) == 100
    assert bounds().reason(spent(5, 50, 1e9)) == ""
    assert bounds(max_iterations=55).foreseen_epochs(spent(0, 0, 0)) == 5.5
    assert bounds(max_iterations=55).batches == 55
    assert [bounds(max_iterations=55).reason(spent(5, done, 1)) for done in (54, 55)] == ["", "55 batches are done"]


def test_what_it_may_take_is_told_in_words() -> None:
    assert bounds().in_words(2) == "100 epochs of 10 batches of 2"
    assert bounds(epochs=6, max_iterations=55).in_words(2) == "6 epochs of 10 batches of 2, 55 in all"
    assert bounds(max_hours=0.1).in_words(1) == "100 epochs of 10 batches of 1, at most 6 min"


def test_hours_are_kept_by_what_the_batches_took() -> None:
    hour = bounds(max_hours=1.0)

    assert hour.foreseen_epochs(spent(0, 0, 5)) == 100
    # two epochs of 10 batches and 3 that are kept 0.6 of their time took 236 s: 28 s are kept for the last ones
    assert hour.foreseen_epochs(spent(2, 20, 236)) == pytest.approx(2 * (3600 - 28) / 236)
    assert hour.foreseen_epochs(spent(50, 500, 720)) == 100
    assert hour.reason(spent(30, 300, 3540)) == ""
    assert hour.reason(spent(30.5, 305, 3590)) == rough_time(3600) + " are over"
    assert hour.reason(spent(0, 0, 5000)) == ""
