"""Volumes that stay in their files, of which parts are read as they are asked for."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

from autoseg.arrays import Array
from autoseg.geometry import Geometry, Shape
from autoseg.images.catalogue import format_of
from autoseg.images.format import AS_FILES_SAY, Reading, Request
from autoseg.images.image import ImageReference


@dataclass(frozen=True, slots=True, kw_only=True)
class StoredImage:
    """One volume of a file.

    Attributes:
        shape: Voxels, (z, y, x).
        part: Which of the file's volumes it is; None where it holds this one alone.
        read: Reads the slices of each axis of the file, in its own voxel type.
    """

    shape: Shape
    geometry: Geometry
    part: int | None
    read: Callable[[tuple[slice, ...]], Array]

    def __getitem__(self, box: tuple[slice, slice, slice]) -> Array:
        """The voxels between a start and a stop along each axis."""
        if self.part is None:
            return self.read(box)
        volume: Array = self.read((slice(self.part, self.part + 1), *box))[0]
        return volume


def stored_image(reference: ImageReference, reading: Reading = AS_FILES_SAY) -> StoredImage | None:
    """An image of which parts can be read; None where its format's files are read whole, or hold no such image.

    Raises:
        DatasetError: As `read_header`.
    """
    kind, part = format_of(reference.path), reference.part
    if kind.read_part is None:
        return None
    request = Request(dimensions=3 if part is None else 4, reading=reading)
    header = kind.read_header(reference.path, request)
    several = len(header.shape) > 3
    if (header.slope, header.intercept) != (1.0, 0.0) or (part or 0) >= (header.shape[0] if several else 1):
        return None
    return StoredImage(
        shape=header.shape[-3:],
        geometry=header.geometry,
        part=(part or 0) if several else None,
        read=partial(kind.read_part, reference.path, header, request),
    )
