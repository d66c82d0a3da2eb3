"""Every schedule by a small exact table, those that others have by their values."""

from __future__ import annotations

from typing import Any

import pytest

from autoseg.errors import TrainingError
from autoseg.training.fold.history import EpochRecord, MeasuredEpoch, next_record
from autoseg.training.losses import LOSSES
from autoseg.training.optimisers import OPTIMISERS
from autoseg.training.recipes.record import CAME_LATER
from autoseg.training.schedule import SCHEDULES


def rate(
    name: str, epoch: float, epochs: float = 10, *, initial: float = 0.01, given: Any = None, **settings: Any
) -> float:
    part = SCHEDULES.part(name, **settings)
    return float(
        SCHEDULES.build(
            part, epoch=epoch, epochs=epochs, initial=initial, **{"share": 0.0, "records": (), **(given or {})}
        )
    )


def history(*values: float, dice: bool = False) -> list[EpochRecord]:
    records: list[EpochRecord] = []
    for value in values:
        measured = MeasuredEpoch(
            learning_rate=0.01,
            loss=0.0,
            validation_loss=0.0 if dice else value,
            dice_per_class=(value if dice else None,),
            seconds=1.0,
        )
        records.append(next_record(records, measured))
    return records


@pytest.mark.parametrize(
    ("epoch", "epochs", "expected"),
    [(0, 1000, 0.01), (500, 1000, 0.0053589), (999, 1000, 1.9953e-5), (1, 2, 0.0053589), (9, 10, 0.0012589)],
)
def test_the_learning_rate_falls_polynomially(epoch: int, epochs: int, expected: float) -> None:
    assert rate("poly", epoch, epochs) == pytest.approx(expected, rel=1e-4)
    assert rate("poly", epoch, epochs) == 0.01 * (1 - epoch / epochs) ** 0.9


TABLES = {
    # run by ivadomed 2.9.10
    "cosine": (
        {},
        0.001,
        [0.001, 0.000975528258, 0.000904508497, 0.000793892626, 0.000654508497, 0.0005, 0.000345491503],
    ),
    "cosine_restarts": (
        {"first": 4},
        0.001,
        [0.001, 0.000853553391, 0.0005, 0.000146446609, 0.001, 0.000853553391, 0.0005, 0.000146446609, 0.001],
    ),
    "cyclic": (
        {"rise": 4.0, "lowest": 0.001},
        0.01,
        [1e-05, 0.0025075, 0.005005, 0.0075025, 0.01, 0.0075025, 0.005005, 0.0025075, 1e-05],
    ),
    # by hand
    "constant": ({}, 0.02, [0.02, 0.02, 0.02]),
    "step": ({"every": 2, "factor": 0.5}, 0.8, [0.8, 0.8, 0.4, 0.4, 0.2]),
    "exponential": ({"factor": 0.9}, 1.0, [1.0, 0.9, 0.81, 0.729]),
    "one_cycle": ({"rise": 0.2, "first": 0.04, "last": 0.0}, 1.0, [0.04, 0.52, 1.0, 0.961939766, 0.853553391]),
}


@pytest.mark.parametrize("name", TABLES)
def test_rates_are_those_of_the_table(name: str) -> None:
    settings, initial, expected = TABLES[name]

    found = [rate(name, epoch, initial=initial, **settings) for epoch in range(len(expected))]

    assert found == pytest.approx(expected, rel=1e-6)


def test_restarts_may_become_rarer_and_cycles_lower() -> None:
    assert [rate("cosine_restarts", epoch, first=1, growth=2) for epoch in range(8)] == pytest.approx(
        [0.01, 0.01, 0.005, 0.01, 0.00853553391, 0.005, 0.00146446609, 0.01]
    )
    # run by ivadomed: the second cycle
    assert [rate("cyclic", epoch, rise=4.0, lowest=0.001) for epoch in (9, 12, 15)] == pytest.approx(
        [0.00125875, 0.005005, 0.00125875]
    )
    assert rate("cyclic", 12, rise=4.0, lowest=0.001, halved=False) == pytest.approx(0.01)


def test_within_an_epoch_only_those_change_that_go_by_batches() -> None:
    half = {"share": 0.5}
    changed = [name for name in SCHEDULES.entries if rate(name, 1) != rate(name, 1, given=half)]

    assert changed == ["cyclic", "one_cycle"]
    assert rate("cyclic", 1, given=half) == rate("cyclic", 1.5)


@pytest.mark.parametrize("name", SCHEDULES.entries)
def test_each_may_be_warmed_up_and_then_begins(name: str) -> None:
    warmed = [rate(name, epoch, 14, initial=0.05, warm_up=4) for epoch in range(14)]

    assert warmed[:4] == pytest.approx([0.01, 0.02, 0.03, 0.04])
    assert warmed[4:] == [rate(name, epoch, 10, initial=0.05) for epoch in range(10)]


def test_on_a_plateau_the_rate_falls_each_time_the_patience_ends() -> None:
    losses = history(0.5, 0.4, 0.4, 0.3999, 0.41, 0.42, 0.2, 0.3)
    rates = [
        rate("on_plateau", 0, given={"records": losses[:end]}, patience=2, factor=0.1, least_improvement=0.001)
        for end in range(len(losses) + 1)
    ]
    assert rates == pytest.approx([0.01, 0.01, 0.01, 0.01, 0.001, 0.001, 0.0001, 0.0001, 0.0001])

    dice = history(0.5, 0.6, 0.6, 0.55, dice=True)
    assert rate("on_plateau", 0, given={"records": dice}, patience=2, factor=0.1, watch="dice") == pytest.approx(0.001)
    assert rate("on_plateau", 0, given={"records": dice}, patience=3, factor=0.1, watch="dice") == 0.01


@pytest.mark.parametrize(
    ("name", "settings", "message"),
    [
        ("poly", {"warm_up": -1}, "warm_up: 0 epochs or more, found -1"),
        ("cosine_restarts", {"first": 0}, "first and growth: 1 or more, found 0 and 1"),
        ("cyclic", {"lowest": 1.0}, "lowest: from 0 to below 1, found 2.0 and 1.0"),
        ("step", {"every": 0}, "every: 1 epoch or more, found 0"),
        ("exponential", {"factor": 0.0}, "factor: above 0, at most 1, found 0.0"),
        ("one_cycle", {"rise": 1.0}, "rise: a share of the training between 0 and 1, found 1.0"),
        (
            "on_plateau",
            {"patience": 0},
            "patience: 1 epoch or more, and least_improvement: 0 or more, found 0",
        ),
    ],
)
def test_settings_out_of_range_are_refused(name: str, settings: dict[str, Any], message: str) -> None:
    with pytest.raises(TrainingError, match=message):
        SCHEDULES.part(name, **settings)


def test_settings_that_came_later_change_nothing_of_what_was_there() -> None:
    for name, values in CAME_LATER.items():
        (catalogue,) = (one for one in (SCHEDULES, OPTIMISERS, LOSSES) if name in one.entries)
        defaults = catalogue.part(name).settings
        assert {key: defaults[key] for key in values} == values
