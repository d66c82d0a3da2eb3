"""Comparing candidates by their Dice on the same cases: scores with bootstrap intervals, the winner and its lead.

A candidate's score is the mean over labels of the mean over cases, as it is for the folds. Intervals come from drawing
patients with replacement, the same ones for every candidate, so that differences are paired (Efron and Tibshirani,
"An Introduction to the Bootstrap", 1993, percentile intervals). A label without a score is left out, never in the way.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import combinations

import numpy as np

from autoseg.arrays import Float64Array
from autoseg.ensembling.selection import Lead
from autoseg.evaluation.metrics import defined_mean

Interval = tuple[float, float]

SAMPLES = 10_000
"""So that the ends of an interval, drawn again, move by less than a hundredth of its width; a thousand is the least
that is advised."""

SAMPLES_AT_A_TIME = 1000
SEED = 12345
PERCENTILES = (2.5, 97.5)

SMALLEST_LEAD = 1e-9
"""Dice; candidates that are nearer to each other are equal, and the cheaper wins."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Scores:
    """The Dice of a candidate on every case.

    Attributes:
        dice: `(cases, labels)` as the candidate would be shipped, NaN where a label is in neither image.
        cost: What using it costs; of equal candidates the lowest wins. Compared entry by entry.
    """

    name: str
    dice: Float64Array
    cost: tuple[int, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class LabelStatistics:
    """Of one label's Dice over the `n` cases that have one; None where none has, `std` and `interval` where one only has."""

    mean: float | None
    std: float | None
    minimum: float | None
    maximum: float | None
    n: int
    interval: Interval | None


@dataclass(frozen=True, slots=True, kw_only=True)
class CandidateStatistics:
    """A candidate's score, its 95 % interval, and the statistics of each label, in order."""

    name: str
    score: float | None
    interval: Interval | None
    labels: tuple[LabelStatistics, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Ranking:
    """Candidates, the best first, and how sure that is."""

    candidates: tuple[CandidateStatistics, ...]
    lead: Lead | None


def rank(scores: Sequence[Scores], patients: Sequence[str]) -> Ranking:
    """Rank candidates that were scored on the same cases.

    Args:
        patients: Whose image each case is; patients are drawn, with all their cases.
    """
    totals = [float(defined_mean(_per_label(one.dice), axis=-1)) for one in scores]
    drawn = _draw(scores, patients)
    order = _order(scores, totals)
    statistics = tuple(_statistics(scores[number], totals[number], drawn[number]) for number in order)
    return Ranking(candidates=statistics, lead=_lead(scores, totals, drawn, order))


def paired_intervals(scores: Sequence[Scores], patients: Sequence[str]) -> dict[tuple[str, str], Interval | None]:
    """The 95 % interval of the difference of each pair, the first minus the second, by their names; see `rank`."""
    drawn = {one.name: means[:, -1] for one, means in zip(scores, _draw(scores, patients), strict=True)}
    return {(one, other): _interval(drawn[one] - drawn[other]) for one, other in combinations(drawn, 2)}


def _order(scores: Sequence[Scores], totals: Sequence[float]) -> list[int]:
    """The numbers of the candidates, best first, of equal ones the cheaper; those without a score last."""
    waiting = sorted(range(len(scores)), key=lambda number: scores[number].cost)
    order: list[int] = []
    while waiting:
        known = [totals[number] for number in waiting if np.isfinite(totals[number])]
        best = max(known, default=np.nan)
        chosen = next((number for number in waiting if totals[number] >= best - SMALLEST_LEAD), waiting[0])
        order.append(chosen)
        waiting.remove(chosen)
    return order


def _lead(
    scores: Sequence[Scores], totals: Sequence[float], drawn: Sequence[Float64Array], order: list[int]
) -> Lead | None:
    if len(order) < 2 or not np.isfinite([totals[number] for number in order[:2]]).all():
        return None
    first, second = order[:2]
    interval = _interval(drawn[first][:, -1] - drawn[second][:, -1])
    return Lead(
        runner_up=scores[second].name,
        difference=float(totals[first] - totals[second]),
        low=interval and interval[0],
        high=interval and interval[1],
        more_than_noise=interval is not None and interval[0] > 0,
    )


def _statistics(scores: Scores, total: float, drawn: Float64Array) -> CandidateStatistics:
    return CandidateStatistics(
        name=scores.name,
        score=_or_none(total),
        interval=_interval(drawn[:, -1]),
        labels=tuple(_label(column, drawn[:, number]) for number, column in enumerate(scores.dice.T)),
    )


def _label(dice: Float64Array, drawn: Float64Array) -> LabelStatistics:
    defined = dice[np.isfinite(dice)]
    some = len(defined) > 0
    return LabelStatistics(
        mean=float(defined.mean()) if some else None,
        std=float(defined.std(ddof=1)) if len(defined) > 1 else None,
        minimum=float(defined.min()) if some else None,
        maximum=float(defined.max()) if some else None,
        n=len(defined),
        interval=_interval(drawn) if len(defined) > 1 else None,
    )


def _draw(scores: Sequence[Scores], patients: Sequence[str]) -> list[Float64Array]:
    """For each candidate `(samples, labels + 1)`: each label's mean in each drawn sample, and last their mean.

    The same samples for every candidate. No sample at all where there is one patient only.
    """
    parts: list[list[Float64Array]] = [[np.empty((0, one.dice.shape[1] + 1))] for one in scores]
    for weights in _samples(patients):
        for one, drawn in zip(scores, parts, strict=True):
            means = _per_label(one.dice, weights)
            drawn.append(np.column_stack([means, defined_mean(means, axis=-1)]))
    return [np.concatenate(drawn) for drawn in parts]


def _samples(patients: Sequence[str]) -> Iterator[Float64Array]:
    """How often each case is in each sample, `(samples, cases)`, some samples at a time."""
    names, whose = np.unique(patients, return_inverse=True)
    if len(names) < 2:
        return
    generator = np.random.default_rng(SEED)
    for _ in range(SAMPLES // SAMPLES_AT_A_TIME):
        times = generator.multinomial(len(names), np.full(len(names), 1 / len(names)), size=SAMPLES_AT_A_TIME)
        yield times[:, whose].astype(np.float64)


def _per_label(dice: Float64Array, weights: Float64Array | None = None) -> Float64Array:
    """Each label's mean over the cases that have one, weighted: `(labels,)`, or `(samples, labels)`; else NaN."""
    if weights is None:
        whole: Float64Array = _per_label(dice, np.ones((1, len(dice))))[0]
        return whole
    defined = np.isfinite(dice)
    with np.errstate(invalid="ignore"):
        means: Float64Array = (weights @ np.where(defined, dice, 0)) / (weights @ defined)
    return means


def _interval(drawn: Float64Array) -> Interval | None:
    defined = drawn[np.isfinite(drawn)]
    if not len(defined):
        return None
    low, high = np.percentile(defined, PERCENTILES)
    return float(low), float(high)


def _or_none(value: float) -> float | None:
    return float(value) if np.isfinite(value) else None
