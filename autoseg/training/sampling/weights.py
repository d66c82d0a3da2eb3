"""How often each case is drawn: by its weight in metadata.tsv, and so that values of a column, or labels, come alike."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Mapping, Sequence

from autoseg.dataset.conditions import as_number
from autoseg.dataset.facts import Facts
from autoseg.dataset.metadata import WEIGHT
from autoseg.errors import TrainingError
from autoseg.files.layout import METADATA_FILE
from autoseg.preprocessing.store import PreparedCases
from autoseg.words import readable

LABELS = "labels"
"""What is balanced by what each case holds, rather than by a column."""

UNKNOWN, NO_LABEL = "n/a", "none"
"""The kind of cases of which nothing is known, and of those that hold no label."""


def case_weights(store: PreparedCases, cases: Sequence[str], balance: str | None) -> tuple[float, ...]:
    """How often each case is drawn, relative to the others; empty where all are drawn alike.

    A loss in which samples have weights has the same expectation as one of samples that are drawn so often.

    Args:
        balance: `LABELS`, or a column; None for the weights of metadata.tsv alone.

    Raises:
        TrainingError: A weight is no number above 0, or nothing is known in the column.
    """
    facts = {case: store.facts_of(case) for case in cases}
    weights = [_weight(case, facts[case]) for case in cases]
    if balance is not None:
        kinds = _labels(store, cases) if balance == LABELS else _values(facts, balance)
        weights = [weight * share for weight, share in zip(weights, shares_of(kinds, cases), strict=True)]
    if all(weight == weights[0] for weight in weights):
        return ()
    return tuple(weights)


def shares_of(kinds: Mapping[str, Collection[str]], cases: Sequence[str]) -> list[float]:
    """How often to draw each case, so that first a kind is drawn, each as likely, and then a case of that kind.

    Args:
        kinds: Of each case, at least one.
    """
    number = Counter(kind for case in cases for kind in kinds[case])
    return [sum(1 / number[kind] for kind in kinds[case]) / len(number) for case in cases]


def _weight(case: str, facts: Facts) -> float:
    known = facts.get(WEIGHT)
    number = 1.0 if known is None else as_number(known)
    if number is None or number <= 0:
        raise TrainingError(
            f"{METADATA_FILE}: {WEIGHT} of case {readable(case)}: expected a number above 0, found {readable(known)}; correct "
            "it, or call the column otherwise if it says something else"
        )
    return number


def _values(facts: Mapping[str, Facts], column: str) -> dict[str, tuple[str]]:
    known = {case: facts[case].get(column) for case in facts}
    if not any(known.values()):
        columns = sorted({name for case in facts for name, _ in facts[case].known})
        there = f"the columns are {', '.join(columns)}" if columns else "metadata.tsv says nothing of them"
        raise TrainingError(
            f"balance: of no case that trains anything is known in a column {column!r}; {there}, and {LABELS!r} balances by "
            "what cases hold"
        )
    return {case: (value or UNKNOWN,) for case, value in known.items()}


def _labels(store: PreparedCases, cases: Sequence[str]) -> dict[str, tuple[str, ...]]:
    return {case: tuple(map(str, store.labels_of(case))) or (NO_LABEL,) for case in cases}
