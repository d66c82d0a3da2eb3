"""What is known of the cases of a task beside their images: `metadata.tsv` beside dataset.json, and `patients.json`.

`metadata.tsv` has a line that names the columns and then a line for each case, whose name stands in the first column.
`patients.json` (`{case: patient}`) is one more way to write the column `patient`.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from autoseg.dataset.metadata import PATIENT, Row, Table, read_table
from autoseg.dataset.notes import Notes
from autoseg.errors import DatasetError, StorageError
from autoseg.files.layout import METADATA_FILE, PATIENTS_FILE
from autoseg.files.storage import read_json
from autoseg.images import split_ending
from autoseg.words import agreeing, counted, first_few, readable

PATIENTS_EXAMPLE = 'expected an object such as {"case_001": "patient_a"}; correct the file'


@dataclass(frozen=True, slots=True, kw_only=True)
class Facts:
    """What is known of one case.

    Attributes:
        known: Names of columns and what stands there for the case; a column in which nothing is known is left out.
    """

    known: tuple[tuple[str, str], ...] = ()

    def __bool__(self) -> bool:
        return bool(self.known)

    def get(self, column: str) -> str | None:
        """What stands in a column; None where nothing is known."""
        return dict(self.known).get(column)

    def with_patient(self, patient: str) -> Facts:
        """The same of a case whose patient is known."""
        return Facts(known=tuple({**dict(self.known), PATIENT: patient}.items()))


NOTHING = Facts()


@dataclass(frozen=True, slots=True, kw_only=True)
class FactsTable:
    """What is known of all cases of a task.

    Attributes:
        by_case: The facts of each case of which anything is said.
        patients_file: What says whose image each case is; None where nothing does.
        problems: What is wrong with the files, a line each, which begins with the file's name.
        remarks: What is missing, likewise.
    """

    by_case: Mapping[str, Facts] = field(default_factory=dict)
    patients_file: Path | None = None
    problems: tuple[str, ...] = ()
    remarks: tuple[str, ...] = ()

    def of(self, case: str) -> Facts:
        """The facts of a case; none where nothing is said of it."""
        return self.by_case.get(case, NOTHING)

    def patient(self, case: str) -> str:
        """Whose image a case is; one of which that is not known is a patient of its own."""
        return self.of(case).get(PATIENT) or case

    @property
    def patients(self) -> Mapping[str, str]:
        """The patient of each case of which that is known."""
        found = {case: facts.get(PATIENT) for case, facts in self.by_case.items()}
        return {case: patient for case, patient in found.items() if patient is not None}


NOTHING_KNOWN = FactsTable()


def read_facts(folder: Path, cases: Collection[str] | None = None) -> FactsTable:
    """What is known of the cases of a raw task; neither file has to be there.

    Args:
        folder: With metadata.tsv and patients.json.
        cases: All that dataset.json lists, for training and test; without them any names are taken.

    Raises:
        DatasetError: One line for everything that is wrong with the two files.
    """
    table = inspect_facts(folder, cases)
    if len(table.problems) == 1:
        raise DatasetError(f"{folder / table.problems[0]}")
    if table.problems:
        listing = "\n".join(f"  {problem}" for problem in table.problems)
        raise DatasetError(
            f"{folder}: {counted(len(table.problems), 'problem')} in what is said of the cases\n{listing}\nPut right and run again."
        )
    return table


def inspect_facts(folder: Path, cases: Collection[str] | None = None) -> FactsTable:
    """The same, with what is wrong listed rather than raised; a file with a fault may count in part."""
    notes = Notes()
    table = read_table(folder / METADATA_FILE, notes)
    patients = _read_patients(folder / PATIENTS_FILE, notes)
    rows = {row.case: row for row in table.rows}
    if cases is not None:
        _note_unknown(table, cases, notes)
    by_case = {case: Facts(known=row.known) for case, row in rows.items()}
    for case, patient in (patients or {}).items():
        _note_contradiction(case, patient, rows.get(case), notes)
        by_case[case] = by_case.get(case, NOTHING).with_patient(patient)
    return FactsTable(
        by_case=by_case,
        patients_file=_patients_file(folder, patients, table),
        problems=notes.problems,
        remarks=() if notes.faults else _without_row(table, cases or ()),
    )


def _read_patients(path: Path, notes: Notes) -> Mapping[str, str] | None:
    """`{case: patient}`; None where there is no such file, or none that can be read."""
    if not path.exists():
        return None
    try:
        patients = read_json(path)
    except StorageError as error:
        notes.add(f"{path.name}: {str(error).removeprefix(f'{path}: ')}; correct the file")
        return None
    if not isinstance(patients, dict) or not all(isinstance(patient, str) for patient in patients.values()):
        notes.add(f"{path.name}: {PATIENTS_EXAMPLE}")
        return None
    return patients


def _patients_file(folder: Path, patients: Mapping[str, str] | None, table: Table) -> Path | None:
    if patients is not None:
        return folder / PATIENTS_FILE
    return folder / METADATA_FILE if PATIENT in table.columns else None


def _note_unknown(table: Table, cases: Collection[str], notes: Notes) -> None:
    unknown = [row for row in table.rows if row.case not in cases]
    if unknown:
        named = first_few(unknown, say=lambda row: f"{readable(row.case)} (line {row.line})")
        notes.add(
            f"{METADATA_FILE}: names {counted(len(unknown), 'case')} that the dataset does not have: {named}"
            f"{_hint(unknown[0].case, cases)}; correct {agreeing(len(unknown), 'the name', 'the names')}, or take "
            f"{agreeing(len(unknown), 'the line', 'the lines')} out"
        )


def _hint(name: str, cases: Collection[str]) -> str:
    """The case that is meant by a file's name, or by one that a spreadsheet has changed; empty where none is."""
    meant = [case for case in cases if _core(case) == _core(name)]
    return f"; {readable(name)} seems to be {readable(meant[0])}" if len(meant) == 1 else ""


def _core(name: str) -> str:
    """What stays of a name: no ending, no number of a first channel, no leading zeros, small letters and digits."""
    stem = re.sub("_0000$", "", split_ending(name)[0] or name)
    return re.sub(r"[\W_]|(?<!\d)0+(?=\d)", "", stem.casefold())


def _note_contradiction(case: str, patient: str, row: Row | None, notes: Notes) -> None:
    there = dict(row.known).get(PATIENT) if row else None
    if row is not None and there is not None and there != patient:
        notes.add(
            f"{PATIENTS_FILE}: {readable(case)} is of patient {readable(patient)}, but of {readable(there)} in "
            f"{METADATA_FILE}, line {row.line}; correct one of the two, or take patients.json away",
            kind="contradiction",
        )


def _without_row(table: Table, cases: Collection[str]) -> tuple[str, ...]:
    with_row = {row.case for row in table.rows}
    missing = sorted(case for case in cases if case not in with_row) if table.rows else []
    if not missing:
        return ()
    return (
        f"{METADATA_FILE}: no line for {counted(len(missing), 'case')}, so nothing is known of "
        f"{agreeing(len(missing), 'it', 'them')}: {first_few(missing)}",
    )
