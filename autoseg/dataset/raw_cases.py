"""A case's image files, read and laid on one grid."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from autoseg.arrays import Array, Float32Array, LabelArray
from autoseg.dataset.cases import Case
from autoseg.errors import DatasetError
from autoseg.geometry import Geometry
from autoseg.images import Image, grid_differences, read_images, read_label
from autoseg.images.magnitudes import odd_magnitudes
from autoseg.images.whole_numbers import fractional_values
from autoseg.words import first_few, in_digits, readable


@dataclass(frozen=True, slots=True, kw_only=True)
class RawCase:
    """A case as it was on disk.

    Attributes:
        data: `(C, Z, Y, X)` float32, all channels on one grid.
        segmentation: `(Z, Y, X)` integers, None where there is no label file.
        doubts: What the files' headers leave in doubt of how they lie, one text each.
    """

    identifier: str
    data: Float32Array
    segmentation: LabelArray | None
    geometry: Geometry
    doubts: tuple[str, ...] = ()


def read_case(case: Case) -> RawCase:
    """Read a case's channels and label, which must lie on one grid.

    Label files of floats are taken when every value is whole. NaN and infinite intensities are not looked for.

    Raises:
        DatasetError: Naming the case: a file that cannot be read, grids that differ, labels with fractions, intensities
            that cannot be computed with.
    """
    paths, channels = [image.path for image in case.images], read_images(case.images)
    for path, channel in zip(paths, channels, strict=True):
        if (found := odd_magnitudes(channel.data)) and found.unusable:
            raise DatasetError(f"case {readable(case.identifier)}: {readable(path)} {found.text}")
    label = None if case.segmentation is None else read_label(case.segmentation)
    files = [*paths, case.segmentation] if case.segmentation else paths
    _require_one_grid(case.identifier, files, [*channels, label] if label else channels)
    return RawCase(
        identifier=case.identifier,
        data=np.stack([channel.data for channel in channels], dtype=np.float32, casting="unsafe"),
        segmentation=None if label is None else _whole_numbers(label.data, case),
        geometry=channels[0].geometry,
        doubts=_doubts(paths, channels),
    )


def _doubts(files: Sequence[Path], images: Sequence[Image]) -> tuple[str, ...]:
    """Each once, with the first file of those that it is true of."""
    first: dict[str, Path] = {}
    for path, image in zip(files, images, strict=True):
        for text in image.geometry.doubts(image.data.shape):
            first.setdefault(text, path)
    return tuple(f"{readable(path.name)}: {text}" for text, path in first.items())


def _require_one_grid(identifier: str, files: Sequence[Path], images: Sequence[Image]) -> None:
    for path, image in zip(files[1:], images[1:], strict=True):
        if found := grid_differences(images[0], image):
            raise DatasetError(
                f"case {readable(identifier)}: {readable(files[0].name)} and {readable(path.name)} lie on different "
                f"grids: {'; '.join(found)}; resample them onto one grid"
            )


def _whole_numbers(data: Array, case: Case) -> LabelArray:
    """Labels as int16, or int32 where they need it."""
    if len(found := fractional_values(data)):
        raise DatasetError(
            f"case {readable(case.identifier)}: {readable(case.segmentation)} holds values that are no whole numbers: "
            f"{first_few(found, say=in_digits)}; save the labels as integers, resampled without interpolation"
        )
    for kind in (np.int16, np.int32):
        if np.iinfo(kind).min <= data.min() and data.max() <= np.iinfo(kind).max:
            return data.astype(kind)
    raise DatasetError(
        f"case {readable(case.identifier)}: {readable(case.segmentation)} holds values from {data.min():.6g} to "
        f"{data.max():.6g}, which are no labels; number the labels from 0"
    )
