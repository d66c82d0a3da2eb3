"""Rules by which folds follow from what is known of the cases: balanced ones, parts of given sizes, cases that are held out.

A rule may hold another: folds of what is left where some cases are held out, and all of that where the column `split` says
that cases only test or only help in training.
"""

from __future__ import annotations

from bisect import bisect_right
from collections import Counter
from collections.abc import Collection, Hashable, Mapping, Sequence
from dataclasses import dataclass

from autoseg.dataset.conditions import Condition, as_number, require_columns
from autoseg.dataset.facts import Facts
from autoseg.dataset.folds import FOLDS, SPLIT_SEED, Split, SplitRule, too_few_for_folds
from autoseg.dataset.metadata import PATIENT
from autoseg.dataset.sharing_out import share_out
from autoseg.errors import TrainingError
from autoseg.words import counted, first_few, readable

MOST_VALUES = 6
"""Of numbers that are balanced as they are; more are taken in thirds, as ages are."""

EVERY = "cases"
"""The kind that every case is of, so that parts become equally large."""


@dataclass(frozen=True, slots=True, kw_only=True)
class BalancedFolds:
    """Folds in which the values of some columns are as frequent as in all cases.

    Attributes:
        together: The column whose cases stay together.
        balance: The columns.
    """

    number: int = FOLDS
    seed: int = SPLIT_SEED
    together: str = PATIENT
    balance: tuple[str, ...]

    def split(self, facts: Mapping[str, Facts]) -> tuple[Split, ...]:
        """Each case validates in one fold and trains in all others.

        Raises:
            TrainingError: There are fewer cases, or groups of them, than folds.
            DatasetError: There is no such column.
        """
        groups = grouped(facts, self.together)
        if reason := too_few_for_folds(len(groups), noun_of(facts, self.together), folds=self.number):
            raise TrainingError(reason)
        parts = shared_out(facts, groups, (1 / self.number,) * self.number, self.balance, self.seed)
        return tuple(_against_rest(facts, part) for part in parts)


@dataclass(frozen=True, slots=True, kw_only=True)
class ShareSplit:
    """One fold that trains and validates on given shares of the cases; what remains is held out, in a fold of its own.

    Attributes:
        shares: Of training, validation and what is held out.
    """

    shares: tuple[float, float, float]
    seed: int = SPLIT_SEED
    together: str = PATIENT
    balance: tuple[str, ...] = ()

    def split(self, facts: Mapping[str, Facts]) -> tuple[Split, ...]:
        """One fold, or two.

        Raises:
            TrainingError: There are fewer groups than parts.
            DatasetError: There is no such column.
        """
        groups = grouped(facts, self.together)
        shares = tuple(share for share in self.shares if share > 0)
        if len(groups) < len(shares):
            number = counted(
                len(groups), f"{noun_of(facts, self.together)} is", f"{noun_of(facts, self.together)}s are"
            )
            raise TrainingError(f"{number} too few for {counted(len(shares), 'part')}")
        training, validation, *held_out = shared_out(facts, groups, shares, self.balance, self.seed)
        first = Split(training=training, validation=validation)
        return (first, *(_against_rest(facts, part) for part in held_out))


@dataclass(frozen=True, slots=True, kw_only=True)
class HeldOut:
    """Folds of some cases, and last one that trains on all of these and validates on the others."""

    condition: Condition
    others: SplitRule
    together: str = PATIENT

    def split(self, facts: Mapping[str, Facts]) -> tuple[Split, ...]:
        """Those of `others`, and one more.

        Raises:
            TrainingError: A group is partly held out, or everything is.
            DatasetError: The condition names no column, or is so of no case.
        """
        held_out = self.condition.chosen(facts)
        rest = {case: known for case, known in facts.items() if case not in held_out}
        if not rest:
            raise TrainingError(
                f"{readable(self.condition.text)}: is so of every case, and nothing is left to train on"
            )
        divided = {_group(facts[case], case, self.together) for case in held_out}
        if divided := divided & {_group(facts[case], case, self.together) for case in rest}:
            raise TrainingError(
                f"{readable(self.condition.text)}: is so of some cases of {first_few(sorted(divided))} and not of others, "
                f"and those of one {self.together} stay together; change the condition, or what stays together"
            )
        return (*self.others.split(rest), Split(training=tuple(sorted(rest)), validation=tuple(sorted(held_out))))


@dataclass(frozen=True, slots=True, kw_only=True)
class Reused:
    """Folds of another file, whose names are those of cases, or of groups of them.

    Attributes:
        folds: Names that train and that validate, of each fold.
    """

    folds: tuple[Split, ...]
    together: str = PATIENT

    def split(self, facts: Mapping[str, Facts]) -> tuple[Split, ...]:
        """The same folds of these cases.

        Raises:
            TrainingError: A fold has nothing to train on or to validate on among these cases.
        """
        return tuple(self._fold(number, fold, facts) for number, fold in enumerate(self.folds))

    def _fold(self, number: int, fold: Split, facts: Mapping[str, Facts]) -> Split:
        training, validation = self._named(fold.training, facts), self._named(fold.validation, facts)
        for what, cases, names in (("train", training, fold.training), ("val", validation, fold.validation)):
            if not cases:
                raise TrainingError(
                    f"fold {number}: {what} names no case that is here, nor any {self.together}: {first_few(names)}"
                )
        if both := sorted(set(training) & set(validation)):
            raise TrainingError(f"fold {number}: in training and validation at once: {first_few(both)}")
        return Split(training=training, validation=validation)

    def _named(self, names: Collection[str], facts: Mapping[str, Facts]) -> tuple[str, ...]:
        known = set(names)
        return tuple(case for case in sorted(facts) if case in known or facts[case].get(self.together) in known)

    def unknown(self, facts: Mapping[str, Facts]) -> tuple[str, ...]:
        """Names that say nothing here."""
        known = {*facts, *(known for case in facts if (known := facts[case].get(self.together)))}
        names = {name for fold in self.folds for name in (*fold.training, *fold.validation)}
        return tuple(sorted(names - known))


def shared_out(
    facts: Mapping[str, Facts],
    groups: Mapping[str, Sequence[str]],
    shares: Sequence[float],
    balance: Sequence[str],
    seed: int,
) -> list[tuple[str, ...]]:
    """The cases of each part, sorted; groups stay whole and the values of columns are shared out alike."""
    require_columns(balance, facts)
    kinds = kinds_of(facts, balance)
    counts = {
        name: Counter[Hashable](kind for case in cases for kind in (EVERY, *kinds[case].items()))
        for name, cases in groups.items()
    }
    part_of = share_out(counts, shares, seed)
    return [
        tuple(sorted(case for name, cases in groups.items() if part_of[name] == part for case in cases))
        for part in range(len(shares))
    ]


def kinds_of(facts: Mapping[str, Facts], columns: Sequence[str]) -> dict[str, dict[str, str]]:
    """What each case is in each column: its value, one of three ranges where there are many numbers, or n/a."""
    kinds: dict[str, dict[str, str]] = {case: {} for case in facts}
    for column in columns:
        known = {case: facts[case].get(column) for case in facts}
        named = _kinds({value for value in known.values() if value is not None})
        for case, value in known.items():
            kinds[case][column] = "n/a" if value is None else named[value]
    return kinds


def grouped(facts: Mapping[str, Facts], together: str) -> dict[str, list[str]]:
    """The cases of each group; a case of which the group is not known is one by itself."""
    groups: dict[str, list[str]] = {}
    for case in sorted(facts):
        groups.setdefault(_group(facts[case], case, together), []).append(case)
    return groups


def noun_of(facts: Mapping[str, Facts], together: str) -> str:
    """What groups are called: `patient`, or `case` where nothing is known of them."""
    return together if any(facts[case].get(together) for case in facts) else "case"


def _group(facts: Facts, case: str, together: str) -> str:
    return facts.get(together) or case


def _kinds(values: Collection[str]) -> dict[str, str]:
    """The kind of each value."""
    numbers = {value: number for value in values if (number := as_number(value)) is not None}
    if len(numbers) < len(values) or len(numbers) <= MOST_VALUES:
        return {value: value for value in values}
    ordered = sorted(numbers.values())
    ends = [ordered[len(ordered) * third // 3] for third in (1, 2)]
    thirds = [[number for number in ordered if bisect_right(ends, number) == third] for third in range(3)]
    return {value: _range(thirds[bisect_right(ends, number)]) for value, number in numbers.items()}


def _range(numbers: Sequence[float]) -> str:
    return f"{numbers[0]:g} to {numbers[-1]:g}"


def _against_rest(facts: Mapping[str, Facts], held_out: Sequence[str]) -> Split:
    return Split(training=tuple(case for case in sorted(facts) if case not in held_out), validation=tuple(held_out))
