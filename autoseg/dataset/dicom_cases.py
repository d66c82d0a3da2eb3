"""The cases of a folder of DICOM files: a series each, of the folder itself, of those in it, or of zip files in it."""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Sequence
from importlib.util import find_spec
from pathlib import Path

from autoseg.dataset.cases import Case
from autoseg.dataset.dicom_zips import unpack_dicom, zips_in
from autoseg.errors import DatasetError
from autoseg.images import whole_files
from autoseg.images.formats.dicom import described, series_in
from autoseg.images.formats.dicom_slices import is_dicom
from autoseg.words import counted, first_few, readable

log = logging.getLogger(__name__)


def find_dicom_cases(folder: Path, channels: int, scratch: Path | None = None) -> Sequence[Case]:
    """A case for each series, named by its folder or zip, and of several in one by their numbers; none where nothing is DICOM.

    Args:
        scratch: Where zip files are unpacked; without it they are left alone.

    Raises:
        DatasetError: A file is damaged, a zip holds no series, or the model takes several channels, which nobody can tell
            apart in series.
    """
    if find_spec("pydicom") is None:
        return []
    cases: list[Case] = []
    for inner in (folder, *sorted(path for path in folder.iterdir() if path.is_dir())):
        if any(is_dicom(path) for path in inner.iterdir() if path.is_file()):
            cases += _cases_in(inner, inner.resolve().name)
    if scratch is not None:
        cases += [case for path in zips_in(folder) for case in zipped_cases(path, scratch)]
    if alike := [name for name, number in Counter(case.identifier for case in cases).items() if number > 1]:
        raise DatasetError(
            f"{readable(folder)}: a folder and a zip file of one name: {first_few(alike)}; keep one of the two, or rename it"
        )
    if cases and channels > 1:
        raise DatasetError(
            f"{readable(folder)}: {counted(len(cases), 'DICOM series', 'DICOM series')}, and the model takes "
            f"{counted(channels, 'channel')}; convert each to NIfTI (dcm2niix -z y) and name the files "
            "<case>_0000.nii.gz, <case>_0001.nii.gz, ..."
        )
    return cases


def zipped_cases(path: Path, scratch: Path) -> Sequence[Case]:
    """A case for each series in a zip file, which is unpacked into a folder of its name in `scratch`.

    Raises:
        DatasetError: It cannot be used, or holds no series.
    """
    folder = scratch / path.name
    unpack_dicom(path, folder)
    try:
        cases = _cases_in(folder, path.stem)
    except DatasetError as error:
        raise DatasetError(str(error).replace(f"{scratch}/", f"{path.parent}/")) from error
    if not cases:
        raise DatasetError(
            f"{readable(path)}: holds no DICOM series (slices of an image); name one that does, or unpack it and name the "
            "folder of images in it"
        )
    return cases


def _cases_in(folder: Path, name: str) -> list[Case]:
    series = series_in(folder)
    if len(series) > 1:
        log.warning("%s: %s, each a case: %s", readable(name), counted(len(series), "volume"), described(series))
    return [
        Case(identifier=name if len(series) == 1 else f"{name}_{one.name}", images=whole_files([one.path]))
        for one in series
    ]
