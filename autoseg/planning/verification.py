"""Is a raw task sound? Every file is read once, and everything that is wrong stands in one report."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from autoseg.dataset import Case, Description, inspect_description
from autoseg.dataset.description import listed_names
from autoseg.dataset.drawn import annotate
from autoseg.dataset.facts import FactsTable, inspect_facts
from autoseg.dataset.metadata import CONTRAST
from autoseg.dataset.notes import Notes
from autoseg.dataset.splits import read_splits
from autoseg.errors import CasesFailed, DatasetError, TrainingError
from autoseg.files.layout import DATASET_FILE
from autoseg.machine.pool import fitting_workers, run_on_cases
from autoseg.planning.copies import find_copies
from autoseg.planning.fold_inspection import fold_findings
from autoseg.planning.inspection import LISTED_NAMES, Finding, Inspection, inspect_case
from autoseg.planning.intensity_comparison import far_ranges
from autoseg.planning.label_inspection import rare_labels
from autoseg.planning.listed_files import faulty_files
from autoseg.planning.near_copies import find_near_copies
from autoseg.planning.segment_names import segments_named_otherwise
from autoseg.words import agreeing, counted, first_few, readable

BYTES_PER_WORKER = 2 * 10**9
"""A large CT in single precision and what is computed on it."""


MOST_ALIKE, PLACES_TOLD = 5, 3
"""Findings of one text that have a line each, and how many places are named where there are more."""

A_CASE = "case "
"""Begins the place of what is found in a case."""


@dataclass(frozen=True, slots=True, kw_only=True)
class VerificationReport:
    """All that was found in a task; `str()` is what a user reads."""

    task: str
    training: int
    test: int
    findings: tuple[Finding, ...]

    @property
    def errors(self) -> tuple[Finding, ...]:
        """What must be put right before planning."""
        return tuple(finding for finding in self.findings if finding.severity == "error")

    @property
    def warnings(self) -> tuple[Finding, ...]:
        """What should be looked at, and may be as it should."""
        return tuple(finding for finding in self.findings if finding.severity == "warning")

    def __str__(self) -> str:
        counts = f"{counted(self.training, 'training case')}, {counted(self.test, 'test case')}"
        result = f"{counted(len(self.errors), 'error')}, {counted(len(self.warnings), 'warning')}"
        lines = [f"{self.task}: {counts}: {result if self.findings else 'nothing wrong'}"]
        for title, told in (("Errors", list(map(str, self.errors))), ("Warnings", _lines(self.warnings))):
            lines += [title] * bool(told) + [f"  {line}" for line in told]
        return "\n".join(lines)


def _lines(findings: Sequence[Finding]) -> list[str]:
    """A line each, or one for what is the same in many places."""
    places: dict[str, list[str]] = defaultdict(list)
    for finding in findings:
        places[finding.text].append(finding.where)
    return [
        line
        for text, found in places.items()
        for line in (
            [f"{_together(found)}: {text}"]
            if len(found) > MOST_ALIKE
            else [f"{readable(where)}: {text}" for where in found]
        )
    ]


def _together(places: Sequence[str]) -> str:
    """Many places in short, by their cases where they are of some."""
    if all(place.startswith(A_CASE) for place in places):
        cases = dict.fromkeys(place.removeprefix(A_CASE).partition(", ")[0] for place in places)
        return f"cases {first_few(list(cases), LISTED_NAMES)}"
    return f"in {counted(len(places), 'place')}, {first_few(places, PLACES_TOLD)}"


def verify_dataset(folder: Path, *, workers: int | None = None, splits: Path | None = None) -> VerificationReport:
    """Read a raw task's dataset.json and all its images, and report everything that is wrong with them.

    Errors are what would stop or spoil planning and training: wrong descriptions; files missing, listed twice, not
    listed, or unreadable; NaN, infinite or constant images; labels that are no whole numbers or not declared; files of
    a case on different grids. Warnings are what may be right: orientations that differ, labels without foreground,
    wrong counts, odd intensity ranges, hidden files. Nothing is written.

    Args:
        folder: `TaskXXX_Name`.
        workers: Processes; None lets the machine decide.
        splits: The task's splits_final.json, which is held against the cases where it exists.
    """
    try:
        description = inspect_description(folder)
    except DatasetError as error:
        text = str(error).removeprefix(f"{folder / DATASET_FILE}: ")
        finding = Finding(severity="error", where=DATASET_FILE, text=text)
        return VerificationReport(task=folder.name, training=0, test=0, findings=(finding,))
    facts = inspect_facts(folder, listed_names(description))
    training, test, undrawn = _annotated(description, facts)
    inspections, failures = _inspect_all(
        [*training, *test], folder, description, fitting_workers(workers, BYTES_PER_WORKER)
    )
    trained_on = set(training)
    looked_at_training = [one for one in inspections if one.case in trained_on]
    looked_at_test = [one for one in inspections if one.case not in trained_on]
    copies = find_copies(looked_at_training, looked_at_test)
    findings = [
        *(Finding(severity="error", where=DATASET_FILE, text=problem) for problem in description.problems),
        *(Finding(severity="warning", where=DATASET_FILE, text=remark) for remark in description.remarks),
        *undrawn,
        *_wrong_counts(description),
        *fold_findings([case.identifier for case in training], facts, splits),
        *faulty_files(folder, description, training, test),
        *failures,
        *(finding for one in inspections for finding in one.findings),
        *segments_named_otherwise(
            training, description.target.value_names if description.target else description.labels
        ),
        *_rare_labels(looked_at_training, description.labels, facts.patients),
        *copies,
        *_near_copies(looked_at_training, looked_at_test, facts, splits, copies),
        *_unplaced(inspections, folder),
        *_orientations(inspections),
        *_far_intensities(looked_at_training, looked_at_test, description.channels, facts),
    ]
    return VerificationReport(task=folder.name, training=len(training), test=len(test), findings=tuple(findings))


def _annotated(description: Description, facts: FactsTable) -> tuple[list[Case], list[Case], list[Finding]]:
    """The cases, each once and with what was drawn in it, and what is wrong with what is said of that."""
    notes = Notes()
    training = _once(description.training)
    if description.target is not None:
        training = list(annotate(training, description.annotated, description.target, facts, notes))
    findings = [Finding(severity="error", where=DATASET_FILE, text=problem) for problem in notes.problems]
    return training, _once(description.test), findings


def _once(cases: Iterable[Case]) -> list[Case]:
    """A case listed twice is a fault of dataset.json, and looked at once."""
    return list({case.identifier: case for case in cases}.values())


def _inspect_all(
    cases: list[Case], folder: Path, description: Description, workers: int
) -> tuple[list[Inspection], list[Finding]]:
    """Inspect every case; one that takes its worker down with it becomes a finding, and the others are still looked at."""
    inspect = partial(inspect_case, folder=folder, labels=description.labels, target=description.target)
    try:
        return run_on_cases(inspect, cases, task="verifying", workers=workers), []
    except CasesFailed as failed:
        reasons = dict(failed.failures)
        findings = [Finding(severity="error", where=f"case {name}", text=why) for name, why in failed.failures]
        rest = [case for case in cases if case.identifier not in reasons]
        inspections, more = _inspect_all(rest, folder, description, workers)
        return inspections, findings + more


# ------------------------------------------------------------- dataset.json


def _wrong_counts(description: Description) -> list[Finding]:
    listed = (len(description.training), len(description.test))
    return [
        Finding(
            severity="warning",
            where=DATASET_FILE,
            text=f"{key} says {count!r}, but {counted(number, 'is', 'are')} listed; correct the number or the list",
        )
        for key, count, number in zip(("numTraining", "numTest"), description.counts, listed, strict=True)
        if count is not None and str(count) != str(number)
    ]


# ------------------------------------------------------- cases side by side


def _rare_labels(training: Sequence[Inspection], labels: Sequence[str], patients: Mapping[str, str]) -> list[Finding]:
    """Only where every label file could be read: one more may hold what is missing in the others."""
    holders = {one.case.identifier: one.label_values for one in training if one.label_values is not None}
    if len(holders) < len(training):
        return []
    rare = rare_labels(labels, holders, patients)
    return [Finding(severity="warning", where=DATASET_FILE, text=text) for text in rare]


def _near_copies(
    training: Sequence[Inspection],
    test: Sequence[Inspection],
    facts: FactsTable,
    splits: Path | None,
    copies: Sequence[Finding],
) -> list[Finding]:
    """By the folds that are there; where they cannot be read, that is told elsewhere, and so are copies."""
    try:
        folds = read_splits(splits) if splits is not None and splits.is_file() else ()
    except TrainingError:
        folds = ()
    told = {finding.where for finding in copies}
    near = find_near_copies(training, test, facts.patient, folds)
    return [finding for finding in near if finding.where not in told]


def _unplaced(inspections: Sequence[Inspection], folder: Path) -> list[Finding]:
    """Of each kind of file, those whose headers say nothing."""
    places = [path.relative_to(folder) for one in inspections for path in one.unplaced]
    groups = [
        [place.name for place in places if place.parts[0] == kind] for kind in ("imagesTr", "labelsTr", "imagesTs")
    ]
    text = (
        "no orientation in the header (a NIfTI without qform and sform, a NRRD without space, a MetaImage "
        "without TransformMatrix), so nothing tells left from right; "
        "make sure that all lie alike, and write the true orientation where it is known"
    )
    kinds = zip(("imagesTr", "labelsTr", "imagesTs"), groups, strict=True)
    return [
        Finding(severity="warning", where=f"{kind}: {first_few(names, LISTED_NAMES)}", text=text)
        for kind, names in kinds
        if names
    ]


def _orientations(inspections: Sequence[Inspection]) -> list[Finding]:
    groups = defaultdict(list)
    for one in inspections:
        if one.orientation:
            groups[one.orientation].append(one.case.identifier)
    if len(groups) < 2:
        return []
    (common, count), *rarer = Counter({code: len(names) for code, names in groups.items()}).most_common()
    return [
        Finding(
            severity="warning",
            where=f"{agreeing(len(groups[code]), 'case')} {first_few(groups[code], LISTED_NAMES)}",
            text=f"oriented {code}, while {counted(count, 'case is', 'cases are')} {common}; "
            f"reorient {agreeing(len(groups[code]), 'it if it was', 'them if they were')} not meant to be",
        )
        for code, _ in rarer
    ]


def _far_intensities(
    training: Sequence[Inspection], test: Sequence[Inspection], channels: Sequence[str], facts: FactsTable
) -> list[Finding]:
    """Each held against the others of its contrast, where that is known."""
    findings = []
    for channel, name in enumerate(channels):
        by_contrast: dict[str | None, list[list[tuple[str, tuple[float, float]]]]] = {}
        for number, group in enumerate((training, test)):
            for one in group:
                if (ends := one.ranges[channel]) and ends[0] < ends[1]:
                    contrast = facts.of(one.case.identifier).get(CONTRAST)
                    by_contrast.setdefault(contrast, [[], []])[number].append((one.case.identifier, ends))
        for trained, tested in by_contrast.values():
            ranges = [*trained, *tested]
            for index in far_ranges([ends for _, ends in ranges], len(trained)):
                identifier, (low, high) = ranges[index]
                text = (
                    f"channel {channel} ({readable(name)}) runs from {low:.4g} to {high:.4g}, far from the other cases; "
                    "check its unit and that it is the right image"
                )
                findings.append(Finding(severity="warning", where=f"case {identifier}", text=text))
    return findings
