"""Components: what stays, what goes, what is filled, and the agreement with the plain definitions."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import ndimage

from autoseg.dataset.target import Exclusive, Masks, Regions
from autoseg.postprocessing.components import components, fill_holes, keep_largest, remove_small

SPACING = (2.0, 1.0, 0.5)
LABELS = Exclusive.numbered(301)
BRATS = Regions(names=("whole", "core", "enhancing"), members=((1, 2, 3), (2, 3), (3,)), order=(1, 2, 3))
MASKS = Masks(names=("axon", "myelin"))


def row(*values: int, kind: type = np.uint8) -> np.ndarray:
    return np.array([[values]], dtype=kind)


@pytest.mark.parametrize(
    ("given_values", "labels", "expected"),
    [
        ((1, 0, 1, 1, 0, 1), (1,), (0, 0, 1, 1, 0, 0)),
        ((1, 1, 0, 2, 2, 1), (1, 2), (0, 0, 0, 2, 2, 1)),  # the union is one object
        ((1, 1, 0, 2, 2, 1), (1,), (1, 1, 0, 2, 2, 0)),
        ((1, 0, 1, 0, 1), (1,), (1, 0, 0, 0, 0)),  # a tie: one stays, the first
        ((2, 0, 2, 2), (1,), (2, 0, 2, 2)),  # the label is absent
        ((0, 0, 0), (1,), (0, 0, 0)),
    ],
)
def test_rows(given_values: tuple[int, ...], labels: tuple[int, ...], expected: tuple[int, ...]) -> None:
    segmentation = row(*given_values)

    kept = keep_largest(segmentation, labels, SPACING, LABELS)

    np.testing.assert_array_equal(kept, row(*expected))
    assert kept.dtype == np.uint8
    np.testing.assert_array_equal(segmentation, row(*given_values))


def test_voxels_that_touch_by_an_edge_are_two_components() -> None:
    segmentation = np.array([[[1, 1, 0], [0, 0, 1]]], dtype=np.uint16)

    np.testing.assert_array_equal(keep_largest(segmentation, (1,), SPACING, LABELS), [[[1, 1, 0], [0, 0, 0]]])


def test_volumes_are_in_cubic_millimetres() -> None:
    numbered, volumes = components(row(1, 1, 0, 1).astype(bool), SPACING)

    np.testing.assert_array_equal(numbered, row(1, 1, 0, 2))
    assert volumes.tolist() == [2.0, 1.0]


@given(seed=st.integers(0, 10**6), share=st.floats(0.05, 0.9), labels=st.sampled_from([(1,), (2,), (1, 2), (1, 2, 3)]))
def test_exactly_one_component_of_the_greatest_size_stays(seed: int, share: float, labels: tuple[int, ...]) -> None:
    generator = np.random.default_rng(seed)
    segmentation = generator.integers(1, 4, (5, 6, 7)).astype(np.uint8) * (generator.random((5, 6, 7)) < share)

    kept = keep_largest(segmentation, labels, SPACING, LABELS)

    before, after = np.isin(segmentation, labels), np.isin(kept, labels)
    numbered, number = ndimage.label(before)
    sizes = [int((numbered == index).sum()) for index in range(1, number + 1)]
    np.testing.assert_array_equal(kept[~before], segmentation[~before])
    np.testing.assert_array_equal(kept[after], segmentation[after])
    assert ndimage.label(after)[1] == min(1, number)
    assert after.sum() == max(sizes, default=0)


def test_a_fragmented_mask_takes_no_loop_over_components() -> None:
    """A million isolated voxels: a loop over components would take hours."""
    segmentation = np.zeros((100, 200, 200), np.uint8)
    segmentation[::2, ::2, ::2] = 1
    segmentation[51, 50, 50] = 1  # joins two of them

    kept = keep_largest(segmentation, (1,), (1, 1, 1), LABELS)

    assert sorted(map(tuple, np.argwhere(kept))) == [(50, 50, 50), (51, 50, 50), (52, 50, 50)]


@pytest.mark.parametrize(
    ("minimum", "labels", "expected"),
    [
        (0.5, (1,), (1, 0, 1, 1, 2, 1)),
        (1.0, (1,), (1, 0, 1, 1, 2, 1)),  # exactly the volume of one voxel: stays
        (1.01, (1,), (0, 0, 1, 1, 2, 0)),
        (2.5, (1,), (0, 0, 0, 0, 2, 0)),
        (2.5, (1, 2), (0, 0, 1, 1, 2, 1)),  # together four voxels
        (2.5, (2,), (1, 0, 1, 1, 0, 1)),
    ],
)
def test_components_below_the_minimum_go(minimum: float, labels: tuple[int, ...], expected: tuple[int, ...]) -> None:
    segmentation = row(1, 0, 1, 1, 2, 1)

    kept = remove_small(segmentation, labels, SPACING, LABELS, minimum_mm3=minimum)

    np.testing.assert_array_equal(kept, row(*expected))
    np.testing.assert_array_equal(segmentation, row(1, 0, 1, 1, 2, 1))


@pytest.mark.parametrize(
    ("labels", "expected"),
    [
        ((1,), "11111000 11131000 11111022 00000202"),  # the hole of 1 and 3 is not of 1 alone
        ((1, 3), "11111000 11131000 11111022 00000202"),
        ((2,), "11111000 10131000 11111022 00000202"),  # open at the border
    ],
)
def test_holes_of_a_slice(labels: tuple[int, ...], expected: str) -> None:
    given_values = np.array(
        [[list(map(int, line)) for line in "11111000 10131000 11111022 00000202".split()]], np.uint8
    )

    filled = fill_holes(given_values, labels, LABELS)

    np.testing.assert_array_equal(filled, [[list(map(int, line)) for line in expected.split()]])


def test_a_hole_between_two_labels_takes_the_label_of_most_neighbours() -> None:
    hole = np.array([[[0, 2, 0], [1, 0, 2], [0, 2, 0]]], np.uint8)
    even = np.array([[[0, 2, 0], [1, 0, 1], [0, 2, 0]]], np.uint8)

    assert fill_holes(hole, (1, 2), LABELS)[0, 1, 1] == 2
    assert fill_holes(even, (2, 1), LABELS)[0, 1, 1] == 1
    np.testing.assert_array_equal(fill_holes(hole, (2,), LABELS), hole)
    np.testing.assert_array_equal(fill_holes(hole, (1, 300), LABELS), hole)


def test_a_ring_in_one_slice_of_a_volume_encloses_nothing() -> None:
    ring = np.zeros((3, 5, 5), np.uint8)
    ring[1, 1:4, 1:4] = 1
    ring[1, 2, 2] = 0

    np.testing.assert_array_equal(fill_holes(ring, (1,), LABELS), ring)
    assert fill_holes(ring[1:2], (1,), LABELS).sum() == 9


@given(seed=st.integers(0, 10**6), share=st.floats(0.3, 0.95))
def test_filled_holes_are_those_of_the_plain_definition(seed: int, share: float) -> None:
    generator = np.random.default_rng(seed)
    segmentation = (generator.random((6, 7, 8)) < share).astype(np.uint8)

    np.testing.assert_array_equal(fill_holes(segmentation, (1,), LABELS), ndimage.binary_fill_holes(segmentation))


@given(seed=st.integers(0, 10**6), share=st.floats(0.05, 0.9), minimum=st.integers(1, 12))
def test_removed_components_are_those_of_the_plain_definition(seed: int, share: float, minimum: int) -> None:
    generator = np.random.default_rng(seed)
    segmentation = (generator.random((5, 6, 7)) < share).astype(np.uint8)
    numbered, number = ndimage.label(segmentation)
    expected = segmentation.copy()
    for index in range(1, number + 1):
        if (numbered == index).sum() < minimum:
            expected[numbered == index] = 0

    np.testing.assert_array_equal(remove_small(segmentation, (1,), SPACING, LABELS, minimum_mm3=minimum), expected)


@pytest.mark.parametrize(
    ("numbers", "expected"),
    [
        ((1,), (1, 2, 3, 2, 1, 0, 0, 0)),  # the tumour with all that is in it
        ((2,), (1, 2, 3, 2, 1, 0, 1, 1)),  # the smaller core, with what enhances in it, is tumour again
        ((3,), (1, 2, 3, 2, 1, 0, 2, 2)),  # what enhances there is core again
        ((1, 3), (1, 2, 3, 2, 1, 0, 0, 0)),
    ],
)
def test_what_is_taken_from_a_region_stays_in_those_around_it(
    numbers: tuple[int, ...], expected: tuple[int, ...]
) -> None:
    segmentation = row(1, 2, 3, 2, 1, 0, 3, 2)
    kept = keep_largest(segmentation, numbers, SPACING, BRATS)

    np.testing.assert_array_equal(kept, row(*expected))


def test_a_hole_in_a_region_is_what_lies_in_the_regions_around_it() -> None:
    hole = np.full((1, 5, 5), 1, np.uint8)
    hole[0, 1:4, 1:4] = 2
    hole[0, 1, 1] = hole[0, 1, 2] = 3
    hole[0, 2, 2] = 1

    assert fill_holes(hole, (2,), BRATS)[0, 2, 2] == 2
    np.testing.assert_array_equal(fill_holes(hole, (1,), BRATS), hole)
    hole[0, 2, 2] = 0
    assert fill_holes(hole, (1,), BRATS)[0, 2, 2] == 2 and fill_holes(hole, (2,), BRATS)[0, 2, 2] == 2
    np.testing.assert_array_equal(fill_holes(hole, (3,), BRATS), hole)


def test_each_mask_has_its_own_components_and_holes() -> None:
    axon, myelin = row(1, 1, 0, 0, 1, 0), row(0, 1, 1, 1, 0, 0)
    both = np.stack([axon, myelin])

    np.testing.assert_array_equal(keep_largest(both, (1,), SPACING, MASKS), np.stack([row(1, 1, 0, 0, 0, 0), myelin]))
    np.testing.assert_array_equal(keep_largest(both, (2,), SPACING, MASKS), both)
    together = np.stack([row(1, 0, 1, 0), row(0, 0, 1, 1)])
    np.testing.assert_array_equal(
        remove_small(together, (1, 2), SPACING, MASKS, minimum_mm3=1.5), np.stack([row(0, 0, 1, 0), row(0, 0, 1, 1)])
    )
    ring = np.ones((1, 3, 3), np.uint8)
    ring[0, 1, 1] = 0
    holed = np.stack([ring, 1 - ring])
    np.testing.assert_array_equal(fill_holes(holed, (1, 2), MASKS), np.stack([np.ones_like(ring), 1 - ring]))
    np.testing.assert_array_equal(fill_holes(holed, (2,), MASKS), holed)
