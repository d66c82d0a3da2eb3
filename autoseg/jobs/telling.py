"""What a run says of itself: headers, times, the table at the end."""

from __future__ import annotations

import textwrap
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import fmean

from autoseg.jobs.steps import Step
from autoseg.words import time_span

DONE, DONE_BEFORE, FAILED, SKIPPED, INTERRUPTED = "done", "done before", "failed", "skipped", "interrupted"
GOOD = frozenset({DONE, DONE_BEFORE})


@dataclass(frozen=True, slots=True, kw_only=True)
class StepOutcome:
    """How one step ended in this run.

    Attributes:
        seconds: Spent on the step, in all attempts.
        message: Why it failed or was skipped.
        log: Where its output is.
    """

    state: str
    seconds: float = 0.0
    message: str = ""
    log: Path | None = None


def header(number: int, total: int | None, name: str, remark: str = "") -> str:
    """`step 7/23  train 3d_fullres fold 2  (done in 3 min 12 s)`; without a total where it is not known yet."""
    place = f"step {number}" if total is None else f"step {number}/{total}"
    return f"{place}  {name}" + (f"  ({remark})" if remark else "")


def remaining_seconds(waiting: Sequence[Step], measured: Mapping[str, Sequence[float]]) -> float | None:
    """Estimate how long the waiting steps take, from the seconds of finished steps of each kind.

    A kind of which none is finished takes the mean of the others. None where nothing can be said.
    """
    known = {kind: fmean(seconds) for kind, seconds in measured.items() if kind and seconds}
    counted = [step for step in waiting if step.kind]
    if not known or not counted:
        return None
    other = fmean(known.values())
    return sum(known.get(step.kind, other) for step in counted)


def summary_table(steps: Sequence[Step], outcomes: Mapping[str, StepOutcome]) -> str:
    """A line for each step, those that failed with their message and log below."""
    lines = []
    for step in steps:
        outcome = outcomes.get(step.name, StepOutcome(state=SKIPPED, message="the run was stopped before"))
        remark = time_span(outcome.seconds) if outcome.state in GOOD else ""
        if outcome.state == SKIPPED:
            remark = outcome.message
        lines.append(f"{outcome.state:<12} {step.name:<36} {remark}".rstrip())
        if outcome.state == FAILED:
            lines.append(textwrap.indent(outcome.message, " " * 13))
            lines.append(f"{'':<13}all it said: {outcome.log}")
    return "\n".join(lines)
