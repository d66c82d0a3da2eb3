"""Image files to arrays with their geometry."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np

from autoseg.arrays import Array
from autoseg.errors import DatasetError
from autoseg.images.catalogue import format_of
from autoseg.images.format import AS_FILES_SAY, Header, Reading, Request
from autoseg.images.image import Image, ImageReference
from autoseg.images.refusals import SeveralVolumesError, refusal
from autoseg.images.whole_numbers import as_whole_numbers
from autoseg.machine.resources import available_memory
from autoseg.words import counted, in_gigabytes

ASSUMED_FREE = 2**26
"""Bytes; smaller volumes are read without asking for the free memory, which takes as long as reading them."""


def read_header(path: Path, *, most_dimensions: int = 3, reading: Reading = AS_FILES_SAY) -> Header:
    """Read and check the header of an image; the voxels are not read.

    Args:
        most_dimensions: 4 where several volumes in one file are welcome. Sides of one voxel after the third do not count.
        reading: What the task says of its files.

    Raises:
        DatasetError: Anything but a 3D volume of plain numbers, or a header that contradicts itself or the file.
    """
    return format_of(path).read_header(path, Request(dimensions=most_dimensions, reading=reading))


def read_image(path: Path, reading: Reading = AS_FILES_SAY) -> Image:
    """Read one volume.

    Raises:
        DatasetError: Anything but one whole 3D volume of plain numbers on a straight grid; see `read_header`.
    """
    return _read_volume(path, Request(reading=reading))


def read_images(references: Sequence[ImageReference], reading: Reading = AS_FILES_SAY) -> list[Image]:
    """Read images wherever they lie, a file that holds several of them once.

    Raises:
        DatasetError: As `read_image`; or a file has no such part.
    """
    volumes = {path: read_volumes(path, reading) for path in {one.path for one in references if one.part is not None}}
    return [
        read_image(one.path, reading) if one.part is None else _part(one.path, volumes[one.path], one.part)
        for one in references
    ]


def _part(path: Path, volumes: Sequence[Image], part: int) -> Image:
    if not 0 <= part < len(volumes):
        held = counted(len(volumes), "volume")
        raise refusal(path, f"holds {held}, and none with the number {part}, counted from 0", "name one that is there")
    return volumes[part]


def read_label(
    path: Path, reading: Reading = AS_FILES_SAY, *, part: int | None = None, parts: int | None = None
) -> Image:
    """Read one label file; whole numbers come as integers, also where its header scales them, and nothing else is changed.

    Args:
        part: Which of the masks of a file that holds several; None for a file of one map.
        parts: How many the file has to hold; None: any number.

    Raises:
        DatasetError: As `read_image`; of several volumes it is said how labels are stored.
    """
    stored = read_stored_label(path, reading, part=part, parts=parts)
    return replace(stored, data=as_whole_numbers(stored.data))


def read_stored_label(
    path: Path, reading: Reading = AS_FILES_SAY, *, part: int | None = None, parts: int | None = None
) -> Image:
    """Read one label file, its values as they are stored; else as `read_label`."""
    if part is not None:
        masks = read_volumes(path, reading, label=True)
        if parts is not None and len(masks) != parts:
            found, named = counted(len(masks), "mask"), counted(parts, "mask")
            raise refusal(path, f"holds {found}, and dataset.json names {named}", "make the two agree")
        return _part(path, masks, part)
    try:
        return _read_volume(path, Request(label=True, reading=reading))
    except SeveralVolumesError as error:
        problem = f"{error.found}; a label is one {error.label}"
        raise refusal(path, problem, "save it as one, with another number for each structure") from error


def read_volumes(path: Path, reading: Reading = AS_FILES_SAY, *, label: bool = False) -> list[Image]:
    """Read all volumes of a 3D or 4D file, one for each index of its fourth dimension, on one grid.

    Args:
        label: They are masks.

    Raises:
        DatasetError: As `read_image`.
    """
    wanted = Request(dimensions=4, label=label, reading=reading)
    header = format_of(path).read_header(path, wanted)
    voxels = _read_voxels(path, header, wanted)
    return [Image(data=volume, geometry=header.geometry) for volume in voxels.reshape(-1, *header.shape[-3:])]


def _read_volume(path: Path, wanted: Request) -> Image:
    header = format_of(path).read_header(path, wanted)
    return Image(data=_read_voxels(path, header, wanted), geometry=header.geometry)


def image_description(path: Path) -> str:
    """What `write_image` was given as description; empty where there is none, or no sound image."""
    try:
        return read_header(path, most_dimensions=4).description if path.is_file() else ""
    except DatasetError:
        return ""


def _read_voxels(path: Path, header: Header, wanted: Request) -> Array:
    """Voxels of the header's shape in the file's voxel type; where the header scales the stored values float32, or float64
    for float64 files and for what float32 does not hold.
    """
    if header.size > ASSUMED_FREE and header.size > (free := available_memory()):
        raise refusal(
            path,
            f"its voxels need {in_gigabytes(header.size)} of memory, {in_gigabytes(free)} are free",
            "crop the image, or use a larger machine or fewer workers",
        )
    stored = format_of(path).read_voxels(path, header, wanted)
    if (header.slope, header.intercept) == (1.0, 0.0):
        return stored
    scaled = stored.astype(np.float64, copy=False) * header.slope + header.intercept
    held = stored.dtype != np.float64 and max(-scaled.min(), scaled.max()) <= np.finfo(np.float32).max
    return scaled.astype(np.float32) if held else scaled
