"""Rotation and scaling of a patch, drawn before it is read, so that only the window it needs is read.

The draws and their order, and what they do, are those of batchgenerators' `SpatialTransform`, whose place this takes
in a pipeline: the same numbers give the same patch. Unlike there, a sample that is neither rotated nor scaled (most
are) costs a plain copy, and one that is never reaches beyond what was read: the window covers any angle and scale.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np

from autoseg.arrays import Array, FloatArray
from autoseg.geometry import Shape
from autoseg.training.augmentation.warping import SplineOrder, Warp

Random: TypeAlias = np.random.Generator | np.random.RandomState

SPLINE_MARGIN = 4
"""Voxels read beyond the window: the influence of a voxel on a cubic spline falls by 0.27 with each voxel of distance."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SpatialTransform:
    """Rotates and scales about the patch's centre.

    Attributes:
        patch_size: Two or three entries.
        angles: Lowest and highest angle about each axis in radians; one pair for two dimensions.
        scale: Lowest and highest factor of the coordinates, above 1 zooms out; half of the draws are below 1.
        in_plane: Leave the first of three axes alone and rotate within its planes, by the first pair of `angles`.
        order: Of the spline for data; labels are interpolated linearly, each for itself, and the strongest wins.
    """

    patch_size: Shape
    angles: tuple[tuple[float, float], ...]
    rotation_probability: float
    scale: tuple[float, float]
    scale_probability: float
    in_plane: bool = False
    order: SplineOrder = 3

    def draw(self, random: Random) -> FloatArray | None:
        """A matrix that takes offsets from the centre of the patch to offsets in the image; None: no change."""
        dimensions = len(self.patch_size) - self.in_plane
        matrix = None
        if random.uniform() < self.rotation_probability:
            matrix = rotation([_draw_angle(pair, random) for pair in self.angles[: 1 if dimensions == 2 else 3]])
        if random.uniform() < self.scale_probability:
            matrix = (np.eye(dimensions) if matrix is None else matrix) * _draw_scale(self.scale, random)
        if matrix is None or not self.in_plane:
            return matrix
        whole = np.eye(3)
        whole[1:, 1:] = matrix
        return whole

    def window(self, matrix: FloatArray | None, start: Shape, image: Shape) -> tuple[Shape, Shape]:
        """First voxel and shape of what must be read for the patch that starts at `start`.

        What lies further outside of the image than interpolation reaches is not read: it is empty.
        """
        if matrix is None:
            return start, self.patch_size
        reach = np.abs(matrix) @ self._half
        centre = self._half + start
        margin = np.full(len(start), SPLINE_MARGIN)
        margin[: int(self.in_plane)] = 0
        low = np.floor(centre - reach).astype(int) - margin
        high = np.ceil(centre + reach).astype(int) + margin
        low = np.clip(low, -margin, np.array(image) - 1)
        high = np.clip(high, 0, np.array(image) - 1 + margin)
        return tuple(low.tolist()), tuple((high - low + 1).tolist())

    def warp(self, matrix: FloatArray, centre: FloatArray) -> Warp:
        """How a patch is interpolated from its window.

        Args:
            centre: Of the patch, in voxels of the window.
        """
        offset = np.asarray(centre) - matrix @ self._half
        return Warp(
            matrix=tuple(map(tuple, matrix.tolist())),
            offset=tuple(offset.tolist()),
            shape=self.patch_size,
            order=self.order,
        )

    def __call__(self, **sample: Any) -> dict[str, Any]:
        """Draw from numpy's global generator and crop the middle of `data` and `seg`, `(B, C, *window)`."""
        parts = []
        for data, labels in zip(sample["data"], sample["seg"], strict=True):
            matrix = self.draw(np.random.mtrand._rand)
            if matrix is None:
                parts.append((_centre_crop(data, self.patch_size), _centre_crop(labels, self.patch_size)))
            else:
                parts.append(self.warp(matrix, (np.array(data.shape[1:]) - 1) / 2).apply(data, labels))
        sample["data"], sample["seg"] = (np.stack(arrays) for arrays in zip(*parts, strict=True))
        return sample

    @property
    def _half(self) -> FloatArray:
        """From the first voxel of the patch to its centre."""
        return (np.array(self.patch_size) - 1) / 2


def rotation(angles: list[float]) -> FloatArray:
    """The matrix of one angle in two dimensions, or of angles about the axes 0, 1, 2 applied from the last to the first."""
    if len(angles) == 1:
        return _plane_rotation(2, (0, 1), angles[0])
    about_x, about_y, about_z = angles
    matrix: FloatArray = (
        _plane_rotation(3, (0, 1), about_z) @ _plane_rotation(3, (2, 0), about_y) @ _plane_rotation(3, (1, 2), about_x)
    )
    return matrix


def _plane_rotation(dimensions: int, axes: tuple[int, int], angle: float) -> FloatArray:
    first, second = axes
    matrix = np.eye(dimensions)
    matrix[first, first] = matrix[second, second] = math.cos(angle)
    matrix[first, second], matrix[second, first] = math.sin(angle), -math.sin(angle)
    return matrix


def _draw_angle(limits: tuple[float, float], random: Random) -> float:
    random.uniform()  # batchgenerators decides for each axis whether to rotate about it; here always
    return float(random.uniform(*limits))


def _draw_scale(limits: tuple[float, float], random: Random) -> float:
    lowest, highest = limits
    if random.uniform() < 0.5 and lowest < 1:
        return float(random.uniform(lowest, 1))
    return float(random.uniform(max(lowest, 1), highest))


def _centre_crop(array: Array, shape: Shape) -> Array:
    starts = [(side - length) // 2 for side, length in zip(array.shape[1:], shape, strict=True)]
    middle = [slice(first, first + length) for first, length in zip(starts, shape, strict=True)]
    index = (slice(None), *middle)
    return array[index]
