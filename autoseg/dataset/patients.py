"""Whose image each case is, as far as the cases' names tell: by the user's pattern, or as a suspicion only."""

from __future__ import annotations

import re
from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from autoseg.errors import DatasetError
from autoseg.words import counted, first_few, readable

PATTERNS = (
    r"^sub-[^_]+",
    r"^[^_]+",
    r"^[^-]+",
    r"^[^_. -]+[_. -][^_. -]+",
    r"^(.+?)(_[^_]*)?$",
    r"^(.+?)([_. -][^_. -]*)?$",
    r"^(.*?\d)[A-Za-z]*$",
)
"""Where a patient's name may end, the shortest first; each matches names that have nothing behind the patient, too."""

MOST_IMAGES = 8
"""Of a patient, on average: names with more in common begin with a site, an organ or a study."""

RECURRING = 2 / 3
"""Distinct endings a case at most: those of scans return with each patient (`_ED`, `_scan1`), numbers of cases do not."""

TELLING = re.compile(
    r"(?i)(^|[^a-z])(l|r|ed|es|left|right|pre|post|scan|ses|session|visit|run|time|tp?|v|base(line)?|follow-?up|fu|"
    r"day|week|month|year|phase|frame|(19|20)\d{6})\d*([^a-z]|$)"
)
"""Endings that say which of several images of one patient it is."""

EXAMPLES = 3


@dataclass(frozen=True, slots=True, kw_only=True)
class Suspicion:
    """Names that look like several images of one patient.

    Attributes:
        pattern: That finds the patient in every name.
        example: The first patients with their cases.
    """

    pattern: str
    example: str


def name_patients(cases: Sequence[str], pattern: re.Pattern[str]) -> Mapping[str, str]:
    """Each case's patient: the pattern's first group, or all that it matches where it has none.

    Raises:
        DatasetError: Naming the cases in which the pattern finds nothing.
    """
    patients = {case: _patient(case, pattern) for case in cases}
    if missing := [case for case, patient in patients.items() if not patient]:
        raise DatasetError(
            f"the pattern {pattern.pattern!r} finds no patient in {counted(len(missing), 'name')} of {len(cases)}: "
            f"{first_few(missing)}; extend it, every case needs one"
        )
    return patients


def suspect_patients(cases: Sequence[str]) -> Suspicion | None:
    """The coarsest way in which the names look like several images of the same patients; None where they do not."""
    for text in PATTERNS:
        pattern = re.compile(text)
        groups: dict[str, list[str]] = defaultdict(list)
        for case in cases:
            groups[_patient(case, pattern)].append(case)
        if "" not in groups and _is_plausible(groups):
            return Suspicion(pattern=text, example=_example(groups))
    return None


def _patient(case: str, pattern: re.Pattern[str]) -> str:
    match = pattern.search(case)
    if match is None:
        return ""
    return (match[1] if pattern.groups else match[0]) or ""


def _is_plausible(groups: Mapping[str, Sequence[str]]) -> bool:
    several = {name: cases for name, cases in groups.items() if len(cases) > 1}
    number = sum(map(len, groups.values()))
    if not several or len(groups) < 2 or number > MOST_IMAGES * len(groups):
        return False
    endings = [case[len(name) :] for name, cases in groups.items() for case in cases]
    if all(TELLING.search(case[len(name) :]) for name, cases in several.items() for case in cases):
        return True
    return len(Counter(endings)) <= RECURRING * number and all(re.search(r"\d", name) for name in several)


def _example(groups: Mapping[str, Sequence[str]]) -> str:
    several = [(name, cases) for name, cases in sorted(groups.items()) if len(cases) > 1]
    return first_few(several, EXAMPLES, say=lambda patient: f"{readable(patient[0])} ({first_few(patient[1])})")
