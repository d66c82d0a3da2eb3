from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from skimage.transform import resize

from autoseg.dataset import Exclusive
from autoseg.errors import DatasetError, PlanError
from autoseg.files.storage import decode, encode
from autoseg.preprocessing.label_arrays import sample_foreground
from autoseg.preprocessing.prepare import (
    CaseProperties,
    crop_case,
    prepare_case,
    prepare_cropped,
    restore_segmentation,
)

ORDERS = [(0, 1, 2), (1, 0, 2), (2, 0, 1)]
PERMUTATIONS = st.permutations([0, 1, 2]).map(tuple)


def dice(first: np.ndarray, second: np.ndarray) -> float:
    return 2 * np.count_nonzero(first & second) / (np.count_nonzero(first) + np.count_nonzero(second))


@given(
    order=PERMUTATIONS,
    shape=st.tuples(*[st.integers(3, 14)] * 3),
    border=st.tuples(*[st.integers(0, 1)] * 3),
    spacing=st.tuples(*[st.floats(0.3, 9)] * 3),
    name=st.sampled_from(["2d", "3d_fullres"]),
)
def test_where_the_spacing_does_not_change_the_segmentation_comes_back_exactly(
    make_plans, make_case, order, shape, border, spacing, name
) -> None:
    raw = make_case(shape, spacing=spacing, border=border)
    raw = replace(raw, segmentation=np.where(raw.data[0] > 0, raw.segmentation, 0))
    plans = make_plans(tuple(spacing[axis] for axis in order), name=name, order=order)

    prepared = prepare_case(raw, plans, name)
    restored = restore_segmentation(prepared.segmentation, prepared.properties)

    np.testing.assert_array_equal(restored, raw.segmentation)
    assert prepared.properties.geometry == raw.geometry
    cropped = raw.data[(0, *(slice(edge, size - edge) for edge, size in zip(border, shape, strict=True)))]
    np.testing.assert_array_equal(prepared.data[0], cropped.transpose(order))


@given(
    order=PERMUTATIONS,
    spacing=st.sampled_from([(1.0, 1.0, 1.0), (4.0, 1.0, 1.0), (1.0, 0.6, 3.5), (0.7, 0.7, 2.5), (1.0, 5.0, 1.2)]),
    scale=st.tuples(*[st.floats(0.6, 1.2)] * 3),
    name=st.sampled_from(["2d", "3d_fullres"]),
)
def test_elsewhere_the_grid_comes_back_exactly_and_smooth_shapes_nearly(
    make_plans, make_case, order, spacing, scale, name
) -> None:
    raw = make_case((38, 46, 40), spacing=spacing, border=(2, 0, 1))
    target = [spacing[axis] * scale[axis] for axis in order]

    prepared = prepare_case(raw, make_plans(target, name=name, order=order), name)
    restored = restore_segmentation(prepared.segmentation, prepared.properties)

    assert restored.shape == raw.segmentation.shape
    assert prepared.data.shape[1:] == prepared.segmentation.shape == prepared.properties.prepared_shape
    assert dice(restored > 0, raw.segmentation > 0) >= 0.95
    assert dice(restored == 2, raw.segmentation == 2) >= 0.9  # an ellipsoid of 6 voxels' radius


@pytest.mark.parametrize("order", ORDERS)
def test_slices_are_separated_along_their_own_axis_wherever_it_is_put(make_plans, make_case, order) -> None:
    """Slices lie along the first file axis; each must be resampled within itself and copied, there and back."""
    raw = make_case((6, 30, 34), spacing=(8.0, 1.0, 1.0))
    target = [(4.0, 1.5, 1.5)[axis] for axis in order]

    prepared = prepare_case(raw, make_plans(target, order=order), "3d_fullres")

    assert prepared.properties.separated_axis == order.index(0)
    in_file_order = prepared.data[0].transpose(np.argsort(order))
    plane = resize(raw.data[0, 2], (20, 23), order=3, mode="edge", anti_aliasing=False)
    np.testing.assert_allclose(in_file_order[4], plane, atol=1e-5)
    np.testing.assert_array_equal(in_file_order[5], in_file_order[4])

    stripes = np.zeros(prepared.properties.prepared_shape, dtype=np.uint8)
    stripes[tuple(slice(4, 6) if axis == 0 else slice(None) for axis in order)] = 1
    restored = restore_segmentation(stripes, prepared.properties)
    np.testing.assert_array_equal(restored.any(axis=(1, 2)), [False, False, True, False, False, False])
    assert restored[2].all()


def test_a_known_case_is_cropped_transposed_and_resampled(make_plans, make_case) -> None:
    raw = make_case((10, 12, 20), spacing=(1.0, 1.0, 2.0), border=(1, 2, 4))

    prepared = prepare_case(raw, make_plans((1.0, 0.5, 1.25), order=(2, 0, 1)), "3d_fullres")

    assert prepared.properties == CaseProperties(
        identifier="liver_012",
        geometry=raw.geometry,
        original_shape=(10, 12, 20),
        crop=((1, 9), (2, 10), (4, 16)),
        transpose_forward=(2, 0, 1),
        cropped_shape=(12, 8, 8),
        spacing=(2.0, 1.0, 1.0),
        prepared_spacing=(1.0, 0.5, 1.25),
        prepared_shape=(24, 16, 6),
    )
    cropped = raw.data[0, 1:9, 2:10, 4:16].transpose(2, 0, 1)
    expected = resize(cropped, (24, 16, 6), order=3, mode="edge", anti_aliasing=False)
    np.testing.assert_allclose(prepared.data[0], expected, atol=1e-4)


def test_a_2d_configuration_leaves_slices_where_they_are(make_plans, make_case) -> None:
    raw = make_case((9, 20, 22), spacing=(7.0, 1.0, 1.0))

    prepared = prepare_case(raw, make_plans((3.0, 2.0, 2.0), name="2d"), "2d")

    assert prepared.properties.prepared_spacing == (7.0, 2.0, 2.0)
    assert prepared.properties.prepared_shape == (9, 10, 11)
    plane = resize(raw.data[0, 4], (10, 11), order=3, mode="edge", anti_aliasing=False)
    np.testing.assert_allclose(prepared.data[0, 4], plane, atol=1e-5)


@pytest.mark.parametrize("mask", [False, True])
def test_without_labels_the_image_is_prepared_just_the_same(make_plans, make_case, mask) -> None:
    plans = make_plans((1.2, 0.9, 1.0), schemes=["nonCT"], masks=[mask])
    labelled, unlabelled = (make_case(border=(2, 3, 2), labelled=flag) for flag in (True, False))
    hollow = labelled.data.copy()
    hollow[0, 2:5, 3:6, 2:5] = 0  # a corner of the crop that is outside the mask
    background = np.zeros(hollow.shape[1:], dtype=np.uint8)

    with_labels = prepare_case(replace(labelled, data=hollow, segmentation=background), plans, "3d_fullres")
    without = prepare_case(replace(unlabelled, data=hollow), plans, "3d_fullres")

    assert without.segmentation is None
    assert without.foreground == {}
    assert without.properties == with_labels.properties
    np.testing.assert_array_equal(without.data, with_labels.data)
    outside = with_labels.segmentation < 0
    assert outside.any()
    assert not without.data[0][outside].any() if mask else without.data[0][outside].all()
    inside = without.data[0][~outside] if mask else without.data
    np.testing.assert_allclose([inside.mean(), inside.std()], [0, 1], atol=1e-4)


def test_a_crop_serves_several_configurations_and_the_raw_case_is_kept(make_plans, make_case) -> None:
    raw = make_case(border=(1, 1, 1))
    before = raw.data.copy(), raw.segmentation.copy()
    cropped = crop_case(raw, Exclusive(names=("background", "a", "b")))
    plans = make_plans(schemes=["nonCT"])

    first = prepare_cropped(cropped, plans, "3d_fullres")
    again = prepare_cropped(cropped, plans, "3d_fullres")

    np.testing.assert_array_equal(first.data, again.data)
    np.testing.assert_array_equal(first.data, prepare_case(raw, plans, "3d_fullres").data)
    np.testing.assert_array_equal(raw.data, before[0])
    np.testing.assert_array_equal(raw.segmentation, before[1])


def test_the_region_outside_stays_in_the_prepared_segmentation_and_is_background_when_restored(
    make_plans, make_case
) -> None:
    raw = make_case()
    raw.data[0, 0] = 0
    raw.data[0, 0, 0, 0] = 1

    prepared = prepare_case(raw, make_plans(), "3d_fullres")

    assert prepared.segmentation[0, 0, 0] == 0
    assert prepared.segmentation[0, 0, 1] == -1
    assert restore_segmentation(prepared.segmentation, prepared.properties).min() == 0
    assert prepared.foreground.keys() == {1, 2}


def test_few_locations_are_all_kept_in_order_and_absent_labels_have_none() -> None:
    segmentation = np.full((4, 5, 6), -1, dtype=np.int8)
    segmentation[3, 0, 5] = segmentation[0, 4, 1] = 3
    segmentation[2, 2, 2] = 1

    locations = sample_foreground(segmentation, range(1, 4))

    np.testing.assert_array_equal(locations[1], [[2, 2, 2]])
    assert locations[2].shape == (0, 3)
    np.testing.assert_array_equal(locations[3], [[0, 4, 1], [3, 0, 5]])
    assert {points.dtype for points in locations.values()} == {np.dtype(np.int32)}


def test_many_locations_are_drawn_without_repetition_and_evenly() -> None:
    segmentation = np.ones((110, 110, 110), dtype=np.int8)
    segmentation[:20] = 2

    locations = sample_foreground(segmentation, range(1, 3))

    assert len(locations[1]) == 10_890  # one per cent of 90 x 110 x 110
    assert len(locations[2]) == 10_000
    assert len(np.unique(locations[1], axis=0)) == 10_890
    np.testing.assert_allclose(locations[1].mean(axis=0), [64.5, 54.5, 54.5], atol=1)
    assert (segmentation[tuple(locations[2].T)] == 2).all()
    np.testing.assert_array_equal(locations[1], sample_foreground(segmentation, range(1, 3))[1])


def test_properties_survive_json(make_plans, make_case) -> None:
    properties = prepare_case(make_case(), make_plans((1.3, 1.0, 0.7)), "3d_fullres").properties

    text = json.dumps(encode(properties))

    assert decode(CaseProperties, json.loads(text), "properties") == properties


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_a_nan_or_infinite_intensity_names_case_and_channel(make_plans, make_case, value) -> None:
    raw = make_case(channels=2)
    raw.data[1, 3, 4, 5] = value

    with pytest.raises(
        DatasetError,
        match=r"case liver_012: channel 1 holds NaN or infinite intensities; replace them in the image file",
    ):
        prepare_case(raw, make_plans(schemes=["noNorm"] * 2, masks=[False] * 2), "3d_fullres")


def test_an_empty_image_names_its_case(make_plans, make_case) -> None:
    raw = make_case()
    raw.data[:] = 0

    with pytest.raises(DatasetError, match="case liver_012: every voxel of the image is zero"):
        prepare_case(raw, make_plans(), "3d_fullres")


def test_labels_that_are_not_declared_are_refused(make_plans, make_case) -> None:
    raw = make_case()

    with pytest.raises(
        DatasetError,
        match=r"case liver_012: label 2 is not declared; the highest label of the plans is 1 \(label 1\); correct the "
        "label file, or declare the label in dataset.json and plan again",
    ):
        prepare_case(raw, make_plans(labels=2), "3d_fullres")
    with pytest.raises(
        DatasetError, match=r"case liver_012: labels from -1 to 70000 found, but labels are whole numbers"
    ):
        odd = raw.segmentation.astype(np.int32)
        odd[0, 0, :2] = -1, 70_000
        prepare_case(replace(raw, segmentation=odd), make_plans(), "3d_fullres")


def test_other_channels_than_planned_are_refused(make_plans, make_case) -> None:
    with pytest.raises(
        DatasetError,
        match=r"case liver_012: expected 2 channels \(channel 0, channel 1\), found 1; give one image file for each channel",
    ):
        prepare_case(make_case(), make_plans(schemes=["noNorm"] * 2, masks=[False] * 2), "3d_fullres")


def test_a_configuration_that_is_not_planned_is_refused(make_plans, make_case) -> None:
    with pytest.raises(PlanError, match="2d is not planned; planned are 3d_fullres"):
        prepare_case(make_case(), make_plans(), "2d")


def test_a_segmentation_of_another_grid_is_refused(make_plans, make_case) -> None:
    properties = prepare_case(make_case(), make_plans(), "3d_fullres").properties

    with pytest.raises(
        DatasetError,
        match=r"case liver_012: expected a segmentation of \(12, 16, 14\) voxels, found \(3, 3, 3\); give the one",
    ):
        restore_segmentation(np.zeros((3, 3, 3), dtype=np.uint8), properties)
