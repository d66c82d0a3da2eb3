"""Spline interpolation of images, and of labels with them, at places that a matrix gives."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, Literal, TypeAlias

import numpy as np

from autoseg.arrays import FloatArray, LabelArray
from autoseg.geometry import Shape
from autoseg.training.augmentation.interpolation import OUTSIDE_DATA, scale_linearly, warp_labels, warp_linearly

SplineOrder: TypeAlias = Literal[0, 1, 2, 3, 4, 5]
LINEAR: Final = 1
CUBIC: Final = 3


@dataclass(frozen=True, slots=True, kw_only=True)
class Warp:
    """A patch taken out of a window, turned and scaled: its voxel lies at `matrix @ voxel + offset` in the window.

    Attributes:
        shape: Of the patch.
        order: Of the spline for data; labels are interpolated linearly, each for itself, and the strongest wins.
    """

    matrix: tuple[tuple[float, ...], ...]
    offset: tuple[float, ...]
    shape: Shape
    order: SplineOrder

    @property
    def is_diagonal(self) -> bool:
        """Whether each axis is scaled for itself."""
        return is_diagonal(np.array(self.matrix))

    @property
    def leaves_first_axis(self) -> bool:
        """Whether a volume is turned within its slices, which stay the voxels apart that they are."""
        return len(self.shape) == 3 and leaves_first_axis(np.array(self.matrix))

    def apply(self, data: FloatArray, labels: LabelArray) -> tuple[FloatArray, LabelArray]:
        """Interpolate.

        Args:
            data: `(C, *window)`.
            labels: `(S, *window)`.

        Returns:
            `(C, *patch)` and `(S, *patch)`; 0 and -1 outside of the window.
        """
        matrix, offset = np.array(self.matrix), np.array(self.offset)
        if self.order == 1 and not is_diagonal(matrix):
            return warp_linearly(data, labels, matrix, offset, self.shape)
        return (
            np.stack([warp_image(channel, matrix, offset, self.shape, order=self.order) for channel in data]),
            np.stack([warp_labels(channel, matrix, offset, self.shape) for channel in labels]),
        )


def warp_image(
    image: FloatArray, matrix: FloatArray, offset: FloatArray, shape: Shape, *, order: SplineOrder
) -> FloatArray:
    """Spline interpolation of `image` at `matrix @ voxel + offset` for every voxel of `shape`; 0 outside."""
    from scipy.ndimage import affine_transform

    if len(shape) == 3 and leaves_first_axis(matrix):
        first = round(float(offset[0]))
        planes = np.full(shape, OUTSIDE_DATA, dtype=np.float32)
        for plane in range(max(0, -first), min(shape[0], len(image) - first)):
            planes[plane] = warp_image(image[first + plane], matrix[1:, 1:], offset[1:], shape[1:], order=order)
        return planes
    if is_diagonal(matrix):
        return _scale_image(image, np.diag(matrix), offset, shape, order=order)
    warped: FloatArray = affine_transform(
        image, matrix, offset, shape, output=np.float32, order=order, mode="constant", cval=OUTSIDE_DATA
    )
    return warped


def _scale_image(
    image: FloatArray, factors: FloatArray, offset: FloatArray, shape: Shape, *, order: SplineOrder
) -> FloatArray:
    """Without rotation an axis is one small matrix: the library's own answers to unit vectors, prefilter and border included."""
    from scipy.ndimage import affine_transform

    if order == 1:
        return scale_linearly(image, factors, offset, shape)
    scaled = image.astype(np.float64)
    for axis, (side, factor, start) in enumerate(zip(shape, factors, offset, strict=True)):
        old = image.shape[axis]
        weights = affine_transform(
            np.eye(old), np.diag([1.0, factor]), (0.0, start), (old, side), order=order, mode="constant", cval=0.0
        )
        scaled = np.moveaxis(np.tensordot(scaled, weights, axes=(axis, 0)), -1, axis)
    return scaled.astype(np.float32)


def is_diagonal(matrix: FloatArray) -> bool:
    """Whether each axis is scaled for itself."""
    return not (matrix - np.diag(np.diag(matrix))).any()


def leaves_first_axis(matrix: FloatArray) -> bool:
    """Whether the first of three coordinates is kept."""
    return bool(matrix[0, 0] == 1 and not matrix[0, 1:].any() and not matrix[1:, 0].any())
