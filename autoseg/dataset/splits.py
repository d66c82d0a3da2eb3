"""Which cases train and which validate: five folds in `splits_final.json`, or the user's own.

The file is a list of `{"train": [...], "val": [...]}`, one entry for each fold; an edited file is honoured. Where there is
none, folds are made by a rule from what is known of the cases.
"""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from autoseg.dataset.facts import NOTHING_KNOWN, FactsTable
from autoseg.dataset.folds import DEFAULT_RULE, Split, SplitRule, fold_of_all, roles_of
from autoseg.dataset.split_request import left_out, read_split_record, staleness
from autoseg.errors import StorageError, TrainingError
from autoseg.files.layout import ALL
from autoseg.files.storage import read_json, write_json
from autoseg.words import agreeing, counted, first_few

log = logging.getLogger(__name__)

NEW_FOLDS = "move that file away and autoseg_train makes new folds, for which every fold has to be trained anew"


def open_split(path: Path, identifiers: Sequence[str], fold: str, *, facts: FactsTable = NOTHING_KNOWN) -> Split:
    """The split of one fold, from `path` where that file is, else made and written there.

    Args:
        identifiers: All prepared cases.
        fold: "0" to "4" (as many as the file has), or "all": every case trains and validates, no file is read
            (but those that the column `split` keeps from it).
        facts: What is known of the cases. Folds that are made keep patients together; of folds that are there it is
            said when they do not.

    Raises:
        TrainingError: Too few cases, a fold that is not there, or a file that does not fit the cases.
    """
    everything = tuple(sorted(identifiers))
    if fold == ALL:
        return fold_of_all({case: facts.of(case) for case in everything})
    splits = open_splits(path, everything, facts=facts)
    if not fold.isdecimal() or int(fold) >= len(splits):
        known = ", ".join(str(number) for number in range(len(splits)))
        raise TrainingError(
            f"fold {fold}: {path} holds the {agreeing(len(splits), 'fold')} {known}; "
            f"use {agreeing(len(splits), 'it', 'one of them')}, or all"
        )
    for remark in _remarks(path, splits, everything, facts, shown=(int(fold),)):
        log.warning("%s", remark)
    return splits[int(fold)]


def describe_gaps(path: Path, identifiers: Sequence[str], *, facts: FactsTable = NOTHING_KNOWN) -> tuple[str, ...]:
    """What is amiss with the folds in a file, a line each.

    Cases that are in no fold, cases that are no longer listed, and patients who are on both sides of one.

    Args:
        identifiers: All cases that could be trained on.
        facts: What is known of them.

    Raises:
        TrainingError: The file does not fit the cases.
    """
    if not path.is_file():
        return ()
    splits, everything = read_splits(path), sorted(identifiers)
    remarks = _remarks(path, splits, everything, facts, shown=range(len(splits)))
    named = {case for split in splits for case in (*split.training, *split.validation)}
    if unknown := sorted(named - set(everything)):
        remarks += (
            f"{path}: names {counted(len(unknown), 'case')} that dataset.json does not list: {first_few(unknown)}; training "
            f"refuses such a fold, take them out of the file, or {NEW_FOLDS}",
        )
    return remarks


def open_splits(
    path: Path,
    identifiers: Sequence[str],
    *,
    facts: FactsTable = NOTHING_KNOWN,
    rule: SplitRule = DEFAULT_RULE,
) -> tuple[Split, ...]:
    """All folds, from `path` where that file is, else made by a rule and written there; see `open_split`."""
    everything = tuple(sorted(identifiers))
    if path.is_file():
        return read_splits(path, everything)
    _require_patients(everything, facts)
    known = {case: facts.of(case) for case in everything}
    roles_of(known)
    try:
        splits = rule.split(known)
    except TrainingError as error:
        raise TrainingError(f'{path}: {error}, one entry {{"train": [...], "val": [...]}} for each fold') from error
    write_splits(path, splits)
    log.info("%s: %s of %s written", path, counted(len(splits), "fold"), counted(len(everything), "case"))
    return splits


def write_splits(path: Path, splits: Sequence[Split]) -> None:
    """The folds as a file."""
    write_json(path, [{"train": split.training, "val": split.validation} for split in splits])


def _require_patients(identifiers: Sequence[str], facts: FactsTable) -> None:
    """Where patients are given, every case needs one: folds are made once."""
    if facts.patients_file is None:
        return
    patients = facts.patients
    if missing := [identifier for identifier in identifiers if identifier not in patients]:
        raise TrainingError(f"{facts.patients_file}: no patient is given for {first_few(missing)}; add them")
    number = counted(len({patients[case] for case in identifiers}), "patient")
    log.info("%s: %s, each kept in one fold", facts.patients_file, number)


def _remarks(
    path: Path, splits: Sequence[Split], identifiers: Sequence[str], facts: FactsTable, shown: Sequence[int]
) -> tuple[str, ...]:
    """What is missing in the folds, and for those shown the patients on both sides."""
    patients, record = facts.patients, read_split_record(path, splits)
    remarks = [] if record is None else staleness(path, record, identifiers, facts)
    known = {case for split in splits for case in (*split.training, *split.validation)}
    known |= left_out(record, identifiers, facts)
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


def read_splits(path: Path, identifiers: Sequence[str] | None = None) -> tuple[Split, ...]:
    """All folds of a file.

    Args:
        identifiers: All prepared cases; None takes cases of any name.

    Raises:
        TrainingError: The file is damaged, or does not fit the cases.
    """
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
