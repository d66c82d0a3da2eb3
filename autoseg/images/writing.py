"""Arrays with their geometry to image files."""

from __future__ import annotations

import gzip
from collections.abc import Callable
from pathlib import Path

import numpy as np

from autoseg.arrays import Array
from autoseg.files.storage import atomic_path
from autoseg.geometry import Geometry
from autoseg.images.catalogue import FORMATS, WRITTEN_ENDINGS
from autoseg.images.refusals import refusal

COMPRESSION_LEVEL = 6
"""zlib's default: label images shrink as far as with ITK, in the same time."""


def write_image(
    path: Path,
    data: Array,
    geometry: Geometry,
    *,
    description: str = "",
    before_it_is_there: Callable[[], object] = lambda: None,
) -> None:
    """Write `(Z, Y, X)` voxels as NIfTI in one step, compressed where the name ends in `.gz`; equal input, equal bytes.

    Both forms and their codes are those of the file that the geometry was read from. Reading gives the geometry back, to
    single precision; to the bit where it came from such a file.

    Args:
        description: At most 79 ASCII characters for the header.
        before_it_is_there: Called once the file is written whole, before it takes its name.

    Raises:
        DatasetError: The name is that of another format.
    """
    encode_header = next((kind.encode_header for kind in FORMATS if path.name.lower().endswith(kind.endings)), None)
    if encode_header is None:
        raise refusal(path, "images are written as NIfTI only", f"let the name end in {' or '.join(WRITTEN_ENDINGS)}")
    stored = np.ascontiguousarray(data, data.dtype.newbyteorder("<"))
    header = encode_header(stored, geometry, description)
    with atomic_path(path) as temporary:
        with temporary.open("wb") as plain:
            if path.name.lower().endswith(".gz"):
                with gzip.GzipFile("", "wb", COMPRESSION_LEVEL, plain, mtime=0) as packed:
                    packed.write(header)
                    packed.write(stored.data)
            else:
                plain.write(header)
                plain.write(stored.data)
        before_it_is_there()
