"""dataset.json: read as far as it can be understood, with all that is wrong with it in one go."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Mapping, Sequence, Set
from dataclasses import dataclass, replace
from difflib import get_close_matches
from pathlib import Path
from typing import Any

from autoseg.dataset.cases import Case, Dataset
from autoseg.dataset.declared_normalisation import declared_normalisation
from autoseg.dataset.declared_reading import declared_reading
from autoseg.dataset.declared_target import ANNOTATED, declared_target
from autoseg.dataset.drawn import annotate, with_label_files
from autoseg.dataset.facts import FactsTable, read_facts
from autoseg.dataset.listed import read_cases
from autoseg.dataset.notes import Notes
from autoseg.dataset.target import LARGEST_LABEL, Target, too_many_labels
from autoseg.errors import DatasetError, StorageError
from autoseg.files.layout import DATASET_FILE
from autoseg.files.storage import read_json
from autoseg.images import AS_FILES_SAY, Reading
from autoseg.words import counted, readable

OTHER_NAMES = {"channel_names": "modality", "channels": "modality", "modalities": "modality", "train": "training"}
"""What the keys are called elsewhere."""

SIMILAR = 0.75
"""Of two spellings of one key, as difflib measures it."""

SHOWN = 300
"""Characters of an object that is quoted."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Description:
    """What dataset.json says and, a line each, what is wrong with it; parts that are wrong are empty, or as meant.

    Attributes:
        labels: Names of the background and what is scored.
        target: None where it cannot be understood.
        annotated: What stands under that key; it is understood with what is known of the cases.
        counts: `numTraining` and `numTest` as they stand there, None where absent.
        remarks: What is ignored, or read otherwise than it stands there.
        normalisation, reading: As in `Dataset`.
    """

    channels: tuple[str, ...]
    labels: tuple[str, ...]
    target: Target | None
    annotated: Any
    training: tuple[Case, ...]
    test: tuple[Case, ...]
    counts: tuple[Any, Any]
    problems: tuple[str, ...]
    remarks: tuple[str, ...]
    normalisation: tuple[str, ...] = ()
    reading: Reading = AS_FILES_SAY


def read_dataset(folder: Path, description: Mapping[str, Any] | None = None) -> Dataset:
    """Read and check `folder/dataset.json` and what is known of its cases; the image files themselves are not opened.

    Args:
        description: What to take for the file's content.

    Raises:
        DatasetError: One line for everything that is wrong with the description, or with what is known of the cases.
    """
    found = inspect_description(folder, description)
    if found.problems:
        raise DatasetError(_listing(folder, found.problems))
    facts, notes = read_facts(folder, listed_names(found)), Notes()
    training = annotate(found.training, found.annotated, required_target(found), facts, notes)
    if notes.faults:
        raise DatasetError(_listing(folder, notes.problems))
    return Dataset(
        name=folder.name,
        folder=folder,
        channels=found.channels,
        target=required_target(found),
        training=tuple(replace(case, facts=facts.of(case.identifier)) for case in training),
        test=tuple(replace(case, facts=facts.of(case.identifier)) for case in found.test),
        facts=facts,
        remarks=found.remarks,
        normalisation=found.normalisation,
        reading=found.reading,
    )


def inspect_description(folder: Path, description: Mapping[str, Any] | None = None) -> Description:
    """Read `folder/dataset.json` as far as it can be understood, and list what is wrong with it.

    Args:
        description: What to take for the file's content.

    Raises:
        DatasetError: There is none, it is no JSON object, or it is another program's.
    """
    description, notes = read_description(folder) if description is None else description, Notes()
    _require_our_generation(description, folder / DATASET_FILE)
    channels = _numbered_names(description, "modality", '{"0": "MRI"}', notes)
    labels: list[str] = []

    def exclusive() -> tuple[str, ...]:
        labels.extend(_labels(description, notes))
        return tuple(labels)

    target = declared_target(description, notes, exclusive)
    normalisation = declared_normalisation(description, channels, folder, notes)
    reading = declared_reading(description, notes)
    training = read_cases(_value(description, "training", notes), "training", folder, len(channels), notes)
    test = read_cases(description.get("test", []), "test", folder, len(channels), notes)
    training, test = (tuple(replace(case, reading=reading) for case in cases) for cases in (training, test))
    if target is not None:
        training = with_label_files(training, target, notes)
    if not training and not notes.faults:
        notes.add("training: no case is listed")
    return Description(
        channels=channels,
        labels=target.labels if target else tuple(labels),
        target=target,
        annotated=description.get(ANNOTATED),
        training=training,
        test=test,
        counts=(description.get("numTraining"), description.get("numTest")),
        problems=notes.problems,
        remarks=tuple(notes.remarks),
        normalisation=normalisation,
        reading=reading,
    )


def required_target(description: Description) -> Target:
    """The target of a description without problems.

    Raises:
        DatasetError: It could not be understood.
    """
    if description.target is None:
        raise DatasetError("; ".join(description.problems))
    return description.target


def listed_names(description: Description) -> Set[str] | None:
    """The names of all cases, for training and test; None where they cannot be understood."""
    if description.problems:
        return None
    return {case.identifier for case in (*description.training, *description.test)}


def known_facts(folder: Path) -> FactsTable:
    """What is known of a raw task's cases, also where its dataset.json is elsewhere or not in order: then of any names.

    Raises:
        DatasetError: One line for everything that is wrong with metadata.tsv and patients.json.
    """
    try:
        names = listed_names(inspect_description(folder))
    except DatasetError:  # what is wrong with it, the commands that need it say
        names = None
    return read_facts(folder, names)


def known_annotations(folder: Path) -> Mapping[str, tuple[str, ...]]:
    """The outputs that were drawn in a raw task's cases, of those in which not all were; none where it is elsewhere."""
    try:
        cases = read_dataset(folder).training
    except DatasetError:  # what is wrong with it, the commands that need it say
        return {}
    return {case.identifier: case.annotated for case in cases if case.annotated is not None}


def read_description(folder: Path) -> Mapping[str, Any]:
    """The parsed dataset.json, which may hold more than we read."""
    path = folder / DATASET_FILE
    if not path.is_file():
        raise DatasetError(f"{path}: not found; every task folder needs one (documentation/data_format.md)")
    try:
        description = read_json(path)
    except StorageError as error:
        raise DatasetError(f"{error}; correct the file") from error
    if not isinstance(description, dict):
        raise DatasetError(
            f"{path}: expected an object with the keys modality, labels and training; see documentation/data_format.md"
        )
    return description


def is_second_generation(description: Mapping[str, Any]) -> bool:
    """Whether it is as nnU-Net's second generation has it, which finds its cases from the files."""
    return (
        "modality" not in description
        and "training" not in description
        and ("channel_names" in description or "file_ending" in description)
    )


def turned_round(entries: Mapping[str, Any]) -> dict[int, str] | None:
    """Names by number of an object that has the numbers behind the names; None where it has them not."""
    numbers = [_whole_number(value) for value in entries.values()]
    if not entries or None in numbers or all(_whole_number(key) is not None for key in entries):
        return None
    return {number: name for number, name in zip(numbers, entries, strict=True) if number is not None}


def quoted_entries(entries: Mapping[Any, Any]) -> str:
    """An object as it should stand in a JSON file, shortened."""
    text = json.dumps({str(key): value for key, value in entries.items()}, ensure_ascii=False)
    return text if len(text) <= SHOWN else f"{text[:SHOWN]} ..."


def _listing(folder: Path, problems: Sequence[str]) -> str:
    lines = "\n".join(f"  {problem}" for problem in problems)
    return f"{folder / DATASET_FILE}: {counted(len(problems), 'problem')}\n{lines}\nPut right and run again."


def _require_our_generation(description: Mapping[str, Any], path: Path) -> None:
    if is_second_generation(description):
        keys = " and ".join(key for key in ("channel_names", "file_ending") if key in description)
        raise DatasetError(
            f"{readable(path)}: is that of nnU-Net's second generation ({keys}); move the folder out of raw_data if it "
            "lies there, and make a task of it with `convert_dataset(FOLDER)`"
        )


def _value(description: Mapping[str, Any], key: str, notes: Notes) -> Any:
    """What stands under a key, or under one that surely means it."""
    if key in description:
        return description[key]
    elsewhere = [name for name in description if OTHER_NAMES.get(name.casefold(), name.casefold()) == key]
    close = elsewhere or get_close_matches(key, description, n=1, cutoff=SIMILAR)
    if not close:
        return None
    notes.add(f"{key}: there is no such key, but {close[0]!a}; call it {key}")
    return description[close[0]]


def _labels(description: Mapping[str, Any], notes: Notes) -> tuple[str, ...]:
    names = _numbered_names(description, "labels", '{"0": "background", "1": "liver"}', notes)
    if len(names) == 1:
        notes.add("labels: only the background is declared; declare at least one more")
    if len(names) - 1 > LARGEST_LABEL:
        notes.add(f"labels: {too_many_labels(len(names))}")
    for name, times in Counter(names).items():
        if times > 1:
            notes.add(f"labels: the name {name!r} is given twice; name each label differently")
    return names


def _numbered_names(description: Mapping[str, Any], key: str, example: str, notes: Notes) -> tuple[str, ...]:
    """Names under consecutive integer keys from 0, as a tuple; what does not fit is noted."""
    entries = _value(description, key, notes)
    if not isinstance(entries, dict) or not entries:
        notes.add(f"{key}: expected an object such as {example}, found {entries!r}")
        return ()
    if (by_number := turned_round(entries)) is not None:
        right = {number: by_number[number] for number in sorted(by_number)}
        notes.add(f"{key}: the wrong way round, the number comes first, then the name; write {quoted_entries(right)}")
    elif not all(isinstance(name, str) for name in entries.values()):
        found = ", ".join(sorted(map(repr, entries.values())))
        notes.add(f"{key}: every name must be text, as in {example}, found {found}")
        return ()
    elif any(_whole_number(number) is None for number in entries):
        notes.add(f"{key}: the keys must be whole numbers such as {example}, found {sorted(entries)}")
        return ()
    else:
        by_number = {int(number): name for number, name in entries.items()}
    return _in_order(by_number, len(entries), key, notes)


def _in_order(by_number: Mapping[int, str], entries: int, key: str, notes: Notes) -> tuple[str, ...]:
    numbers = sorted(by_number)
    if key == "labels" and numbers == list(range(1, entries + 1)):
        notes.add('labels: 0 is not declared, which is the background; add "0": "background"')
        return ("background", *(by_number[number].strip() for number in numbers))
    if numbers != list(range(entries)):
        notes.add(f"{key}: the numbers must be consecutive from 0, found {numbers}; renumber them")
        return ()
    names = [by_number[number] for number in numbers]
    notes.remarks.extend(
        f"{key}: {name!r} begins or ends with a blank; it is read as {name.strip()!r}"
        for name in names
        if name != name.strip()
    )
    return tuple(name.strip() for name in names)


def _whole_number(value: Any) -> int | None:
    """An int, or a text that is one."""
    if isinstance(value, bool) or not isinstance(value, (int, str)):
        return None
    try:
        return int(value)
    except ValueError:
        return None
