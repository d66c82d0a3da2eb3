"""`splits_final.json` made as somebody asks, once, and how what is known of the cases is shared out in it."""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from autoseg.dataset.conditions import parse_condition, require_columns
from autoseg.dataset.description import read_dataset
from autoseg.dataset.facts import Facts
from autoseg.dataset.folds import SPLIT, Split
from autoseg.dataset.metadata import PATIENT
from autoseg.dataset.split_request import SplitRequest, record_of, write_split_record
from autoseg.dataset.split_rules import Reused, grouped, kinds_of, noun_of
from autoseg.dataset.splits import read_splits, write_splits
from autoseg.errors import StorageError, TrainingError
from autoseg.files.storage import read_json
from autoseg.files.task_folder import TaskFolder
from autoseg.images import split_ending
from autoseg.words import RESULT, agreeing, counted, first_few

log = logging.getLogger(__name__)

KEYS = {"train": ("train",), "val": ("val", "valid", "validation")}
"""What folds are called in files of others."""


@dataclass(frozen=True, slots=True, kw_only=True)
class MadeSplits:
    """Folds of some cases.

    Attributes:
        facts: Of every case that was meant.
    """

    request: SplitRequest
    splits: tuple[Split, ...]
    facts: Mapping[str, Facts]


def make_splits(
    task: TaskFolder, request: SplitRequest, *, reuse: Path | None = None, overwrite: bool = False
) -> MadeSplits:
    """Write a task's `splits_final.json` as it is asked for.

    Args:
        reuse: A file of folds whose names are those of cases, of their images, or of groups of cases.
        overwrite: Whether other folds that are there may be replaced.

    Raises:
        DatasetError: The task cannot be read, a column or condition is not there.
        TrainingError: The cases do not allow it; or there are other folds already.
    """
    dataset = read_dataset(task.raw)
    known = {case.identifier: case.facts for case in dataset.training}
    chosen = known if request.where is None else dict.fromkeys(parse_condition(request.where).chosen(known))
    facts = {case: known[case] for case in chosen}
    _require_groups(facts, request.group_by)
    reused = None if reuse is None else read_foreign_folds(reuse, request.group_by)
    splits = request.rule(reused).split(facts)
    if reused is not None and (unknown := reused.unknown(facts)):
        log.warning("%s: names %s that nothing is called here: %s", reuse, len(unknown), first_few(unknown))
    there = read_splits(task.splits) if task.splits.is_file() else splits
    if there != splits and not overwrite:
        raise TrainingError(
            f"{task.splits}: {counted(len(there), 'fold')} other than what is asked for; to have "
            f"{agreeing(len(there), 'it', 'them')} replaced add `overwrite`, and every fold has to be trained anew"
        )
    write_splits(task.splits, splits)
    write_split_record(task.splits_rule, record_of(request, splits, known, reused="" if reuse is None else str(reuse)))
    log.info(
        "written: %s: %s of %s", task.splits, counted(len(splits), "fold"), counted(len(facts), "case"), extra=RESULT
    )
    return MadeSplits(request=request, splits=splits, facts=facts)


def _require_groups(facts: Mapping[str, Facts], group_by: str) -> None:
    """Every case needs its group, where groups are known at all; folds are made once."""
    if group_by != PATIENT:
        require_columns([group_by], facts)
    missing = [case for case in facts if facts[case].get(group_by) is None]
    if missing and len(missing) < len(facts):
        raise TrainingError(
            f"no {group_by} is given for {first_few(missing)}; add {agreeing(len(missing), 'it', 'them')}"
        )


def read_foreign_folds(path: Path, together: str) -> Reused:
    """Folds of another file: a list of objects with `train` and `val`, or one such object.

    Raises:
        TrainingError: It is none.
    """
    try:
        content = read_json(path)
    except StorageError as error:
        raise TrainingError(f"{error}; name a file in JSON such as splits_final.json") from error
    entries = content if isinstance(content, list) else [content]
    if not entries:
        raise TrainingError(f"{path}: holds no fold")
    folds = tuple(_foreign_fold(path, number, entry) for number, entry in enumerate(entries))
    return Reused(folds=folds, together=together)


def _foreign_fold(path: Path, number: int, entry: Any) -> Split:
    parts = []
    for spellings in KEYS.values():
        key = next((key for key in spellings if isinstance(entry, dict) and key in entry), None)
        names = entry[key] if key else None
        if not isinstance(names, list) or not names or not all(isinstance(name, str) for name in names):
            raise TrainingError(
                f'{path}: fold {number}: expected an object such as {{"train": ["a"], "val": ["b"]}}; correct the file'
            )
        parts.append(tuple(split_ending(name)[0] or name for name in names))
    return Split(training=parts[0], validation=parts[1])


# ----------------------------------------------------------------- proportions


def proportions(made: MadeSplits) -> list[list[str]]:
    """How cases, groups and the values of columns are shared out: rows of cells, the first one with the titles.

    A column for all cases, for those that only train where there is one fold or what is held out besides, and for what
    each fold validates on.
    """
    facts, request = made.facts, made.request
    parts = {"all": tuple(facts), **_only_training(made.splits)}
    parts |= {f"fold {number}": split.validation for number, split in enumerate(made.splits)}
    group_of = {case: name for name, cases in grouped(facts, request.group_by).items() for case in cases}
    rows = [["", *parts], ["cases", *(str(len(cases)) for cases in parts.values())]]
    if noun_of(facts, request.group_by) != "case":
        rows.append(
            [f"{request.group_by}s", *(str(len({group_of[case] for case in cases})) for cases in parts.values())]
        )
    columns = [column for column in request.columns if column not in (request.group_by, SPLIT)]
    kinds = kinds_of(facts, columns)
    for column in columns:
        for kind in sorted({kinds[case][column] for case in facts}):
            held = [Counter(kinds[case][column] for case in cases)[kind] for cases in parts.values()]
            shares = zip(held, parts.values(), strict=True)
            rows.append([f"{column} {kind}", *(f"{100 * number / len(cases):.0f} %" for number, cases in shares)])
    return rows


def _only_training(splits: Sequence[Split]) -> dict[str, tuple[str, ...]]:
    validated = {case for split in splits for case in split.validation}
    trained = tuple(case for case in splits[0].training if case not in validated)
    return {"training": trained} if trained else {}
