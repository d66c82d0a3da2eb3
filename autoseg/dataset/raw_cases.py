"""A case's image files, read and laid on one grid."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import accumulate
from pathlib import Path

import numpy as np

from autoseg.arrays import Array, Float32Array, LabelArray
from autoseg.dataset.cases import Case
from autoseg.dataset.planes import read_plane
from autoseg.dataset.target import BACKGROUND, IGNORED, Target
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
        segmentation: `(Z, Y, X)` integers, None where there is no label file; where there are several, or fractions,
            `(P, Z, Y, X)`, of bytes where they are masks or fractions (`dataset.coding`).
        planes: Of each file output the rater's places in `segmentation`; empty where one map says all.
        annotated: The outputs that were drawn; None: all.
        doubts: What the files' headers leave in doubt of how they lie, one text each.
    """

    identifier: str
    data: Float32Array
    segmentation: LabelArray | None
    geometry: Geometry
    doubts: tuple[str, ...] = ()
    planes: tuple[tuple[int, ...], ...] = ()
    annotated: tuple[str, ...] | None = None


def read_case(case: Case, target: Target | None = None) -> RawCase:
    """Read a case's channels and labels, which must lie on one grid.

    Args:
        target: What is predicted, which says what in label files is ignored, and whether they hold fractions. Without it,
            values are taken as they are.

    Label files of floats are taken when every value is whole. NaN and infinite intensities are not looked for.

    Raises:
        DatasetError: Naming the case: a file that cannot be read, grids that differ, labels with fractions, intensities
            that cannot be computed with.
    """
    paths, channels = [image.path for image in case.images], read_images(case.images, case.reading)
    for path, channel in zip(paths, channels, strict=True):
        if (found := odd_magnitudes(channel.data)) and found.unusable:
            raise DatasetError(f"case {readable(case.identifier)}: {readable(path)} {found.text}")
    labels = [
        read_label(path, case.reading, part=part, parts=len(case.drawn))
        for path, part in zip(case.label_paths, case.label_parts, strict=True)
    ]
    _require_one_grid(case.identifier, case_files(case), [*channels, *labels])
    return RawCase(
        identifier=case.identifier,
        data=np.stack([channel.data for channel in channels], dtype=np.float32, casting="unsafe"),
        segmentation=_labels(labels, case, target),
        geometry=channels[0].geometry,
        doubts=_doubts(paths, channels),
        planes=places_of(case),
        annotated=case.annotated,
    )


def case_files(case: Case) -> Sequence[Path]:
    """A file for each channel and for each of its labels, in the order in which they are read."""
    return [*(image.path for image in case.images), *case.label_paths]


def places_of(case: Case) -> tuple[tuple[int, ...], ...]:
    """Of each file output, where its raters stand in the order of `label_paths`."""
    ends = accumulate(len(files) for files in case.drawn)
    return tuple(tuple(range(end - len(files), end)) for files, end in zip(case.drawn, ends, strict=True))


def _labels(labels: Sequence[Image], case: Case, target: Target | None) -> LabelArray | None:
    if not labels:
        return None
    if not case.drawn:
        return _with_ignored(_whole_numbers(labels[0].data, case), case, target)
    if target is not None and target.in_planes:
        planes = [
            read_plane(label.data, target, f"case {readable(case.identifier)}: {readable(path.name)}")
            for path, label in zip(case.label_paths, labels, strict=True)
        ]
        return np.stack(planes)
    return np.stack([_with_ignored(_whole_numbers(label.data, case), case, target) for label in labels])


def _with_ignored(labels: LabelArray, case: Case, target: Target | None) -> LabelArray:
    if target is None or target.ignore is None:
        return labels
    if (lowest := labels.min()) < BACKGROUND:
        raise DatasetError(
            f"case {readable(case.identifier)}: {_label_file(case)} holds {lowest}, and labels are numbered from "
            f"{BACKGROUND}, with {target.ignore} where they are ignored; correct the file"
        )
    labels[labels == target.ignore] = IGNORED
    return labels


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
            f"case {readable(case.identifier)}: {_label_file(case)} holds values that are no whole numbers: "
            f"{first_few(found, say=in_digits)}; save the labels as integers, resampled without interpolation"
        )
    for kind in (np.int16, np.int32):
        if np.iinfo(kind).min <= data.min() and data.max() <= np.iinfo(kind).max:
            return data.astype(kind)
    raise DatasetError(
        f"case {readable(case.identifier)}: {_label_file(case)} holds values from {data.min():.6g} to "
        f"{data.max():.6g}, which are no labels; number the labels from 0"
    )


def _label_file(case: Case) -> str:
    return readable(case.segmentation or case.label_paths[0].name)
