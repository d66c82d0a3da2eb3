from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.ndimage import affine_transform

from autoseg.training.augmentation.interpolation import scale_linearly, warp_labels, warp_linearly
from autoseg.training.augmentation.spatial import rotation


def by_scipy(image: np.ndarray, matrix: np.ndarray, offset: np.ndarray, shape: tuple[int, ...]) -> np.ndarray:
    return affine_transform(image.astype(float), matrix, offset, shape, order=1, mode="constant", cval=0.0)


def by_maps(labels: np.ndarray, matrix: np.ndarray, offset: np.ndarray, shape: tuple[int, ...]) -> np.ndarray:
    """As defined: each label's map for itself, the strongest of them, and -1 where the point is no part of the image."""
    present = np.unique(labels)
    scores = np.stack([by_scipy(labels == label, matrix, offset, shape) for label in present])
    strongest = present[(scores > scores.max(axis=0) - 1e-12).argmax(axis=0)]
    inside = by_scipy(np.ones(labels.shape), matrix, offset, shape) > 0.5
    return np.where(inside, strongest, -1)


@given(seed=st.integers(0, 10**6), axes=st.sampled_from([2, 3]), rotated=st.booleans(), labels=st.integers(1, 6))
@settings(max_examples=60, deadline=None)
def test_every_channel_and_label_is_interpolated_as_if_alone(seed: int, axes: int, rotated: bool, labels: int) -> None:
    random = np.random.default_rng(seed)
    window, shape = tuple(random.integers(1, 14, axes)), tuple(random.integers(1, 12, axes))
    data = random.normal(size=(2, *window)).astype(np.float32)
    maps = random.integers(-1, labels, (2, *window)).astype(np.int8)
    turn = rotation(random.uniform(-3, 3, 1 if axes == 2 else 3).tolist()) if rotated else np.eye(axes)
    matrix, offset = turn * random.uniform(0.7, 1.4), random.uniform(-3, 6, axes)

    warped, warped_maps = warp_linearly(data, maps, matrix, offset, shape)

    for channel, image in zip(warped, data, strict=True):
        np.testing.assert_allclose(channel, by_scipy(image, matrix, offset, shape), atol=2e-6)
    for channel, image in zip(warped_maps, maps, strict=True):
        np.testing.assert_array_equal(channel, by_maps(image, matrix, offset, shape))
        np.testing.assert_array_equal(channel, warp_labels(image, matrix, offset, shape))
    if not rotated:
        for channel, image in zip(warped, data, strict=True):
            scaled = scale_linearly(image, np.diag(matrix), offset, shape)
            np.testing.assert_allclose(scaled, channel, atol=2e-6)


@pytest.mark.parametrize("dtype", [np.int8, np.int16, np.int32])
def test_labels_keep_their_type_whatever_its_size(dtype: type) -> None:
    labels = np.array([[0, 100, 100], [0, 100, -1]], dtype=dtype)
    warped = warp_labels(labels, np.eye(2), np.array([0.0, 0.4]), (2, 3))
    assert warped.dtype == dtype
    np.testing.assert_array_equal(warped, [[0, 100, -1], [0, 100, -1]])
