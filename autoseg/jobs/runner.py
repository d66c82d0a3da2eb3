"""Running steps in order: what is done is left alone, what fails stops only what depends on it."""

from __future__ import annotations

import os
import re
import signal
import time
from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime
from pathlib import Path
from typing import TextIO

from autoseg.errors import StorageError, WorkspaceError
from autoseg.files.layout import JOURNAL_FILE, LOGS_FOLDER, SET_ASIDE_FOLDER
from autoseg.files.locking import require_no_holder
from autoseg.jobs import journal as states
from autoseg.jobs.child import ENDS_WITH_PARENT, Ending, run_child
from autoseg.jobs.decision import StepDecision, decide
from autoseg.jobs.journal import Journal, Record
from autoseg.jobs.steps import Step, missing, require_order
from autoseg.jobs.telling import (
    DONE,
    DONE_BEFORE,
    FAILED,
    GOOD,
    INTERRUPTED,
    SKIPPED,
    StepOutcome,
    header,
    remaining_seconds,
)
from autoseg.machine.processes import ProcessIdentity
from autoseg.words import time_span

RESUMABLE, CTRL_C = 75, 130
"""Exit codes of a command that was stopped by a signal or time limit, and by Ctrl-C."""

SAVING_SECONDS = 120
"""A training whose run was killed saves its state after the batch it is in; so long is waited for that."""


class Runner:
    """Runs steps, several lists of them one after the other if need be.

    Args:
        folder: Holds the journal, the logs, and what was set aside.
        output: Gets a line about every step, and the steps' own output.

    Attributes:
        outcomes: How each step seen so far ended, by name.
        stopped: 75 or 130 once a signal ended the run; no step is started then.
    """

    def __init__(self, folder: Path, output: TextIO) -> None:
        self.folder = folder
        self.output = output
        self.journal = Journal(folder / JOURNAL_FILE)
        self.outcomes: dict[str, StepOutcome] = {}
        self.stopped: int | None = None

    def run(self, steps: Sequence[Step], *, total: int | None) -> None:
        """Run the steps that are not done and were not yet seen.

        Args:
            steps: Every step behind those it needs. Steps of earlier lists may stand in it again.
            total: How many there will be in all, for the headers; None if that is not known yet.

        Raises:
            StorageError: The journal cannot be read or written.
            WorkspaceError: A step of an earlier run is still running.
        """
        require_order(steps)
        self._wait_for_survivors(steps)
        for number, step in enumerate(steps, start=1):
            if self.stopped is not None:
                return
            if step.name in self.outcomes:
                continue
            failed = [name for name in step.needs if self.outcomes[name].state not in GOOD]
            if failed:
                outcome = StepOutcome(state=SKIPPED, message=f"needs {', '.join(failed)}")
                self._say(header(number, total, step.name, f"skipped: {outcome.message}"))
            else:
                outcome = self._run_or_leave(step, number, total, steps[number:])
            self.outcomes[step.name] = outcome

    def decide(self, step: Step) -> StepDecision:
        """Whether a step is done as things are now."""
        return decide(step, self.journal.read().get(step.name), step.measure_inputs())

    def log_file(self, step: Step) -> Path:
        """Where a step's output goes."""
        return self.folder / LOGS_FOLDER / f"{re.sub(r'[^A-Za-z0-9_.-]+', '_', step.name)}.log"

    def set_aside(self, step: Step) -> None:
        """Move away what was made otherwise; nobody's days of training are deleted here."""
        if step.replaces is None or not step.replaces.exists():
            return
        target = set_aside(step.replaces, self.folder / SET_ASIDE_FOLDER, name=step.name)
        self._say(f"  what was made before is kept in {target}")

    # ------------------------------------------------------------------------------ one step

    def _run_or_leave(self, step: Step, number: int, total: int | None, later: Sequence[Step]) -> StepOutcome:
        inputs = step.measure_inputs()
        before = self.journal.read().get(step.name)
        decision = decide(step, before, inputs)
        if decision.done:
            seconds = before.seconds if before else 0.0
            self._say(header(number, total, step.name, f"done before, in {time_span(seconds)}"))
            return StepOutcome(state=DONE_BEFORE, seconds=seconds)
        self._say(header(number, total, step.name, "" if before is None else decision.reason))
        if decision.anew:
            self.set_aside(step)
        record = Record(
            state=states.RUNNING,
            argv=step.argv,
            settings=step.settings_hash,
            inputs=inputs,
            started=_now(),
            seconds=before.seconds if before and not decision.anew else 0.0,
        )
        self.journal.write(step.name, record)
        outcome = self._attempt(step, record)
        remark = f"{outcome.state} in {time_span(outcome.seconds)}"
        if outcome.state == DONE and (left := self._time_left(step, outcome, later)) is not None:
            remark += f"; about {time_span(left)} of training left"
        self._say(header(number, total, step.name, remark))
        return outcome

    def _attempt(self, step: Step, record: Record) -> StepOutcome:
        def started(pid: int) -> None:
            nonlocal record
            record = replace(record, process=ProcessIdentity.of(pid))
            self.journal.write(step.name, record)

        clock = time.monotonic()
        ending = run_child(step.argv, log=self.log_file(step), output=self.output, started=started)
        outcome = self._judge(step, ending, record.seconds + time.monotonic() - clock)
        now = step.measure_inputs()
        record = replace(
            record,
            state=outcome.state,
            inputs={name: before or now[name] for name, before in record.inputs.items()},
            finished=_now(),
            seconds=outcome.seconds,
            code=ending.code,
            products=tuple(str(path) for path in step.find_products()) if outcome.state == DONE else (),
        )
        self.journal.write(step.name, record)
        return outcome

    def _judge(self, step: Step, ending: Ending, seconds: float) -> StepOutcome:
        if ending.signals:
            self.stopped = CTRL_C if ending.signals[0] == signal.SIGINT else RESUMABLE
        elif ending.code in (RESUMABLE, CTRL_C):
            self.stopped = ending.code
        message = ending.message
        if ending.code == 0:
            gone = ", ".join(str(path) for path in missing(step.products))
            if not gone:
                return StepOutcome(state=DONE, seconds=seconds)
            message = f"it ended well, but did not write {gone}"
        elif ending.code < 0:
            message = f"{_cause_of_death(-ending.code)}\n{message}".strip()
        state = FAILED if self.stopped is None else INTERRUPTED
        return StepOutcome(state=state, seconds=seconds, message=message, log=self.log_file(step))

    def _time_left(self, step: Step, outcome: StepOutcome, later: Sequence[Step]) -> float | None:
        """Of the steps after this one, whose outcome is not known yet."""
        measured: dict[str, list[float]] = {step.kind: [outcome.seconds]}
        records = self.journal.read()
        waiting = []
        for other in later:
            if decide(other, records.get(other.name), other.measure_inputs()).done:
                measured.setdefault(other.kind, []).append(records[other.name].seconds)
            else:
                waiting.append(other)
        return remaining_seconds(waiting, measured)

    def _wait_for_survivors(self, steps: Sequence[Step]) -> None:
        """Let processes end that a killed run left behind, so that no two work on the same files."""
        records = self.journal.read()
        for step in steps:
            record = records.get(step.name)
            if record is None or record.state != states.RUNNING or record.process is None:
                continue
            if record.process.runs_here:
                self._say(
                    f"{step.name}: process {record.process.pid} of the run before is still ending; waiting for it"
                )
                _wait_for_end(record.process, step.name)

    def _say(self, line: str) -> None:
        self.output.write(line + "\n")
        self.output.flush()


def set_aside(path: Path, folder: Path, *, name: str) -> Path:
    """Move a file or folder into `folder` under a name with the present time, and return where it is now.

    Raises:
        StorageError: It cannot be moved.
        WorkspaceError: A process is at work in it.
    """
    require_no_holder(path)
    target = folder / f"{datetime.now():%Y%m%d-%H%M%S-%f}-{name.replace(' ', '_')}"
    try:
        target.mkdir(parents=True)
        path.rename(target / path.name)
    except OSError as error:
        raise StorageError(
            f"{path}: cannot be moved to {target}: {error.strerror or error}; move it away by hand"
        ) from error
    return target / path.name


def _wait_for_end(process: ProcessIdentity, name: str) -> None:
    if not ENDS_WITH_PARENT:
        os.kill(process.pid, signal.SIGTERM)
    end = time.monotonic() + SAVING_SECONDS
    while process.runs_here:
        if time.monotonic() > end:
            raise WorkspaceError(
                f"{name}: process {process.pid} of an earlier run still works on it; end it (kill {process.pid}) "
                "and start again"
            )
        time.sleep(0.2)


def _cause_of_death(number: int) -> str:
    name = signal.Signals(number).name
    if number == signal.SIGKILL:
        return f"it was killed ({name}), most likely because memory ran out; use fewer workers or a smaller batch"
    return f"it was ended by the signal {name}"


def _now() -> str:
    return datetime.now().isoformat(sep=" ", timespec="seconds")
