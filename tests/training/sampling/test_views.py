"""Planes drawn of a case: where they lie, what they hold, and what a batch of them promises."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from autoseg.dataset.target import Regions
from autoseg.geometry import Geometry
from autoseg.plans import Views
from autoseg.preprocessing.prepare import CaseProperties, PreparedCase
from autoseg.training.augmentation.default import Augmentation, AugmentationRecipe, build_augmentation
from autoseg.training.sampling.regions import Slot
from autoseg.training.sampling.samples import Sample, make_sample, sample_generator
from autoseg.training.sampling.views import Cut, Cuts

SHAPE, SPACING = (12, 40, 30), (4.0, 1.0, 1.5)
DIRECTIONS = ((1.0, 0.0, 0.0), (0.6, 0.8, 0.0), (0.0, 0.0, 1.0))
VIEWS = Views(directions=DIRECTIONS, span=40.0)
SIDE = 32


@pytest.fixture(scope="module")
def case() -> PreparedCase:
    """Oblique, of unequal voxels; the image holds millimetres along a line, and two small labels lie in a corner."""
    axes = Rotation.from_rotvec([0.4, 0.2, -0.7]).as_matrix() * [1, -1, 1]
    steps = axes * SPACING
    index = np.moveaxis(np.indices(SHAPE).astype(np.float64), 0, -1)
    position = (index - (np.array(SHAPE) - 1) / 2) @ steps.T
    labels = np.zeros(SHAPE, dtype=np.int8)
    labels[2:5, 5:20, 5:15] = 1
    labels[5:8, 5:9, 5:8] = 2
    return PreparedCase(
        data=(position @ [0.1, 0.2, -0.1])[None].astype(np.float32),
        segmentation=labels,
        foreground={label: np.argwhere(labels == label).astype(np.int32) for label in (1, 2)},
        properties=CaseProperties(
            identifier="oblique",
            geometry=Geometry(spacing=SPACING, direction=tuple(axes.ravel().tolist())),
            original_shape=SHAPE,
            crop=tuple((0, side) for side in SHAPE),
            transpose_forward=(0, 1, 2),
            cropped_shape=SHAPE,
            spacing=SPACING,
            prepared_spacing=SPACING,
            prepared_shape=SHAPE,
        ),
    )


def drawn(case: PreparedCase, number: int, *, slot: int = 0, size: int = 6, cuts: Cuts | None = None) -> Cut:
    cuts = cuts or Cuts((SIDE, SIDE), VIEWS)
    return cuts.draw(case, Slot(number=slot, batch_size=size, foreground=0.5), sample_generator(0, 0, 0, number))


def labels_of(cut: Cut) -> set[int]:
    return set(np.unique(cut.maps(cut.start, cut.patch_size)[0]).tolist()) - {-1, 0}


def made(cut: Cut, augmentation: Augmentation, number: int) -> Sample:
    return make_sample(cut, augmentation=augmentation, generator=sample_generator(1, 0, 0, number))


class TestPlanes:
    def test_lie_across_the_directions_a_little_turned_and_within_the_span(self, case: PreparedCase) -> None:
        to_space = np.linalg.inv(
            np.linalg.inv(np.reshape(case.properties.geometry.direction, (3, 3)) * SPACING)
        )  # from voxels to mm, beside the offset
        angles, nearest = [], []
        for number in range(60):
            cut = drawn(case, number)
            normal = (to_space @ cut.placement.matrix)[:, 0]
            pixel = np.linalg.norm(normal)
            assert pixel == pytest.approx(40 / 31)
            cosines = np.abs(np.array(DIRECTIONS) @ normal / pixel)
            nearest.append(int(cosines.argmax()))
            angles.append(np.degrees(np.arccos(min(1.0, cosines.max()))))
        assert 2 < np.median(angles) < 12 and max(angles) < 30
        assert set(nearest) == {0, 1, 2}

    def test_hold_what_the_place_in_the_scanner_says(self, case: PreparedCase) -> None:
        """The image is a linear function of it, so along a plane's rows and columns it grows evenly."""
        for number in range(10):
            cut = drawn(case, number, slot=5)
            data = cut.data(cut.start, cut.patch_size)[0]
            pixels = np.moveaxis(np.indices((1, SIDE, SIDE)).astype(np.float64), 0, -1)[0]
            position = cut.placement(pixels)
            within = ((position >= 0) & (position <= np.array(SHAPE) - 1)).all(axis=-1)
            fit = np.concatenate([pixels[within][:, 1:], np.ones((within.sum(), 1))], axis=1)
            solution, *_ = np.linalg.lstsq(fit, data[within], rcond=None)
            assert within.sum() > 100 and np.abs(fit @ solution - data[within]).max() < 1e-3

    def test_beyond_the_image_there_is_background(self, case: PreparedCase) -> None:
        cut = drawn(case, 3)
        data = cut.data((0, 0), cut.extent)[0]
        outside = cut.maps((0, 0), cut.extent)[0][0] == -1

        assert outside.any()
        lowest = np.percentile(case.data, 1)
        assert np.unique(data[outside]) == pytest.approx([lowest], abs=0.05)

    def test_a_sample_is_a_function_of_its_number(self, case: PreparedCase) -> None:
        augmentation = build_augmentation(
            AugmentationRecipe(rotation_probability=1.0, scale_probability=1.0),
            patch_size=(SIDE, SIDE),
            dummy_2d=False,
            mirror_axes=(0, 1),
            masked_channels=(),
        )
        first, second = (made(drawn(case, 5), augmentation, 5) for _ in range(2))
        other = made(drawn(case, 6), augmentation, 6)

        assert first.data.shape == (1, SIDE, SIDE) and first.labels.shape == (SIDE, SIDE)
        np.testing.assert_array_equal(first.data, second.data)
        np.testing.assert_array_equal(first.labels, second.labels)
        assert not np.array_equal(first.data, other.data)

    def test_boxes_are_as_planes_with_depth(self, case: PreparedCase) -> None:
        cut = drawn(case, 1, cuts=Cuts((16, 16, 16), VIEWS))

        assert cut.data(cut.start, cut.patch_size).shape == (1, 16, 16, 16)
        assert made(cut, Augmentation(), 1).labels.shape == (16, 16, 16)


class TestBatches:
    def test_half_hold_foreground_and_the_last_ones_each_label(self, case: PreparedCase) -> None:
        for start in range(0, 60, 6):
            found = [labels_of(drawn(case, start + slot, slot=slot)) for slot in range(6)]
            assert all(found[3:]), "the last three hold some"
        held = [labels_of(drawn(case, number, slot=5)) for number in range(30)]
        rare = [labels_of(drawn(case, number, slot=4)) for number in range(30)]
        free = [labels_of(drawn(case, number, slot=0)) for number in range(30)]
        assert np.mean([1 in one for one in held]) > 0.9
        assert np.mean([2 in one for one in rare]) > 0.6 > np.mean([2 in one for one in free])
        assert not all(free)

    def test_every_plane_shows_some_of_the_image(self, case: PreparedCase) -> None:
        wide = Cuts((SIDE, SIDE), replace(VIEWS, span=150.0))
        seen = [drawn(case, number, cuts=wide) for number in range(40)]
        hits = [len(np.unique(cut.data(cut.start, cut.patch_size))) > 1 for cut in seen]

        assert np.mean(hits) > 0.95

    def test_other_cases_are_asked_for_a_label_that_one_lacks(self, case: PreparedCase) -> None:
        lacking = replace(case, foreground={1: case.foreground[1], 2: np.zeros((0, 3), np.int32)})
        cuts = Cuts((SIDE, SIDE), VIEWS)
        slots = [Slot(number=number, batch_size=6, foreground=0.33) for number in range(6)]

        assert [cuts.suits(lacking, slot) for slot in slots] == [True, True, True, True, False, True]
        assert all(cuts.suits(case, slot) for slot in slots)
        assert cuts.suits(lacking, Slot(number=0, batch_size=2, foreground=0.33)), "as many labels as places"
        assert labels_of(drawn(lacking, 0, slot=4)), "where no other case has it either, any label does"

    def test_regions_are_found_by_the_labels_they_cover(self, case: PreparedCase) -> None:
        target = Regions(names=("all", "core"), members=((1, 2), (2,)), order=(1, 2))
        regions = replace(case, foreground={1: np.concatenate([*case.foreground.values()]), 2: case.foreground[2]})
        cuts = Cuts((SIDE, SIDE), VIEWS, target)
        core = [labels_of(drawn(regions, number, slot=4, cuts=cuts)) for number in range(20)]

        assert np.mean([2 in one for one in core]) > 0.6
