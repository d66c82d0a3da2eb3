"""What lies in a folder of DICOM files: series, what was drawn on them, and which belongs to which.

A drawing says what it was drawn on: images, a series, or at least a frame of reference, in which only one series may fit.
"""

from __future__ import annotations

import os
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from autoseg.errors import CasesFailed, DatasetError
from autoseg.images import holds_channels, split_ending
from autoseg.images.dicom_drawings import DicomDrawing, is_drawn_on, masks_of, may_be_drawn_on, read_drawing
from autoseg.images.formats.dicom import Series, grid_of, series_in
from autoseg.images.formats.dicom_slices import is_dicom
from autoseg.machine.pool import run_on_cases
from autoseg.words import agreeing, counted, first_few, readable


@dataclass(frozen=True, slots=True, kw_only=True)
class Found:
    """What lies in a folder and in those below it.

    Attributes:
        images: Volumes in files of other formats, which may be labels.
    """

    series: tuple[Series, ...]
    drawings: tuple[DicomDrawing, ...]
    images: tuple[Path, ...]


def holds_dicom(folder: Path) -> bool:
    """Whether any file in it or below is DICOM."""
    return any(is_dicom(path) for inner in _folders(folder) for path in _files(inner) if not split_ending(path.name)[1])


def find_dicom(folder: Path, workers: int) -> Found:
    """All series and drawings of a folder, in the order of the folders.

    Raises:
        DatasetError: Naming each folder with a file that is damaged.
    """
    folders = list(_folders(folder))
    try:
        looked = run_on_cases(_look, folders, task="reading DICOM", workers=workers, name=partial(place, folder))
    except CasesFailed as failed:
        lines = "\n".join(f"  {reason}" for _, reason in failed.failures)
        raise DatasetError(
            f"{readable(folder)}: {counted(len(failed.failures), 'folder')} of DICOM files cannot be used\n{lines}\n"
            f"Nothing was written; put {agreeing(len(failed.failures), 'this', 'these')} right and convert again."
        ) from failed
    return Found(
        series=tuple(one for found in looked for one in found.series),
        drawings=tuple(one for found in looked for one in found.drawings),
        images=tuple(one for found in looked for one in found.images),
    )


def match_drawings(folder: Path, found: Found) -> tuple[Mapping[Path, list[DicomDrawing]], tuple[DicomDrawing, ...]]:
    """The drawings of each series, by the series' path, and those whose series is not there.

    Raises:
        DatasetError: A drawing lies on none of the series that it may have been drawn on, or on several.
    """
    matched: dict[Path, list[DicomDrawing]] = {}
    orphans = []
    for drawing in found.drawings:
        series = _series_of(folder, drawing, found.series)
        if series is None:
            orphans.append(drawing)
        else:
            matched.setdefault(series.path, []).append(drawing)
    return matched, tuple(orphans)


def place(folder: Path, path: Path) -> str:
    """Where something lies in a folder, for messages."""
    return readable(path.relative_to(folder) if path != folder else ".")


def _folders(folder: Path) -> Iterator[Path]:
    for where, inner, _ in os.walk(folder, followlinks=True):
        inner[:] = sorted(name for name in inner if not name.startswith("."))
        yield Path(where)


def _files(folder: Path) -> list[Path]:
    return [path for path in sorted(folder.iterdir()) if path.is_file() and not path.name.startswith(".")]


def _look(folder: Path) -> Found:
    series = series_in(folder)
    slices = {one.path for volume in series for one in volume.slices}
    files = _files(folder)
    drawings = (read_drawing(path) for path in files if path not in slices and not split_ending(path.name)[1])
    return Found(
        series=series,
        drawings=tuple(one for one in drawings if one is not None and one.structures),
        images=tuple(path for path in files if split_ending(path.name)[1] and not holds_channels(path.name)),
    )


def _series_of(folder: Path, drawing: DicomDrawing, series: Sequence[Series]) -> Series | None:
    """The one series that a drawing was drawn on; None where it is not there."""
    for is_possible in (_is_drawn_on_images, is_drawn_on, may_be_drawn_on):
        candidates = [one for one in series if is_possible(drawing, one)]
        faults = (
            [_fault(drawing, one) for one in candidates]
            if len(candidates) > 1 or is_possible is may_be_drawn_on
            else []
        )
        fitting = [one for one, fault in zip(candidates, faults, strict=False) if not fault] if faults else candidates
        if len(fitting) > 1:
            raise DatasetError(
                f"{readable(drawing.path)}: lies on {counted(len(fitting), 'series', 'series')}: "
                f"{first_few(_placed(folder, fitting))}; keep the one that it was drawn on"
            )
        if fitting:
            return fitting[0]
        if faults:
            raise DatasetError(faults[0])
    return None


def _is_drawn_on_images(drawing: DicomDrawing, series: Series) -> bool:
    return any(one.instance in drawing.references for one in series.slices)


def _fault(drawing: DicomDrawing, series: Series) -> str:
    """Why a drawing does not lie on a series; empty where it does."""
    try:
        for _ in masks_of(drawing.path, drawing.structures.values(), grid_of(series)):
            pass
    except DatasetError as error:
        return str(error)
    return ""


def _placed(folder: Path, series: Collection[Series]) -> list[str]:
    return [f"{place(folder, one.path.parent)}/{one.name}" for one in series]
