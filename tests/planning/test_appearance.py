"""How a case looks from outside: measured alike in training and prediction."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
from scipy import ndimage

from autoseg.errors import DatasetError
from autoseg.geometry import Geometry
from autoseg.planning.appearance import (
    IntensityRange,
    measure_appearance,
    measure_likenesses,
    measure_ranges,
    sample_values,
)
from autoseg.preprocessing.cropping import crop_to_nonzero

GEOMETRY = Geometry(spacing=(3.0, 1.0, 0.5), direction=(0, 1, 0, 1, 0, 0, 0, 0, 1))


def test_a_case_by_hand() -> None:
    data = np.zeros((2, 6, 7, 8), np.float32)
    data[0, 1:5, 2:4, 3] = 7.0
    data[1, 2, 5, 1:7] = [-20, -10, 0, 10, 20, 30]

    found = measure_appearance(data, GEOMETRY)

    assert found is not None
    assert (found.spacing, found.shape, found.direction) == (GEOMETRY.spacing, (4, 4, 6), GEOMETRY.direction)
    first, second = found.ranges
    assert first == IntensityRange(**dict.fromkeys(IntensityRange.__slots__, 7.0))
    assert first is not None and first.width == 0
    assert second is not None and second.width == pytest.approx(49.6)
    assert dataclasses.astuple(second) == pytest.approx((-19.8, -18, -10, 10, 20, 28, 29.8))


def test_the_size_is_that_of_the_cropped_training_cases() -> None:
    generator = np.random.default_rng(0)
    for _ in range(20):
        data = (generator.random((2, 5, 6, 7)) < 0.02).astype(np.float32)
        found = measure_appearance(data, GEOMETRY)
        if data.any():
            assert found is not None
            assert found.shape == crop_to_nonzero(data, None)[0].shape[1:]
        else:
            assert found is None


def test_an_empty_image_and_an_empty_channel() -> None:
    assert measure_appearance(np.zeros((1, 3, 3, 3), np.float32), GEOMETRY) is None
    data = np.ones((2, 3, 3, 3), np.float32)
    data[1] = 0
    assert measure_ranges(data)[1] is None


def smooth(shape: tuple[int, ...], seed: int = 0) -> np.ndarray:
    return ndimage.gaussian_filter(np.random.default_rng(seed).normal(size=shape), 2).astype(np.float32)[None]


def likenesses(data: np.ndarray) -> tuple[float | None, ...]:
    return measure_likenesses(data, measure_ranges(data))


def test_neighbouring_voxels_of_images_are_alike_and_those_of_noise_are_not() -> None:
    image = 100 + 1000 * smooth((20, 30, 40))
    noise = np.random.default_rng(1).permuted(image.ravel()).reshape(image.shape)

    (alike,), (apart,) = likenesses(image), likenesses(noise)

    pairs = [np.moveaxis(image[0], axis, 0) for axis in range(3)]
    exact = np.mean([np.corrcoef(one[:-1].ravel(), one[1:].ravel())[0, 1] for one in pairs])
    assert alike == pytest.approx(exact, abs=0.005)
    assert abs(apart) < 0.02


def test_likeness_depends_on_no_unit_odd_voxel_or_padding() -> None:
    image = 100 + 1000 * smooth((20, 30, 40))
    (usual,) = likenesses(image)
    odd = image.copy()
    odd[0, 5, 5, 5] = 1e6
    padded = np.pad(image, ((0, 0), (9, 9), (9, 9), (9, 9)))

    for same in (image * 1e-5, odd, padded, 7 - image):
        assert likenesses(same) == (pytest.approx(usual, abs=0.02),)
    assert likenesses(smooth((1, 40, 40)))[0] > 0.8


@pytest.mark.parametrize(
    "data", [np.zeros((1, 9, 9, 9)), np.full((1, 9, 9, 9), 5.0), np.arange(1, 61).reshape(1, 3, 4, 5)]
)
def test_of_too_few_or_equal_voxels_nothing_is_known(data: np.ndarray) -> None:
    assert likenesses(data.astype(np.float32)) == (None,)


def test_values_that_are_no_numbers_do_not_count() -> None:
    data = np.array([np.nan, np.inf, 0, 4, 8], np.float32)
    np.testing.assert_array_equal(sample_values(data, 100), [4, 8])


def test_a_sample_is_spread_over_every_side() -> None:
    columns = np.tile(np.arange(1, 65, dtype=np.float32), (64, 64, 1))
    for data in (columns, columns.T, columns.transpose(0, 2, 1)):
        sample = sample_values(np.ascontiguousarray(data), 4096)
        assert 0.95 < len(sample) / 4096 <= 1
        np.testing.assert_allclose(np.percentile(sample, (5, 50, 95)), (3.7, 32.5, 61.3), atol=0.6)


def test_percentiles_ascend() -> None:
    values = dict.fromkeys(IntensityRange.__slots__, 1.0)
    with pytest.raises(DatasetError) as caught:
        IntensityRange(**{**values, "median": 2.0})
    assert str(caught.value) == ("percentiles of intensities must ascend, found (1.0, 1.0, 1.0, 2.0, 1.0, 1.0, 1.0)")
