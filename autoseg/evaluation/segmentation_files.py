"""The files of a case's segmentation: one of a map, or one of each mask, found in a folder and read as one array."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from autoseg.arrays import LabelArray
from autoseg.dataset import image_files
from autoseg.dataset.coding import planes_of
from autoseg.dataset.target import Target
from autoseg.errors import DatasetError
from autoseg.evaluation.case_files import cases_in
from autoseg.evaluation.summary import read_labels, read_shares, require_one_grid
from autoseg.images import Image
from autoseg.words import first_few, in_digits


def segmentations_in(folder: Path, target: Target) -> Mapping[str, tuple[Path, ...]]:
    """The files of each case whose segmentation lies in a folder, in the order of the target's maps.

    Raises:
        DatasetError: There is no such folder, or no segmentation in it, or of a case a file is missing.
    """
    if not folder.is_dir():
        raise DatasetError(f"{folder}: no such folder; name a folder of segmentations (.nii.gz)")
    files = image_files(folder)
    if not files:
        raise DatasetError(f"{folder}: no segmentation (.nii.gz) here; name a folder of segmentations")
    wanted = {case: target.files_of(case) for case in cases_in(files, target)}
    if missing := [name for names in wanted.values() for name in names if name not in files]:
        raise DatasetError(
            f"{folder}: no {first_few([f'{name}.nii.gz' for name in missing])} here; each output "
            f"({', '.join(target.labels[number] for number in target.scored)}) has a file of its own; predict these cases again, "
            "or move away what is no segmentation"
        )
    return {case: tuple(files[name] for name in names) for case, names in wanted.items()}


def read_segmentation(files: Sequence[Path], target: Target) -> Image:
    """Read the files of one segmentation as one array of whole numbers, of soft labels of planes; see `read_maps`.

    Returns:
        Its data are `(Z, Y, X)`, or `(outputs, Z, Y, X)` of masks that may overlap.
    """
    maps = read_maps(files, target)
    return Image(data=target.joined([one.data for one in maps]), geometry=maps[0].geometry)


def read_maps(files: Sequence[Path], target: Target) -> tuple[Image, ...]:
    """Read the files of one segmentation; their data are whole numbers, of soft labels planes.

    Raises:
        DatasetError: One cannot be read, lies on another grid, or is no mask.
    """
    maps = tuple(_read_plane(file) if target.soft else read_labels(file) for file in files)
    for file, one in zip(files, maps, strict=True):
        require_one_grid((files[0], file), maps[0], one)
        if target.drawn_apart and not target.soft:
            _require_mask(one.data, file)
    return maps


def _read_plane(file: Path) -> Image:
    image = read_shares(file, None)
    return Image(data=planes_of(image.data), geometry=image.geometry)


def _require_mask(labels: LabelArray, file: Path) -> None:
    odd = np.setdiff1d(labels, (0, 1))
    if len(odd):
        raise DatasetError(f"{file}: a mask holds 0 and 1, found {first_few(odd, say=in_digits)}; correct the file")
