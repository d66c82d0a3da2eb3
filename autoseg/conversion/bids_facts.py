"""What a BIDS dataset says of its images beside them: participants, sessions, names and JSON files, as columns of ours."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from autoseg.conversion.bids_files import PARTICIPANTS_FILE, SESSION, SUBJECT, BidsImage, BidsTree, json_files
from autoseg.dataset.facts import Facts
from autoseg.dataset.metadata import CONTRAST, PATIENT, read_table
from autoseg.dataset.notes import Notes
from autoseg.errors import DatasetError, StorageError
from autoseg.files.storage import read_json

LONG_NAMES = {SUBJECT: PATIENT, SESSION: "session"}
"""What our columns call entities; others keep their short names."""

UNKNOWN = {"", "-", "?", "n/a", "na", "nan", "none", "null", "unknown"}
"""What people write where nothing is known."""

IDENTIFYING = {
    "first_name",
    "last_name",
    "name",
    "patient_name",
    "date_of_birth",
    "birthdate",
    "patientname",
    "patientbirthdate",
    "patientid",
}
"""Columns that stay behind."""

LONGEST = 100
"""Characters of a value; longer ones are comments."""


def facts_of_images(tree: BidsTree, images: Mapping[str, BidsImage]) -> dict[str, Facts]:
    """What is known of each case.

    Args:
        images: By the cases' names, the image that speaks for it.

    Raises:
        DatasetError: A table or a JSON file cannot be read.
    """
    participants = _table(tree.folder / PARTICIPANTS_FILE)
    return {case: _facts(tree.folder, image, participants) for case, image in images.items()}


def _facts(folder: Path, image: BidsImage, participants: Mapping[str, Mapping[str, str]]) -> Facts:
    subject, session = f"{SUBJECT}-{image.name.entity(SUBJECT)}", image.name.entity(SESSION)
    known = {LONG_NAMES.get(name, name): value for name, value in image.name.entities if name != SUBJECT}
    known = {PATIENT: subject, CONTRAST: image.name.contrast, **known}
    said: list[Mapping[str, str]] = [participants.get(subject, {})]
    if session is not None:
        said.append(_table(folder / subject / f"{subject}_sessions.tsv").get(f"{SESSION}-{session}", {}))
    said += [_sidecar(path) for path in json_files(folder, image)]
    columns = {name: value for one in said for name, value in one.items()}
    known |= {name: value for name, value in columns.items() if name not in known}
    return Facts(known=tuple((name, value) for name, value in known.items() if _is_kept(name, value)))


def _table(path: Path) -> Mapping[str, Mapping[str, str]]:
    notes = Notes()
    table = read_table(path, notes)
    if notes.faults:
        raise DatasetError(f"{path.parent / notes.problems[0]}")
    return {row.case: {name: _plain(cell) for name, cell in row.known} for row in table.rows}


def _sidecar(path: Path) -> Mapping[str, str]:
    try:
        content = read_json(path)
    except StorageError as error:
        raise DatasetError(f"{error}; correct the file") from error
    if not isinstance(content, dict):
        raise DatasetError(f"{path}: expected an object with named values; correct the file")
    return {
        str(name): _plain(str(value)) for name, value in content.items() if isinstance(value, (str, int, float, bool))
    }


def _plain(text: str) -> str:
    """As it may stand in a cell."""
    return " ".join("".join(sign if sign.isprintable() else " " for sign in text).split()).lstrip('"')


def _is_kept(name: str, value: str) -> bool:
    is_told = value.casefold() not in UNKNOWN and len(value) <= LONGEST
    return is_told and name.casefold() not in IDENTIFYING and bool(name.strip()) and name == _plain(name)
