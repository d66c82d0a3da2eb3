"""Where a mask comes from: a file of its own, a channel of one, or a structure that a DICOM drawing holds of a series."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path
from typing import TypeAlias

import numpy as np

from autoseg.images import Image, Reading, read_label
from autoseg.images.dicom_drawings import masks_of
from autoseg.images.formats.dicom import grid_of, series_of


@dataclass(frozen=True, slots=True, kw_only=True)
class Structure:
    """What is drawn of one name in a DICOM segmentation or structure set.

    Attributes:
        path: The drawing.
        image: A file of the series that it is laid on.
        numbers: Of its parts in the drawing.
    """

    path: Path
    image: Path
    numbers: tuple[int, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Channel:
    """One of the masks that a label file holds, `number` from 0."""

    path: Path
    number: int
    reading: Reading


MaskSource: TypeAlias = Path | Channel | Structure


def file_of(source: MaskSource) -> Path:
    """The file that a mask is read from."""
    return source if isinstance(source, Path) else source.path


def read_masks(sources: Sequence[MaskSource]) -> Iterator[Image]:
    """The masks one after the other; a drawing is opened once for its structures that follow each other.

    Raises:
        DatasetError: A file cannot be read, or a drawing does not lie on its series.
    """
    for _, some in groupby(sources, key=lambda one: (one.path, one.image) if isinstance(one, Structure) else one):
        same = list(some)
        structures = [one for one in same if isinstance(one, Structure)]
        if structures:
            grid = grid_of(series_of(structures[0].image))
            for mask in masks_of(structures[0].path, [one.numbers for one in structures], grid):
                yield Image(data=mask.astype(np.uint8), geometry=grid.geometry)
        yield from (_read(one) for one in same if not isinstance(one, Structure))


def _read(source: Path | Channel) -> Image:
    if isinstance(source, Path):
        return read_label(source)
    return read_label(source.path, source.reading, part=source.number)
