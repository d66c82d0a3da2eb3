"""What a choice of postprocessing rests on, as it is kept in postprocessing.json."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from autoseg.arrays import Float64Array
from autoseg.dataset.target import Target
from autoseg.errors import StorageError
from autoseg.files.storage import decode
from autoseg.postprocessing.rules import Rule, load_evidence, load_rules, save_rules


@dataclass(frozen=True, slots=True, kw_only=True)
class Comparison:
    """The mean Dice of one label before and after, over the cases that have one (`n_before`, `n_after`).

    A rule that removes a label where it truly is absent takes the case, which scored 0, out of the mean.
    """

    label: int
    before: float | None
    after: float | None
    n_before: int
    n_after: int


@dataclass(frozen=True, slots=True, kw_only=True)
class JudgedRule:
    """A rule that was chosen on some cases, and what it does to others.

    Attributes:
        rule: As chosen on all cases, else as chosen without the first of `chosen_without`.
        held_up: Whether, out of fold, it lowers no label's mean Dice and raises one's.
        chosen_without: Folds without whose cases it was chosen; on these folds' cases it is judged. On the others
            nothing changes.
        in_fold: On the cases it was chosen on, all of them.
        out_of_fold: On the cases it was not chosen on.
    """

    rule: Rule
    held_up: bool
    chosen_without: tuple[str, ...]
    in_fold: tuple[Comparison, ...]
    out_of_fold: tuple[Comparison, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class CaseDice:
    """One case's Dice of each label, None where the label is in neither image.

    Attributes:
        fold: Whose networks predicted it.
        before: Without postprocessing.
        after: With the rules chosen without the case.
    """

    identifier: str
    fold: str
    patient: str
    before: tuple[float | None, ...]
    after: tuple[float | None, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Evidence:
    """What a choice rests on.

    Attributes:
        sources: Hash of the files and settings it was made from.
        candidates: The user's own rules it was made from; None for the standard ones.
        labels: Numbers of outputs, in the order of `CaseDice.before`.
        in_fold: Of the rules chosen on all cases, on the same cases; the usual, hopeful number.
        out_of_fold: Of the rules chosen without each case's fold; what a new case may expect.
        judged: Every rule that was chosen anywhere; those that did not hold up are not applied.
        chosen_without: For each fold (or part, where there is one fold only) the rules chosen without it.
    """

    sources: str
    candidates: tuple[Rule, ...] | None
    labels: tuple[int, ...]
    in_fold: tuple[Comparison, ...]
    out_of_fold: tuple[Comparison, ...]
    judged: tuple[JudgedRule, ...]
    chosen_without: Mapping[str, tuple[Rule, ...]]
    cases: tuple[CaseDice, ...]

    @property
    def before(self) -> Float64Array:
        """`(cases, labels)` Dice without postprocessing, NaN where a label is in neither image."""
        return self._dice([case.before for case in self.cases])

    @property
    def after(self) -> Float64Array:
        """`(cases, labels)` Dice with the rules chosen without the case, NaN where a label is in neither image."""
        return self._dice([case.after for case in self.cases])

    def _dice(self, rows: list[tuple[float | None, ...]]) -> Float64Array:
        return np.array(rows, dtype=np.float64).reshape(len(rows), len(self.labels))


@dataclass(frozen=True, slots=True, kw_only=True)
class Choice:
    """The rules to apply, in order, and what they rest on."""

    rules: tuple[Rule, ...]
    evidence: Evidence


def save_choice(choice: Choice, path: Path, target: Target | None = None) -> None:
    """Write a postprocessing.json with its evidence, and what its numbers are of; None where they are values."""
    save_rules(choice.rules, path, target=target, evidence=choice.evidence)


def load_choice(path: Path) -> Choice | None:
    """Read a choice with its evidence; None where there is no file, or one without evidence that fits: a user's own.

    Raises:
        ModelError: The rules themselves do not fit.
    """
    if not path.is_file():
        return None
    rules = load_rules(path)
    try:
        evidence: Evidence = decode(Evidence, load_evidence(path), f"{path}: evidence")
    except StorageError:
        return None
    return Choice(rules=rules, evidence=evidence)
