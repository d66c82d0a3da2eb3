"""A region of interest of each case: a mask outside of which nobody knows. Labels are ignored there, and images may be cut to it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from autoseg.conversion.drawn_masks import mask_of
from autoseg.conversion.understood import RegionOfInterest, Understood
from autoseg.dataset import Case, image_files
from autoseg.dataset.declared_target import IGNORE
from autoseg.dataset.listed import ROI
from autoseg.errors import DatasetError
from autoseg.geometry import Box, Geometry, Shape, bounding_box, box_slices
from autoseg.images import Image, grid_differences, read_label, split_ending
from autoseg.words import agreeing, counted, first_few, readable

FOLDERS = ("rois", "roisTr")
"""Beside the folders of images and labels; files are named after their cases."""

UNKNOWN = 255
"""What is written outside of a region, where no value for what nobody knows is declared."""


def regions_beside(folder: Path, cases: Sequence[Case]) -> dict[str, Path]:
    """The masks of regions in a folder of them, by case.

    Raises:
        DatasetError: One is of no case.
    """
    found = next((folder / name for name in FOLDERS if (folder / name).is_dir()), None)
    if found is None:
        return {}
    regions = image_files(found)
    if spare := sorted(regions.keys() - {case.identifier for case in cases}):
        raise DatasetError(
            f"{readable(found)}: no image of {first_few(spare)}; name the masks of regions as their cases, or take them away"
        )
    return regions


def regions_listed(description: Mapping[str, Any], folder: Path) -> tuple[Mapping[str, Any], dict[str, Path]]:
    """A dataset.json without what it says of regions, and the masks that it names, by case.

    Raises:
        DatasetError: One is not there.
    """
    regions: dict[str, Path] = {}
    without = dict(description)
    for key in ("training", "test"):
        entries = description.get(key)
        if not isinstance(entries, list):
            continue
        for entry in entries:
            if isinstance(entry, dict) and isinstance(entry.get(ROI), str) and isinstance(entry.get("image"), str):
                regions[split_ending(Path(entry["image"]).name)[0]] = folder / entry[ROI]
        without[key] = [_without_region(entry) for entry in entries]
    if missing := sorted({str(path) for path in regions.values() if not path.is_file()}):
        raise DatasetError(
            f"{readable(folder)}: {counted(len(missing), 'mask')} of regions that dataset.json lists under {ROI} not there: "
            f"{first_few(missing)}; add {agreeing(len(missing), 'it', 'them')}, or correct the name"
        )
    return without, regions


def _without_region(entry: Any) -> Any:
    return {key: value for key, value in entry.items() if key != ROI} if isinstance(entry, dict) else entry


def with_regions(understood: Understood, regions: Mapping[str, Path], margin: float | None) -> Understood:
    """A dataset in whose cases nothing counts outside of their regions.

    Args:
        margin: Millimetres around a region to which images are cut; None leaves them whole.

    Raises:
        DatasetError: There is no value left for what is unknown, or images cannot be cut.
    """
    source = readable(understood.source)
    if not regions:
        if margin is None:
            return understood
        raise DatasetError(
            f"{source}: there is no region to cut to; put a mask of each case into a folder {FOLDERS[0]}, named as the case"
        )
    cases = [*understood.training, *understood.test]
    if margin is not None and (joint := [case.identifier for case in cases if _holds_several(case)]):
        raise DatasetError(
            f"{source}: {first_few(joint)}: several channels in one file are not cut to a region; leave them whole, or save "
            "each channel as a file"
        )
    ignore = understood.target.get(IGNORE) if understood.outputs is None else understood.outputs.ignore
    if ignore is None and len(understood.labels) > UNKNOWN:
        raise DatasetError(
            f"{source}: labels go to {len(understood.labels) - 1}, and outside of regions {UNKNOWN} is written; declare another "
            f'value, "{IGNORE}", in dataset.json'
        )
    unknown = UNKNOWN if ignore is None else int(ignore)
    without = [case.identifier for case in cases if case.identifier not in regions]
    notes = [f"outside of {ROI} nothing is known: neither trained on nor scored"]
    if margin is not None:
        notes.append(f"cut to {ROI} and {margin:g} mm around it; cut new images alike")
    if without:
        notes.append(f"without {ROI}, so all of it counts: {first_few(without)}")
    return replace(
        understood,
        regions={case: RegionOfInterest(mask=path, unknown=unknown, margin=margin) for case, path in regions.items()},
        target={**understood.target, IGNORE: unknown},
        notes=(*notes, *understood.notes),
    )


def _holds_several(case: Case) -> bool:
    return any(image.part is not None for image in case.images)


# ------------------------------------------------------------------- writing


@dataclass(frozen=True, slots=True)
class _Read:
    """A region's mask, read, and the box that is kept of its grid."""

    mask: Image
    box: Box


def image_within(image: Image, region: RegionOfInterest, source: Path) -> Image:
    """An image cut to its region and what lies around it.

    Args:
        source: The image's file, for messages.

    Raises:
        DatasetError: The region is empty, or lies on another grid.
    """
    return _cut(image, _read(region, image, source))


def label_within(label: Image, region: RegionOfInterest, source: Path) -> Image:
    """A label outside of whose region nobody knows, cut alike where images are."""
    read = _read(region, label, source)
    known = mask_of(read.mask.data)
    kind = np.promote_types(label.data.dtype, np.min_scalar_type(region.unknown))
    data = np.where(known, label.data, kind.type(region.unknown)).astype(kind)
    return _cut(replace(label, data=data), read)


def _read(region: RegionOfInterest, other: Image, source: Path) -> _Read:
    mask = read_label(region.mask)
    if found := grid_differences(mask, other):
        raise DatasetError(
            f"{readable(region.mask)}: lies on another grid than {readable(source.name)}: {'; '.join(found)}; resample one of the two"
        )
    box = bounding_box(mask_of(mask.data)) if mask.data.any() else None
    if box is None:
        raise DatasetError(f"{readable(region.mask)}: marks nothing; draw the region, or take the file away")
    if region.margin is None:
        return _Read(mask, tuple((0, side) for side in mask.data.shape))
    return _Read(mask, _grown(box, region.margin, other.geometry, mask.data.shape))


def _grown(box: Box, margin: float, geometry: Geometry, shape: Shape) -> Box:
    """The box and as many voxels around it as the margin has, within the image."""
    steps = [round(margin / side) for side in geometry.spacing]
    return tuple(
        (max(0, first - step), min(side, last + step))
        for (first, last), step, side in zip(box, steps, shape, strict=True)
    )


def _cut(image: Image, read: _Read) -> Image:
    if all(first == 0 and last == side for (first, last), side in zip(read.box, image.data.shape, strict=True)):
        return image
    geometry = image.geometry
    steps = np.array([first for first, _ in read.box]) * geometry.spacing
    moved = np.array(geometry.origin) + np.reshape(geometry.direction, (3, 3)) @ steps
    z, y, x = (float(place) for place in moved)
    return replace(
        image, data=image.data[box_slices(read.box)], geometry=replace(geometry, origin=(z, y, x), forms=None)
    )
