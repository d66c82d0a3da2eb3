"""Models held against each other: differences that are known, and how sure they are."""

from __future__ import annotations

import numpy as np
import pytest

from autoseg.arrays import Float64Array
from autoseg.ensembling.comparison import Scores, paired_intervals
from autoseg.ensembling.recipe_comparison import _pairs, holm, signed_rank


def scores(**dice: Float64Array) -> list[Scores]:
    return [Scores(name=name, dice=values, cost=(0,)) for name, values in dice.items()]


def test_p_values_are_corrected_as_holm_did() -> None:
    """The four of his paper's example: 0.01, 0.02, 0.022, 0.09 times 4, 3, 2 and 1, never falling."""
    assert holm([0.022, 0.01, 0.09, 0.02]) == pytest.approx([0.06, 0.04, 0.09, 0.06])
    assert holm([0.7, 0.6]) == [1.0, 1.0]
    assert holm([]) == []


def test_the_signed_rank_test_is_the_published_one() -> None:
    """Wilcoxon's plants (Hollander and Wolfe, "Nonparametric statistical methods", 1973): V is 40, p 0.0391."""
    before = np.array([1.83, 0.50, 1.62, 2.48, 1.68, 1.88, 1.55, 3.06, 1.30])
    after = np.array([0.878, 0.647, 0.598, 2.05, 1.06, 1.29, 1.06, 3.14, 1.29])

    assert signed_rank(before, after) == pytest.approx(0.0390625)
    assert signed_rank(before, before) == 1.0


def test_a_difference_that_every_case_has_is_more_than_noise_and_one_that_none_has_is_not() -> None:
    generator = np.random.default_rng(0)
    base = generator.uniform(0.5, 0.9, (30, 2))
    noise = generator.normal(0, 0.02, (30, 2))
    made = scores(good=base + 0.03, same=base + noise - noise.mean() + 0.03, bad=base)
    pairs = _pairs(made, [f"case_{number}" for number in range(30)])

    sure, unsure = pairs["good", "bad"], pairs["good", "same"]
    assert sure.difference == pytest.approx(0.03) and sure.interval == pytest.approx((0.03, 0.03))
    assert sure.p is not None and sure.p < 1e-4 and sure.more_than_noise
    assert unsure.difference == pytest.approx(0, abs=1e-12) and unsure.p is not None and unsure.p > 0.3
    assert not unsure.more_than_noise


def test_a_patients_cases_count_as_one() -> None:
    base = np.full((10, 1), 0.5)
    made = scores(one=base + 0.01, other=base)

    alone, together = (
        _pairs(made, patients)["one", "other"].p for patients in (list("abcdefghij"), list("aaaaabbbbb"))
    )
    assert alone == pytest.approx(2 / 2**10) and together == pytest.approx(0.5)
    nobody = _pairs(made, ["a"] * 10)["one", "other"]
    assert nobody.p is None and nobody.interval is None and not nobody.more_than_noise


def test_intervals_of_differences_are_paired() -> None:
    """Cases differ by 0.4, models by exactly 0.1, so that the difference has no width."""
    dice = np.linspace(0.3, 0.7, 21)[:, None]
    made = scores(one=dice + 0.1, other=dice)

    interval = paired_intervals(made, [str(number) for number in range(21)])["one", "other"]
    assert interval == pytest.approx((0.1, 0.1))
