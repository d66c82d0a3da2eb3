"""What folds somebody asked for, the rule that this is, and a record of it beside the folds, which tells when they are stale."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from pathlib import Path

from autoseg.dataset.conditions import CASE, parse_condition
from autoseg.dataset.facts import Facts, FactsTable
from autoseg.dataset.folds import FOLDS, SPLIT, SPLIT_SEED, TEST, ByRole, RandomFolds, Split, SplitRule, roles_of
from autoseg.dataset.metadata import PATIENT
from autoseg.dataset.split_rules import BalancedFolds, HeldOut, Reused, ShareSplit
from autoseg.errors import StorageError, TrainingError
from autoseg.files.layout import SPLITS_RULE_FILE
from autoseg.files.records import RecordFormat, read_record, write_record
from autoseg.files.storage import content_hash
from autoseg.words import agreeing, counted, first_few, readable

FORMAT = RecordFormat(number=1)
WHOLE = 1e-6
"""How far shares may be from summing to 1."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SplitRequest:
    """Folds as they are asked for.

    Attributes:
        folds: How many; None for five, or as many as `fractions` and `reuse` make.
        group_by: The column whose cases stay together.
        balance: Columns whose values are as frequent in each fold as in all cases.
        test_on: A condition; cases of which it is so validate in a last fold of their own, and are in no other.
        fractions: Shares of the cases that train, validate and are held out, in place of folds.
        where: A condition; other cases are in no fold.
        seed: Decides between what is equally good.
    """

    folds: int | None = None
    group_by: str = PATIENT
    balance: tuple[str, ...] = ()
    test_on: str | None = None
    fractions: tuple[float, ...] | None = None
    where: str | None = None
    seed: int = SPLIT_SEED

    def __post_init__(self) -> None:
        if self.folds is not None and self.folds < 2:
            raise TrainingError(f"folds: at least 2, found {self.folds}; `fractions` makes one")
        if self.fractions is None:
            return
        if self.folds is not None:
            raise TrainingError("give `request.folds` or `fractions`, not both")
        if len(self.fractions) not in (2, 3) or any(not 0 <= share <= 1 for share in self.fractions):
            raise TrainingError(
                f"fractions: two or three numbers from 0 to 1, for training, validation and test, found {_shown(self.fractions)}"
            )
        if abs(sum(self.fractions) - 1) > WHOLE:
            raise TrainingError(
                f"fractions: they sum to 1, found {_shown(self.fractions)}, {sum(self.fractions):g} together"
            )
        if not all(self.fractions[:2]):
            raise TrainingError(
                f"fractions: some cases have to train and some to validate, found {_shown(self.fractions)}"
            )
        if self.test_on is not None and self.fractions[2:] not in ((), (0.0,)):
            raise TrainingError(
                f"fractions: what is tested on is given by `test_on` already; give two numbers, found {_shown(self.fractions)}"
            )

    @property
    def columns(self) -> tuple[str, ...]:
        """All columns that the folds follow from."""
        conditions = [parse_condition(text) for text in (self.test_on, self.where) if text is not None]
        asked = (self.group_by, *self.balance, *(column for one in conditions for column in one.columns), SPLIT)
        return tuple(column for column in dict.fromkeys(asked) if column != CASE)

    def rule(self, reused: Reused | None = None) -> SplitRule:
        """The rule for the cases that are meant by `where`.

        Args:
            reused: Folds of a file, in place of new ones.
        """
        rule: SplitRule = reused or self._new_folds()
        if self.test_on is not None:
            rule = HeldOut(condition=parse_condition(self.test_on), others=rule, together=self.group_by)
        return ByRole(others=rule, together=self.group_by)

    def _new_folds(self) -> SplitRule:
        if self.fractions is not None:
            training, validation, held_out = (*self.fractions, 0.0)[:3]
            return ShareSplit(
                shares=(training, validation, held_out), seed=self.seed, together=self.group_by, balance=self.balance
            )
        number = self.folds or FOLDS
        if self.balance:
            return BalancedFolds(number=number, seed=self.seed, together=self.group_by, balance=self.balance)
        return RandomFolds(number=number, seed=self.seed, together=self.group_by)


@dataclass(frozen=True, slots=True, kw_only=True)
class SplitRecord:
    """What folds were made by.

    Attributes:
        request: What was asked for.
        reused: The file whose folds were taken; empty where there is none.
        splits: Hash of the folds, so that a file that somebody edits is taken for their own.
        columns: Those that the folds follow from.
        cases: What stood in them, for each case.
    """

    request: SplitRequest
    reused: str
    splits: str
    columns: tuple[str, ...]
    cases: Mapping[str, tuple[str | None, ...]]


def record_of(
    request: SplitRequest, splits: Sequence[Split], facts: Mapping[str, Facts], reused: str = ""
) -> SplitRecord:
    """The record of folds that were just made."""
    return SplitRecord(
        request=request,
        reused=reused,
        splits=_hash(splits),
        columns=request.columns,
        cases={case: _known(facts[case], request.columns) for case in sorted(facts)},
    )


def write_split_record(path: Path, record: SplitRecord) -> None:
    """Beside the folds."""
    write_record(path, record, FORMAT)


def read_split_record(splits_file: Path, splits: Sequence[Split]) -> SplitRecord | None:
    """What the folds in a file were made by; None where nobody asked for certain ones, or somebody edited them since.

    Raises:
        TrainingError: The record is damaged.
    """
    path = splits_file.with_name(SPLITS_RULE_FILE)
    if not path.is_file():
        return None
    try:
        record = read_record(path, SplitRecord, FORMAT)
    except StorageError as error:
        raise TrainingError(f"{error}; delete the file, and the folds are taken for your own") from error
    return record if record.splits == _hash(splits) else None


def left_out(record: SplitRecord | None, identifiers: Sequence[str], facts: FactsTable) -> set[str]:
    """The cases that are in no fold because that was asked for, or because they are tested on."""
    known = {case: facts.of(case) for case in identifiers}
    tested = {case for case, role in roles_of(known).items() if role == TEST}
    if record is None or record.request.where is None:
        return tested
    condition = parse_condition(record.request.where)
    return tested | {case for case in identifiers if not condition.holds(case, known[case])}


def staleness(splits_file: Path, record: SplitRecord, identifiers: Sequence[str], facts: FactsTable) -> list[str]:
    """A line that says which cases are otherwise than when the folds were made by them; none where none is."""
    now = {case: _known(facts.of(case), record.columns) for case in identifiers}
    changed = [case for case in sorted(now) if case in record.cases and now[case] != record.cases[case]]
    if not changed:
        return []
    shown = first_few(changed, 3, say=lambda case: f"{readable(case)} ({_difference(record, case, now[case])})")
    return [
        f"{splits_file}: made by what metadata said of the cases, which is otherwise of {counted(len(changed), 'case')} now: "
        f"{shown}; put {agreeing(len(changed), 'it', 'them')} back, or have folds made anew, for which every fold has to be "
        "trained anew"
    ]


def _difference(record: SplitRecord, case: str, now: tuple[str | None, ...]) -> str:
    differing = zip(record.columns, record.cases[case], now, strict=True)
    column, before, after = next(one for one in differing if one[1] != one[2])
    return f"{readable(column)} was {readable(before or 'n/a')}, is {readable(after or 'n/a')}"


def _known(facts: Facts, columns: Sequence[str]) -> tuple[str | None, ...]:
    return tuple(facts.get(column) for column in columns)


def _hash(splits: Sequence[Split]) -> str:
    return content_hash([[getattr(split, field.name) for field in fields(split)] for split in splits])


def _shown(shares: Sequence[float]) -> str:
    return " ".join(f"{share:g}" for share in shares)
