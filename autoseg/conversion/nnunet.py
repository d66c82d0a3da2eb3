"""The layouts of nnU-Net: the first generation's, which is ours, and the second's (DatasetXXX_Name)."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

from autoseg.conversion.declared import closed_gaps, renumbering_note
from autoseg.conversion.understood import Understood
from autoseg.dataset import Case, find_case_files, image_files, read_dataset, read_description
from autoseg.dataset.declared_target import IGNORE, MASKS, ORDER, RATER, SOFT, declared_target
from autoseg.dataset.description import quoted_entries, turned_round
from autoseg.dataset.drawn import with_label_files
from autoseg.dataset.notes import Notes
from autoseg.dataset.target import Target
from autoseg.errors import DatasetError
from autoseg.evaluation.case_files import cases_in
from autoseg.files.layout import DATASET_FILE
from autoseg.images import IMAGE_ENDINGS, split_ending, whole_files
from autoseg.words import agreeing, first_few, readable

OURS = "the layout of autoseg and of nnU-Net's first generation (TaskXXX_Name)"
SECOND_GENERATION = "the layout of nnU-Net's second generation (DatasetXXX_Name)"

FOLDER_NAME = re.compile(r"(?:Task|Dataset)(\d+)_(.+)")
REPLACED_KEYS = {"channel_names", "labels", "file_ending", "numTraining", "overwrite_image_reader_writer"}
OTHER_NORMALISATIONS = {"rescale_to_0_1": "min_max", "rescale_0_1": "min_max", "rgb_to_0_1": "rgb"}
"""Names of channels that are no names but say how to scale."""
"""Second-generation channel names that ask for a scaling we do not have."""


def understand_ours(
    folder: Path, description: Mapping[str, Any], numbers: Mapping[int, int] | None = None
) -> Understood:
    """Read a task in our own layout.

    Args:
        description: What to take for the content of its dataset.json.
        numbers: New ones of labels where there were gaps.

    Raises:
        DatasetError: dataset.json is wrong, or files that it lists are missing.
    """
    dataset = read_dataset(folder, description)
    files = [path for case in (*dataset.training, *dataset.test) for path in case.paths]
    if missing := [path.relative_to(folder) for path in files if not path.is_file()]:
        raise DatasetError(
            f"{readable(folder)}: {len(missing)} of the files that dataset.json lists "
            f"{agreeing(len(missing), 'is', 'are')} missing: {first_few(missing)}; "
            f"add {agreeing(len(missing), 'it, or take this case', 'them, or take these cases')} off the list"
        )
    number, name = number_and_name(folder)
    return Understood(
        source=folder,
        layout=OURS,
        number=number,
        name=name,
        channels=dataset.channels,
        labels=dataset.target.labels,
        training=dataset.training,
        test=dataset.test,
        description=description,
        outputs=dataset.target,
        target={key: description[key] for key in declared_keys(description)},
        label_values=of_each_case(_with_ignored(numbers, dataset.target.ignore), dataset.training),
        notes=(*renumbering_note(numbers), *dataset.remarks),
    )


def understand_second_generation(folder: Path, *, remap_labels: bool = False) -> Understood:
    """Read a dataset of nnU-Net's second generation; its cases are those whose files are there.

    Args:
        remap_labels: Whether label numbers with gaps may be renumbered.

    Raises:
        DatasetError: dataset.json says what is not supported or contradicts itself, or a case is not whole.
    """
    description = read_description(folder)
    where = folder / DATASET_FILE
    if "dataset" in description:
        raise DatasetError(
            f"{readable(where)}: lists its files one by one under dataset, which is not supported; "
            "put them into imagesTr and labelsTr as <case>_0000 and <case>"
        )
    channels = _channels(description.get("channel_names"), where)
    scaled = {str(number): rule for number, name in enumerate(channels) if (rule := OTHER_NORMALISATIONS.get(name))}
    target, numbers = _target(description, where, remap_labels=remap_labels)
    ending = _ending(description.get("file_ending"), where)
    training, test = _cases(folder, len(channels), ending, target)
    number, name = number_and_name(folder)
    return Understood(
        source=folder,
        layout=SECOND_GENERATION,
        number=number,
        name=name,
        channels=channels,
        labels=target.labels,
        training=training,
        test=test,
        label_values=of_each_case(_with_ignored(numbers, target.ignore), training),
        outputs=target,
        target=_declared_otherwise(description, target),
        description={
            **{key: value for key, value in description.items() if key not in REPLACED_KEYS},
            **({"normalisation": scaled} if scaled else {}),
        },
        notes=tuple(renumbering_note(numbers)),
    )


def of_each_case(numbers: Mapping[int, int] | None, cases: Sequence[Case]) -> dict[str, Mapping[int, int]] | None:
    """The same renumbering for the label file of every case."""
    return None if numbers is None else {case.identifier: numbers for case in cases}


def number_and_name(folder: Path) -> tuple[int | None, str]:
    """`(4, "Heart")` of `Task004_Heart` or `Dataset004_Heart`; without a number, the folder's name as a task may have it."""
    name = folder.name or folder.resolve().name
    match = FOLDER_NAME.fullmatch(name)
    if match:
        return int(match[1]), match[2]
    return None, re.sub(r"[^\w.-]+", "_", name).strip("._-") or "Dataset"


def _channels(names: Any, where: Path) -> tuple[str, ...]:
    example = '{"0": "CT"}'
    if isinstance(names, dict) and (right := turned_round(names)):
        raise DatasetError(
            f"{readable(where)}: channel_names: the wrong way round, the number comes first, then the name; write "
            f"{quoted_entries(dict(sorted(right.items())))}"
        )
    if not isinstance(names, dict) or not names or not all(isinstance(name, str) for name in names.values()):
        raise DatasetError(
            f"{readable(where)}: channel_names: expected an object such as {example}, found {names!r:.200}"
        )
    if sorted(names) != sorted(str(number) for number in range(len(names))):
        raise DatasetError(
            f"{readable(where)}: channel_names: the numbers must be consecutive from 0, found {first_few(sorted(names))}"
        )
    return tuple(names[str(number)] for number in range(len(names)))


def _target(description: Mapping[str, Any], where: Path, *, remap_labels: bool) -> tuple[Target, dict[int, int] | None]:
    """What is predicted, and the new numbers of labels where there were gaps."""
    values = description.get("labels")
    declared = {key: description[key] for key in (IGNORE, SOFT) if key in description}
    if MASKS in description:
        beside = {key: description[key] for key in ("labels", ORDER) if key in description}
        return _declared({**declared, MASKS: description[MASKS], **beside}, where), None
    if ORDER in description:
        return _declared({**declared, "labels": values, ORDER: description[ORDER]}, where), None
    if isinstance(values, dict) and IGNORE in values:
        declared, values = (
            {**declared, IGNORE: values[IGNORE]},
            {name: values[name] for name in values if name != IGNORE},
        )
    names, numbers = _labels(values, where, remap_labels=remap_labels)
    return _declared(declared, where, names), numbers


def _declared_otherwise(description: Mapping[str, Any], target: Target) -> Mapping[str, Any]:
    """What our dataset.json has to say of a target beside the names of its labels by number."""
    said = {key: description[key] for key in declared_keys(description)}
    return said if target.ignore is None or ORDER in said else {**said, IGNORE: target.ignore}


def declared_keys(description: Mapping[str, Any]) -> tuple[str, ...]:
    """Of the keys that declare regions or masks those that are there."""
    return ("labels", ORDER) if ORDER in description else (MASKS,) if MASKS in description else ()


def _with_ignored(numbers: Mapping[int, int] | None, ignore: int | None) -> Mapping[int, int] | None:
    """What nobody knows stays what it is where labels are renumbered."""
    return numbers if numbers is None or ignore is None else {**numbers, ignore: ignore}


def _declared(description: Mapping[str, Any], where: Path, names: tuple[str, ...] = ()) -> Target:
    notes = Notes()
    target = declared_target(description, notes, lambda: names)
    if target is None:
        raise DatasetError(f"{readable(where)}: {'; '.join(notes.problems)}")
    return target


def _labels(values: Any, where: Path, *, remap_labels: bool) -> tuple[tuple[str, ...], dict[int, int] | None]:
    """The names in the order of their numbers, and the new numbers where there were gaps."""
    if not isinstance(values, dict) or not values:
        raise DatasetError(
            f'{readable(where)}: labels: expected an object such as {{"background": 0, "liver": 1}}, found {values!r:.200}'
        )
    if regions := [name for name, value in values.items() if isinstance(value, list)]:
        raise DatasetError(
            f"{readable(where)}: labels: {first_few(regions)}: regions of several values need {ORDER}, the label that "
            "each writes into a segmentation"
        )
    if right := turned_round({value: number for number, value in values.items() if isinstance(value, str)}):
        names = {name: number for number, name in sorted(right.items())}
        raise DatasetError(
            f"{readable(where)}: labels: the wrong way round, the name comes first, then the number; write {quoted_entries(names)}"
        )
    if wrong := [name for name, value in values.items() if type(value) is not int]:
        raise DatasetError(
            f"{readable(where)}: labels: the value of {first_few(wrong)} is no whole number; write one, without quotation marks"
        )
    by_value = {value: name for name, value in values.items()}
    numbers = closed_gaps(by_value) if remap_labels and len(by_value) == len(values) else None
    if numbers is None and (sorted(values.values()) != list(range(len(values))) or len(values) < 2):
        raise DatasetError(
            f"{readable(where)}: labels: the values must be 0 for the background, then 1, 2, ... without a gap, "
            f"found {first_few(sorted(values.values()))}; renumber them, in the label files too"
            + (", or add `remap_labels`, which does both in the copies" if closed_gaps(by_value) else "")
        )
    return tuple(by_value[value] for value in sorted(by_value)), numbers


def _ending(ending: Any, where: Path) -> str:
    if ending not in IMAGE_ENDINGS:
        raise DatasetError(
            f"{readable(where)}: file_ending: images of {ending!r:.40} cannot be read; "
            f"convert them to one of {', '.join(IMAGE_ENDINGS)}"
        )
    return str(ending)


def _cases(folder: Path, channels: int, ending: str, target: Target) -> tuple[tuple[Case, ...], tuple[Case, ...]]:
    """Those with a label, and those without; of one channel, the files may do without its number."""
    if not (folder / "labelsTr").is_dir():
        raise DatasetError(f"{readable(folder / 'labelsTr')}: no such folder; it holds the labels <case>{ending}")
    labels = _labels_by_case(folder / "labelsTr", target)
    unnumbered = channels == 1 and _has_unnumbered(folder / "imagesTr", labels)
    find = _unnumbered_cases if unnumbered else partial(find_case_files, channels=channels)
    cases = _with_ending(find(folder / "imagesTr"), ending, folder / "imagesTr")
    test = find(folder / "imagesTs") if (folder / "imagesTs").is_dir() else ()
    labelled = _labelled(folder, cases, labels, ending)
    notes = Notes()
    drawn = with_label_files(labelled, target, notes)
    if notes.problems:
        raise DatasetError(f"{readable(folder / 'labelsTr')}: {'; '.join(notes.problems)}")
    return drawn, tuple(test)


def _labels_by_case(folder: Path, target: Target) -> Mapping[str, Path]:
    """What the label file of each case is called, or would be if its masks and raters had one together."""
    found: dict[str, Path] = {}
    for name, path in image_files(folder).items():
        without_rater = match[1] if (match := RATER.fullmatch(name)) else name
        (case,) = cases_in([without_rater], target)
        found[case] = path if name == case else path.with_name(case + split_ending(path.name)[1])
    return found


def _has_unnumbered(folder: Path, labels: Mapping[str, Path]) -> bool:
    """Whether images are there under the very names of all labels."""
    return bool(labels) and folder.is_dir() and labels.keys() <= image_files(folder).keys()


def _unnumbered_cases(folder: Path) -> Sequence[Case]:
    return [Case(identifier=name, images=whole_files([path])) for name, path in image_files(folder).items()]


def _labelled(folder: Path, cases: Sequence[Case], labels: Mapping[str, Path], ending: str) -> tuple[Case, ...]:
    images = {case.identifier for case in cases}
    if missing := sorted(images - labels.keys()):
        raise DatasetError(
            f"{readable(folder / 'labelsTr')}: no label of {first_few(missing)}; add it, or take the images away"
        )
    if spare := sorted(labels.keys() - images):
        raise DatasetError(
            f"{readable(folder / 'imagesTr')}: no image of {first_few(spare)}; add it, or take the label away"
        )
    if not cases:
        raise DatasetError(f"{readable(folder / 'imagesTr')}: no images <case>_0000{ending} here")
    return tuple(replace(case, segmentation=labels[case.identifier]) for case in cases)


def _with_ending(cases: Sequence[Case], ending: str, folder: Path) -> Sequence[Case]:
    if other := [case.identifier for case in cases if split_ending(case.image_paths[0].name)[1] != ending]:
        raise DatasetError(
            f"{readable(folder)}: {first_few(other)}: the files do not end in {ending}, as dataset.json says; "
            "correct file_ending, or take them away"
        )
    return cases
