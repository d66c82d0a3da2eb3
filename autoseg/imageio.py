"""Image files to arrays with their geometry and back; the only room that knows SimpleITK.

A header is read by us before the library opens a file: a NIfTI that declares five dimensions with vectors is known
to corrupt the library's memory, so everything but a 3D scalar volume is refused first.
"""

from __future__ import annotations

import gzip
import math
import struct
import zlib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import SimpleITK as sitk

from autoseg.dataset import Case, split_ending
from autoseg.errors import DatasetError, StorageError
from autoseg.geometry import Geometry
from autoseg.storage import atomic_path

FloatArray = npt.NDArray[np.float32]
LabelArray = npt.NDArray[np.integer[Any]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Image:
    """One volume: `data` is `(Z, Y, X)` in the file's own voxel type, `geometry` in the same axis order."""

    data: npt.NDArray[Any]
    geometry: Geometry


@dataclass(frozen=True, slots=True, kw_only=True)
class RawCase:
    """A case as it was on disk.

    Attributes:
        data: `(C, Z, Y, X)` float32, all channels on one grid.
        segmentation: `(Z, Y, X)` integers, None where there is no label file.
    """

    identifier: str
    data: FloatArray
    segmentation: LabelArray | None
    geometry: Geometry
