"""FreeSurfer's volumes, .mgz and .mgh: header through nibabel, voxels plain behind it.

Format: https://surfer.nmr.mgh.harvard.edu/fswiki/FsTutorial/MghFormat.
"""

from __future__ import annotations

import zlib
from pathlib import Path
from typing import Any

import numpy as np

from autoseg.forms import NOWHERE, STRAIGHT, skew
from autoseg.geometry import SPACING_RANGE, Geometry
from autoseg.images.format import Format, Header, Request
from autoseg.images.refusals import CHANNEL_EACH, SeveralVolumesError, first_bytes, refusal, with_true_size
from autoseg.images.voxels import GZIP, read_plain_voxels
from autoseg.words import counted, in_brackets

BEGIN = 284
"""Byte of the first voxel."""

FIELDS = 90
"""Bytes of the header that mean anything."""

BEGINNING = 4096
TYPES = {0: ">u1", 1: ">i4", 3: ">f4", 4: ">i2", 10: ">u2"}
LONGEST_TAGS = 2**20
"""Bytes of what FreeSurfer writes behind the voxels: how they were made."""

RAS_TO_LPS = np.array([-1.0, -1.0, 1.0])


def _read_header(path: Path, wanted: Request) -> Header:
    content, packed, file_size = _beginning(path)
    fields = _fields(path, content)
    if int(fields["version"]) != 1:
        raise refusal(path, "is not a FreeSurfer volume", "replace it by one, or convert it to .nii.gz")
    code = int(fields["type"])
    if code not in TYPES:
        raise refusal(path, f"its voxels are of the type {code}, which is no plain number", "convert it to .nii.gz")
    header = Header(
        shape=_shape(path, fields["dims"].tolist(), wanted.dimensions)[::-1],
        voxel_type=np.dtype(TYPES[code]),
        geometry=_geometry(path, fields),
        offset=BEGIN,
        packed_from=0 if packed else None,
        spare=LONGEST_TAGS,
    )
    return with_true_size(path, header, file_size)


def _beginning(path: Path) -> tuple[bytes, bool, int]:
    raw, size = first_bytes(path, BEGINNING)
    if raw[:2] != GZIP:
        return raw, False, size
    try:
        return zlib.decompressobj(wbits=31).decompress(raw, BEGIN), True, size
    except zlib.error as error:
        raise refusal(path, f"is damaged ({error})", "copy or download it again") from error


def _fields(path: Path, content: bytes) -> Any:
    from nibabel.freesurfer.mghformat import header_dtype

    if len(content) < BEGIN:
        found = f"{counted(len(content), 'byte')}, the header alone has {BEGIN}"
        raise refusal(path, f"is truncated: {found}", "copy or download it again")
    return np.frombuffer(content[: header_dtype.itemsize], header_dtype)[0]


def _shape(path: Path, dims: list[int], most_dimensions: int) -> tuple[int, ...]:
    if min(dims) < 1:
        raise refusal(path, f"declares the size {tuple(dims)}; every side needs a voxel", "export it again")
    shape = tuple(dims if dims[3] > 1 else dims[:3])
    if len(shape) > most_dimensions:
        raise SeveralVolumesError(path, f"has {counted(len(shape), 'dimension')}, of size {shape}", CHANNEL_EACH)
    return shape


def _geometry(path: Path, fields: Any) -> Geometry:
    """The grid; the centre is that of voxel n / 2, which for an even side is no voxel's middle."""
    x, y, z = map(float, fields["delta"])
    least, most = SPACING_RANGE
    if not all(least <= side <= most for side in (x, y, z)):
        raise refusal(
            path,
            f"declares a voxel size of {in_brackets((x, y, z))} mm; every side must be above zero",
            "write the true voxel size into its header",
        )
    if not int(fields["goodRASFlag"]):
        return Geometry(spacing=(z, y, x), forms=NOWHERE)
    with np.errstate(invalid="ignore"):
        axes = np.asarray(fields["Mdc"], dtype=np.float64).T  # a column for each of the file's axes, in RAS
        centre = np.asarray(fields["Pxyz_c"], dtype=np.float64)
    if not (np.isfinite(axes).all() and np.isfinite(centre).all()) or skew(axes) > STRAIGHT:
        raise refusal(
            path,
            "the axes in its header are skewed, not perpendicular unit vectors",
            "resample it onto a straight grid, or correct its header",
        )
    first = centre - axes * (x, y, z) @ (fields["dims"][:3] / 2)
    left, back, up = (first * RAS_TO_LPS).tolist()
    direction = (axes * RAS_TO_LPS[:, None])[::-1, ::-1]
    return Geometry(spacing=(z, y, x), origin=(up, back, left), direction=tuple(direction.ravel().tolist()))


MGH = Format(endings=(".mgz", ".mgh"), read_header=_read_header, read_voxels=read_plain_voxels)
