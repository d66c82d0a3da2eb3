"""Labels of every kind on their way to a network and back: small, linear, and nothing that nobody knows bleeds in."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from small_plans import unet_plan

from autoseg.dataset import IGNORED, OUTSIDE, Case, Exclusive, Masks, Regions, Target
from autoseg.dataset.coding import IGNORED_PLANE, OUTSIDE_PLANE, WHOLE
from autoseg.dataset.raw_cases import RawCase, read_case
from autoseg.dataset.target import stored_target, written_step
from autoseg.errors import DatasetError
from autoseg.geometry import Geometry
from autoseg.images import whole_files, write_image
from autoseg.plans import IntensityRule, Plans, load_plans, plan_signature, save_plans
from autoseg.preprocessing.label_arrays import resample_labels, sample_outputs
from autoseg.preprocessing.prepare import prepare_case, restore_segmentation
from autoseg.preprocessing.store import PreparedCases

UNIT = Geometry(spacing=(1.0, 1.0, 1.0))
SHAPE = (6, 8, 10)
BRATS = Regions(names=("whole", "core"), members=((1, 2, 5), (2, 5)), order=(1, 2))
NERVE = Masks(names=("axon", "myelin"), ignore=7)
LESION = Exclusive(names=("background", "lesion"), soft=True)


def plans_of(target: Target, *, spacing: float = 1.0, masked: bool = False) -> Plans:
    plan = unet_plan("3d_fullres", spacing=(spacing,) * 3, patch_size=(8, 8, 8), median_shape=SHAPE)
    rules = (IntensityRule(name="nonCT", masked=masked),)
    return Plans(
        format=2,
        version="test",
        identifier="autoseg",
        planner="Planner3D",
        dataset="Task001_Kinds",
        channels=("MRI",),
        labels=target.labels,
        transpose_forward=(1, 0, 2),
        transpose_backward=(1, 0, 2),
        intensities=None,
        configurations={"3d_fullres": replace(plan, intensities=rules)},
        target_kind=stored_target(target),
    )


def raw_case(segmentation: Any, planes: tuple[tuple[int, ...], ...] = (), **changes: Any) -> RawCase:
    data = np.random.default_rng(0).uniform(1, 2, (1, *SHAPE)).astype(np.float32)
    return RawCase(identifier="a", data=data, segmentation=segmentation, geometry=UNIT, planes=planes, **changes)


def blocks(*labels: int) -> Any:
    """A map that is one label a slab of the last axis."""
    segmentation = np.zeros(SHAPE, np.int16)
    for number, label in enumerate(labels):
        segmentation[..., 2 * number : 2 * number + 2] = label
    return segmentation


class TestResampling:
    def test_masks_and_fractions_are_resampled_linearly(self) -> None:
        plane = np.zeros((1, 4, 4, 4), np.uint8)
        plane[..., 2:] = WHOLE
        soft = resample_labels(plane, shape=(4, 4, 8), separated=None, soft=True)
        hard = resample_labels(plane, shape=(4, 4, 8), separated=None, soft=False)
        assert soft[0, 0, 0].tolist() == [0, 0, 0, round(WHOLE / 4), round(WHOLE * 3 / 4), WHOLE, WHOLE, WHOLE]
        assert hard[0, 0, 0].tolist() == [0, 0, 0, 0, WHOLE, WHOLE, WHOLE, WHOLE]

    def test_what_is_ignored_moves_no_fraction_beside_it(self) -> None:
        plane = np.full((1, 4, 4, 4), WHOLE, np.uint8)
        plane[..., 2:] = IGNORED_PLANE
        for soft in (True, False):
            found = resample_labels(plane, shape=(4, 4, 8), separated=None, soft=soft)
            assert found[0, 0, 0].tolist() == [WHOLE] * 4 + [IGNORED_PLANE] * 4

    @given(st.integers(0, 2**32 - 1), st.tuples(*[st.integers(1, 9)] * 3))
    def test_a_constant_stays_what_it_is_beside_whatever_is_ignored(
        self, seed: int, shape: tuple[int, int, int]
    ) -> None:
        generator = np.random.default_rng(seed)
        plane = np.full((1, 5, 6, 4), 100, np.uint8)
        plane[generator.random(plane.shape) < 0.5] = IGNORED_PLANE
        assert set(np.unique(resample_labels(plane, shape=shape, separated=None, soft=True))) <= {100, IGNORED_PLANE}

    def test_in_a_map_nobody_knows_where_no_label_has_half(self) -> None:
        labels = np.array([[[0, IGNORED, 1]]], np.int8)
        found = resample_labels(labels, shape=(1, 1, 1), separated=None, soft=False)
        assert found.tolist() == [[[IGNORED]]]
        corner = np.array([[[0, 1], [IGNORED, 2]]], np.int8)
        assert resample_labels(corner, shape=(1, 1, 1), separated=None, soft=False).tolist() == [[[IGNORED]]]
        known = np.array([[[0, 1], [3, 2]]], np.int8)
        assert resample_labels(known, shape=(1, 1, 1), separated=None, soft=False).tolist() == [[[0]]], "as it was"

    def test_outside_is_kept_apart_from_what_is_no_part(self) -> None:
        plane = np.array([[[[0, OUTSIDE_PLANE, OUTSIDE_PLANE]]]], np.uint8)
        assert resample_labels(plane, shape=(1, 1, 6), separated=None, soft=False)[0, 0, 0].tolist() == (
            [0, 0] + [OUTSIDE_PLANE] * 4
        )


class TestPreparing:
    def test_a_map_of_regions_stays_a_map_of_bytes(self, tmp_path: Path) -> None:
        raw = raw_case(blocks(0, 1, 2, 5, IGNORED))
        prepared = prepare_case(raw, plans_of(replace(BRATS, ignore=255)), "3d_fullres")
        np.testing.assert_array_equal(prepared.segmentation, raw.segmentation.transpose(1, 0, 2))
        places = {number: set(points[:, 2].tolist()) for number, points in prepared.foreground.items()}
        assert places == {1: {2, 3, 4, 5, 6, 7}, 2: {4, 5, 6, 7}}

        store = PreparedCases(tmp_path)
        store.save(prepared, "signature")
        loaded = store.load("a").segmentation
        assert loaded is not None and loaded.dtype == np.int8
        np.testing.assert_array_equal(loaded, prepared.segmentation)
        assert '"planes"' not in (tmp_path / "a.json").read_text()

    def test_a_label_of_no_region_is_refused(self) -> None:
        with pytest.raises(DatasetError, match="case a: label 3 is of no region; the regions cover 1, 2, 5; correct"):
            prepare_case(raw_case(blocks(0, 3)), plans_of(BRATS), "3d_fullres")

    @pytest.mark.parametrize(("target", "value"), [(BRATS, IGNORED), (replace(BRATS, ignore=255), OUTSIDE)])
    def test_values_below_the_background_are_refused_but_what_reading_found_ignored(
        self, target: Target, value: int
    ) -> None:
        with pytest.raises(DatasetError, match=f"case a: labels from {value} to 1 found, but labels are whole numbers"):
            prepare_case(raw_case(blocks(value, 1)), plans_of(target), "3d_fullres")

    def test_masks_are_a_plane_for_each_that_was_drawn_by_each_rater(self, tmp_path: Path) -> None:
        planes = np.zeros((2, *SHAPE), np.uint8)
        planes[0, 1:3], planes[1, 2:4], planes[1, 0] = WHOLE, WHOLE, IGNORED_PLANE
        raw = raw_case(planes, planes=((), (0, 1)), annotated=("myelin",))
        prepared = prepare_case(raw, plans_of(NERVE), "3d_fullres")
        assert {number: len(points) for number, points in prepared.foreground.items()} == {1: 0, 2: 3 * 8 * 10}

        store = PreparedCases(tmp_path)
        store.save(prepared, "signature")
        loaded = store.load("a")
        assert (loaded.planes, loaded.annotated) == (((), (0, 1)), ("myelin",))
        np.testing.assert_array_equal(loaded.segmentation, planes.transpose(0, 2, 1, 3))

    def test_outside_of_the_image_is_marked_in_planes_too(self) -> None:
        raw = raw_case(np.zeros((1, *SHAPE), np.uint8), planes=((0,), ()))
        raw.data[:, 2, 3:5, :4] = 0
        prepared = prepare_case(raw, plans_of(NERVE), "3d_fullres")
        assert prepared.segmentation is not None
        assert (prepared.segmentation == OUTSIDE_PLANE).sum() == 8

    @pytest.mark.parametrize("target", [replace(BRATS, ignore=255), NERVE, LESION], ids=str)
    def test_intensities_inside_the_region_are_those_without_any_labels(self, target: Target) -> None:
        """A network must not see other intensities in training than in prediction."""
        labels = blocks(IGNORED, IGNORED, 1)
        if target in (NERVE, LESION):
            labels = np.full((1, *SHAPE), IGNORED_PLANE, np.uint8)
        raw = raw_case(labels, planes=((0,), ()) if target is NERVE else ((0,),))
        raw.data[:, 2, 3:5, :2] = 0
        plans = plans_of(target, masked=True)
        labelled = prepare_case(raw, plans, "3d_fullres")
        bare = prepare_case(replace(raw, segmentation=None), plans, "3d_fullres")
        np.testing.assert_array_equal(labelled.data, bare.data)

    @pytest.mark.parametrize("spacing", [0.5, 1.0, 1.6])
    def test_undoing_brings_masks_and_fractions_back(self, spacing: float) -> None:
        planes = np.zeros((2, *SHAPE), np.uint8)
        planes[0, 1:5, 2:7], planes[1, ..., 3:8] = WHOLE, WHOLE
        prepared = prepare_case(raw_case(planes, planes=((0,), (1,))), plans_of(NERVE, spacing=spacing), "3d_fullres")
        assert prepared.segmentation is not None
        decided = NERVE.decide(NERVE.encode(prepared.segmentation))
        differing = restore_segmentation(decided, prepared.properties) != planes // WHOLE
        assert differing.mean() == 0 if spacing <= 1 else differing.mean() < 0.05

        ramp = np.broadcast_to(np.linspace(0, WHOLE, SHAPE[2]).round().astype(np.uint8), (1, *SHAPE))
        prepared = prepare_case(raw_case(ramp.copy(), planes=((0,),)), plans_of(LESION, spacing=spacing), "3d_fullres")
        assert prepared.segmentation is not None
        fractions = LESION.decide(LESION.encode(prepared.segmentation))
        restored = restore_segmentation(fractions, prepared.properties, soft=True) * written_step(LESION)
        np.testing.assert_allclose(restored, ramp[0] / WHOLE, atol=0.07 if spacing != 1 else 0.005)


class TestReading:
    def test_what_is_ignored_is_told_from_numbers_below_the_background(self, tmp_path: Path) -> None:
        write_image(tmp_path / "a_0000.nii.gz", np.ones(SHAPE, np.int16), UNIT)
        images = whole_files([tmp_path / "a_0000.nii.gz"])
        target = Exclusive(names=("background", "a"), ignore=255)
        case = Case(identifier="a", images=images, segmentation=tmp_path / "a.nii.gz")
        write_image(tmp_path / "a.nii.gz", blocks(1, 255), UNIT)
        raw = read_case(case, target)
        assert raw.segmentation is not None
        assert raw.segmentation[0, 0, ::2].tolist() == [1, IGNORED, 0, 0, 0]
        write_image(tmp_path / "a.nii.gz", blocks(1, IGNORED), UNIT)
        with pytest.raises(
            DatasetError, match=r"a.nii.gz holds -2, and labels are numbered from 0, with 255 where they"
        ):
            read_case(case, target)

    @pytest.fixture
    def case(self, tmp_path: Path) -> Any:
        def write(values: dict[str, Any]) -> Case:
            write_image(tmp_path / "a_0000.nii.gz", np.ones(SHAPE, np.int16), UNIT)
            for name, data in values.items():
                write_image(tmp_path / f"{name}.nii.gz", np.asarray(data), UNIT)
            drawn = tuple((tmp_path / f"{name}.nii.gz",) for name in values)
            return Case(identifier="a", images=whole_files([tmp_path / "a_0000.nii.gz"]), drawn=drawn)

        return write

    def test_masks_are_read_as_planes(self, case: Any) -> None:
        raw = read_case(case({"a_axon": blocks(0, 1, 7), "a_myelin": blocks(1)}), NERVE)
        assert raw.segmentation is not None
        assert raw.segmentation.dtype == np.uint8
        assert raw.segmentation[:, 0, 0, ::2].tolist() == [[0, WHOLE, IGNORED_PLANE, 0, 0], [WHOLE, 0, 0, 0, 0]]
        assert raw.planes == ((0,), (1,))

    @pytest.mark.parametrize("one", [1, 255])
    def test_fractions_are_of_one_or_of_255(self, case: Any, one: int) -> None:
        values = blocks(0, 1).astype(np.float32) * one
        values[..., 4:6] = 0.2 * one
        raw = read_case(case({"a": values}), LESION)
        assert raw.segmentation is not None
        assert raw.segmentation[0, 0, 0, ::2].tolist() == [0, WHOLE, WHOLE // 5, 0, 0]

    @pytest.mark.parametrize(
        ("target", "value", "message"),
        [
            (
                NERVE,
                3,
                "a.nii.gz holds the value 3, and a mask holds 0 and 1, or 7 where it is ignored; correct the file",
            ),
            (
                NERVE,
                0.5,
                'a.nii.gz holds fractions, such as 0.5; save masks as 0 and 1, or declare "soft_labels": true',
            ),
            (LESION, -0.5, "a.nii.gz holds -0.5, which is no fraction; soft labels are from 0 to 1, or whole numbers"),
            (LESION, 300, "a.nii.gz holds 300, which is no fraction"),
            (LESION, 3.5, "a.nii.gz holds 3.5, which is no fraction"),
            (LESION, float("nan"), "a.nii.gz holds nan, which is no fraction"),
        ],
    )
    def test_values_that_are_neither_are_refused(self, case: Any, target: Target, value: float, message: str) -> None:
        data = np.zeros(SHAPE, np.float32)
        data[0] = value
        with pytest.raises(DatasetError, match=message):
            read_case(case({"a": data}), target)

    def test_a_file_in_which_all_is_ignored_is_refused(self, case: Any) -> None:
        with pytest.raises(DatasetError, match="is ignored everywhere: nothing is annotated; leave the case out"):
            read_case(case({"a_axon": np.full(SHAPE, 7, np.uint8)}), NERVE)


def test_voxels_of_maps_by_several_raters_are_of_a_label_where_any_says_so() -> None:
    maps = np.zeros((2, 2, 2, 2), np.int8)
    maps[0, 0, 0, 0], maps[1, 1, 1, 1], maps[0, 0, 0, 1] = 1, 1, OUTSIDE
    found = sample_outputs(maps, Exclusive(names=("background", "a")), ((0, 1),))
    assert found[1].tolist() == [[0, 0, 0], [1, 1, 1]]


@pytest.mark.parametrize("target", [BRATS, NERVE, LESION, Exclusive(names=("background", "a"), ignore=255)], ids=str)
def test_plans_hold_the_target(tmp_path: Path, target: Target) -> None:
    plans = plans_of(target)
    save_plans(plans, tmp_path / "autoseg_plans_3D.pkl")
    assert load_plans(tmp_path / "autoseg_plans_3D.pkl").target == target
    plain = replace(plans, target_kind=None)
    assert plan_signature(plans, "3d_fullres") != plan_signature(plain, "3d_fullres")


def test_plans_of_exclusive_labels_say_no_more_than_their_names(tmp_path: Path) -> None:
    save_plans(plans_of(Exclusive(names=("background", "a"))), tmp_path / "autoseg_plans_3D.pkl")
    assert b"target_kind" not in (tmp_path / "autoseg_plans_3D.pkl").read_bytes()
    assert "target_kind" not in (tmp_path / "autoseg_plans_3D.json").read_text()
