"""What is amiss with a task's folds and patients, before anything is trained by them."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from autoseg.dataset.facts import FactsTable
from autoseg.dataset.folds import too_few_by_default
from autoseg.dataset.patients import suspect_patients
from autoseg.dataset.splits import describe_gaps
from autoseg.errors import TrainingError
from autoseg.files.layout import DATASET_FILE, METADATA_FILE, PATIENTS_FILE
from autoseg.planning.inspection import LISTED_NAMES, Finding, Severity
from autoseg.words import first_few


def fold_findings(cases: Sequence[str], facts: FactsTable, splits: Path | None) -> list[Finding]:
    """Of the training cases, what is known of them, and the folds, which need not be there."""
    if not cases:
        return []
    findings = _of_facts(facts)
    if facts.problems:
        return findings
    has_folds = splits is not None and splits.is_file()
    findings += _patients(cases, facts, has_folds=has_folds) if facts.patients_file else _names(cases)
    if splits is not None and has_folds:
        try:
            remarks = describe_gaps(splits, cases, facts=facts)
        except TrainingError as error:
            return [*findings, _finding("error", splits, str(error))]
        return [*findings, *(_finding("warning", splits, remark) for remark in remarks)]
    try:
        reason = too_few_by_default({case: facts.of(case) for case in cases})
    except TrainingError as error:
        return [*findings, _finding("error", Path(METADATA_FILE), str(error))]
    if reason:
        findings.append(Finding(severity="warning", where=DATASET_FILE, text=reason))
    return findings


def _of_facts(facts: FactsTable) -> list[Finding]:
    told: list[tuple[Severity, str]] = [("error", line) for line in facts.problems]
    told += [("warning", line) for line in facts.remarks]
    lines = [(severity, *line.partition(": ")[::2]) for severity, line in told]
    return [Finding(severity=severity, where=file, text=text) for severity, file, text in lines]


def _patients(cases: Sequence[str], facts: FactsTable, *, has_folds: bool) -> list[Finding]:
    """Without folds, the missing patients would stop the first training."""
    whose, path, findings = facts.patients, facts.patients_file or Path(PATIENTS_FILE), []
    if missing := [case for case in cases if case not in whose]:
        text = f"no patient is given for {first_few(missing, LISTED_NAMES)}; add them"
        findings.append(_finding("warning" if has_folds else "error", path, text))
    if path.name == PATIENTS_FILE and (unknown := [case for case in whose if case not in cases]):
        text = f"names cases that dataset.json does not list for training: {first_few(unknown, LISTED_NAMES)}; correct the names"
        findings.append(_finding("warning", path, text))
    return findings


def _names(cases: Sequence[str]) -> list[Finding]:
    suspicion = suspect_patients(cases)
    if suspicion is None:
        return []
    text = (
        f"the names begin alike, as those of one patient's images do: {suspicion.example}; if so, keep them in one fold: "
        f"add `patients='{suspicion.pattern}'`, which writes patients.json"
    )
    return [Finding(severity="warning", where=DATASET_FILE, text=text)]


def _finding(severity: Severity, path: Path, text: str) -> Finding:
    return Finding(severity=severity, where=path.name, text=text.removeprefix(f"{path}: "))
