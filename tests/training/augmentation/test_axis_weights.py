"""The matrices written in closed form are the library's own answers to unit vectors."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from scipy import ndimage

from autoseg.preprocessing.resampling import axis_matrix
from autoseg.training.augmentation.axis_weights import (
    AFTER,
    BEFORE,
    blur_weights,
    enlarging_weights,
    multiplied,
    spline_coefficients,
    spline_weights,
)

CPU = torch.device("cpu")


@pytest.mark.parametrize("voxels", [1, 2, 3, 4, 7, 40, 129])
def test_coefficients_of_a_spline(voxels: int) -> None:
    mirrored = np.pad(np.arange(voxels), (BEFORE, AFTER), mode="reflect" if voxels > 1 else "edge")
    expected = ndimage.spline_filter1d(np.eye(voxels), order=3, axis=0, mode="mirror")[mirrored]

    np.testing.assert_allclose(spline_coefficients(voxels, CPU), expected, atol=1e-12)


@pytest.mark.parametrize("order", [1, 3])
@pytest.mark.parametrize(
    ("voxels", "factor", "start"), [(9, 0.8, 1.3), (12, 1.4, -3.1), (2, 0.31, -0.2), (40, 1.0, 2.0)]
)
def test_spline_interpolation_along_an_axis(order: int, voxels: int, factor: float, start: float) -> None:
    expected = ndimage.affine_transform(
        np.eye(voxels), np.diag([1.0, factor]), (0.0, start), (voxels, 11), order=order, mode="constant", cval=0.0
    ).T
    points = start + factor * torch.arange(11, dtype=torch.float64)

    np.testing.assert_allclose(spline_weights(points, voxels, order), expected, atol=1e-12)


@pytest.mark.parametrize(("old", "new"), [(5, 9), (10, 20), (19, 20), (1, 3), (64, 128), (7, 7)])
def test_enlarging(old: int, new: int) -> None:
    np.testing.assert_allclose(enlarging_weights(old, new, CPU), axis_matrix(old, new, 3).weights, atol=3e-7)


@pytest.mark.parametrize("voxels", [1, 2, 5, 30])
@pytest.mark.parametrize("sigma", [0.5, 0.87, 1.5])
def test_blur(voxels: int, sigma: float) -> None:
    expected = ndimage.gaussian_filter1d(np.eye(voxels), sigma, axis=0)

    np.testing.assert_allclose(blur_weights(voxels, sigma, CPU), expected, atol=1e-7)


def test_each_axis_is_multiplied_by_its_own_matrix() -> None:
    generator = torch.Generator().manual_seed(0)
    images = torch.randn((2, 3, 4, 5), generator=generator)
    weights = [torch.randn((out, side), generator=generator) for out, side in ((6, 3), (2, 4), (7, 5))]

    expected = torch.einsum("czyx,az,by,dx->cabd", images, *weights)

    torch.testing.assert_close(multiplied(images, weights), expected)
