from __future__ import annotations

import os
import subprocess
import sys
import tracemalloc

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import ndimage
from skimage.transform import resize

from autoseg.errors import PlanError
from autoseg.preprocessing.resampling import (
    axis_matrix,
    resample_image,
    resample_segmentation,
    resampled_shape,
    separated_axis,
)

SHAPES = [
    ((16, 20, 24), (20, 15, 37)),
    ((40, 33, 50), (17, 66, 50)),
    ((5, 64, 48), (12, 90, 30)),
    ((1, 30, 30), (1, 45, 20)),
    ((2, 3, 4), (7, 9, 1)),
    ((70, 9, 9), (100, 9, 9)),
    ((90, 70, 80), (30, 140, 81)),
]
side = st.integers(1, 24)
shape = st.tuples(side, side, side)


def reference(volume: np.ndarray, wanted: tuple[int, ...], order: int = 3) -> np.ndarray:
    """The formula of the reference, in double precision."""
    return resize(volume.astype(np.float64), wanted, order=order, mode="edge", anti_aliasing=False, clip=True)


def nearest(length: int, wanted: int) -> np.ndarray:
    """Which slice stands where, by the reference's coordinates."""
    positions = length / wanted * (np.arange(wanted) + 0.5) - 0.5
    return ndimage.map_coordinates(np.arange(length), [positions], order=0, mode="nearest")


def separated_reference(volume: np.ndarray, wanted: tuple[int, ...], axis: int) -> np.ndarray:
    plane = tuple(size for number, size in enumerate(wanted) if number != axis)
    slices = np.stack([reference(image, plane) for image in np.moveaxis(volume, axis, 0)])
    return np.moveaxis(slices[nearest(volume.shape[axis], wanted[axis])], 0, axis)


def labels_reference(segmentation: np.ndarray, wanted: tuple[int, ...]) -> np.ndarray:
    result = np.zeros(wanted, dtype=segmentation.dtype)
    for label in np.unique(segmentation):
        result[reference(segmentation == label, wanted, order=1) >= 0.5 - 1e-6] = label
    return result


@pytest.mark.parametrize(
    ("voxels", "spacing", "target", "expected"),
    [
        ((10, 20, 30), (1, 1, 1), (1, 1, 1), (10, 20, 30)),
        ((10, 20, 30), (5, 1, 1), (2.5, 2, 0.7), (20, 10, 43)),
        ((5, 7, 3), (1, 1, 1), (2, 2, 10), (2, 4, 1)),  # 2.5 and 3.5 go to the even side; never below one
    ],
)
def test_the_extent_decides_the_shape(voxels, spacing, target, expected) -> None:
    assert resampled_shape(voxels, spacing, target) == expected


@pytest.mark.parametrize(
    ("spacing", "target", "expected"),
    [
        ((3, 1, 1), (1, 1, 1), None),  # exactly three times is not more than three
        ((3.1, 1, 1), (1, 1, 1), 0),
        ((1, 1, 5), (1, 1, 1), 2),
        ((1, 1, 1), (1, 4, 1), 1),
        ((1, 5, 1), (4, 1, 1), 1),  # the case's own grid decides first
        ((5, 5, 1), (1, 1, 1), None),  # no single slice axis
        ((5, 5.0001, 1), (1, 1, 1), None),  # equal but for the rounding of headers
        ((5, 5.1, 1), (1, 1, 1), 1),
        ((5, 5, 1), (9, 1, 1), None),  # and the target is not asked then
    ],
)
def test_slices_are_separated_along_the_one_axis_of_much_larger_voxels(spacing, target, expected) -> None:
    assert separated_axis(spacing, target) == expected


@pytest.mark.parametrize(("voxels", "wanted"), SHAPES)
def test_images_agree_with_the_reference_formula(voxels, wanted) -> None:
    volume = np.random.default_rng(1).normal(40, 300, voxels).astype(np.float32)

    resampled = resample_image(volume[None], shape=wanted, separated=None)[0]

    np.testing.assert_allclose(resampled, reference(volume, wanted), atol=1e-5 * np.ptp(volume), rtol=0)
    assert resampled.dtype == np.float32


@given(shape, shape, st.integers(0, 99))
def test_images_agree_with_the_reference_formula_whatever_the_shapes(voxels, wanted, seed) -> None:
    volume = np.random.default_rng(seed).exponential(100, voxels).astype(np.float32)

    resampled = resample_image(volume[None], shape=wanted, separated=None)[0]

    np.testing.assert_allclose(resampled, reference(volume, wanted), atol=1e-5 * max(np.ptp(volume), 1), rtol=0)


@given(shape, shape, st.integers(0, 2))
def test_separated_slices_are_cubic_within_and_nearest_across(voxels, wanted, axis) -> None:
    volume = np.random.default_rng(2).normal(0, 1, voxels).astype(np.float32)

    resampled = resample_image(volume[None], shape=wanted, separated=axis)[0]

    np.testing.assert_allclose(resampled, separated_reference(volume, wanted, axis), atol=1e-5)


def test_intensities_far_from_zero_keep_their_precision() -> None:
    volume = np.random.default_rng(3).normal(10_000, 1, (20, 30, 25)).astype(np.float32)

    resampled = resample_image(volume[None], shape=(31, 24, 40), separated=None)[0]

    np.testing.assert_allclose(resampled, reference(volume, (31, 24, 40)), atol=1e-4 * np.ptp(volume), rtol=0)


def test_channels_are_resampled_apart_and_axes_may_be_views() -> None:
    image = np.random.default_rng(4).random((2, 9, 12, 15), dtype=np.float32).transpose(0, 3, 1, 2)

    resampled = resample_image(image, shape=(10, 10, 10), separated=None)

    for channel, result in zip(image, resampled, strict=True):
        np.testing.assert_allclose(result, reference(channel, (10, 10, 10)), atol=1e-5)


def test_a_shape_that_fits_gives_an_equal_new_array() -> None:
    image = np.random.default_rng(5).random((1, 4, 5, 6), dtype=np.float32)
    segmentation = np.arange(120, dtype=np.int16).reshape(4, 5, 6)

    same = resample_image(image, shape=(4, 5, 6), separated=0)
    labels = resample_segmentation(segmentation, shape=(4, 5, 6), separated=None)

    np.testing.assert_array_equal(same, image)
    np.testing.assert_array_equal(labels, segmentation)
    assert not np.shares_memory(same, image)
    assert not np.shares_memory(labels, segmentation)


@pytest.mark.parametrize(("voxels", "wanted"), SHAPES)
def test_labels_agree_with_the_reference_rule(voxels, wanted) -> None:
    smooth = ndimage.gaussian_filter(np.random.default_rng(6).normal(size=voxels), 2, mode="nearest")
    segmentation = (np.digitize(smooth, np.quantile(smooth, [0.2, 0.5, 0.7])) - 1).astype(np.int16)

    resampled = resample_segmentation(segmentation, shape=wanted, separated=None)

    np.testing.assert_array_equal(resampled, labels_reference(segmentation, wanted))
    assert resampled.dtype == np.int16


@given(shape, shape, st.integers(0, 99), st.sampled_from([np.int8, np.uint8, np.int16]))
def test_labels_agree_with_the_reference_rule_whatever_the_shapes(voxels, wanted, seed, kind) -> None:
    lowest = np.iinfo(kind).min and -1
    segmentation = np.random.default_rng(seed).integers(lowest, 4, voxels).astype(kind)

    resampled = resample_segmentation(segmentation, shape=wanted, separated=None)

    np.testing.assert_array_equal(resampled, labels_reference(segmentation, wanted))


@given(shape, shape, st.integers(0, 2))
def test_labels_of_separated_slices_are_nearest_across(voxels, wanted, axis) -> None:
    segmentation = np.random.default_rng(7).integers(-1, 3, voxels).astype(np.int16)
    plane = tuple(size for number, size in enumerate(wanted) if number != axis)
    slices = np.stack([labels_reference(labels, plane) for labels in np.moveaxis(segmentation, axis, 0)])
    expected = np.moveaxis(slices[nearest(voxels[axis], wanted[axis])], 0, axis)

    resampled = resample_segmentation(segmentation, shape=wanted, separated=axis)

    np.testing.assert_array_equal(resampled, expected)


def test_the_larger_label_wins_a_tie_and_where_none_wins_is_background() -> None:
    tie = np.array([2, 1, 5, -1, -1, 0, 3, 4], dtype=np.int16).reshape(1, 1, 8)
    three_ways = np.array([1, 2, 3], dtype=np.int16).reshape(3, 1, 1)

    np.testing.assert_array_equal(resample_segmentation(tie, shape=(1, 1, 4), separated=None).ravel(), [2, 5, 0, 4])
    crowded = np.broadcast_to(np.array([[1, 2], [3, 4]], dtype=np.int16), (2, 2, 2))
    np.testing.assert_array_equal(resample_segmentation(crowded, shape=(1, 1, 1), separated=None), [[[0]]])
    np.testing.assert_array_equal(resample_segmentation(three_ways, shape=(1, 1, 1), separated=None), [[[2]]])


def test_a_side_of_no_voxels_is_refused() -> None:
    with pytest.raises(PlanError, match=r"resampling \(2, 2, 2\) to \(2, 0, 2\): every side needs at least one voxel"):
        resample_image(np.ones((1, 2, 2, 2), dtype=np.float32), shape=(2, 0, 2), separated=None)


def test_matrices_keep_constants_and_are_made_once() -> None:
    matrix = axis_matrix(100, 73, 3)

    np.testing.assert_allclose(matrix.weights.sum(axis=1), 1, atol=1e-6)
    assert axis_matrix(100, 73, 3) is matrix
    assert max(np.count_nonzero(matrix.weights, axis=1)) <= 30


def test_memory_beyond_input_and_output_stays_under_one_volume() -> None:
    image = np.random.default_rng(8).random((1, 220, 60, 60), dtype=np.float32)
    resample_image(image, shape=(180, 70, 50), separated=None)
    tracemalloc.start()
    try:
        resampled = resample_image(image, shape=(180, 70, 50), separated=None)
        beyond = tracemalloc.get_traced_memory()[1] - resampled.nbytes
    finally:
        tracemalloc.stop()

    assert beyond < 0.6 * image.nbytes


OVERLAPPING = """
import threading
import numpy as np
from threadpoolctl import threadpool_info
from autoseg.preprocessing.resampling import resample_image

class Waiting(np.ndarray):
    "An image whose channels are handed out only once somebody allows it."
    def __iter__(self):
        mine = go_on
        begun.set()
        assert mine.wait(20)
        return iter(np.asarray(self))

def limits():
    return {library["num_threads"] for library in threadpool_info() if library["user_api"] == "blas"}

image = np.random.default_rng(0).normal(size=(1, 4, 5, 6)).astype(np.float32)
resample_image(image, shape=(6, 7, 8), separated=None)
before, threads, gates = limits(), [], []
for _ in range(2):
    begun, go_on = threading.Event(), threading.Event()
    thread = threading.Thread(target=resample_image, args=(image.view(Waiting),), kwargs={"shape": (6, 7, 8), "separated": None})
    thread.start()
    assert begun.wait(20)
    threads.append(thread)
    gates.append(go_on)
during = limits()
for thread, gate in zip(threads, gates):  # the first to begin is the first to end
    gate.set()
    thread.join()
print(before, during, limits())
"""


def test_threads_that_overlap_leave_as_many_threads_to_matrix_products_as_there_were() -> None:
    """In a process of its own: here the tests allow one thread only."""
    environment = {**os.environ, "OPENBLAS_NUM_THREADS": "2", "OMP_NUM_THREADS": "2", "MKL_NUM_THREADS": "2"}
    words = [sys.executable, "-c", OVERLAPPING]
    told = subprocess.run(words, env=environment, capture_output=True, text=True, check=True).stdout
    if not told.startswith("{2}"):
        pytest.skip("one core only")
    assert told == "{2} {1} {2}\n"
