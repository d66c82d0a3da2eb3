"""True labels that are DICOM drawings, segmentations or structure sets, laid on the grid of what is scored against them."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from autoseg.errors import DatasetError
from autoseg.images import Image, split_ending
from autoseg.images.dicom_drawings import in_file_names, masks_of, read_drawing
from autoseg.images.formats.dicom import SliceGrid
from autoseg.images.formats.dicom_slices import is_dicom
from autoseg.words import first_few, readable


def drawings_in(folder: Path) -> dict[str, Path]:
    """The files of a folder that are DICOM drawings, by their names without what stands behind the last point."""
    files = (path for path in sorted(folder.iterdir()) if path.is_file() and not split_ending(path.name)[1])
    return {path.stem: path for path in files if is_dicom(path) and read_drawing(path) is not None}


def is_drawing(path: Path) -> bool:
    """Whether a file that was found as a reference is one."""
    return not split_ending(path.name)[1] and is_dicom(path)


def read_drawn_labels(path: Path, prediction: Path, image: Image, names: Sequence[str]) -> Image:
    """The labels that are drawn, on a prediction's grid; later ones over earlier ones.

    Args:
        image: The prediction's, read.
        names: Of the labels, the index is the number, by which structures are found; empty takes the structures' own numbers.

    Raises:
        DatasetError: It lies on another grid, or holds none of the labels.
    """
    drawing = read_drawing(path)
    if drawing is None:
        raise DatasetError(
            f"{readable(path)}: holds no drawing; name a segmentation (SEG) or a structure set (RTSTRUCT)"
        )
    parts = {in_file_names(name).casefold(): numbers for name, numbers in drawing.structures.items()}
    values = {value: parts.get(in_file_names(name).casefold()) for value, name in enumerate(names) if value and name}
    if not names:
        values = {number: (number,) for numbers in parts.values() for number in numbers}
    held = {value: numbers for value, numbers in values.items() if numbers}
    if not held:
        raise DatasetError(
            f"{readable(path)}: none of the labels is drawn in it: {first_few(list(names[1:]))}; there are "
            f"{first_few(list(drawing.structures))}"
        )
    grid = SliceGrid(name=prediction, geometry=image.geometry, shape=image.data.shape)
    labels = np.zeros(image.data.shape, np.min_scalar_type(max(held)))
    for value, mask in zip(held, masks_of(path, list(held.values()), grid), strict=True):
        labels[mask] = value
    return Image(data=labels, geometry=image.geometry)
