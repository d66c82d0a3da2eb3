"""Comparing candidates: their statistics, paired intervals over patients, ties, and scores that are missing."""

from __future__ import annotations

import numpy as np
import pytest

from autoseg.ensembling.comparison import Scores, rank

NAN = float("nan")


def scores(name: str, dice: object, cost: tuple[int, ...] = (1, 0)) -> Scores:
    return Scores(name=name, dice=np.array(dice, dtype=float), cost=cost)


def cases(number: int) -> list[str]:
    return [f"case_{index:03d}" for index in range(number)]


def test_statistics_of_each_label_and_their_mean() -> None:
    (best,) = rank([scores("2d", [[0.5, 0.9], [0.7, NAN], [0.9, NAN]])], cases(3)).candidates

    first, second = best.labels
    assert (first.mean, first.minimum, first.maximum, first.n) == (pytest.approx(0.7), 0.5, 0.9, 3)
    assert first.std == pytest.approx(0.2)
    assert (second.mean, second.std, second.n, second.interval) == (pytest.approx(0.9), None, 1, None)
    assert best.score == pytest.approx(0.8)


def test_a_label_without_a_score_is_left_out_and_stops_nothing() -> None:
    ranking = rank([scores("2d", [[NAN, 0.6], [NAN, 0.8]]), scores("3d", [[NAN, 0.7], [0.0, 0.9]], (1, 1))], cases(2))

    assert [(one.name, one.score) for one in ranking.candidates] == [
        ("2d", pytest.approx(0.7)),
        ("3d", pytest.approx(0.4)),  # it sees a label that is nowhere
    ]
    absent = ranking.candidates[0].labels[0]
    assert (absent.mean, absent.std, absent.minimum, absent.n, absent.interval) == (None, None, None, 0, None)


def test_candidates_without_any_score_come_last_the_cheapest_first() -> None:
    nothing = [[NAN], [NAN]]
    ranking = rank(
        [scores("b", nothing, (1, 3)), scores("a", nothing, (1, 0)), scores("c", [[0.1], [0]], (2, 5))], cases(2)
    )

    assert [(one.name, one.score) for one in ranking.candidates] == [
        ("c", pytest.approx(0.05)),
        ("a", None),
        ("b", None),
    ]
    assert ranking.lead is None
    assert rank([scores("b", nothing)], cases(2)).candidates[0].interval is None


def test_of_equal_candidates_the_cheaper_wins() -> None:
    dice = np.array([[0.8, 0.9], [0.7, 0.6]])
    equal = [
        scores("pair", dice + 1e-11, (2, 2)),
        scores("cascade", dice + 5e-10, (1, 3)),
        scores("2d", dice, (1, 0)),
        scores("better pair", dice + 1e-8, (2, 5)),
    ]

    ranking = rank(equal, cases(2))

    assert [one.name for one in ranking.candidates] == ["better pair", "2d", "cascade", "pair"]
    assert ranking.lead is not None
    assert (ranking.lead.runner_up, ranking.lead.difference) == ("2d", pytest.approx(1e-8, rel=1e-3))


def test_the_interval_is_that_of_the_mean() -> None:
    """Of many cases the bootstrap interval of a mean is that of the normal distribution."""
    dice = np.random.default_rng(0).normal(0.8, 0.05, (400, 1))

    (one,) = rank([scores("2d", dice)], cases(400)).candidates

    assert one.interval is not None
    half = 1.96 * dice.std() / np.sqrt(400)
    np.testing.assert_allclose(one.interval, [dice.mean() - half, dice.mean() + half], atol=0.05 * half)
    assert one.labels[0].interval == pytest.approx(one.interval)


def test_a_lead_that_is_the_same_in_every_case_is_more_than_noise_however_much_cases_differ() -> None:
    dice = np.random.default_rng(0).uniform(0.2, 0.9, (12, 2))

    lead = rank([scores("a", dice + 0.01), scores("b", dice)], cases(12)).lead

    assert lead is not None
    assert (lead.runner_up, lead.more_than_noise) == ("b", True)
    np.testing.assert_allclose([lead.difference, lead.low, lead.high], 0.01, rtol=1e-9)


def test_a_lead_that_comes_from_one_case_is_noise() -> None:
    dice = np.full((12, 1), 0.8)
    lucky = dice.copy()
    lucky[0] = 0.9

    lead = rank([scores("lucky", lucky), scores("b", dice)], cases(12)).lead

    assert lead is not None
    assert not lead.more_than_noise
    assert lead.difference == pytest.approx(0.1 / 12)
    assert lead.low == 0  # of 10,000 samples about a third lack the case
    assert lead.high == pytest.approx(0.3 / 12)


def test_patients_are_drawn_with_all_their_cases() -> None:
    """Twelve cases of which two patients have six each know as little as two cases."""
    dice = np.array([[0.6]] * 6 + [[0.8]] * 6)

    (apart,) = rank([scores("2d", dice)], cases(12)).candidates
    (grouped,) = rank([scores("2d", dice)], ["a"] * 6 + ["b"] * 6).candidates

    assert grouped.interval == pytest.approx((0.6, 0.8))
    assert apart.interval is not None
    assert apart.interval[1] - apart.interval[0] < 0.13
    assert rank([scores("2d", dice)], ["a"] * 12).candidates[0].interval is None


def test_with_one_patient_no_lead_is_more_than_noise() -> None:
    lead = rank([scores("a", [[0.9]]), scores("b", [[0.1]])], ["one"]).lead

    assert lead is not None
    assert (lead.low, lead.high, lead.more_than_noise) == (None, None, False)


def test_the_same_cases_give_the_same_intervals_again() -> None:
    dice = np.random.default_rng(1).uniform(0, 1, (9, 3))

    assert rank([scores("a", dice)], cases(9)) == rank([scores("a", dice)], cases(9))
