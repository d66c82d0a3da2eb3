"""A task's raw data as its dataset.json describes it: channels, labels, cases. No image is opened here.

Layout: `TaskXXX_Name/{dataset.json, imagesTr, labelsTr, imagesTs}`, image files `<case>_0000.nii.gz` with a
four-digit channel number, label files `<case>.nii.gz`; dataset.json names cases without the channel number.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any

from autoseg.errors import DatasetError, StorageError, counted, readable
from autoseg.storage import read_json

IMAGE_ENDINGS = (".nii.gz", ".nii", ".nrrd", ".mha")
WRITTEN_ENDINGS = (".nii.gz", ".nii")
BACKGROUND = 0
LONGEST_NAME = 200
"""Bytes; disks take 255, of which temporary names and endings need some."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Labels:
    """Names of the label values; the index is the value, 0 is background."""

    names: tuple[str, ...]

    def __post_init__(self) -> None:
        if len(self.names) < 2:
            raise DatasetError("labels: declare the background and at least one more label")
        if double := [name for name, times in Counter(self.names).items() if times > 1]:
            raise DatasetError(f"labels: given twice: {', '.join(double)}; name each label differently")

    @property
    def foreground(self) -> range:
        """The label values above background."""
        return range(1, len(self.names))


@dataclass(frozen=True, slots=True, kw_only=True)
class Case:
    """One subject: a file per channel, in channel order, and the label file where there is one."""

    identifier: str
    images: tuple[Path, ...]
    segmentation: Path | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Dataset:
    """A task's channels, labels and cases.

    Attributes:
        name: Folder name, `TaskXXX_Name`.
        folder: Where the raw data lie.
        channels: Name of each channel ("CT", "T2", ...), which decides its normalisation.
        training: Cases with a label file, sorted by identifier.
        test: Cases without, sorted by identifier; may be empty.
    """

    name: str
    folder: Path
    channels: tuple[str, ...]
    labels: Labels
    training: tuple[Case, ...]
    test: tuple[Case, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Description:
    """What dataset.json says and, a line each, what is wrong with it; parts that are wrong are empty.

    Attributes:
        counts: `numTraining` and `numTest` as they stand there, None where absent.
    """

    channels: tuple[str, ...]
    labels: tuple[str, ...]
    training: tuple[Case, ...]
    test: tuple[Case, ...]
    counts: tuple[Any, Any]
    problems: tuple[str, ...]


def read_dataset(folder: Path) -> Dataset:
    """Read and check `folder/dataset.json`; the image files themselves are not looked at.

    Raises:
        DatasetError: One line for everything that is wrong with the description.
    """
    found = inspect_description(folder)
    if found.problems:
        listing = "\n".join(f"  {problem}" for problem in found.problems)
        raise DatasetError(
            f"{folder / 'dataset.json'}: {counted(len(found.problems), 'problem')}\n{listing}\nPut right and run again."
        )
    return Dataset(
        name=folder.name,
        folder=folder,
        channels=found.channels,
        labels=Labels(names=found.labels),
        training=found.training,
        test=found.test,
    )


def inspect_description(folder: Path) -> Description:
    """Read `folder/dataset.json` as far as it can be understood, and list what is wrong with it.

    Raises:
        DatasetError: There is none, or it is no JSON object.
    """
    description = read_description(folder)
    problems: list[str] = []
    channels = _channels(description, problems)
    labels = _labels(description, problems)
    training = _cases(description.get("training"), "training", folder, len(channels), problems)
    test = _cases(description.get("test", []), "test", folder, len(channels), problems)
    if not training and not problems:
        problems.append("training: no case is listed")
    return Description(
        channels=channels,
        labels=labels,
        training=training,
        test=test,
        counts=(description.get("numTraining"), description.get("numTest")),
        problems=tuple(problems),
    )


def read_description(folder: Path) -> Mapping[str, Any]:
    """The parsed dataset.json, which may hold more than we read."""
    path = folder / "dataset.json"
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


def split_ending(name: str) -> tuple[str, str]:
    """Split a file name into stem and image ending; the ending is empty where the name is no image's."""
    for ending in IMAGE_ENDINGS:
        if name.lower().endswith(ending):
            return name[: -len(ending)], name[-len(ending) :]
    return name, ""


def channel_file(identifier: str, channel: int, ending: str = ".nii.gz") -> str:
    """The file name of one channel of a case."""
    return f"{identifier}_{channel:04d}{ending}"


def _channels(description: Mapping[str, Any], problems: list[str]) -> tuple[str, ...]:
    return _numbered_names(description, "modality", '{"0": "MRI"}', problems)


def _labels(description: Mapping[str, Any], problems: list[str]) -> tuple[str, ...]:
    names = _numbered_names(description, "labels", '{"0": "background", "1": "liver"}', problems)
    if len(names) == 1:
        problems.append("labels: only the background is declared; declare at least one more")
    return names


def _numbered_names(description: Mapping[str, Any], key: str, example: str, problems: list[str]) -> tuple[str, ...]:
    """Names under consecutive integer keys from 0, as a tuple; what does not fit is added to `problems`."""
    entries = description.get(key)
    if not isinstance(entries, dict) or not entries:
        problems.append(f"{key}: expected an object such as {example}, found {entries!r}")
        return ()
    if not all(isinstance(name, str) for name in entries.values()):
        found = ", ".join(sorted(map(repr, entries.values())))
        problems.append(f"{key}: every name must be text, as in {example}, found {found}")
        return ()
    try:
        numbers = sorted(int(number) for number in entries)
    except ValueError:
        problems.append(f"{key}: the keys must be whole numbers such as {example}, found {sorted(entries)}")
        return ()
    if numbers != list(range(len(numbers))):
        problems.append(f"{key}: the numbers must be consecutive from 0, found {numbers}; renumber them")
        return ()
    by_number = {int(number): name for number, name in entries.items()}
    names = tuple(by_number[number] for number in numbers)
    if key == "labels":
        problems += [
            f"labels: the name {name!r} is given twice; name each label differently"
            for name, times in Counter(names).items()
            if times > 1
        ]
    return names


def _cases(entries: Any, key: str, folder: Path, channels: int, problems: list[str]) -> tuple[Case, ...]:
    if not isinstance(entries, list):
        problems.append(f"{key}: expected a list of cases, found {entries!r}")
        return ()
    cases = [
        case
        for number, entry in enumerate(entries)
        if (case := _case(entry, f"{key}[{number}]", folder, channels, problems, labelled=key == "training"))
    ]
    times = Counter(case.identifier for case in cases)
    problems += [
        f"{key}: case {readable(name)} is listed {count} times; list it once"
        for name, count in times.items()
        if count > 1
    ]
    return tuple(sorted(cases, key=lambda case: case.identifier))


def _case(entry: Any, where: str, folder: Path, channels: int, problems: list[str], *, labelled: bool) -> Case | None:
    listed = entry if isinstance(entry, dict) else {"image": entry}
    image = _path_inside(listed.get("image"), f"{where}.image", folder, problems)
    label = _path_inside(listed.get("label"), f"{where}.label", folder, problems) if labelled else None
    if image is None or (labelled and label is None):
        return None
    identifier, ending = split_ending(image.name)
    if not ending or not identifier:
        problems.append(
            f"{where}.image: {listed['image']!r} is not named <case>{' or <case>'.join(IMAGE_ENDINGS)}; "
            "convert the file, or correct its name"
        )
        return None
    images = tuple(image.with_name(channel_file(identifier, channel, ending)) for channel in range(channels))
    return Case(identifier=identifier, images=images, segmentation=label)


def _path_inside(value: Any, where: str, folder: Path, problems: list[str]) -> Path | None:
    """The path an entry names, refused when it is no text or leaves the task's folder."""
    if not isinstance(value, str) or not value:
        problems.append(f"{where}: expected a path such as ./imagesTr/case.nii.gz, found {value!r}")
        return None
    relative = PurePosixPath(value)
    if not _is_file_name(relative.name):
        problems.append(
            f"{where}: {value!a:.{LONGEST_NAME}} is longer than {LONGEST_NAME} bytes, or no text; rename the file"
        )
        return None
    inside = not relative.is_absolute() and ".." not in relative.parts and "\0" not in value and "\\" not in value
    path = folder / relative
    if not inside or not _stays_inside(path, folder):
        problems.append(f"{where}: {value!r} leaves the task's folder; list files inside it only")
        return None
    return path


def _is_file_name(name: str) -> bool:
    try:
        return len(name.encode()) <= LONGEST_NAME
    except UnicodeEncodeError:
        return False


def _stays_inside(path: Path, folder: Path) -> bool:
    """Whether the path's folder, links followed, lies below `folder` (the file itself may be a link to data elsewhere)."""
    try:
        return path.parent.resolve().is_relative_to(folder.resolve())
    except (OSError, RuntimeError):
        return False


def image_files(folder: Path) -> dict[str, Path]:
    """The images of a folder by their names without ending, sorted; hidden files and all others are left out.

    Raises:
        DatasetError: A name is there with two endings.
    """
    files: dict[str, Path] = {}
    for path in sorted(folder.iterdir()):
        stem, ending = split_ending(path.name)
        if not ending or path.name.startswith(".") or not path.is_file():
            continue
        if stem in files:
            raise DatasetError(f"{readable(path)}: {readable(files[stem].name)} has the same name; keep one of the two")
        files[stem] = path
    return files


def find_case_files(folder: Path, channels: int) -> Sequence[Case]:
    """Group the image files of a folder into cases by their channel numbers, sorted by identifier.

    Raises:
        DatasetError: Listing every case whose channels are not exactly 0 to `channels` - 1.
    """
    if not folder.is_dir():
        raise DatasetError(f"{folder}: no such folder; name the folder that holds the images <case>_0000.nii.gz")
    groups: dict[tuple[str, str], dict[int, Path]] = {}
    for path in sorted(folder.iterdir()):
        stem, ending = split_ending(path.name)
        identifier, _, number = stem.rpartition("_")
        if not ending or path.name.startswith(".") or not path.is_file():
            continue
        if not identifier or len(number) != 4 or not number.isdecimal():
            raise DatasetError(
                f"{path}: the name lacks its channel number; name images <case>_0000{ending}, <case>_0001{ending}, ..."
            )
        groups.setdefault((identifier, ending), {})[int(number)] = path
    expected = set(range(channels))
    wrong = [
        f"  {identifier}: expected channels {sorted(expected)}, found {sorted(files)}"
        for (identifier, _), files in groups.items()
        if files.keys() != expected
    ]
    if wrong:
        needed = ", ".join(f"<case>_{channel:04d}" for channel in sorted(expected))
        raise DatasetError(
            f"{folder}: {counted(len(wrong), 'case')} without exactly the channels needed; give each {needed} and no other\n"
            + "\n".join(wrong)
        )
    times = Counter(identifier for identifier, _ in groups)
    double = [identifier for identifier, count in times.items() if count > 1]
    if double:
        raise DatasetError(f"{folder}: cases given in two file formats: {', '.join(double)}; keep one of each")
    return [
        Case(identifier=identifier, images=tuple(files[channel] for channel in sorted(files)))
        for (identifier, _), files in sorted(groups.items())
    ]
