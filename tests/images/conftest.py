"""NIfTI files made byte by byte, so that every header can be wrong in one place."""

from __future__ import annotations

import gzip
import struct
from collections.abc import Sequence
from pathlib import Path
from typing import Protocol

import numpy as np
import pytest

VOXELS = np.arange(24, dtype="<i2").reshape(2, 3, 4)


class MakeNifti(Protocol):
    """Write a NIfTI-1 (or -2) file of 2x3x4 (z, y, x) int16 voxels 0 to 23 in which any field can be replaced."""

    def __call__(
        self,
        name: str = "image.nii",
        *,
        dim: Sequence[int] = (3, 4, 3, 2, 1, 1, 1, 1),
        datatype: int = 4,
        pixdim: Sequence[float] = (1, 1, 1, 1, 1, 1, 1, 1),
        offset: float = 352,
        slope: float = 1,
        intercept: float = 0,
        quaternion: Sequence[float] | None = None,
        sform: Sequence[Sequence[float]] | None = None,
        codes: Sequence[int] | None = None,
        unit: int = 2,
        magic: bytes = b"n+1",
        order: str = "<",
        version: int = 1,
        voxels: bytes | None = None,
    ) -> Path: ...


@pytest.fixture
def make_nifti(tmp_path: Path) -> MakeNifti:
    def make(
        name="image.nii",
        *,
        dim=(3, 4, 3, 2, 1, 1, 1, 1),
        datatype=4,
        pixdim=(1, 1, 1, 1, 1, 1, 1, 1),
        offset=352,
        slope=1,
        intercept=0,
        quaternion=None,
        sform=None,
        codes=None,
        unit=2,
        magic=b"n+1",
        order="<",
        version=1,
        voxels=None,
    ):
        header = bytearray(352 if version == 1 else 544)

        def put(form, first, second, *values):
            struct.pack_into(order + form, header, first if version == 1 else second, *values)

        put("i", 0, 0, 348 if version == 1 else 540)
        put("8h" if version == 1 else "8q", 40, 16, *dim)
        put("h", 70, 12, datatype)
        put("8f" if version == 1 else "8d", 76, 104, *pixdim)
        put("f" if version == 1 else "q", 108, 168, offset)
        put("2f" if version == 1 else "2d", 112, 176, slope, intercept)
        put("4s", 344, 4, magic)
        if version == 1:
            header[123] = unit
            put("2h", 252, 252, *(codes or (int(quaternion is not None), int(sform is not None))))
            put("6f", 256, 256, *(quaternion or (0,) * 6))
            put("12f", 280, 280, *np.ravel(np.zeros((3, 4)) if sform is None else sform))
        body = VOXELS.astype(order + "i2").tobytes() if voxels is None else voxels
        content = bytes(header) + body
        path = tmp_path / name
        path.write_bytes(gzip.compress(content, mtime=0) if name.lower().endswith(".gz") else content)
        return path

    return make
