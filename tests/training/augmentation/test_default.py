from __future__ import annotations

import math

import numpy as np
import pytest

from autoseg.training.augmentation.default import (
    AugmentationRecipe,
    OutsideBecomesBackground,
    ZeroOutside,
    build_augmentation,
    build_spatial,
    build_validation_augmentation,
)
from autoseg.training.sampling.samples import global_generators_seeded

RECIPE = AugmentationRecipe()


@pytest.mark.parametrize(
    ("patch_size", "dummy_2d", "degrees"),
    [
        ((40, 56, 40), False, [30, 30, 30]),
        ((20, 320, 256), True, [180, 180, 180]),
        ((320, 256), False, [180]),
        ((384, 256), False, [180]),
        ((385, 256), False, [15]),
    ],
)
def test_rotation_is_limited_by_the_shape_of_the_patch(
    patch_size: tuple[int, ...], dummy_2d: bool, degrees: list[float]
) -> None:
    spatial = build_spatial(RECIPE, patch_size=patch_size, dummy_2d=dummy_2d)

    assert [round(math.degrees(high)) for _, high in spatial.angles] == degrees
    assert all(low == -high for low, high in spatial.angles)
    assert spatial.in_plane == dummy_2d
    assert (spatial.rotation_probability, spatial.scale, spatial.scale_probability) == (0.2, (0.7, 1.4), 0.2)
    assert spatial.order == 3, "where nobody says on which device"


def test_transforms_stand_in_the_published_order_with_the_published_values() -> None:
    augmentation = build_augmentation(
        RECIPE, patch_size=(8, 8, 8), dummy_2d=False, mirror_axes=(0, 1, 2), masked_channels=[1]
    )
    names = [type(transform).__name__ for transform in augmentation.transforms]
    noise, blur, brightness, contrast, low_resolution, inverted, gamma, mirror, masked, _ = augmentation.transforms

    assert names == [
        "RandomNoise",
        "RandomBlur",
        "RandomBrightness",
        "RandomContrast",
        "SimulateLowResolution",
        "RandomGamma",
        "RandomGamma",
        "RandomMirroring",
        "ZeroOutside",
        "OutsideBecomesBackground",
    ]
    assert (noise.deviation, noise.probability) == ((0, 0.1), 0.1)
    assert (blur.sigma, blur.probability, blur.channel_probability) == ((0.5, 1), 0.2, 0.5)
    assert (brightness.factor, brightness.probability) == ((0.75, 1.25), 0.15)
    assert (contrast.factor, contrast.probability) == ((0.75, 1.25), 0.15)
    assert (low_resolution.zoom, low_resolution.sample_probability) == ((0.5, 1), 0.25)
    assert (low_resolution.channel_probability, low_resolution.ignored_axes) == (0.5, ())
    assert (inverted.exponent, inverted.probability, inverted.is_inverted) == ((0.7, 1.5), 0.1, True)
    assert (gamma.exponent, gamma.probability, gamma.is_inverted) == ((0.7, 1.5), 0.3, False)
    assert (mirror.axes, masked.channels) == ((0, 1, 2), (1,))


def test_thick_slices_keep_their_resolution_across() -> None:
    augmentation = build_augmentation(RECIPE, patch_size=(4, 16, 16), dummy_2d=True, mirror_axes=(), masked_channels=[])

    assert [getattr(transform, "ignored_axes", None) for transform in augmentation.transforms].count((0,)) == 1
    assert not any(type(transform).__name__ == "RandomMirroring" for transform in augmentation.transforms)


def test_masked_channels_are_zero_outside_of_the_mask_and_the_others_are_kept() -> None:
    sample = ZeroOutside((1,))(data=np.ones((1, 2, 1, 3)), seg=np.array([[[[-1, 0, 2]]]]))

    np.testing.assert_array_equal(sample["data"], [[[[1, 1, 1]], [[0, 1, 1]]]])


def test_outside_becomes_background() -> None:
    sample = OutsideBecomesBackground()(data=np.ones((1, 1, 3)), seg=np.array([[[-1, 0, 3]]]))

    np.testing.assert_array_equal(sample["seg"], [[[0, 0, 3]]])


def test_a_patch_keeps_its_shape_and_its_labels_whatever_is_drawn() -> None:
    augmentation = build_augmentation(
        RECIPE, patch_size=(6, 10, 8), dummy_2d=False, mirror_axes=(0, 1, 2), masked_channels=[0]
    )
    generator = np.random.default_rng(0)
    data = generator.normal(size=(1, 2, 6, 10, 8)).astype(np.float32)
    labels = generator.integers(-1, 3, (1, 1, 6, 10, 8)).astype(np.int8)
    counts = np.bincount(labels.clip(min=0).ravel(), minlength=3)
    for seed in range(40):
        with global_generators_seeded(np.random.default_rng(seed)):
            sample = {"data": data.copy(), "seg": labels.copy()}
            for transform in augmentation.transforms:
                sample = transform(**sample)

        assert sample["data"].shape == data.shape and np.isfinite(sample["data"]).all()
        np.testing.assert_array_equal(np.bincount(sample["seg"].ravel(), minlength=3), counts)


def test_validation_patches_are_not_varied() -> None:
    augmentation = build_validation_augmentation()

    assert augmentation.spatial is None
    assert augmentation.transforms == (OutsideBecomesBackground(),)
