"""What a task's raw data are: channels, labels, cases, and the names of their files.

Layout: `TaskXXX_Name/{dataset.json, imagesTr, labelsTr, imagesTs}`, image files `<case>_0000.nii.gz` with a
four-digit channel number, label files `<case>.nii.gz`; dataset.json names cases without the channel number.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from autoseg.dataset.facts import NOTHING, NOTHING_KNOWN, Facts, FactsTable
from autoseg.dataset.folds import ADDED, TEST, roles_of
from autoseg.dataset.target import Target
from autoseg.errors import DatasetError
from autoseg.images import AS_FILES_SAY, ImageReference, Reading, holds_channels, split_ending, whole_files
from autoseg.words import counted, readable


@dataclass(frozen=True, slots=True, kw_only=True)
class Case:
    """One subject: an image per channel, in channel order, its labels where there are some, and what else is known.

    Attributes:
        segmentation: The map of labels, where one file holds all of them.
        drawn: Otherwise, for each mask the file of each rater, none of a mask that was not drawn; of a map that several
            raters drew, or that holds fractions, one entry. One file of all masks stands at each.
        annotated: The outputs that were drawn; None: all.
        reading: What is said of its files where they may not say it themselves.
    """

    identifier: str
    images: tuple[ImageReference, ...]
    segmentation: Path | None = None
    facts: Facts = NOTHING
    drawn: tuple[tuple[Path, ...], ...] = ()
    annotated: tuple[str, ...] | None = None
    reading: Reading = AS_FILES_SAY

    @property
    def label_paths(self) -> tuple[Path, ...]:
        """The file of each label, in the order in which they are read; one file of all masks comes once for each."""
        return (self.segmentation,) if self.segmentation else tuple(path for files in self.drawn for path in files)

    @property
    def label_parts(self) -> tuple[int | None, ...]:
        """Of each of them, which part of its file it is: where one file holds all masks, its place; else None."""
        paths = self.label_paths
        if len(paths) > 1 and len(set(paths)) == 1:
            return tuple(range(len(paths)))
        return (None,) * len(paths)

    @property
    def image_paths(self) -> tuple[Path, ...]:
        """The files that the images lie in, each once."""
        return tuple(dict.fromkeys(image.path for image in self.images))

    @property
    def paths(self) -> tuple[Path, ...]:
        """The same, and the label files."""
        return (*self.image_paths, *self.label_paths)


@dataclass(frozen=True, slots=True, kw_only=True)
class Dataset:
    """A task's channels, target and cases.

    Attributes:
        name: Folder name, `TaskXXX_Name`.
        folder: Where the raw data lie.
        channels: Name of each channel ("CT", "T2", ...), which decides its normalisation.
        target: What is predicted: the labels.
        training: Cases with a label file, sorted by identifier.
        test: Cases without, sorted by identifier; may be empty.
        facts: What is known of the cases beside their images; each case has its own, too.
        remarks: What dataset.json says that is ignored, or read otherwise than it stands there.
        normalisation: How each channel is to be scaled, "" where its name decides; empty where all names do.
        reading: What is said of the files; each case has it, too.
    """

    name: str
    folder: Path
    channels: tuple[str, ...]
    target: Target
    training: tuple[Case, ...]
    test: tuple[Case, ...] = ()
    facts: FactsTable = NOTHING_KNOWN
    remarks: tuple[str, ...] = ()
    normalisation: tuple[str, ...] = ()
    reading: Reading = AS_FILES_SAY

    @property
    def measured(self) -> tuple[Case, ...]:
        """The training cases that it is measured by: all but those that the column `split` lets test or adds.

        Raises:
            TrainingError: The column holds what it must not.
        """
        roles = roles_of({case.identifier: case.facts for case in self.training})
        return tuple(case for case in self.training if roles[case.identifier] not in (ADDED, TEST))


def channel_file(identifier: str, channel: int, ending: str = ".nii.gz") -> str:
    """The file name of one channel of a case."""
    return f"{identifier}_{channel:04d}{ending}"


def images_of(listed: Path, channels: int) -> tuple[ImageReference, ...]:
    """Where the channels of a case lie: a file each, or all in one where its format holds several, as pictures do.

    Args:
        listed: The case's file without a channel number, whether it is there or not. One file of all channels bears the
            number of the first, or none.
    """
    stem, ending = split_ending(listed.name)
    files = [listed.with_name(channel_file(stem, channel, ending)) for channel in range(channels)]
    if not holds_channels(listed.name):
        return whole_files(files)
    if not files[0].is_file() and listed.is_file():
        return channels_in(listed, channels)
    if channels > 1 and not files[1].is_file() and files[0].is_file():
        return channels_in(files[0], channels)
    return whole_files(files)


def channels_in(path: Path, channels: int) -> tuple[ImageReference, ...]:
    """The channels of a case that one file holds."""
    if channels == 1:
        return whole_files([path])
    return tuple(ImageReference(path=path, part=channel) for channel in range(channels))


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
    whole = {
        key for key, files in groups.items() if channels > 1 and set(files) == {0} and holds_channels(files[0].name)
    }
    wrong = [
        f"  {identifier}: expected channels {sorted(expected)}, found {sorted(files)}"
        for (identifier, ending), files in groups.items()
        if files.keys() != expected and (identifier, ending) not in whole
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
        Case(
            identifier=key[0],
            images=channels_in(files[0], channels)
            if key in whole
            else whole_files(files[channel] for channel in sorted(files)),
        )
        for key, files in sorted(groups.items())
    ]
