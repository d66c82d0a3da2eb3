"""Arrays with their geometry to image files."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np

from autoseg.arrays import Array
from autoseg.files.storage import atomic_path
from autoseg.geometry import Geometry
from autoseg.images.catalogue import WRITTEN_ENDINGS, written_format
from autoseg.images.format import NOTHING_TOLD, Told
from autoseg.images.refusals import refusal


def write_image(
    path: Path,
    data: Array,
    geometry: Geometry,
    told: Told = NOTHING_TOLD,
    *,
    before_it_is_there: Callable[[], object] = lambda: None,
) -> None:
    """Write `(Z, Y, X)` voxels in one step, in the format that the name tells; equal input, equal bytes.

    NIfTI carries both forms and their codes of the file that the geometry was read from. Reading gives the geometry back,
    to single precision; to the bit where it came from such a file. Formats of pictures hold labels, and the size of a
    pixel, but no place.

    Args:
        told: What is said beside the voxels, as far as the format holds it. Of steps that it does not hold the multiples are
            written, as floats.
        before_it_is_there: Called once the file is written whole, before it takes its name.

    Raises:
        DatasetError: The name is that of a format that is not written, or that does not hold such voxels.
    """
    kind = written_format(path.name)
    if kind is None or kind.write is None:
        raise refusal(
            path, "images are not written in this format", f"let the name end in {' or '.join(WRITTEN_ENDINGS)}"
        )
    if told.step != 1 and not kind.holds_step:
        data, told = np.multiply(data, told.step, dtype=np.float32), replace(told, step=1)
    stored = np.ascontiguousarray(data, data.dtype.newbyteorder("<"))
    with atomic_path(path) as temporary:
        kind.write(temporary, stored, geometry, told)
        before_it_is_there()
