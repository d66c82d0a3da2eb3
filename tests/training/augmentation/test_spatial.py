from __future__ import annotations

import math

import numpy as np
import pytest
from batchgenerators.transforms.spatial_transforms import SpatialTransform as TheirTransform
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.ndimage import gaussian_filter

from autoseg.training.augmentation.interpolation import warp_labels
from autoseg.training.augmentation.spatial import SpatialTransform, rotation
from autoseg.training.augmentation.warping import warp_image
from autoseg.training.sampling.patches import read_box

TILT = (-math.pi / 6, math.pi / 6)


def smooth(shape: tuple[int, ...], seed: int = 0, sigma: float = 2.0) -> np.ndarray:
    return gaussian_filter(np.random.default_rng(seed).normal(size=shape), sigma).astype(np.float32)


def transform(patch_size: tuple[int, ...], probability: float = 0.5, **changes: object) -> SpatialTransform:
    return SpatialTransform(
        patch_size=patch_size,
        angles=(TILT,) * (3 if len(patch_size) == 3 else 1),
        rotation_probability=probability,
        scale=(0.7, 1.4),
        scale_probability=probability,
        **changes,  # type: ignore[arg-type]
    )


@pytest.mark.parametrize("order", [3, 1])
@pytest.mark.parametrize(("patch", "window"), [((8, 12, 10), (24, 30, 26)), ((16, 12), (40, 40))])
def test_it_does_what_batchgenerators_does(patch: tuple[int, ...], window: tuple[int, ...], order: int) -> None:
    data = np.stack([smooth(window, 1), smooth(window, 2)])[None]
    labels = (smooth(window, 3) * 40).round().clip(-1, 3).astype(np.int16)[None, None]
    theirs = TheirTransform(
        patch,
        do_elastic_deform=False,
        angle_x=TILT,
        angle_y=TILT,
        angle_z=TILT,
        scale=(0.7, 1.4),
        border_mode_data="constant",
        order_data=order,
        border_cval_seg=-1,
        order_seg=1,
        random_crop=False,
        p_scale_per_sample=0.5,
        p_rot_per_sample=0.5,
    )
    for seed in range(6):
        np.random.seed(seed)
        ours = transform(patch, order=order)(data=data.copy(), seg=labels.copy())
        np.random.seed(seed)
        expected = theirs(data=data.copy(), seg=labels.copy())

        np.testing.assert_allclose(ours["data"], expected["data"], atol=1e-6)
        np.testing.assert_array_equal(ours["seg"], expected["seg"])


def test_within_the_plane_it_does_what_it_does_to_each_slice() -> None:
    volume = smooth((5, 30, 30), 1)[None]
    labels = (smooth((5, 30, 30), 2) * 40).round().clip(-1, 2).astype(np.int16)[None]
    in_plane, flat = transform((5, 12, 12), 1.0, in_plane=True), transform((12, 12), 1.0)
    matrix = in_plane.draw(np.random.default_rng(7))
    expected_matrix = flat.draw(np.random.default_rng(7))
    assert matrix is not None and expected_matrix is not None

    data, seg = in_plane.warp(matrix, np.array([2.0, 14.5, 14.5])).apply(volume, labels)
    slices = [
        flat.warp(expected_matrix, np.array([14.5, 14.5])).apply(volume[:, z], labels[:, z])
        for z in range(volume.shape[1])
    ]

    np.testing.assert_allclose(data, np.stack([image for image, _ in slices], axis=1), atol=1e-6)
    np.testing.assert_array_equal(seg, np.stack([label for _, label in slices], axis=1))


@settings(max_examples=30, deadline=None)
@given(seed=st.integers(0, 10_000), start=st.tuples(st.integers(-6, 16), st.integers(-6, 16), st.integers(-6, 16)))
def test_the_window_holds_all_that_the_patch_needs(seed: int, start: tuple[int, int, int]) -> None:
    """A patch made from the window equals the one made from the whole image, padded without end."""
    image = smooth((24, 24, 24), 5)[None]
    labels = (smooth((24, 24, 24), 6) * 40).round().clip(-1, 2).astype(np.int16)[None]
    warp = transform((8, 10, 8), 0.8)
    matrix = warp.draw(np.random.default_rng(seed))
    low, shape = warp.window(matrix, start, image.shape[1:])
    data = read_box(image, low, shape, outside=0)
    seg = read_box(labels, low, shape, outside=-1)
    if matrix is None:
        assert (low, shape) == (start, (8, 10, 8))
        return
    centre = np.array(start) + (np.array([8, 10, 8]) - 1) / 2
    everything = (-40, -40, -40), (104, 104, 104)

    warped, warped_seg = warp.warp(matrix, centre - low).apply(data, seg)
    expected, expected_seg = warp.warp(matrix, centre + 40).apply(
        read_box(image, *everything, outside=0), read_box(labels, *everything, outside=-1)
    )

    np.testing.assert_allclose(warped, expected, atol=2e-3 * np.ptp(image))
    np.testing.assert_array_equal(warped_seg, expected_seg)


def test_the_window_is_what_the_turned_patch_covers_and_the_splines_margin() -> None:
    """A quarter turn about the first axis swaps the others; 4 voxels more on each side."""
    warp = transform((10, 20, 30))

    low, shape = warp.window(1.4 * rotation([math.pi / 2, 0.0, 0.0]), (100, 100, 100), (300, 300, 300))

    assert low == (104 - 6 - 4, 109 - 20 - 4, 114 - 13 - 4)
    assert shape == (14 + 8, 42 + 8, 28 + 8)


def test_what_is_far_outside_of_the_image_is_not_read() -> None:
    warp = transform((40, 40))

    assert warp.window(np.eye(2) * 1.4, (-10, -5), (20, 30)) == ((-4, -4), (28, 38))


def test_scaling_above_one_zooms_out() -> None:
    image = np.zeros((1, 40, 40), dtype=np.float32)
    image[0, 12:28, 12:28] = 1
    warp = transform((20, 20))

    smaller, _ = warp.warp(np.eye(2) * 2, np.array([19.5, 19.5])).apply(image, np.zeros((1, 40, 40), dtype=np.int16))

    assert smaller.sum() == pytest.approx(image.sum() / 4, rel=0.05)


def test_half_of_the_scales_zoom_in() -> None:
    warp = transform((4, 4))
    random = np.random.default_rng(0)
    matrices = [warp.draw(random) for _ in range(4000)]
    factors = np.array([np.sqrt(np.linalg.det(matrix)) for matrix in matrices if matrix is not None])
    scaled = factors[~np.isclose(factors, 1)]

    assert len(matrices) - len(factors) == pytest.approx(1000, abs=120)
    assert len(scaled) == pytest.approx(2000, abs=130)
    assert (scaled < 1).mean() == pytest.approx(0.5, abs=0.04)
    assert scaled.min() >= 0.7 and scaled.max() <= 1.4


def test_labels_do_not_mix_into_others() -> None:
    labels = np.zeros((12, 12), dtype=np.int16)
    labels[:, 6:] = 5
    matrix, offset = np.eye(2) * 0.5, np.array([2.0, 3.0])

    warped = warp_labels(labels, matrix, offset, (10, 12))

    np.testing.assert_array_equal(warped, np.broadcast_to([0] * 6 + [5] * 6, (10, 12)))


def test_outside_is_zero_in_data_and_minus_one_in_labels() -> None:
    matrix, offset = np.eye(2), np.array([-2.0, 0.0])

    assert (warp_image(np.ones((6, 6), dtype=np.float32), matrix, offset, (4, 4), order=1)[:2] == 0).all()
    warped = warp_labels(np.ones((6, 6), dtype=np.int16), matrix, offset, (4, 4))
    np.testing.assert_array_equal(warped, [[-1] * 4, [-1] * 4, [1] * 4, [1] * 4])


def test_labels_one_voxel_thick_can_be_warped() -> None:
    labels = np.arange(6, dtype=np.int16).reshape(1, 6)

    np.testing.assert_array_equal(warp_labels(labels, np.eye(2), np.array([0.0, 2.0]), (1, 3)), [[2, 3, 4]])
