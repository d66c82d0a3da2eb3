"""Models of one task held against each other, all pairs, by the Dice of the cases that all of them were validated on.

A score is the mean over labels of the mean over cases. Differences have the intervals of `comparison`, and p-values of
the Wilcoxon signed-rank test on the patients' means, corrected for the number of pairs by Holm (1979).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations

import numpy as np

from autoseg.arrays import Float64Array
from autoseg.dataset.facts import FactsTable
from autoseg.dataset.target import Target
from autoseg.ensembling.comparison import CandidateStatistics, Interval, Scores, paired_intervals, rank
from autoseg.errors import ModelError
from autoseg.evaluation.metrics import defined_mean
from autoseg.evaluation.summary import CaseScores, load_summary
from autoseg.files.model_folder import ModelFolder
from autoseg.plans import load_plans

METRIC = "Dice"
SURE = 0.05
"""A corrected p-value below it is called more than noise."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PairedDifference:
    """How much better one model is than another on the same cases.

    Attributes:
        better, worse: Names, by score.
        difference: Of their scores.
        interval: 95 % bootstrap interval over patients; None where there is one only.
        p: Of the signed-rank test, corrected for the number of pairs; None where there is one patient only.
    """

    better: str
    worse: str
    difference: float
    interval: Interval | None
    p: float | None

    @property
    def more_than_noise(self) -> bool:
        """Whether interval and test agree that it is."""
        return self.interval is not None and self.interval[0] > 0 and self.p is not None and self.p < SURE


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelComparison:
    """Models, the best first, and every pair of them.

    Attributes:
        target: What all of them predict.
        folds: That all of them were validated in.
        cases: How many.
        pairs: By the names of the better and the worse one.
    """

    target: Target
    folds: tuple[str, ...]
    cases: int
    models: tuple[CandidateStatistics, ...]
    pairs: Mapping[tuple[str, str], PairedDifference]


def compare_models(models: Mapping[str, ModelFolder], folds: Sequence[str], facts: FactsTable) -> ModelComparison:
    """Compare models by the scores of their validation.

    Args:
        models: By the names that they are called.
        facts: Whose image each case is.

    Raises:
        ModelError: They predict other labels, or have no case in common.
        StorageError: A summary is damaged.
    """
    targets = {name: load_plans(model.plans_file).target for name, model in models.items()}
    target = next(iter(targets.values()))
    if others := [name for name, other in targets.items() if other != target]:
        raise ModelError(
            f"{', '.join(others)}: predicts other labels than {next(iter(targets))}; compare models of the same"
        )
    found = {name: _scores_of(model, folds) for name, model in models.items()}
    common = sorted(set.intersection(*(set(cases) for cases in found.values())))
    if not common:
        raise ModelError(f"{', '.join(models)}: no case was validated by all of them; train the same folds of all")
    dice = {name: np.array([_row(cases[key], target) for key in common]) for name, cases in found.items()}
    patients = [facts.patient(case) for _, case in common]
    scores = [Scores(name=name, dice=values, cost=(place,)) for place, (name, values) in enumerate(dice.items())]
    ranked = rank(scores, patients).candidates
    return ModelComparison(
        target=target,
        folds=tuple(dict.fromkeys(fold for fold, _ in common)),
        cases=len(common),
        models=ranked,
        pairs=_pairs([next(one for one in scores if one.name == best.name) for best in ranked], patients),
    )


def holm(values: Sequence[float]) -> list[float]:
    """P-values corrected for their number, so that one of all is below a limit by chance as rarely as the limit says.

    Source: Holm 1979, "A simple sequentially rejective multiple test procedure".
    """
    corrected = [1.0] * len(values)
    largest = 0.0
    for place, number in enumerate(sorted(range(len(values)), key=lambda number: values[number])):
        largest = max(largest, min(1.0, (len(values) - place) * values[number]))
        corrected[number] = largest
    return corrected


def signed_rank(one: Float64Array, other: Float64Array) -> float:
    """Two-sided p-value of paired values `(n,)`; 1 where they are equal.

    Source: Wilcoxon 1945, "Individual comparisons by ranking methods"; pairs without a difference are left out.
    """
    from scipy.stats import wilcoxon  # takes a while

    differences = one - other
    differences = differences[np.isfinite(differences) & (differences != 0)]
    return float(wilcoxon(differences).pvalue) if len(differences) else 1.0


def _pairs(scores: Sequence[Scores], patients: Sequence[str]) -> dict[tuple[str, str], PairedDifference]:
    """Of scores in their order, the best first."""
    totals = {one.name: float(defined_mean(defined_mean(one.dice, axis=0), axis=-1)) for one in scores}
    of_patients = {one.name: _means_of_patients(one.dice, patients) for one in scores}
    pairs = list(combinations([one.name for one in scores], 2))
    tested = [signed_rank(of_patients[one], of_patients[other]) for one, other in pairs]
    known = len(set(patients)) > 1
    intervals = paired_intervals(scores, patients)
    return {
        (one, other): PairedDifference(
            better=one,
            worse=other,
            difference=totals[one] - totals[other],
            interval=intervals[one, other],
            p=p if known else None,
        )
        for (one, other), p in zip(pairs, holm(tested), strict=True)
    }


def _means_of_patients(dice: Float64Array, patients: Sequence[str]) -> Float64Array:
    """The mean over labels, then over a patient's cases: `(patients,)`."""
    of_cases = defined_mean(dice, axis=-1)
    names = np.array(patients)
    return np.array([defined_mean(of_cases[names == name], axis=-1) for name in dict.fromkeys(patients)])


def _scores_of(model: ModelFolder, folds: Sequence[str]) -> dict[tuple[str, str], CaseScores]:
    """Of each fold and case."""
    summaries = {fold: load_summary(model.fold(fold).summary()) for fold in folds}
    return {(fold, case.identifier): case for fold, summary in summaries.items() for case in summary.cases}


def _row(case: CaseScores, target: Target) -> list[float]:
    values = [case.scores.get(number, {}).get(METRIC) for number in target.scored]
    return [np.nan if value is None else value for value in values]
