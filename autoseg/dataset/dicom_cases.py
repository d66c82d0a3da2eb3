"""The cases of a folder of DICOM files: a series each, of the folder itself or of those in it."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from importlib.util import find_spec
from pathlib import Path

from autoseg.dataset.cases import Case
from autoseg.errors import DatasetError
from autoseg.images import whole_files
from autoseg.images.formats.dicom import described, series_in
from autoseg.images.formats.dicom_slices import is_dicom
from autoseg.words import counted, readable

log = logging.getLogger(__name__)


def find_dicom_cases(folder: Path, channels: int) -> Sequence[Case]:
    """A case for each series, named by its folder, and of several in one by their numbers; none where nothing is DICOM.

    Raises:
        DatasetError: A file is damaged, or the model takes several channels, which nobody can tell apart in series.
    """
    if find_spec("pydicom") is None:
        return []
    cases: list[Case] = []
    for inner in (folder, *sorted(path for path in folder.iterdir() if path.is_dir())):
        if not any(is_dicom(path) for path in inner.iterdir() if path.is_file()):
            continue
        series = series_in(inner)
        if len(series) > 1:
            log.warning("%s: %s, each a case: %s", readable(inner), counted(len(series), "volume"), described(series))
        name = inner.resolve().name
        cases += [
            Case(identifier=name if len(series) == 1 else f"{name}_{one.name}", images=whole_files([one.path]))
            for one in series
        ]
    if cases and channels > 1:
        raise DatasetError(
            f"{readable(folder)}: {counted(len(cases), 'DICOM series', 'DICOM series')}, and the model takes "
            f"{counted(channels, 'channel')}; convert each to NIfTI (dcm2niix -z y) and name the files "
            "<case>_0000.nii.gz, <case>_0001.nii.gz, ..."
        )
    return cases
