"""Plain folders `images` and `labels` whose files have equal names; what the labels are is read off their voxels."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from autoseg.conversion.nnunet import number_and_name
from autoseg.conversion.understood import Understood, image_files, listed
from autoseg.dataset import Case, split_ending
from autoseg.errors import CasesFailed, DatasetError, readable
from autoseg.imageio import fractional_values, listed_values, read_image
from autoseg.parallel import run_on_cases

PLAIN = "plain folders of images and labels with equal names"
FOLDER_PAIRS = (("images", "labels"), ("imagesTr", "labelsTr"))
TEST_IMAGES = "imagesTs"
NUMBERED = re.compile(r"(?P<case>.+)_(?P<channel>\d{4})", re.ASCII)

MOST_LABELS = 255
"""More different values than that are intensities, not labels; atlases of the whole brain have about a hundred."""

UNNAMED_CHANNEL = "image"


def plain_pair(folder: Path) -> tuple[Path, Path] | None:
    """The folders of images and of labels, where they are there."""
    pairs = [(folder / images, folder / labels) for images, labels in FOLDER_PAIRS]
    return next(((images, labels) for images, labels in pairs if images.is_dir() and labels.is_dir()), None)


def understand_plain_folders(
    folder: Path, images: Path, labels: Path, *, channels: Sequence[str] | None, remap_labels: bool, workers: int
) -> Understood:
    """Match images and labels by their names and read all label files for the values in them.

    Args:
        channels: Names of the channels; they decide the normalisation.
        remap_labels: Whether values may be renumbered so that they are consecutive.

    Raises:
        DatasetError: A label without its images, channels that are not there for every case, or values that are no
            labels or not consecutive.
    """
    label_files = image_files(labels)
    if not label_files:
        raise DatasetError(f"{readable(labels)}: no image here; it holds the label file of each case")
    single = label_files.keys() <= image_files(images).keys()
    cases = _cases(images, label_files, single=single)
    if (folder / TEST_IMAGES).is_dir():
        cases += _cases(folder / TEST_IMAGES, {}, single=single)
    channels_found = _require_equal_channels(images, cases)
    training = tuple(case for case in cases if case.segmentation)
    test = tuple(case for case in cases if not case.segmentation)
    values = _label_values(labels, training, workers)
    numbers = _numbers(labels, values, remap_labels=remap_labels)
    number, name = number_and_name(folder)
    return Understood(
        source=folder,
        layout=PLAIN,
        number=number,
        name=name,
        channels=_channel_names(folder, channels, channels_found),
        labels=("background", *(f"label_{value}" for value in values if value != 0)),
        training=training,
        test=test,
        label_values=numbers if any(old != new for old, new in numbers.items()) else None,
        notes=tuple(_notes(channels, numbers, len(test))),
    )


def _cases(folder: Path, labels: Mapping[str, Path], *, single: bool) -> list[Case]:
    """The cases of a folder of images: one file each (`single`), or files with channel numbers behind the label's name."""
    images = image_files(folder)
    grouped = {stem: {0: path} for stem, path in images.items()} if single else _by_channel(images)
    if missing := sorted(labels.keys() - grouped.keys()):
        raise DatasetError(
            f"{readable(folder)}: no image of {listed(missing)}; name images as their labels, or with channel numbers "
            "behind: <label>_0000, <label>_0001, ..."
        )
    if broken := [case for case, files in grouped.items() if sorted(files) != list(range(len(files)))]:
        raise DatasetError(
            f"{readable(folder)}: {listed(broken)}: the channel numbers are not 0000, 0001, ... in a row"
        )
    return [
        Case(identifier=case, images=tuple(files[number] for number in sorted(files)), segmentation=labels.get(case))
        for case, files in sorted(grouped.items())
    ]


def _require_equal_channels(folder: Path, cases: Sequence[Case]) -> int:
    """The number of channels, which all cases must have, each in files of one format."""
    number = max(len(case.images) for case in cases)
    if fewer := [case.identifier for case in cases if len(case.images) != number]:
        raise DatasetError(
            f"{readable(folder)}: {listed(fewer)}: without the {number} channels that other cases have; "
            "add what is missing, or take these cases away"
        )
    if mixed := [case.identifier for case in cases if len({split_ending(path.name)[1] for path in case.images}) > 1]:
        raise DatasetError(f"{readable(folder)}: {listed(mixed)}: the channels differ in file format; save them in one")
    return number


def _by_channel(images: Mapping[str, Path]) -> dict[str, dict[int, Path]]:
    grouped: dict[str, dict[int, Path]] = {}
    for stem, path in images.items():
        match = NUMBERED.fullmatch(stem)
        if match is None:
            raise DatasetError(
                f"{readable(path)}: has neither the name of a label nor a channel number; "
                "name images as their labels, or <label>_0000, <label>_0001, ..."
            )
        grouped.setdefault(match["case"], {})[int(match["channel"])] = path
    return grouped


def _channel_names(folder: Path, names: Sequence[str] | None, number: int) -> tuple[str, ...]:
    if names is None:
        return (UNNAMED_CHANNEL,) if number == 1 else tuple(f"{UNNAMED_CHANNEL}_{channel}" for channel in range(number))
    if len(names) != number:
        raise DatasetError(
            f"{readable(folder)}: {len(names)} channels are named ({listed(names)}), but each case has {number}; "
            "name each once, in their order"
        )
    return tuple(names)


def _label_values(folder: Path, cases: Sequence[Case], workers: int) -> tuple[int, ...]:
    """All values in the label files, sorted."""
    files = [case.segmentation for case in cases if case.segmentation]
    try:
        found = run_on_cases(_values_of, files, task="reading labels", workers=workers, name=lambda path: path.name)
    except CasesFailed as failed:
        lines = "\n".join(f"  {readable(name)}: {reason}" for name, reason in failed.failures)
        raise DatasetError(
            f"{readable(folder)}: {len(failed.failures)} of {len(files)} label files cannot be used\n{lines}\n"
            "Nothing was written; put these right, or take them away, and convert again."
        ) from failed
    return tuple(sorted(set().union(*found)))


def _values_of(path: Path) -> set[int]:
    data = read_image(path).data
    if len(fractions := fractional_values(data)):
        raise DatasetError(
            f"holds values that are no whole numbers: {listed_values(fractions)}; save labels as integers"
        )
    values = np.unique(data)
    if len(values) > MOST_LABELS + 1:
        raise DatasetError(f"holds {len(values)} different values; are these images rather than labels?")
    return {int(value) for value in values}


def _numbers(folder: Path, values: Sequence[int], *, remap_labels: bool) -> dict[int, int]:
    """The number of each value: itself where they are consecutive, else its place among the values above 0."""
    above = [value for value in values if value != 0]
    if not above or above[0] < 0:
        reason = "holds background (0) only" if not above else f"holds negative values ({listed(values)})"
        raise DatasetError(f"{readable(folder)}: {reason}; labels are numbered 1, 2, ...")
    numbers = {0: 0, **{value: place for place, value in enumerate(above, start=1)}}
    if above[-1] != len(above) and not remap_labels:
        becomes = listed([f"{old} to {new}" for old, new in numbers.items()])
        raise DatasetError(
            f"{readable(folder)}: the values are {listed(values)}, but labels are numbered 0, 1, 2, ... without a gap; "
            f"add --remap_labels to have them renumbered in the copies ({becomes})"
        )
    return numbers


def _notes(channels: Sequence[str] | None, numbers: Mapping[int, int], test_cases: int) -> list[str]:
    notes = []
    if channels is None:
        notes.append("images are scaled by their own mean and deviation; for CT add --channels CT")
    if any(old != new for old, new in numbers.items()):
        notes.append(f"label values renumbered: {listed([f'{old} to {new}' for old, new in numbers.items()])}")
    if test_cases:
        notes.append(f"{test_cases} images without a label are kept as test cases")
    notes.append("labels are named by their values; write their names into dataset.json before planning")
    return notes
