"""Plain folders `images` and `labels` whose files have equal names; what the labels are is read off their voxels."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from autoseg.conversion.label_files import read_label_files
from autoseg.conversion.nnunet import number_and_name
from autoseg.conversion.numbering import Numbering, number_labels
from autoseg.conversion.regions import regions_beside, with_regions
from autoseg.conversion.understood import Understood
from autoseg.dataset import Case, Exclusive, image_files
from autoseg.dataset.cases import channels_in
from autoseg.dataset.declared_reading import SHEARED
from autoseg.dataset.declared_target import RATER
from autoseg.errors import DatasetError
from autoseg.images import AS_FILES_SAY, ImageReference, holds_channels, read_header, split_ending, whole_files
from autoseg.words import counted, first_few, readable

PLAIN = "plain folders of images and labels with equal names"
FOLDER_PAIRS = (("images", "labels"), ("images", "masks"), ("imagesTr", "labelsTr"))
TEST_IMAGES = "imagesTs"
NUMBERED = re.compile(r"(?P<case>.+)_(?P<channel>\d{4})", re.ASCII)

UNNAMED_CHANNEL = "image"
COLOURS = ("red", "green", "blue")
UNNAMED_LABEL = re.compile(r"label_\d+")


def plain_pair(folder: Path) -> tuple[Path, Path] | None:
    """The folders of images and of labels, where they are there."""
    pairs = [(folder / images, folder / labels) for images, labels in FOLDER_PAIRS]
    return next(((images, labels) for images, labels in pairs if images.is_dir() and labels.is_dir()), None)


@dataclass(frozen=True, slots=True, kw_only=True)
class PlainSettings:
    """What files without a dataset.json cannot tell.

    Attributes:
        channels: Names of the channels; they decide the normalisation.
        labels: Names of the labels, in the order of their numbers, without the background.
        remap_labels: Whether values may be renumbered so that they are consecutive.
        roi_margin: Millimetres around regions of interest to which images are cut; None leaves them whole.
        sheared: As in `Reading`.
    """

    channels: tuple[str, ...] | None = None
    labels: tuple[str, ...] | None = None
    remap_labels: bool = False
    roi_margin: float | None = None
    sheared: str = AS_FILES_SAY.sheared

    @property
    def description(self) -> dict[str, str]:
        """What dataset.json has to say of how files are read."""
        return {} if self.sheared == AS_FILES_SAY.sheared else {SHEARED: self.sheared}

    def read_as_asked(self, cases: Sequence[Case]) -> list[Case]:
        """The cases, with how their files are read."""
        return [replace(case, reading=replace(case.reading, sheared=self.sheared)) for case in cases]


def understand_plain_folders(
    folder: Path, images: Path, labels: Path, settings: PlainSettings, *, workers: int
) -> Understood:
    """Match images and labels by their names and read all label files for the values in them.

    Raises:
        DatasetError: A label without its images, channels that are not there for every case, or values that are no
            labels or not consecutive.
    """
    cases = settings.read_as_asked(cases_of(images, labels, folder / TEST_IMAGES))
    require_equal_channels(images, cases)
    training = tuple(case for case in cases if case.label_paths)
    test = tuple(case for case in cases if not case.label_paths)
    numbering = number_labels(
        labels,
        read_label_files(labels, training, workers),
        remap_labels=settings.remap_labels,
        names=settings.labels,
    )
    number, name = number_and_name(folder)
    understood = Understood(
        source=folder,
        layout=PLAIN,
        number=number,
        name=name,
        channels=channel_names(folder, settings.channels, cases[0]),
        labels=numbering.names,
        training=training,
        test=test,
        description=settings.description,
        label_values=numbering.numbers,
        outputs=outputs_of_raters(cases, numbering),
        notes=tuple(plain_notes(settings, numbering, len(test))),
    )
    return with_regions(understood, regions_beside(folder, cases), settings.roi_margin)


def cases_of(images: Path, labels: Path, test_images: Path | None = None) -> list[Case]:
    """The cases of a folder of images and one of labels of equal names, and those of a folder of images without any.

    Of labels that several raters drew, `<case>_rater1` and so on, a case has all.

    Raises:
        DatasetError: There is no label, a label has no image, or channel numbers are not in a row.
    """
    label_files = image_files(labels)
    if not label_files:
        raise DatasetError(f"{readable(labels)}: no image here; it holds the label file of each case")
    names = image_files(images).keys()
    all_named = label_files.keys() <= names
    by_case = {stem: (path,) for stem, path in label_files.items()} if all_named else _by_rater(label_files)
    single = by_case.keys() <= names
    cases = _cases(images, by_case, single=single)
    if test_images is not None and test_images.is_dir():
        cases += _cases(test_images, {}, single=single)
    return cases


def _by_rater(files: Mapping[str, Path]) -> dict[str, tuple[Path, ...]]:
    """Label files by case, those of several raters in their order.

    Raises:
        DatasetError: One that no rater's is beside them.
    """
    found: dict[str, dict[int, Path]] = {}
    for stem, path in files.items():
        match = RATER.fullmatch(stem)
        found.setdefault(match[1] if match else stem, {})[int(match[2]) if match else 0] = path
    if mixed := [case for case, raters in found.items() if 0 in raters and len(raters) > 1]:
        names = readable(found[mixed[0]][0].name)
        raise DatasetError(
            f"{readable(found[mixed[0]][0].parent)}: {names} lies beside the files of raters; is it their mean, take it away, or one "
            f"more, call it {readable(f'{mixed[0]}_rater{max(found[mixed[0]]) + 1}')}"
        )
    return {case: tuple(raters[number] for number in sorted(raters)) for case, raters in found.items()}


def outputs_of_raters(cases: Sequence[Case], numbering: Numbering) -> Exclusive | None:
    """What is predicted, where the label files of cases are several raters'; else None, one file says all."""
    return Exclusive(names=numbering.names) if any(case.drawn for case in cases) else None


def _cases(folder: Path, labels: Mapping[str, Sequence[Path]], *, single: bool) -> list[Case]:
    """The cases of a folder of images: one file each (`single`), or files with channel numbers behind the label's name."""
    images = image_files(folder)
    grouped = {stem: {0: path} for stem, path in images.items()} if single else _by_channel(images)
    if missing := sorted(labels.keys() - grouped.keys()):
        raise DatasetError(
            f"{readable(folder)}: no image of {first_few(missing)}; name images as their labels, or with channel numbers "
            "behind: <label>_0000, <label>_0001, ..."
        )
    if broken := [case for case, files in grouped.items() if sorted(files) != list(range(len(files)))]:
        raise DatasetError(
            f"{readable(folder)}: {first_few(broken)}: the channel numbers are not 0000, 0001, ... in a row"
        )
    return [
        _case(case, [files[number] for number in sorted(files)], labels.get(case, ()))
        for case, files in sorted(grouped.items())
    ]


def _case(identifier: str, images: Sequence[Path], labels: Sequence[Path]) -> Case:
    is_alone = [split_ending(path.name)[0] for path in labels] == [identifier]
    return Case(
        identifier=identifier,
        images=channels_of(images),
        segmentation=labels[0] if is_alone else None,
        drawn=(tuple(labels),) if labels and not is_alone else (),
    )


def channels_of(files: Sequence[Path]) -> tuple[ImageReference, ...]:
    """A file each, in their order, or all in one file, as the colours of a picture."""
    if len(files) == 1 and holds_channels(files[0].name):
        shape = read_header(files[0], most_dimensions=4).shape
        return channels_in(files[0], shape[0] if len(shape) > 3 else 1)
    return whole_files(files)


def require_equal_channels(folder: Path, cases: Sequence[Case]) -> None:
    """Refuse cases that have not as many channels as the others, or channels in files of several formats."""
    number = max(len(case.images) for case in cases)
    if fewer := [case.identifier for case in cases if len(case.images) != number]:
        raise DatasetError(
            f"{readable(folder)}: {first_few(fewer)}: without the {counted(number, 'channel')} that other cases have; "
            "add what is missing, or take these cases away"
        )
    if mixed := [
        case.identifier for case in cases if len({split_ending(path.name)[1] for path in case.image_paths}) > 1
    ]:
        raise DatasetError(
            f"{readable(folder)}: {first_few(mixed)}: the channels differ in file format; save them in one"
        )


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


def channel_names(folder: Path, names: Sequence[str] | None, case: Case) -> tuple[str, ...]:
    """The names that were given, or those that the channels of a case have by themselves: of one file they are colours."""
    number = len(case.images)
    if names is None and number == len(COLOURS) and len(case.image_paths) == 1:
        return COLOURS
    if names is None:
        return (UNNAMED_CHANNEL,) if number == 1 else tuple(f"{UNNAMED_CHANNEL}_{channel}" for channel in range(number))
    if len(names) != number:
        raise DatasetError(
            f"{readable(folder)}: {counted(len(names), 'channel is', 'channels are')} named ({first_few(names)}), but "
            f"each case has {number}; "
            "name each once, in their order"
        )
    return tuple(names)


def plain_notes(settings: PlainSettings, numbering: Numbering, test_cases: int) -> Iterator[str]:
    """What a user should know of files that no dataset.json describes."""
    if settings.channels is None:
        yield "images are scaled by their own mean and deviation; for CT add `channels=CT`"
    yield from numbering.notes
    if test_cases:
        yield f"without a label, and kept for prediction: {counted(test_cases, 'image')}"
    if any(UNNAMED_LABEL.fullmatch(name) for name in numbering.names):
        yield "labels are named by their values; name them with `labels`, or in dataset.json before planning"
