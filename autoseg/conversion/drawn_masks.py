"""Labels that lie in a file each, made into what is learned: one map where no two of them ever overlap, else masks."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations
from pathlib import Path
from typing import Literal

import numpy as np

from autoseg.arrays import Array, Mask
from autoseg.conversion.mask_sources import MaskSource, file_of, read_masks
from autoseg.conversion.understood import DrawnLabel
from autoseg.errors import CasesFailed, DatasetError
from autoseg.images import read_label
from autoseg.images.whole_numbers import fractional_values
from autoseg.machine.pool import run_on_cases
from autoseg.words import agreeing, counted, first_few, in_digits, readable

BACKGROUND = "background"

Overlap = Literal["masks", "last"] | None
"""What becomes of labels with a file each: masks of their own, or one map in which the last counts where they overlap. None:
one map where no two ever overlap, else masks."""

LARGEST_NUMBER = 100
"""Values up to it are numbers of labels; a mask of 8 bits has 255 where it holds, and values between at its edges."""


@dataclass(frozen=True, slots=True, kw_only=True)
class DrawnCase:
    """A case and the files of each of its labels.

    Attributes:
        masks: By the label's name, the mask of each rater; what was not drawn is left out.
    """

    identifier: str
    masks: Mapping[str, tuple[MaskSource, ...]]


@dataclass(frozen=True, slots=True, kw_only=True)
class DrawnLabels:
    """How cases' labels are written.

    Attributes:
        labels: Names, background first.
        drawings: The files of each case.
        target: What dataset.json has to say beside the labels.
    """

    labels: tuple[str, ...]
    drawings: Mapping[str, tuple[DrawnLabel, ...]]
    target: Mapping[str, object]
    notes: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class _Looked:
    """What was found in a case's files: pairs of labels that overlap, with the voxels in both, and files of odd values."""

    overlaps: tuple[tuple[str, str, int], ...]
    edges: tuple[str, ...]


def draw_labels(
    folder: Path, cases: Sequence[DrawnCase], names: Sequence[str], *, overlap: Overlap, workers: int
) -> DrawnLabels:
    """Read all files and say how the labels are written.

    Args:
        names: Of the labels, in the order of their numbers.

    Raises:
        DatasetError: A file cannot be read, is no mask, or lies on another grid than the others of its case.
    """
    looked = _look(folder, cases, workers)
    overlaps = [
        f"{readable(one)} and {readable(other)} share {counted(voxels, 'voxel')} in {readable(case.identifier)}"
        for case, found in zip(cases, looked, strict=True)
        for one, other, voxels in found.overlaps
    ]
    raters = any(len(files) > 1 for case in cases for files in case.masks.values())
    apart = overlap == "masks" or (overlap is None and (bool(overlaps) or (raters and len(names) > 1)))
    then = "so each label is a mask of its own" if apart else "and there the last counts"
    notes = [f"these overlap, {then}: {first_few(overlaps, 3)}"] if overlaps else []
    edges = [name for found in looked for name in found.edges]
    if edges:
        notes.append(
            f"values between the ends are taken for the nearer one, in {counted(len(edges), 'file')}: {first_few(edges, 3)}"
        )
    notes += _undrawn(cases, names)
    if apart:
        return DrawnLabels(
            labels=(BACKGROUND, *names),
            drawings={case.identifier: tuple(_each(case, names)) for case in cases},
            target={"masks": list(names)},
            notes=tuple(notes),
        )
    annotated = {case.identifier: list(case.masks) for case in cases if len(case.masks) < len(names)}
    return DrawnLabels(
        labels=(BACKGROUND, *names),
        drawings={case.identifier: tuple(_merged(case, names)) for case in cases},
        target={"annotated": annotated} if annotated else {},
        notes=tuple(notes),
    )


def are_maps(files: Sequence[Path], workers: int) -> bool:
    """Whether any of these files holds several labels by their numbers, so that none is taken for a mask."""
    return any(
        run_on_cases(_is_map, files, task="reading labels", workers=workers, name=lambda path: readable(path.name))
    )


def _is_map(path: Path) -> bool:
    data = read_label(path).data
    if len(fractional_values(data)):
        return False
    values = np.unique(data)
    return len(values) > 2 and values[0] >= 0 and values[-1] <= LARGEST_NUMBER


def mask_of(data: Array) -> Mask:
    """Where a file's mask holds: above half of its largest value, which is at least 1."""
    top = max(float(data.max()), 1.0) if data.size else 1.0
    mask: Mask = data > top / 2
    return mask


def _each(case: DrawnCase, names: Sequence[str]) -> Iterator[DrawnLabel]:
    for name in names:
        files = case.masks.get(name, ())
        for rater, path in enumerate(files, start=1):
            ending = f"_{name}" if len(files) == 1 else f"_{name}_rater{rater}"
            yield DrawnLabel(name=ending, masks=((path, 1),))


def _merged(case: DrawnCase, names: Sequence[str]) -> Iterator[DrawnLabel]:
    raters = max(map(len, case.masks.values()))
    for rater in range(raters):
        masks = tuple((case.masks[name][rater], value) for value, name in enumerate(names, 1) if name in case.masks)
        yield DrawnLabel(name="" if raters == 1 else f"_rater{rater + 1}", masks=masks)


def _undrawn(cases: Sequence[DrawnCase], names: Sequence[str]) -> Iterator[str]:
    for name in names:
        if without := [case.identifier for case in cases if name not in case.masks]:
            yield f"{readable(name)} was not drawn in {counted(len(without), 'case')}: {first_few(without)}"


# ------------------------------------------------------------------- reading


def _look(folder: Path, cases: Sequence[DrawnCase], workers: int) -> list[_Looked]:
    try:
        return run_on_cases(_look_at, cases, task="reading labels", workers=workers)
    except CasesFailed as failed:
        lines = "\n".join(f"  {readable(name)}: {reason}" for name, reason in failed.failures)
        raise DatasetError(
            f"{readable(folder)}: the labels of {len(failed.failures)} of {counted(len(cases), 'case')} cannot be used\n"
            f"{lines}\nNothing was written; put "
            f"{agreeing(len(failed.failures), 'this right, or take it', 'these right, or take them')} away, and convert again."
        ) from failed


def _look_at(case: DrawnCase) -> _Looked:
    held: dict[str, Mask] = {}
    edges: list[str] = []
    first: tuple[Path, tuple[int, ...]] | None = None
    images = read_masks([source for sources in case.masks.values() for source in sources])
    for name, sources in case.masks.items():
        for path, image in zip(map(file_of, sources), images, strict=False):
            data = image.data
            first = first or (path, data.shape)
            if data.shape != first[1]:
                raise DatasetError(
                    f"{readable(path.name)} has {data.shape} voxels (z, y, x) and {readable(first[0].name)} {first[1]}; "
                    "resample them onto one grid"
                )
            if _has_edges(path, data):
                edges.append(path.name)
        held[name] = mask_of(data)
    pairs = ((one, other, int((held[one] & held[other]).sum())) for one, other in combinations(case.masks, 2))
    return _Looked(overlaps=tuple(pair for pair in pairs if pair[2]), edges=tuple(edges))


def _has_edges(path: Path, data: Array) -> bool:
    """Whether there are values beside 0 and one other, as resampling and drawing programs leave them."""
    if len(fractional_values(data)):
        if data.min() < 0 or data.max() > 1:
            raise DatasetError(
                f"{readable(path.name)} holds fractions beyond 0 and 1, so it is no mask; save it as 0 and 1"
            )
        return True
    values = np.unique(data)
    if values[0] < 0 or (len(values) > 2 and values[-1] <= LARGEST_NUMBER):
        raise DatasetError(
            f"{readable(path.name)} holds {first_few(values, say=in_digits)}, several labels in one file, so it is no mask of "
            "one; name it as the only file of labels, or split it"
        )
    return len(values) > 2
