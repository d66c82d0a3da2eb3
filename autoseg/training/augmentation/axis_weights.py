"""What is linear and acts on each axis alone, as small matrices made on a device: splines, their prefilter, blur.

They are written down in closed form from numbers that are known here, so that nothing is copied and nothing waits for
the device. `scipy.ndimage` finds the same values by recursion and tables.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from functools import lru_cache

import torch
from torch import Tensor

POLE = math.sqrt(3) - 2
"""Of the cubic B-spline's inverse (Unser 1999, "Splines: a perfect fit for signal and image processing", table 1)."""

GAIN = math.sqrt(3)
"""`-6 POLE / (1 - POLE ** 2)`, by which the inverse's impulse response `POLE ** |distance|` is multiplied."""

TRUNCATED_AT = 4.0
"""Standard deviations at which a Gaussian ends (scipy's `gaussian_filter`)."""

EDGE_PADDING = 12
"""Times that scipy's `zoom` repeats an edge before it finds a spline's coefficients."""

BEFORE, AFTER = 1, 2
"""Coefficients on which a spline draws beyond the first and the last voxel."""


def multiplied(images: Tensor, weights: Sequence[Tensor]) -> Tensor:
    """Multiply images along each axis.

    Args:
        images: `(C, *space)`.
        weights: For each axis `(voxels out, voxels in)`.

    Returns:
        `(C, *voxels out)`.
    """
    *across, last = weights
    for axis, matrix in enumerate(across, start=1):
        before, after = math.prod(images.shape[:axis]), math.prod(images.shape[axis + 1 :])
        shape = (*images.shape[:axis], len(matrix), *images.shape[axis + 1 :])
        images = torch.matmul(matrix, images.reshape(before, -1, after)).reshape(shape)
    return images @ last.T


def spline_coefficients(voxels: int, device: torch.device) -> Tensor:
    """The cubic B-spline through voxels that are mirrored at the outermost ones' centres.

    Returns:
        `(BEFORE + voxels + AFTER, voxels)` float64: from values to coefficients, some beyond either end among them.
    """
    if voxels == 1:
        return torch.ones((BEFORE + voxels + AFTER, 1), dtype=torch.float64, device=device)
    period = 2 * (voxels - 1)
    wanted = _counted(-BEFORE, voxels + AFTER, device)[:, None]
    given = _counted(0, voxels, device)[None]
    response = _periodic(wanted - given, period) + _periodic(wanted + given, period)
    ends = (given == 0) | (given == voxels - 1)  # their mirror images are themselves
    return GAIN * torch.where(ends, response / 2, response)


def spline_weights(points: Tensor, voxels: int, order: int) -> Tensor:
    """Spline interpolation at points along an axis.

    Args:
        points: `(n,)` float64 in voxels.
        voxels: Of the axis.
        order: 1 or 3.

    Returns:
        `(n, voxels)` float64; 0 for a point outside of the outermost voxels' centres.
    """
    if order == 1:
        distance = (points[:, None] - _counted(0, voxels, points.device)).abs()
        weights = (1 - distance).clamp(min=0)
    else:
        distance = (points[:, None] - _counted(-BEFORE, voxels + AFTER, points.device)).abs()
        near = 2 / 3 - distance**2 + distance**3 / 2
        far = (2 - distance).clamp(min=0) ** 3 / 6
        weights = torch.where(distance < 1, near, far) @ spline_coefficients(voxels, points.device)
    inside = (points >= 0) & (points <= voxels - 1)
    return weights * inside[:, None]


@lru_cache(maxsize=256)
def enlarging_weights(voxels_in: int, voxels_out: int, device: torch.device) -> Tensor:
    """Cubic interpolation on another number of voxels, borders aligned, edges repeated, as `axis_matrix` has it.

    Returns:
        `(voxels_out, voxels_in)` float32, kept: patches of one size are reduced to few others.
    """
    points = (_counted(0, voxels_out, device) + 0.5) * (voxels_in / voxels_out) - 0.5
    padded = spline_weights(points + EDGE_PADDING, voxels_in + 2 * EDGE_PADDING, 3)
    weights = padded[:, EDGE_PADDING:-EDGE_PADDING].clone()
    weights[:, 0] += padded[:, :EDGE_PADDING].sum(1)
    weights[:, -1] += padded[:, -EDGE_PADDING:].sum(1)
    return weights.float()


def blur_weights(voxels: int, sigma: float, device: torch.device) -> Tensor:
    """Gaussian blur along an axis, mirrored at its ends' borders.

    Args:
        sigma: In voxels.

    Returns:
        `(voxels, voxels)` float32.
    """
    radius = int(TRUNCATED_AT * sigma + 0.5)
    total = sum(math.exp(-0.5 * (step / sigma) ** 2) for step in range(-radius, radius + 1))
    wanted, given = _counted(0, voxels, device)[:, None], _counted(0, voxels, device)[None]
    weights = torch.zeros((voxels, voxels), dtype=torch.float64, device=device)
    images = math.ceil(radius / (2 * voxels))
    for shift in range(-images * 2 * voxels, images * 2 * voxels + 1, 2 * voxels):
        for distance in (wanted - given + shift, wanted + given + 1 + shift):
            gaussian = torch.exp(-0.5 * (distance / sigma) ** 2) / total
            weights += torch.where(distance.abs() <= radius, gaussian, 0.0)
    return weights.float()


def _periodic(distance: Tensor, period: int) -> Tensor:
    """The impulse responses of all copies of a voxel that repeats with `period`, at a distance from one of them."""
    distance = distance.abs() % period
    sign = torch.where(distance % 2 == 0, 1.0, -1.0)  # a period is even, so both parts have the same
    size = abs(POLE)
    return sign * (size**distance + size ** (period - distance)) / (1 - size**period)


def _counted(first: int, end: int, device: torch.device) -> Tensor:
    return torch.arange(first, end, dtype=torch.float64, device=device)
