"""Whether a step is done, and if not, why it runs: a pure function of the step, its record and its inputs now."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from autoseg.jobs.journal import DONE, FAILED, INTERRUPTED, RUNNING, Record
from autoseg.jobs.steps import Step, missing
from autoseg.words import first_few

BEFORE = {RUNNING: "was cut off", FAILED: "failed the last time", INTERRUPTED: "was stopped"}


@dataclass(frozen=True, slots=True, kw_only=True)
class StepDecision:
    """What is to be done about a step.

    Attributes:
        reason: For people.
        anew: Settings or inputs are others than an earlier attempt's, so that nothing of it can be continued.
    """

    done: bool
    reason: str
    anew: bool = False


def decide(step: Step, record: Record | None, inputs: Mapping[str, str | None]) -> StepDecision:
    """Decide by content: a step is done when it ended well, with these settings and inputs, and its products are there.

    Args:
        record: Of the last attempt, None if there was none.
        inputs: The step's, as they are now.
    """
    if record is None:
        found = step.replaces is not None and step.replaces.exists()
        return StepDecision(
            done=False, reason="something is there that no run made; continued" if found else "not run yet"
        )
    if changed := _changed(step, record, inputs):
        return StepDecision(done=False, anew=True, reason=f"changed: {', '.join(changed)}")
    if record.state != DONE:
        return StepDecision(done=False, reason=BEFORE.get(record.state, record.state))
    if gone := missing([*step.products, *map(Path, record.products)]):
        return StepDecision(done=False, reason=f"missing: {first_few(gone, 1)}")
    return StepDecision(done=True, reason=f"done {record.finished}")


def _changed(step: Step, record: Record, inputs: Mapping[str, str | None]) -> list[str]:
    """What differs from the last attempt.

    What was not there at its start, it made itself. What is not there now cannot be told from what it was; whoever
    makes it does so before this step runs.
    """
    changed = [name for name, now in inputs.items() if now is not None and record.inputs.get(name) not in (None, now)]
    return changed if record.settings == step.settings_hash else ["settings", *changed]
