from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from autoseg.errors import PlanError
from autoseg.plans import IntensityRule, IntensityStatistics
from autoseg.preprocessing.normalisation import normalise

INSIDE = IntensityRule(name="nonCT", masked=True)
LIVER = IntensityStatistics(
    mean=100.0, sd=20.0, median=99.0, minimum=-900.0, maximum=2000.0, percentile_00_5=40.0, percentile_99_5=180.0
)
VALUES = np.array([-1000, 40, 100, 140, 3000, 0], dtype=np.float32).reshape(1, 1, 2, 3)
MASK = np.array([0, 0, 1, 2, 0, -1], dtype=np.int16).reshape(1, 2, 3)


def normalised(scheme: str, *, mask: bool = False, intensities=None, values: np.ndarray = VALUES) -> np.ndarray:
    return normalise(
        values, MASK if mask else None, rules=[IntensityRule(name=scheme, masked=mask)], intensities=intensities
    ).ravel()


def test_ct_is_clipped_and_scaled_by_the_training_cases() -> None:
    np.testing.assert_allclose(normalised("CT", intensities=[LIVER]), [-3, -3, 0, 2, 4, -3], rtol=1e-6)
    np.testing.assert_allclose(normalised("CT", intensities=[LIVER], mask=True), [-3, -3, 0, 2, 4, 0], rtol=1e-6)


def test_other_images_are_scaled_by_themselves() -> None:
    values = VALUES.ravel().astype(float)

    np.testing.assert_allclose(normalised("nonCT"), (values - values.mean()) / values.std(), rtol=1e-5)


def test_with_a_mask_only_the_inside_is_measured_and_the_outside_is_zero() -> None:
    inside = VALUES.ravel().astype(float)[:5]

    result = normalised("nonCT", mask=True)

    np.testing.assert_allclose(result[:5], (inside - inside.mean()) / inside.std(), rtol=1e-5)
    assert result[5] == 0


def test_what_needs_no_normalisation_is_left_as_it_is() -> None:
    np.testing.assert_array_equal(normalised("noNorm", mask=True), VALUES.ravel())


def test_constant_images_become_zero_and_empty_masks_do_no_harm() -> None:
    constant = np.full((1, 2, 3, 4), 7, dtype=np.float32)
    nowhere = np.full((2, 3, 4), -1, dtype=np.int16)
    flat = [replace(LIVER, sd=0.0)]

    assert not normalised("nonCT", values=constant).any()
    assert not normalise(constant, nowhere, rules=[INSIDE], intensities=None).any()
    assert np.isfinite(normalised("CT", intensities=flat)).all()


def test_means_of_large_offsets_are_exact() -> None:
    values = np.random.default_rng(0).normal(20_000, 5, (1, 30, 40, 50)).astype(np.float32)

    result = normalised("nonCT", values=values)

    exact = (values.ravel().astype(np.float64) - values.mean(dtype=np.float64)) / values.std(dtype=np.float64)
    np.testing.assert_allclose(result, exact, atol=1e-3)


@pytest.mark.parametrize("scale", [1e-40, 1e-30, 1e-9, 1e30, 4e34])
@pytest.mark.parametrize("mask", [False, True])
def test_the_unit_of_an_image_does_not_matter(scale, mask):
    values = np.random.default_rng(0).normal(200, 20, (1, 4, 5, 6))
    outside = np.where(values[0] > 205, np.int16(0), np.int16(-1)) if mask else None
    inside = values[0] > 205 if mask else np.full((4, 5, 6), True)

    result = normalise(
        (values * scale).astype(np.float32), outside, rules=[IntensityRule(name="nonCT", masked=mask)], intensities=None
    )

    kept = values[0][inside]
    np.testing.assert_allclose(result[0][inside], (kept - kept.mean()) / kept.std(), atol=1e-4)


@pytest.mark.parametrize("value", [1e-30, 0.1, 123456.7, 1e37])
def test_a_constant_image_of_any_offset_becomes_exactly_zero(value):
    assert not normalised("nonCT", values=np.full((1, 30, 41, 17), value, np.float32)).any()


def test_one_large_voxel_leaves_the_others_what_double_precision_makes_of_them():
    values = np.random.default_rng(0).normal(200, 20, (1, 30, 40, 50)).astype(np.float32)
    values[0, 0, 0, 0] = 1e25
    exact = values.ravel().astype(np.float64)

    result = normalised("nonCT", values=values)

    np.testing.assert_allclose(result, (exact - exact.mean()) / exact.std(), rtol=1e-6)
    assert result.std() == pytest.approx(1, rel=1e-5)


def test_each_channel_has_its_own_scheme_and_the_input_is_kept() -> None:
    values = np.concatenate([VALUES, VALUES, VALUES])

    result = normalise(
        values,
        MASK,
        rules=[IntensityRule(name="noNorm"), IntensityRule(name="CT"), INSIDE],
        intensities=[None, LIVER, None],
    )

    np.testing.assert_array_equal(result[0], VALUES[0])
    np.testing.assert_allclose(result[1].ravel(), [-3, -3, 0, 2, 4, -3], rtol=1e-6)
    np.testing.assert_allclose(result[2].ravel(), normalised("nonCT", mask=True))
    np.testing.assert_array_equal(values[1], VALUES[0])


def test_writing_over_the_input_gives_the_same() -> None:
    values = VALUES.copy()

    normalise(values, None, rules=[IntensityRule(name="nonCT")], intensities=None, out=values)

    np.testing.assert_array_equal(values.ravel(), normalised("nonCT"))


@pytest.mark.parametrize("intensities", [None, [None]])
def test_ct_without_intensities_says_how_to_get_them(intensities) -> None:
    with pytest.raises(
        PlanError,
        match=r"channel 0: CT normalisation needs the intensities of the training cases, which these plans do not hold; "
        r"make them with autoseg_plan_and_preprocess, or plan from a fingerprint.json that has intensities",
    ):
        normalised("CT", intensities=intensities)


def test_unknown_rules_and_missing_masks_are_refused() -> None:
    with pytest.raises(PlanError, match="unknown normalisation PET, known are CT, nonCT, noNorm"):
        IntensityRule(name="PET")
    with pytest.raises(PlanError, match="normalised inside the mask, so a segmentation with the mask is needed"):
        normalise(VALUES, None, rules=[INSIDE], intensities=None)
