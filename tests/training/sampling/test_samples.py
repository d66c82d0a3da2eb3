from __future__ import annotations

import random
from typing import Any

import numpy as np
import pytest
from batchgenerators.transforms.spatial_transforms import SpatialTransform as TheirTransform

from autoseg.errors import TrainingError
from autoseg.preprocessing.prepare import PreparedCase
from autoseg.training.augmentation.default import Augmentation, AugmentationRecipe, build_augmentation
from autoseg.training.sampling.regions import Patches
from autoseg.training.sampling.samples import Sample, global_generators_seeded, make_sample, sample_generator
from autoseg.training.trial import untouched

SHAPE = (6, 12, 10)
PLAIN = Augmentation()


def numbered_case(**changes: Any) -> PreparedCase:
    """Every voxel's intensity is its own number, so that a patch tells where it comes from."""
    data = np.arange(1, 1 + np.prod(SHAPE), dtype=np.float32).reshape(1, *SHAPE)
    segmentation = np.zeros(SHAPE, dtype=np.int16)
    segmentation[2, 11, 9] = 1
    values: dict[str, Any] = {
        "data": data,
        "segmentation": segmentation,
        "foreground": {1: np.array([[2, 11, 9]])},
        "properties": untouched("numbered", SHAPE),
    }
    return PreparedCase(**{**values, **changes})


def sample(number: int = 0, *, case: PreparedCase | None = None, seed: int = 0, **changes: Any) -> Sample:
    settings: dict[str, Any] = {"patch_size": (4, 6, 4), "forced": False, "augmentation": PLAIN, **changes}
    generator = sample_generator(seed, 0, 0, number)
    regions = Patches(settings.pop("patch_size"))
    region = regions.of_case(case or numbered_case(), generator, forced=settings.pop("forced"))
    return make_sample(region, generator=generator, **settings)


def test_an_unvaried_patch_is_a_piece_of_the_image() -> None:
    for number in range(20):
        patch = sample(number).data[0]
        first = np.array(np.unravel_index(int(patch[0, 0, 0]) - 1, SHAPE))
        piece = tuple(slice(start, start + side) for start, side in zip(first, (4, 6, 4), strict=True))

        np.testing.assert_array_equal(patch, numbered_case().data[0][piece])


def test_a_forced_patch_holds_foreground() -> None:
    assert all((sample(number, forced=True).labels == 1).sum() == 1 for number in range(10))


def test_a_patch_larger_than_the_image_has_it_in_the_middle_with_zeros_around() -> None:
    made = sample(patch_size=(8, 14, 12))

    np.testing.assert_array_equal(made.data[0, 1:-1, 1:-1, 1:-1], numbered_case().data[0])
    assert np.count_nonzero(made.data) == np.prod(SHAPE)
    assert (made.labels == -1).sum() == 8 * 14 * 12 - np.prod(SHAPE)


def test_a_patch_of_more_slices_than_the_image_is_turned_within_them_and_empty_beyond() -> None:
    """Thick slices: the image's six slices lie in the middle of the patch's eight, each turned as the others are."""
    recipe = AugmentationRecipe(
        rotation_probability=1,
        noise_probability=0,
        blur_probability=0,
        brightness_probability=0,
        contrast_probability=0,
        low_resolution_probability=0,
        inverted_gamma_probability=0,
        gamma_probability=0,
    )
    augmentation = build_augmentation(recipe, patch_size=(8, 6, 4), dummy_2d=True, mirror_axes=(), masked_channels=[])
    drawn = sample(patch_size=(8, 6, 4), augmentation=augmentation).data[0]
    assert not drawn[[0, 7]].any()
    voxels_of_a_slice = SHAPE[1] * SHAPE[2]
    steps = np.diff(drawn[1:7, 3, 2])
    np.testing.assert_allclose(steps, steps[0], rtol=1e-5)
    np.testing.assert_allclose(steps, voxels_of_a_slice, rtol=5e-3)  # the spline feels the zeros around the image


def test_a_flat_patch_is_a_slice_of_the_first_axis() -> None:
    drawn = {int(sample(number, patch_size=(12, 10)).data[0, 0, 0] - 1) // 120 for number in range(60)}
    forced = sample(patch_size=(12, 10), forced=True)

    assert drawn == set(range(6))
    np.testing.assert_array_equal(forced.data[0], numbered_case().data[0, 2])


def test_a_sample_depends_on_its_numbers_alone() -> None:
    augmentation = build_augmentation(
        AugmentationRecipe(), patch_size=(4, 6, 4), dummy_2d=False, mirror_axes=(0, 1, 2), masked_channels=[]
    )
    first = [sample(number, augmentation=augmentation) for number in range(12)]
    np.random.seed(99)
    random.seed(99)
    again = [sample(number, augmentation=augmentation) for number in reversed(range(12))][::-1]
    other = [sample(number, augmentation=augmentation, seed=1) for number in range(12)]

    for one, two in zip(first, again, strict=True):
        np.testing.assert_array_equal(one.data, two.data)
        np.testing.assert_array_equal(one.labels, two.labels)
    assert not any(np.array_equal(one.data, two.data) for one, two in zip(first, other, strict=True))
    assert len({made.data.tobytes() for made in first}) == 12


def test_the_global_generators_are_left_as_they_were() -> None:
    np.random.seed(5)
    random.seed(5)
    expected = np.random.random(), random.random()
    np.random.seed(5)
    random.seed(5)
    with pytest.raises(ValueError, match="on the way"), global_generators_seeded(np.random.default_rng(0)):
        assert (np.random.random(), random.random()) != expected
        raise ValueError("on the way")

    assert (np.random.random(), random.random()) == expected


def test_batchgenerators_own_spatial_transform_fits_with_a_window() -> None:
    shift_free = TheirTransform(
        (4, 6, 4), do_elastic_deform=False, do_rotation=False, do_scale=False, random_crop=False
    )
    augmentation = Augmentation(transforms=(shift_free,), window=(8, 10, 8))

    for number in range(5):
        np.testing.assert_array_equal(sample(number, augmentation=augmentation).data, sample(number).data)


def test_a_patch_of_another_shape_than_the_plans_is_refused() -> None:
    with pytest.raises(TrainingError, match=r"made a patch of \(6, 8, 6\).*the plan's patch is \(4, 6, 4\)"):
        sample(augmentation=Augmentation(window=(6, 8, 6)))


def test_a_case_without_labels_is_refused() -> None:
    with pytest.raises(TrainingError, match="it has no labels"):
        sample(case=numbered_case(segmentation=None))
