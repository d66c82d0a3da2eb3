"""DA3 and DA5: their numbers, and that labels follow the image."""

from __future__ import annotations

import math
import pickle
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from autoseg.preprocessing.prepare import PreparedCase
from autoseg.preprocessing.store import PreparedCases
from autoseg.training.augmentation.default import Augmentation, AugmentationRecipe
from autoseg.training.augmentation.strong import (
    DA3,
    DA5,
    BlankRectangles,
    WithinSlices,
    build_da3,
    build_da5,
    flexible_spatial,
    gradient_strength,
    local_gamma,
    local_size,
    window_of,
)
from autoseg.training.sampling.regions import Patches
from autoseg.training.sampling.samples import Sample, global_generators_seeded, make_sample

Build = Callable[..., Augmentation]
FACTS: dict[str, Any] = {"dummy_2d": False, "mirror_axes": (0, 1, 2), "masked_channels": ()}


def names(augmentation: Augmentation) -> list[str]:
    return [getattr(transform, "__name__", type(transform).__name__) for transform in augmentation.transforms]


def forced_sample(case: PreparedCase, patch: tuple[int, ...], augmentation: Augmentation, seed: int) -> Sample:
    generator = np.random.default_rng(seed)
    region = Patches(patch).of_case(case, generator, forced=True)
    return make_sample(region, augmentation=augmentation, generator=generator)


class TestNumbers:
    def test_of_da3(self) -> None:
        augmentation = build_da3(DA3, patch_size=(8, 8, 8), **FACTS | {"masked_channels": (1,)})
        spatial, noise, blur, multiplied, added, contrast, low, inverted, gamma, mirror, masked, *_ = (
            augmentation.transforms
        )

        assert names(augmentation)[-4:] == [
            "RandomMirroring",
            "ZeroOutside",
            "whole_labels",
            "OutsideBecomesBackground",
        ]
        assert (spatial.p_rot_per_sample, spatial.p_rot_per_axis, spatial.angle_z[1]) == (0.3, 1, math.radians(30))
        assert (spatial.scale, spatial.p_scale_per_sample) == ((0.65, 1.6), 0.3)
        assert (spatial.independent_scale_for_each_axis, spatial.p_independent_scale_per_axis) == (True, 0.3)
        assert (spatial.do_elastic_deform, spatial.deformation_scale, spatial.p_el_per_sample) == (True, (0, 0.25), 0.3)
        assert (spatial.border_cval_data, spatial.border_cval_seg, spatial.order_data, spatial.order_seg) == (
            0,
            -1,
            3,
            1,
        )
        assert (noise.probability, blur.sigma) == (0.15, (0.5, 1.5))
        assert (multiplied.factor, contrast.factor) == ((0.7, 1.3), (0.65, 1.5))
        assert (added.mu, added.sigma, added.p_per_sample) == (0, 0.2, 0.3)
        assert (low.zoom, low.sample_probability) == ((0.5, 1), 0.25)
        assert (inverted.probability, inverted.exponent, gamma.probability) == (0.15, (0.5, 1.6), 0.3)
        assert (mirror.axes, masked.channels) == ((0, 1, 2), (1,))

    def test_of_da5(self) -> None:
        augmentation = build_da5(DA5, patch_size=(12, 8, 12), **FACTS)
        spatial, turned, exchanged, filters, noise, added, contrasts, low, first, second = augmentation.transforms[:10]
        mirror, blank, gradient, gamma, sharpening = augmentation.transforms[10:15]

        assert (spatial.p_rot_per_sample, spatial.p_rot_per_axis, spatial.do_elastic_deform) == (0.4, 0.5, False)
        assert (spatial.scale, spatial.p_scale_per_sample) == ((0.7, 1.43), 0.2)
        assert (spatial.independent_scale_for_each_axis, spatial.p_independent_scale_per_axis) == (True, 1)
        assert (turned.axes, turned.p_per_sample) == ((0, 2), 0.5)
        assert (exchanged.transpose_any_of_these, exchanged.p_per_sample) == ((0, 2), 0.5)
        median, blur = filters.list_of_transforms
        assert (median.filter_size, median.p_per_sample, median.p_per_channel) == ((2, 8), 0.2, 0.5)
        assert (blur.blur_sigma, blur.p_per_sample, blur.p_per_channel) == ((0.3, 1.5), 0.2, 0.5)
        assert (noise.probability, added.sigma, added.p_per_sample) == (0.1, 0.5, 0.1)
        assert [(one.preserve_range, one.contrast_range, one.p_per_sample) for one in contrasts.list_of_transforms] == [
            (True, (0.5, 2), 0.2),
            (False, (0.5, 2), 0.2),
        ]
        assert (low.zoom, low.sample_probability) == ((0.25, 1), 0.15)
        for one in (first, second):
            assert (one.exponent, one.probability, one.is_inverted) == ((0.7, 1.5), 0.1, True)
        assert mirror.axes == (0, 1, 2)
        assert (blank.number, blank.sample_probability) == ((1, 5), 0.4)
        assert (blank.smallest_share, blank.largest_share) == (0.1, 1 / 3)
        assert (gradient.p_per_sample, gamma.p_per_sample) == (0.3, 0.3)
        assert (sharpening.strength, sharpening.p_per_sample) == ((0.1, 1), 0.2)

    def test_axes_of_different_lengths_are_not_exchanged(self) -> None:
        assert "Rot90Transform" not in names(build_da5(DA5, patch_size=(8, 12, 16), **FACTS))
        thick = build_da5(DA5, patch_size=(4, 16, 16), **FACTS | {"dummy_2d": True})
        assert thick.transforms[1].axes == (1, 2)
        cubic = build_da5(DA5, patch_size=(16, 16, 16), **FACTS | {"dummy_2d": True})
        assert cubic.transforms[1].axes == (1, 2)

    def test_without_mirrored_axes_there_is_no_mirroring(self) -> None:
        for build, recipe in ((build_da3, DA3), (build_da5, DA5)):
            found = names(build(recipe, patch_size=(8, 8, 8), **FACTS | {"mirror_axes": ()}))
            assert "RandomMirroring" not in found

    def test_local_effects_stay_in_their_ranges(self) -> None:
        with global_generators_seeded(np.random.default_rng(0)):
            sizes = [local_size((60, 8), 0) for _ in range(2000)]
            strengths = np.array([gradient_strength(None, None) for _ in range(2000)])
            gammas = np.array([local_gamma() for _ in range(2000)])

        assert (min(sizes), max(sizes)) == (pytest.approx(10, rel=0.02), pytest.approx(60, rel=0.02))
        assert np.median(sizes) == pytest.approx(math.sqrt(600), rel=0.04)
        assert (np.abs(strengths).min(), np.abs(strengths).max()) == (
            pytest.approx(1, abs=0.02),
            pytest.approx(5, abs=0.02),
        )
        assert np.mean(strengths > 0) == pytest.approx(0.5, abs=0.03)
        assert np.mean(gammas < 1) == pytest.approx(0.5, abs=0.03)
        assert ((gammas < 0.8) | (gammas > 1.5)).all() and gammas.max() < 4


class TestSamples:
    @pytest.mark.parametrize(("build", "recipe"), [(build_da3, DA3), (build_da5, DA5)])
    @pytest.mark.parametrize(("patch", "dummy_2d"), [((8, 8, 8), False), ((4, 16, 12), True), ((12, 12), False)])
    def test_are_decided_by_their_generator_and_hold_whole_labels(
        self,
        store: PreparedCases,
        build: Build,
        recipe: AugmentationRecipe,
        patch: tuple[int, ...],
        dummy_2d: bool,
    ) -> None:
        axes = tuple(range(len(patch)))
        augmentation = build(recipe, patch_size=patch, dummy_2d=dummy_2d, mirror_axes=axes, masked_channels=(0,))
        case, travelled = store.load("ball_0"), pickle.loads(pickle.dumps(augmentation))

        changed = 0
        for seed in range(12):
            first, second = (forced_sample(case, patch, one, seed) for one in (augmentation, travelled))
            np.testing.assert_array_equal(first.data, second.data)
            np.testing.assert_array_equal(first.labels, second.labels)
            assert first.data.shape == (1, *patch) and first.data.dtype == np.float32
            assert first.labels.dtype == np.int16 and set(np.unique(first.labels)) <= {0, 1, 2}
            changed += bool(np.isfinite(first.data).all() and first.data.std() > 0)
        assert changed == 12

    def test_nothing_drawn_gives_the_patch_itself(self, store: PreparedCases) -> None:
        recipe = replace(DA3, rotation_probability=0.0, scale_probability=0.0)
        spatial = flexible_spatial(
            recipe,
            patch_size=(8, 12, 8),
            dummy_2d=False,
            elastic_probability=0.0,
            rotated_axis_probability=1.0,
            scaled_axis_probability=1.0,
        )
        window = window_of(recipe, patch_size=(8, 12, 8), dummy_2d=False)
        case = store.load("ball_0")
        samples = [
            forced_sample(case, (8, 12, 8), augmentation, 3)
            for augmentation in (Augmentation(), Augmentation(transforms=(spatial,), window=window))
        ]

        np.testing.assert_array_equal(samples[0].data, samples[1].data)
        np.testing.assert_array_equal(samples[0].labels, samples[1].labels)

    @pytest.mark.parametrize("dummy_2d", [False, True])
    def test_labels_are_deformed_with_the_image(self, dummy_2d: bool) -> None:
        """The image is the label's own map, interpolated linearly as labels are: above a half is where the label is."""
        recipe = replace(DA3, rotation_probability=1.0, scale_probability=1.0, order=1)
        spatial = flexible_spatial(
            recipe,
            patch_size=(10, 24, 24),
            dummy_2d=dummy_2d,
            elastic_probability=1.0,
            rotated_axis_probability=1.0,
            scaled_axis_probability=1.0,
        )
        distance = np.linalg.norm(np.indices((10 if dummy_2d else 30, 40, 40)).T - 18, axis=-1).T
        labels = (distance < 13)[None, None].astype(np.int16)
        moved = 0
        for seed in range(4):
            with global_generators_seeded(np.random.default_rng(seed)):
                sample = spatial(data=labels.astype(np.float32), seg=labels)
            assert sample["data"].shape == sample["seg"].shape == (1, 1, 10, 24, 24)
            inside, found = sample["data"] > 0.5, sample["seg"] == 1
            assert (inside != found).mean() < 0.01
            middle = labels[:, :, (0 if dummy_2d else 10) :][:, :, :10, 8:32, 8:32]
            moved += (middle != found).mean() > 0.03
        assert moved >= 3

    def test_within_slices_every_slice_is_turned_alike_and_none_is_mixed(self) -> None:
        def turn(**sample: Any) -> dict[str, Any]:
            return {key: np.rot90(array, axes=(2, 3)) for key, array in sample.items()}

        data = np.random.default_rng(0).random((1, 2, 3, 4, 5))
        seg = np.arange(60).reshape(1, 1, 3, 4, 5)
        turned = WithinSlices(turn)(data=data, seg=seg)

        np.testing.assert_array_equal(turned["data"], np.rot90(data, axes=(3, 4)))
        np.testing.assert_array_equal(turned["seg"], np.rot90(seg, axes=(3, 4)))


class TestBlankRectangles:
    def test_boxes_of_a_tenth_to_a_third_hold_their_mean(self) -> None:
        blank = BlankRectangles(patch_size=(30, 60), number=(1, 1), sample_probability=1.0)
        heights, widths = set(), set()
        with global_generators_seeded(np.random.default_rng(0)):
            for _ in range(400):
                before = np.random.random((1, 1, 30, 60))
                after = blank(data=before.copy())["data"]
                rows, columns = np.nonzero((before != after)[0, 0])
                if not rows.size:
                    continue
                box = (0, 0, slice(rows.min(), rows.max() + 1), slice(columns.min(), columns.max() + 1))
                heights.add(np.ptp(rows) + 1)
                widths.add(np.ptp(columns) + 1)
                assert after[box] == pytest.approx(before[box].mean(), rel=1e-9)
                assert after.mean() == pytest.approx(before.mean(), rel=1e-9)

        assert (min(heights), max(heights)) == (3, 10)
        assert (min(widths), max(widths)) == (6, 20)

    def test_half_of_the_channels_of_the_chosen_samples(self) -> None:
        blank = BlankRectangles(patch_size=(8, 8), number=(1, 5), sample_probability=0.4)
        with global_generators_seeded(np.random.default_rng(0)):
            changed = [
                bool((blank(data=data.copy())["data"] != data).any()) for data in np.random.random((1500, 1, 1, 8, 8))
            ]
        # a box of one voxel changes nothing: sides are 1 or 2, so a single box is one voxel in a quarter of the cases
        unseen = np.mean([0.25**boxes for boxes in range(1, 6)])
        assert np.mean(changed) == pytest.approx(0.4 * 0.5 * (1 - unseen), abs=0.03)


def test_the_window_holds_every_single_turn_at_the_greatest_scale() -> None:
    recipe = replace(DA3, scale=(0.5, 2.0))

    assert window_of(recipe, patch_size=(100, 100), dummy_2d=False) == (284, 284)
    assert window_of(recipe, patch_size=(10, 100, 100), dummy_2d=True) == (10, 284, 284)
    cube = 2 * 100 * (math.cos(math.radians(30)) + math.sin(math.radians(30)))
    assert window_of(recipe, patch_size=(100,) * 3, dummy_2d=False) == (math.ceil((cube - 100) / 2) * 2 + 100,) * 3
