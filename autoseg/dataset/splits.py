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
from autoseg.files.layout import ALL
from autoseg.files.storage import read_json, write_json
from autoseg.words import agreeing, counted, first_few

log = logging.getLogger(__name__)

FOLDS = 5
SPLIT_SEED = 12345
"""Both are those of the field's published cross-validations, so that scores compare."""


NEW_FOLDS = "move that file away to have new folds made, for which every fold has to be trained anew"


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
        patients: The user's `patients.json`; may not exist. Folds that are made keep its patients together; of folds
            that are there it is said when they do not.

    Raises:
        TrainingError: Too few cases, a fold that is not there, or a file that does not fit the cases.
    """
    everything = tuple(sorted(identifiers))
    if fold == ALL:
        return Split(training=everything, validation=everything)
    splits = open_splits(path, everything, patients=patients)
    if not fold.isdecimal() or int(fold) >= len(splits):
        known = ", ".join(str(number) for number in range(len(splits)))
        raise TrainingError(
            f"fold {fold}: {path} holds the {agreeing(len(splits), 'fold')} {known}; "
            f"use {agreeing(len(splits), 'it', 'one of them')}, or all"
        )
    for remark in _remarks(path, splits, everything, read_patients(patients), shown=(int(fold),)):
        log.warning("%s", remark)
    return splits[int(fold)]


def describe_gaps(path: Path, identifiers: Sequence[str], *, patients: Path | None = None) -> tuple[str, ...]:
    """What is amiss with the folds in a file, a line each.

    Cases that are in no fold, cases that are no longer listed, and patients who are on both sides of one.

    Args:
        identifiers: All cases that could be trained on.
        patients: The user's `patients.json`; may not exist.

    Raises:
        TrainingError: The file does not fit the cases, or the patients cannot be read.
    """
    if not path.is_file():
        return ()
    splits, everything = _read_splits(path, None), sorted(identifiers)
    remarks = _remarks(path, splits, everything, read_patients(patients), shown=range(len(splits)))
    named = {case for split in splits for case in (*split.training, *split.validation)}
    if unknown := sorted(named - set(everything)):
        remarks += (
            f"{path}: names {counted(len(unknown), 'case')} that dataset.json does not list: {first_few(unknown)}; training "
            f"refuses such a fold, take them out of the file, or {NEW_FOLDS}",
        )
    return remarks


def too_few_for_folds(number: int, *, patients: bool = False) -> str | None:
    """Why so many cases, or patients, cannot be cross-validated; None where they can."""
    if number >= FOLDS:
        return None
    one = "patient" if patients else "case"
    return (
        f"{counted(number, f'{one} is', f'{one}s are')} too few for {FOLDS} folds; train fold `all`, "
        "or write splits_final.json yourself"
    )


def open_splits(path: Path, identifiers: Sequence[str], *, patients: Path | None = None) -> tuple[Split, ...]:
    """All folds, from `path` where that file is, else made and written there; see `open_split`."""
    everything = tuple(sorted(identifiers))
    if path.is_file():
        return _read_splits(path, everything)
    patient_of = _patients_of(patients, everything)
    try:
        splits = make_splits(everything, patients=patient_of)
    except TrainingError as error:
        raise TrainingError(f'{path}: {error}, one entry {{"train": [...], "val": [...]}} for each fold') from error
    write_json(path, [{"train": split.training, "val": split.validation} for split in splits])
    log.info("%s: %s of %s written", path, counted(len(splits), "fold"), counted(len(everything), "case"))
    return splits


def make_splits(identifiers: Sequence[str], *, patients: Mapping[str, str] | None = None) -> tuple[Split, ...]:
    """Five folds, shuffled with a fixed seed; with `patients` it is patients that are shuffled and kept together.

    Raises:
        TrainingError: Fewer than five cases or patients.
    """
    from sklearn.model_selection import KFold

    group_of = patients or {identifier: identifier for identifier in identifiers}
    groups = sorted({group_of[identifier] for identifier in identifiers})
    if reason := too_few_for_folds(len(groups), patients=bool(patients)):
        raise TrainingError(reason)
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


def read_patients(path: Path | None) -> Mapping[str, str]:
    """The user's `patients.json`, `{case: patient}`; empty where there is none.

    Raises:
        TrainingError: It is no such object.
    """
    if path is None or not path.is_file():
        return {}
    patients = _read(path)
    if not isinstance(patients, dict) or not all(isinstance(patient, str) for patient in patients.values()):
        raise TrainingError(f'{path}: expected an object such as {{"case_001": "patient_a"}}; correct the file')
    return patients


def _patients_of(path: Path | None, identifiers: Sequence[str]) -> Mapping[str, str] | None:
    """Of every case; None where there is no such file."""
    if path is None or not path.is_file():
        return None
    patients = read_patients(path)
    if missing := [identifier for identifier in identifiers if identifier not in patients]:
        raise TrainingError(f"{path}: no patient is given for {first_few(missing)}; add them")
    log.info("%s: %s, each kept in one fold", path, counted(len({patients[case] for case in identifiers}), "patient"))
    return patients


def _remarks(
    path: Path, splits: Sequence[Split], identifiers: Sequence[str], patients: Mapping[str, str], shown: Sequence[int]
) -> tuple[str, ...]:
    """What is missing in the folds, and for those shown the patients on both sides."""
    remarks = []
    known = {case for split in splits for case in (*split.training, *split.validation)}
    if outside := [case for case in identifiers if case not in known]:
        remarks.append(
            f"{path}: {counted(len(outside), 'case')} in no fold, so {agreeing(len(outside), 'it is', 'they are')} "
            "neither trained on nor validated: "
            f"{first_few(outside)}; {NEW_FOLDS}"
        )
    divided = {number: both for number in shown if (both := _on_both_sides(splits[number], patients))}
    if divided:
        names = sorted({patient for both in divided.values() for patient in both})
        folds = f"{agreeing(len(divided), 'fold')} {', '.join(map(str, divided))}"
        remarks.append(
            f"{path}: {folds}: trained on and validated with images of the same "
            f"{agreeing(len(names), 'patient')}, so the scores are too good: {first_few(names)}; keep all cases "
            f"of a patient on one side, or {NEW_FOLDS}"
        )
    return tuple(remarks)


def _on_both_sides(split: Split, patients: Mapping[str, str]) -> set[str]:
    training = {patients[case] for case in split.training if case in patients}
    return training & {patients[case] for case in split.validation if case in patients}


def _read_splits(path: Path, identifiers: Sequence[str] | None) -> tuple[Split, ...]:
    """All folds; without `identifiers` cases of any name are taken."""
    content = _read(path)
    if not isinstance(content, list) or not content:
        raise TrainingError(
            f'{path}: expected a list of objects such as {{"train": ["a"], "val": ["b"]}}; '
            "correct the file, or delete it to have folds made"
        )
    known = None if identifiers is None else set(identifiers)
    return tuple(_checked_split(path, number, entry, known) for number, entry in enumerate(content))


def _checked_split(path: Path, number: int, entry: Any, known: set[str] | None) -> Split:
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
        if known is not None and (unknown := sorted(set(cases) - known)):
            raise TrainingError(
                f"{where}: {key} names cases that are not prepared: {first_few(unknown)}; "
                "correct the file, delete it to have folds made, or run autoseg_plan_and_preprocess"
            )
        if double := sorted(case for case, times in Counter(cases).items() if times > 1):
            raise TrainingError(f"{where}: {key} names cases more than once: {first_few(double)}; name each once")
        parts.append(tuple(sorted(cases)))
    training, validation = parts
    if both := sorted(set(training) & set(validation)):
        raise TrainingError(f"{where}: in training and validation at once: {first_few(both)}; keep each in one")
    return Split(training=training, validation=validation)


def _read(path: Path) -> Any:
    try:
        return read_json(path)
    except StorageError as error:
        raise TrainingError(f"{error}; correct the file, or delete it to have folds made") from error
