"""The cases of a folder of images that somebody wants segmented, with channel numbers in their names or without."""

from __future__ import annotations

import logging
import re
from collections.abc import Mapping, Sequence
from pathlib import Path

from autoseg.dataset.cases import Case, channels_in, find_case_files, image_files
from autoseg.dataset.contents import describe_contents
from autoseg.dataset.dicom_cases import find_dicom_cases
from autoseg.errors import DatasetError
from autoseg.images import EXAMPLES, holds_channels, split_ending, whole_files
from autoseg.words import counted, for_example, readable

log = logging.getLogger(__name__)

NUMBERED = re.compile(r".+_(\d{4})", re.ASCII)


def find_new_cases(folder: Path, channels: int, scratch: Path | None = None) -> Sequence[Case]:
    """The cases in a folder, sorted: of one channel each image by its own name where no name has a channel number.

    Args:
        scratch: Where zip files of DICOM series are unpacked; without it they are left alone.

    Raises:
        DatasetError: There are none, and what lies there instead is said; names with and without channel number are
            mixed; or a case's channels are not exactly 0 to `channels` - 1.
    """
    if not folder.is_dir():
        return find_case_files(folder, channels)
    names = [path.name for path in sorted(folder.iterdir()) if _is_image(path)]
    if not names and (series := find_dicom_cases(folder, channels, scratch)):
        return series
    if not names:
        raise DatasetError(_nothing_found(folder))
    numbers = {name: match[1] for name in names if (match := NUMBERED.fullmatch(split_ending(name)[0]))}
    if channels > 1 and not numbers and all(map(holds_channels, names)):
        return [Case(identifier=name, images=channels_in(path, channels)) for name, path in image_files(folder).items()]
    if without := [name for name in names if name not in numbers]:
        _require_no_numbers(folder, channels, numbers, without)
    elif channels > 1 or not _are_names(numbers):
        return find_case_files(folder, channels)
    else:
        log.warning(
            "%s: the names end in numbers, but none in _0000: taken for the names of %s of one image each",
            folder,
            counted(len(names), "case"),
        )
    return [Case(identifier=name, images=whole_files([path])) for name, path in image_files(folder).items()]


def _is_image(path: Path) -> bool:
    return bool(split_ending(path.name)[1]) and not path.name.startswith(".") and path.is_file()


def _are_names(numbers: Mapping[str, str]) -> bool:
    """Whether the numbers tell cases apart, as in scan_0001, scan_0002, rather than channels, of which the first is 0."""
    return len(numbers) > 1 and len(set(numbers.values())) == len(numbers) and "0000" not in numbers.values()


def _require_no_numbers(folder: Path, channels: int, numbers: Mapping[str, str], without: Sequence[str]) -> None:
    path, ending = readable(folder / without[0]), split_ending(without[0])[1]
    if channels > 1:
        raise DatasetError(
            f"{path}: the name lacks its channel number; the model takes {counted(channels, 'channel')}, so name the "
            "images of each "
            f"case <case>_0000{ending} to <case>_{channels - 1:04d}{ending}"
        )
    if numbers:
        raise DatasetError(
            f"{folder}: some names end in a channel number and some do not (with: {for_example(list(numbers))}; without: "
            f"{for_example(without)}); name all images <case>_0000{ending}, or all without a number"
        )


def _nothing_found(folder: Path) -> str:
    contents = describe_contents(folder)
    if not contents:
        return f"{folder}: no images here; name them <case>_0000.nii.gz, <case>_0001.nii.gz, ..."
    return f"{folder}: no images here (their names end in .nii.gz, {EXAMPLES}), but\n{contents}"
