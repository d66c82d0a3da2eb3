"""What a check found, and a page of checks of which none can keep the others from being made."""

from __future__ import annotations

import traceback
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from autoseg.errors import AutosegError
from autoseg.remedies import shortage

Level = Literal["ok", "warning", "fault"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Diagnosis:
    """One line of the page.

    Attributes:
        subject: What was looked at, in a word or two.
        remedy: What to do; empty where all is well.
    """

    level: Level
    subject: str
    found: str
    remedy: str = ""


Check = Callable[[], Sequence[Diagnosis]]


def examine(checks: Mapping[str, Check]) -> dict[str, tuple[Diagnosis, ...]]:
    """Make every check; one that fails in a way nobody thought of is a fault itself."""
    return {heading: tuple(_make(heading, check)) for heading, check in checks.items()}


def page(diagnoses: Mapping[str, Sequence[Diagnosis]]) -> str:
    """All diagnoses under their headings, with what to do below those that are not well."""
    every = [diagnosis for found in diagnoses.values() for diagnosis in found]
    width = max(len(diagnosis.subject) for diagnosis in every)
    lines: list[str] = []
    for heading, found in diagnoses.items():
        lines += ["", heading]
        for diagnosis in found:
            lines.append(f"  {diagnosis.level:<7}  {diagnosis.subject:<{width}}  {diagnosis.found}")
            if diagnosis.remedy:
                lines.append(f"  {'':<7}  {'':<{width}}  -> {diagnosis.remedy}")
    return "\n".join(lines[1:])


def _make(heading: str, check: Check) -> Sequence[Diagnosis]:
    try:
        return check()
    except Exception as error:
        known = isinstance(error, AutosegError | OSError | ImportError | MemoryError)
        words = str(error) or type(error).__name__
        found = words if known else traceback.format_exception_only(error)[-1].strip()
        usual = "see what this names; with a damaged installation, install again"
        remedy = shortage(error) or (usual if known else "this check should not end so; please report it")
    return (Diagnosis(level="fault", subject=heading, found=found, remedy=remedy),)
