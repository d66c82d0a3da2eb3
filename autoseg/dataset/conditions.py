"""Cases chosen by what is known of them: `site = unf`, `contrast in T1w,T2w and age < 60`."""

from __future__ import annotations

import math
import operator
import re
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass

from autoseg.dataset.facts import Facts
from autoseg.errors import DatasetError
from autoseg.words import first_few, nearest, readable

CASE = "case"
"""What stands for a case's own name, where no column is called so."""

EXAMPLE = "expected, for example, site=unf, or contrast in T1w,T2w and age < 60"
PART = re.compile(r"\s*(?P<column>[^=!<>]+?)\s*(?P<sign><=|>=|!=|=|<|>|\s(?:not\s+)?in\s)\s*(?P<values>[^=!<>]+?)\s*")
ORDERED: Mapping[str, Callable[[float, float], bool]] = {
    "<": operator.lt,
    "<=": operator.le,
    ">": operator.gt,
    ">=": operator.ge,
}


@dataclass(frozen=True, slots=True, kw_only=True)
class ColumnTest:
    """What one column has to be; where it is not known of a case, the case is not meant.

    Attributes:
        sign: "=", "!=" (none of the values), or one of `ORDERED`, before a single number.
    """

    column: str
    sign: str
    values: tuple[str, ...]

    def holds(self, known: str | None) -> bool:
        """Whether that is so of what stands in the column."""
        if known is None:
            return False
        if self.sign in ORDERED:
            number = as_number(known)
            return number is not None and ORDERED[self.sign](number, float(self.values[0]))
        return (known in self.values) == (self.sign == "=")


@dataclass(frozen=True, slots=True, kw_only=True)
class Condition:
    """Comparisons that all have to hold.

    Attributes:
        text: As it was written.
    """

    text: str
    comparisons: tuple[ColumnTest, ...]

    @property
    def columns(self) -> tuple[str, ...]:
        """Those that are looked at."""
        return tuple(dict.fromkeys(one.column for one in self.comparisons))

    def holds(self, case: str, facts: Facts) -> bool:
        """Whether a case is meant."""
        return all(one.holds(_known(one.column, case, facts)) for one in self.comparisons)

    def chosen(self, facts: Mapping[str, Facts]) -> tuple[str, ...]:
        """The cases that are meant.

        Raises:
            DatasetError: A column of which nothing is known in any case, or there is no such case.
        """
        require_columns(self.columns, facts)
        if found := tuple(case for case in facts if self.holds(case, facts[case])):
            return found
        held = {
            one.column: sorted(
                {known for case in facts if (known := _known(one.column, case, facts[case])) is not None}
            )
            for one in self.comparisons
        }
        values = "; ".join(f"{readable(column)} is {first_few(found)}" for column, found in held.items())
        raise DatasetError(f"{readable(self.text)}: is so of no case of {len(facts)}: {values}; correct the condition")


def parse_condition(text: str) -> Condition:
    """A condition as a user writes it.

    Raises:
        DatasetError: It is none.
    """
    return Condition(text=text, comparisons=tuple(_comparison(part, text) for part in re.split(r"\sand\s", text)))


def require_columns(columns: Collection[str], facts: Mapping[str, Facts]) -> None:
    """Refuse columns in which nothing is known of any case.

    Raises:
        DatasetError: Naming them and those that there are.
    """
    known = {name: None for case in facts for name, _ in facts[case].known}
    if unknown := [column for column in columns if column not in known and column != CASE]:
        there = f"the columns are {first_few(list(known))}" if known else "there is no metadata.tsv that says anything"
        raise DatasetError(
            f"{readable(unknown[0])}: in no case anything stands in such a column{nearest(unknown[0], known)}; {there}"
        )


def as_number(text: str) -> float | None:
    """A finite number; None where it is none."""
    try:
        number = float(text)
    except ValueError:
        return None
    return number if math.isfinite(number) else None


def _known(column: str, case: str, facts: Facts) -> str | None:
    known = facts.get(column)
    return case if known is None and column == CASE else known


def _comparison(part: str, text: str) -> ColumnTest:
    found = PART.fullmatch(part)
    if found is None:
        raise DatasetError(f"{text!r:.100}: is no condition; {EXAMPLE}")
    sign, column = " ".join(found["sign"].split()), found["column"]
    listed = sign in ("in", "not in")
    values = tuple(value.strip() for value in found["values"].split(",")) if listed else (found["values"],)
    if "" in values:
        raise DatasetError(f"{text!r:.100}: names a value of no letters; {EXAMPLE}")
    if sign in ORDERED and as_number(values[0]) is None:
        raise DatasetError(f"{text!r:.100}: {values[0]!r:.40} is no number, which {sign} compares with; {EXAMPLE}")
    return ColumnTest(column=column, sign={"in": "=", "not in": "!="}.get(sign, sign), values=values)
