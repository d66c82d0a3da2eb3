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
class Finding:
    """One line of the page.

    Attributes:
        subject: What was looked at, in a word or two.
        remedy: What to do; empty where all is well.
    """

    level: Level
    subject: str
    found: str
    remedy: str = ""


Check = Callable[[], Sequence[Finding]]


def examine(checks: Mapping[str, Check]) -> dict[str, tuple[Finding, ...]]:
    """Make every check; one that fails in a way nobody thought of is a fault itself."""
    return {heading: tuple(_make(heading, check)) for heading, check in checks.items()}


def page(findings: Mapping[str, Sequence[Finding]]) -> str:
    """All findings under their headings, with what to do below those that are not well."""
    every = [finding for found in findings.values() for finding in found]
    width = max(len(finding.subject) for finding in every)
    lines: list[str] = []
    for heading, found in findings.items():
        lines += ["", heading]
        for finding in found:
            lines.append(f"  {finding.level:<7}  {finding.subject:<{width}}  {finding.found}")
            if finding.remedy:
                lines.append(f"  {'':<7}  {'':<{width}}  -> {finding.remedy}")
    return "\n".join(lines[1:])


def _make(heading: str, check: Check) -> Sequence[Finding]:
    try:
        return check()
    except Exception as error:
        known = isinstance(error, AutosegError | OSError | ImportError | MemoryError)
        words = str(error) or type(error).__name__
        found = words if known else traceback.format_exception_only(error)[-1].strip()
        usual = "see what this names; with a damaged installation, install again"
        remedy = shortage(error) or (usual if known else "this check should not end so; please report it")
    return (Finding(level="fault", subject=heading, found=found, remedy=remedy),)
