"""What arrays hold, each name with one meaning; shapes and axes stand where an array enters."""

from __future__ import annotations

from typing import Any, TypeAlias, TypeVar

import numpy as np
import numpy.typing as npt

Array: TypeAlias = npt.NDArray[Any]
"""Numbers of any kind."""

FloatArray: TypeAlias = npt.NDArray[np.floating[Any]]
"""Real numbers of any precision."""

Float32Array: TypeAlias = npt.NDArray[np.float32]
"""What is computed with voxel by voxel: intensities, probabilities."""

Float64Array: TypeAlias = npt.NDArray[np.float64]
"""Few numbers, or sums of many: matrices, scores, coordinates."""

LabelArray: TypeAlias = npt.NDArray[np.integer[Any]]
"""A label in each voxel."""

LabelType = TypeVar("LabelType", bound=np.integer[Any])
"""The type of labels, where what comes out is of the type that went in."""

IndexArray: TypeAlias = npt.NDArray[np.intp]
"""Positions in another array."""

Mask: TypeAlias = npt.NDArray[np.bool_]
"""What is chosen: yes or no in each place."""

Locations: TypeAlias = npt.NDArray[np.int32]
"""Voxels, a row (z, y, x) each."""


def label_type(classes: int) -> type[np.uint8] | type[np.uint16]:
    """The smallest type that holds the labels of so many classes, of which there are 65 536 at most."""
    return np.uint8 if classes - 1 <= np.iinfo(np.uint8).max else np.uint16
