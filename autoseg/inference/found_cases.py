"""The cases that are to be predicted: in a folder, or in the files that are named."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from pathlib import Path

from autoseg.dataset import Case
from autoseg.dataset.cases import channels_in
from autoseg.dataset.contents import require_images
from autoseg.dataset.dicom_cases import zipped_cases
from autoseg.dataset.dicom_zips import is_zip
from autoseg.dataset.new_cases import find_new_cases
from autoseg.errors import DatasetError
from autoseg.images import files_of, holds_channels, split_ending, whole_files
from autoseg.words import counted

log = logging.getLogger(__name__)

CHANNEL_DIGITS = 4


def find_cases(inputs: Sequence[Path], channels: int, scratch: Path | None = None) -> Sequence[Case]:
    """The cases in a folder, or the one case whose files are given.

    Args:
        inputs: One folder of `<case>_0000.nii.gz` ..., of one channel also `<case>.nii.gz`, or one file for each channel, in
            channel order; or a DICOM series: its folder, a folder of such, one of its files, or a zip of it.
        scratch: Where zip files are unpacked; without it they are no images.

    Raises:
        DatasetError: Nothing is there, or channels are missing or too many; what is expected is listed.
    """
    if len(inputs) == 1 and inputs[0].is_dir():
        return _cases_in_folder(inputs[0], channels, scratch)
    for path in inputs:
        if not path.is_file():
            raise DatasetError(f"{path}: no such file or folder; name a folder of images, or the files of one case")
    require_images(inputs)
    if len(inputs) == 1 and is_zip(inputs[0]) and scratch is not None:
        return _case_in_zip(inputs[0], channels, scratch)
    if len(inputs) == 1 and channels > 1 and holds_channels(inputs[0].name):
        return [Case(identifier=_identifier(inputs[0]), images=channels_in(inputs[0], channels))]
    listing = ", ".join(map(str, inputs))
    if len(inputs) != channels:
        raise DatasetError(
            f"{listing}: {counted(len(inputs), 'file')} given, but the model takes {counted(channels, 'channel')}; "
            "give one file for each channel in their order, or a folder"
        )
    return [Case(identifier=_identifier(inputs[0]), images=whole_files(inputs))]


def select_part(cases: Sequence[Case], part: int, parts: int) -> Sequence[Case]:
    """Every `parts`-th case from number `part` on, so that several processes share a folder.

    Raises:
        DatasetError: The part is not one of 0 to `parts` - 1.
    """
    if not 0 <= part < parts:
        raise DatasetError(f"part {part} of {parts}: parts are numbered from 0 to {parts - 1}; check `part`")
    return cases[part::parts]


def _case_in_zip(path: Path, channels: int, scratch: Path) -> Sequence[Case]:
    cases = zipped_cases(path, scratch)
    if len(cases) > 1:
        raise DatasetError(
            f"{path}: holds {counted(len(cases), 'DICOM series', 'DICOM series')}, and the output is one file; name a folder "
            "with this zip in it, and a folder for the output"
        )
    if channels > 1:
        raise DatasetError(
            f"{path}: holds one DICOM series, but the model takes {counted(channels, 'channel')}; convert each to NIfTI "
            "(dcm2niix -z y) and name the files"
        )
    return cases


def _cases_in_folder(folder: Path, channels: int, scratch: Path | None) -> Sequence[Case]:
    cases = find_new_cases(folder, channels, scratch)
    files = {file for case in cases for path in case.image_paths for file in files_of(path)}
    used = {path.relative_to(folder if path.is_relative_to(folder) else scratch or folder).parts[0] for path in files}
    surplus = sorted(path.name for path in folder.iterdir() if path.name not in used and not path.name.startswith("."))
    if surplus:
        log.warning("%s: not images, left alone: %s", folder, ", ".join(surplus))
    return cases


def _identifier(path: Path) -> str:
    """The case's name: that of its first file without ending and channel number."""
    stem = split_ending(path.name)[0]
    name, _, number = stem.rpartition("_")
    return name if name and len(number) == CHANNEL_DIGITS and number.isdecimal() else stem
