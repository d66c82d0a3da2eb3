"""What was drawn on DICOM series and stored as DICOM: segmentations (SEG) and structure sets (RTSTRUCT), read alike.

A drawing names its structures, and each is a mask on the grid of the series that it was drawn on, which it refers to.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from autoseg.arrays import Mask
from autoseg.images import dicom_contours, dicom_segments
from autoseg.images.formats.dicom import Series, SliceGrid
from autoseg.images.formats.dicom_slices import is_dicom, opened
from autoseg.images.refusals import refusal
from autoseg.images.segments import plain_name

KINDS = {"SEG": dicom_segments, "RTSTRUCT": dicom_contours}
"""By their modality, what reads them."""

NAMING = (
    *("Modality", "SegmentationType", "SegmentSequence", "PixelPaddingValue", "FrameOfReferenceUID"),
    *("ReferencedSeriesSequence", "PerFrameFunctionalGroupsSequence"),
    *("StructureSetROISequence", "ROIContourSequence", "ReferencedFrameOfReferenceSequence"),
)
"""All that is read of a drawing before its masks: nothing that says who it is of."""


NOT_IN_FILES = re.compile(r"[^\w-]+")

CONTOUR_DATA = 0x30060050
"""Millions of numbers, which are read when they are drawn."""


@dataclass(frozen=True, slots=True, kw_only=True)
class DicomDrawing:
    """What a file says of the structures in it, and of what they were drawn on.

    Attributes:
        kind: SEG or RTSTRUCT.
        references: Identifiers of series, images and frames of reference.
        structures: The numbers of each name; several of one name are one structure in parts.
    """

    path: Path
    kind: str
    references: frozenset[str]
    structures: dict[str, tuple[int, ...]]


def read_drawing(path: Path) -> DicomDrawing | None:
    """What is drawn in a file; None where it is no drawing.

    Raises:
        DatasetError: It is damaged, or a structure has no name.
    """
    if not is_dicom(path):
        return None
    with opened(path, tags=("Modality",)) as content:
        kind = str(content.get("Modality", ""))
    if kind not in KINDS:
        return None
    with opened(path, tags=NAMING) as content:
        structures: dict[str, tuple[int, ...]] = {}
        for number, text in KINDS[kind].structures_in(content).items():
            name = plain_name(text)
            if not name:
                raise refusal(path, f"its structure {number} has no name", "name it, and export it again")
            structures[name] = (*structures.get(name, ()), number)
        return DicomDrawing(path=path, kind=kind, references=frozenset(_references(content)), structures=structures)


def in_file_names(name: str) -> str:
    """A structure's name as it may be part of a file's: letters, digits, _ and -."""
    return NOT_IN_FILES.sub("_", name).strip("_") or "structure"


def is_drawn_on(drawing: DicomDrawing, series: Series) -> bool:
    """Whether a drawing refers to an image of a series, or to the series itself."""
    return any({one.instance, one.series} & drawing.references for one in series.slices)


def may_be_drawn_on(drawing: DicomDrawing, series: Series) -> bool:
    """Whether both are in one frame of reference: the same patient, who lay still."""
    return any(one.frame_of_reference in drawing.references for one in series.slices)


def masks_of(path: Path, structures: Iterable[Sequence[int]], grid: SliceGrid) -> Iterator[Mask]:
    """For each set of numbers the voxels of all these structures, `(Z, Y, X)` on a grid, one after the other.

    Raises:
        DatasetError: The file is damaged, or was drawn on another grid.
    """
    with opened(path) as content:
        yield from KINDS[str(content.Modality)].masks_of(path, content, structures, grid)


def _references(content: Any) -> Iterator[str]:
    """All identifiers that stand in a drawing of something else, however deep."""
    for tag in content.keys() - {CONTOUR_DATA}:
        element = content[tag]
        if element.VR == "SQ":
            for item in element.value:
                yield from _references(item)
        elif element.VR == "UI" and element.value:
            yield from [str(element.value)]
