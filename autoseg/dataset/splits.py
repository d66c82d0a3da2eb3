"""Which cases train and which validate: five folds in `splits_final.json`, or the user's own.

The file is a list of `{"train": [...], "val": [...]}`, one entry for each fold; an edited file is honoured. With a
`patients.json` (`{case: patient}`) all cases of a patient fall into one fold.
"""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from autoseg.errors import StorageError, TrainingError
from autoseg.storage import read_json, write_json

log = logging.getLogger(__name__)

FOLDS = 5
SPLIT_SEED = 12345
"""Both are those of the field's published cross-validations, so that scores compare."""

ALL = "all"
NAMES_SHOWN = 10


@dataclass(frozen=True, slots=True, kw_only=True)
class Split:
    """Identifiers of the training and validation cases of one fold, sorted."""

    training: tuple[str, ...]
    validation: tuple[str, ...]


def open_split(path: Path, identifiers: Sequence[str], fold: str, *, patients: Path | None = None) -> Split:
    """The split of one fold, from `path` where that file is, else made and written there.

    Args:
        identifiers: All prepared cases.
        fold: "0" to "4" (as many as the file has), or "all": every case trains and validates, no file is read.
        patients: The user's `patients.json`, looked at when folds are made; may not exist.

    Raises:
        TrainingError: Too few cases, a fold that is not there, or a file that does not fit the cases.
    """
    everything = tuple(sorted(identifiers))
    if fold == ALL:
        return Split(training=everything, validation=everything)
    splits = open_splits(path, everything, patients=patients)
    if not fold.isdecimal() or int(fold) >= len(splits):
        known = ", ".join(str(number) for number in range(len(splits)))
        raise TrainingError(f"fold {fold}: {path} holds the folds {known}; use one of them, or all")
    return splits[int(fold)]


def open_splits(path: Path, identifiers: Sequence[str], *, patients: Path | None = None) -> tuple[Split, ...]:
    """All folds, from `path` where that file is, else made and written there; see `open_split`."""
    everything = tuple(sorted(identifiers))
    if path.is_file():
        return _read_splits(path, everything)
    splits = make_splits(everything, patients=_read_patients(patients, everything))
    write_json(path, [{"train": split.training, "val": split.validation} for split in splits])
    log.info("%s: %d folds of %d cases written", path, len(splits), len(everything))
    return splits


def make_splits(identifiers: Sequence[str], *, patients: Mapping[str, str] | None = None) -> tuple[Split, ...]:
    """Five folds, shuffled with a fixed seed; with `patients` it is patients that are shuffled and kept together.

    Raises:
        TrainingError: Fewer than five cases or patients.
    """
    from sklearn.model_selection import KFold

    group_of = patients or {identifier: identifier for identifier in identifiers}
    groups = sorted({group_of[identifier] for identifier in identifiers})
    if len(groups) < FOLDS:
        what = "patients" if patients else "cases"
        raise TrainingError(
            f"{len(groups)} {what} are too few for {FOLDS} folds; train fold `all`, or write splits_final.json yourself"
        )
    splits = []
    for _, held_out in KFold(FOLDS, shuffle=True, random_state=SPLIT_SEED).split(groups):
        chosen = {groups[number] for number in held_out}
        splits.append(
            Split(
                training=tuple(sorted(case for case in identifiers if group_of[case] not in chosen)),
                validation=tuple(sorted(case for case in identifiers if group_of[case] in chosen)),
            )
        )
    return tuple(splits)


def _read_patients(path: Path | None, identifiers: Sequence[str]) -> Mapping[str, str] | None:
    if path is None or not path.is_file():
        return None
    patients = _read(path)
    if not isinstance(patients, dict) or not all(isinstance(patient, str) for patient in patients.values()):
        raise TrainingError(f'{path}: expected an object such as {{"case_001": "patient_a"}}; correct the file')
    if missing := [identifier for identifier in identifiers if identifier not in patients]:
        raise TrainingError(f"{path}: no patient is given for {listing(missing)}; add them")
    log.info("%s: %d patients, each kept in one fold", path, len({patients[case] for case in identifiers}))
    return patients


def _read_splits(path: Path, identifiers: Sequence[str]) -> tuple[Split, ...]:
    content = _read(path)
    if not isinstance(content, list) or not content:
        raise TrainingError(
            f'{path}: expected a list of objects such as {{"train": ["a"], "val": ["b"]}}; '
            "correct the file, or delete it to have folds made"
        )
    return tuple(_checked_split(path, number, entry, set(identifiers)) for number, entry in enumerate(content))


def _checked_split(path: Path, number: int, entry: Any, known: set[str]) -> Split:
    where = f"{path}: fold {number}"
    parts = []
    for key in ("train", "val"):
        cases = entry.get(key) if isinstance(entry, dict) else None
        if not isinstance(cases, list) or not all(isinstance(case, str) for case in cases):
            raise TrainingError(
                f'{where}: expected an object such as {{"train": ["a"], "val": ["b"]}}; '
                "correct the file, or delete it to have folds made"
            )
        if not cases:
            raise TrainingError(f"{where}: {key} is empty; every fold needs training and validation cases")
        if unknown := sorted(set(cases) - known):
            raise TrainingError(
                f"{where}: {key} names cases that are not prepared: {listing(unknown)}; "
                "correct the file, delete it to have folds made, or run autoseg_plan_and_preprocess"
            )
        if double := sorted(case for case, times in Counter(cases).items() if times > 1):
            raise TrainingError(f"{where}: {key} names cases more than once: {listing(double)}; name each once")
        parts.append(tuple(sorted(cases)))
    training, validation = parts
    if both := sorted(set(training) & set(validation)):
        raise TrainingError(f"{where}: in training and validation at once: {listing(both)}; keep each in one")
    return Split(training=training, validation=validation)


def _read(path: Path) -> Any:
    try:
        return read_json(path)
    except StorageError as error:
        raise TrainingError(f"{error}; correct the file, or delete it to have folds made") from error


def listing(names: Sequence[str]) -> str:
    """The first few names, and how many there are more."""
    more = f" and {len(names) - NAMES_SHOWN} more" if len(names) > NAMES_SHOWN else ""
    return ", ".join(names[:NAMES_SHOWN]) + more
