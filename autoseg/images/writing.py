"""Arrays with their geometry to image files."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np

from autoseg.arrays import Array
from autoseg.files.storage import atomic_path
from autoseg.geometry import Geometry
from autoseg.images.catalogue import WRITTEN_ENDINGS, written_format
from autoseg.images.format import Told
from autoseg.images.refusals import refusal


def write_image(
    path: Path,
    data: Array,
    geometry: Geometry,
    *,
    step: float = 1,
    description: str = "",
    names: tuple[str, ...] = (),
    maps: Callable[[], Array] | None = None,
    before_it_is_there: Callable[[], object] = lambda: None,
) -> None:
    """Write `(Z, Y, X)` voxels in one step, in the format that the name tells; equal input, equal bytes.

    NIfTI carries both forms and their codes of the file that the geometry was read from. Reading gives the geometry back,
    to single precision; to the bit where it came from such a file. Formats of pictures hold labels, and the size of a
    pixel, but no place.

    Args:
        step: What one step of a value stands for. A file that says so holds the steps, and another their multiples as floats.
        description: At most 79 ASCII characters for the header.
        names: Of labels, the background first, for formats that hold them.
        maps: Gives `(C, Z, Y, X)` float32 to be kept in the file, too, for HDF5.
        before_it_is_there: Called once the file is written whole, before it takes its name.

    Raises:
        DatasetError: The name is that of a format that is not written, or that does not hold such voxels.
    """
    kind = written_format(path.name)
    if kind is None or kind.write is None:
        raise refusal(
            path, "images are not written in this format", f"let the name end in {' or '.join(WRITTEN_ENDINGS)}"
        )
    if step != 1 and not kind.holds_step:
        data, step = np.multiply(data, step, dtype=np.float32), 1
    stored = np.ascontiguousarray(data, data.dtype.newbyteorder("<"))
    with atomic_path(path) as temporary:
        kind.write(temporary, stored, geometry, Told(description=description, names=names, step=step, maps=maps))
        before_it_is_there()
