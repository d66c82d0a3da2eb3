"""The input guard: each new case is held against the training cases, and what is far off is told and written down.

`report.json` lies in the folder of predictions. Several processes may fill one folder, and each adds its cases, a file
for each in a folder beside it, which are taken into the report at the end; those of a run that was killed by the next.
"""

from __future__ import annotations

import logging
import shutil
import threading
import time
from collections.abc import Iterable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

import autoseg
from autoseg.dataset.raw_cases import RawCase
from autoseg.errors import DatasetError, ModelError, StorageError, WorkspaceError
from autoseg.files.locking import hold_lock
from autoseg.files.records import RecordFormat, read_record, write_record
from autoseg.files.storage import decode, encode, read_json, write_json
from autoseg.planning.appearance import Appearance, measure_appearance, measure_surveyed
from autoseg.planning.comparison import FalseAlarms, compare_input, count_false_alarms, make_reference
from autoseg.planning.fingerprint import DatasetFingerprint
from autoseg.planning.input_warnings import InputWarning
from autoseg.planning.limits import Limits, Reference
from autoseg.preprocessing.slabs import SurveyedCase
from autoseg.words import readable

log = logging.getLogger(__name__)

FORMAT = RecordFormat(
    number=1,
    what="a report",
    error=ModelError,
    another="move the file away, or name another folder",
    damaged="move the file away, or name another folder",
)

LONGEST_WAIT = 30.0
"""Seconds for another process to finish writing the report, which takes it a fraction of one."""

PAUSE = 0.05
"""Seconds until the next try."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TrainingLooks:
    """What the cases were compared with: how many training cases, their limits, and where their axes point."""

    cases: int
    limits: Mapping[str, Limits]
    orientations: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class CaseReport:
    """What was found of one case.

    Attributes:
        refused: Whether it was not predicted for its warnings (`strict_inputs`).
        values: Every measure, by name.
    """

    warnings: tuple[InputWarning, ...]
    refused: bool
    orientation: str | None
    values: Mapping[str, float]


@dataclass(frozen=True, slots=True, kw_only=True)
class InputReport:
    """`report.json`.

    Attributes:
        remark: What could not be compared, and why; None where everything was.
        training: None where nothing could be compared.
        false_alarms: How many of the training cases themselves would be warned of.
        cases: By name.
    """

    version: str
    remark: str | None
    training: TrainingLooks | None
    false_alarms: FalseAlarms | None
    cases: Mapping[str, CaseReport]


class InputGuard:
    """Compares cases as they are read; may be called from several threads, and again for the same case.

    What is found is written before the case is predicted, so that no finished case lacks it, whatever ends the run.

    Args:
        fingerprint: Of the training cases; None where there is none, and then nothing is compared.
        remark: What cannot be compared, and why.
        strict: Refuse a case that is far off.
        report: Where to write down what was found; None nowhere.
    """

    def __init__(
        self,
        fingerprint: DatasetFingerprint | None,
        *,
        remark: str | None = None,
        strict: bool = False,
        report: Path | None = None,
    ) -> None:
        self.fingerprint = fingerprint
        self.reference = None if fingerprint is None else make_reference(fingerprint)
        self.remark = remark
        self.strict = strict
        self.report = report
        self.found: dict[str, CaseReport] = {}
        self.lock = threading.Lock()

    def __call__(self, raw: RawCase | SurveyedCase) -> None:
        """Compare a case, warn, and write it down.

        Raises:
            DatasetError: It is far from the training cases, and `strict`.
            StorageError, WorkspaceError: The report cannot be written.
        """
        case = self._look(raw)
        with self.lock:
            if raw.identifier not in self.found:
                self._write(raw.identifier, case)
                self.found[raw.identifier] = case
                self._tell(raw, case)
        if case.refused:
            raise DatasetError(
                f"{_texts(case)}. It is not predicted, as `strict_inputs` asks; leave that out to predict it all the same"
            )

    @property
    def warned(self) -> tuple[str, ...]:
        """The cases that were warned of."""
        return tuple(name for name, case in self.found.items() if case.warnings)

    def warned_earlier(self, identifiers: Iterable[str]) -> list[tuple[str, str]]:
        """Cases that this run did not read, but an earlier one warned of, with what it warned of."""
        earlier = load_report(self.report).cases if self.report and self.report.is_file() else {}
        return [
            (name, f"{_texts(earlier[name])}. It was predicted before, without `strict_inputs`")
            for name in identifiers
            if name in earlier and name not in self.found and earlier[name].warnings
        ]

    def _look(self, raw: RawCase | SurveyedCase) -> CaseReport:
        appearance = None if self.reference is None else _appearance(raw)
        if appearance is None or self.reference is None:  # preparing refuses an image without any value
            return CaseReport(warnings=(), refused=False, orientation=None, values={})
        found = compare_input(appearance, self.reference)
        return CaseReport(
            warnings=found.warnings,
            refused=self.strict and bool(found.warnings),
            orientation=found.orientation,
            values=found.values,
        )

    def _tell(self, raw: RawCase | SurveyedCase, case: CaseReport) -> None:
        warnings = () if case.refused else tuple(warning.text for warning in case.warnings)  # else the error tells them
        for text in (*raw.doubts, *warnings):
            log.warning("case %s: %s", readable(raw.identifier), text)

    def __enter__(self) -> InputGuard:
        return self

    def __exit__(self, *_: object) -> None:
        """Take what is known of all cases into the report."""
        if self.report is None or not _cases_folder(self.report).is_dir():
            return
        with _alone(self.report):
            write_record(self.report, self._report(load_report(self.report).cases), FORMAT)
            shutil.rmtree(_cases_folder(self.report), ignore_errors=True)

    def _write(self, identifier: str, case: CaseReport) -> None:
        """Add the case to what is known, at a cost that does not depend on how many there are."""
        if self.report is None:
            return
        with _alone(self.report):
            if not self.report.is_file():
                write_record(self.report, self._report({}), FORMAT)
            write_json(_cases_folder(self.report) / f"{identifier}.json", {identifier: encode(case)})

    def _report(self, cases: Mapping[str, CaseReport]) -> InputReport:
        return InputReport(
            version=autoseg.__version__,
            remark=self.remark,
            training=None if self.reference is None else _looks(self.reference),
            false_alarms=None if self.fingerprint is None else count_false_alarms(self.fingerprint),
            cases=dict(sorted(cases.items())),
        )


def _appearance(raw: RawCase | SurveyedCase) -> Appearance | None:
    return measure_surveyed(raw) if isinstance(raw, SurveyedCase) else measure_appearance(raw.data, raw.geometry)


def _looks(reference: Reference) -> TrainingLooks:
    return TrainingLooks(cases=reference.cases, limits=reference.limits, orientations=reference.orientations)


def _texts(case: CaseReport) -> str:
    return "; ".join(warning.text for warning in case.warnings)


@contextmanager
def _alone(report: Path) -> Iterator[None]:
    """Hold the report's lock, after those who hold it before."""
    lock, deadline = report.with_name(f".{report.name}.lock"), time.monotonic() + LONGEST_WAIT
    with ExitStack() as stack:
        while True:
            try:
                stack.enter_context(hold_lock(lock, f"writing {report}"))
                break
            except WorkspaceError:
                if time.monotonic() > deadline:
                    raise
                time.sleep(PAUSE)
        yield


def _cases_folder(report: Path) -> Path:
    return report.with_name(f".{report.name}.cases")


def _read_cases(report: Path) -> dict[str, CaseReport]:
    """What stands beside the report."""
    found: dict[str, CaseReport] = {}
    for path in sorted(_cases_folder(report).glob("*.json")):
        found |= decode(dict[str, CaseReport], read_json(path), str(path))
    return found


def load_report(path: Path) -> InputReport:
    """Read `report.json`, and what runs that have not ended add to it.

    Raises:
        ModelError: It is damaged, of another format, or no report of ours.
    """
    report = read_record(path, InputReport, FORMAT)
    try:
        added = _read_cases(path)
    except StorageError as error:
        raise ModelError(f"{error}; {FORMAT.damaged}") from error
    return replace(report, cases=dict(sorted({**report.cases, **added}.items())))
