"""Components: what stays, what goes, what is filled, and the agreement with the plain definitions."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import ndimage

from autoseg.postprocessing.components import components, fill_holes, keep_largest, remove_small

SPACING = (2.0, 1.0, 0.5)


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

    kept = keep_largest(segmentation, labels, SPACING)

    np.testing.assert_array_equal(kept, row(*expected))
    assert kept.dtype == np.uint8
    np.testing.assert_array_equal(segmentation, row(*given_values))


def test_voxels_that_touch_by_an_edge_are_two_components() -> None:
    segmentation = np.array([[[1, 1, 0], [0, 0, 1]]], dtype=np.uint16)

    np.testing.assert_array_equal(keep_largest(segmentation, (1,), SPACING), [[[1, 1, 0], [0, 0, 0]]])


def test_volumes_are_in_cubic_millimetres() -> None:
    numbered, volumes = components(row(1, 1, 0, 1).astype(bool), SPACING)

    np.testing.assert_array_equal(numbered, row(1, 1, 0, 2))
    assert volumes.tolist() == [2.0, 1.0]


@given(seed=st.integers(0, 10**6), share=st.floats(0.05, 0.9), labels=st.sampled_from([(1,), (2,), (1, 2), (1, 2, 3)]))
def test_exactly_one_component_of_the_greatest_size_stays(seed: int, share: float, labels: tuple[int, ...]) -> None:
    generator = np.random.default_rng(seed)
    segmentation = generator.integers(1, 4, (5, 6, 7)).astype(np.uint8) * (generator.random((5, 6, 7)) < share)

    kept = keep_largest(segmentation, labels, SPACING)

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

    kept = keep_largest(segmentation, (1,), (1, 1, 1))

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

    kept = remove_small(segmentation, labels, SPACING, minimum_mm3=minimum)

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

    filled = fill_holes(given_values, labels)

    np.testing.assert_array_equal(filled, [[list(map(int, line)) for line in expected.split()]])


def test_a_hole_between_two_labels_takes_the_label_of_most_neighbours() -> None:
    hole = np.array([[[0, 2, 0], [1, 0, 2], [0, 2, 0]]], np.uint8)
    even = np.array([[[0, 2, 0], [1, 0, 1], [0, 2, 0]]], np.uint8)

    assert fill_holes(hole, (1, 2))[0, 1, 1] == 2
    assert fill_holes(even, (2, 1))[0, 1, 1] == 1
    np.testing.assert_array_equal(fill_holes(hole, (2,)), hole)
    np.testing.assert_array_equal(fill_holes(hole, (1, 300)), hole)


def test_a_ring_in_one_slice_of_a_volume_encloses_nothing() -> None:
    ring = np.zeros((3, 5, 5), np.uint8)
    ring[1, 1:4, 1:4] = 1
    ring[1, 2, 2] = 0

    np.testing.assert_array_equal(fill_holes(ring, (1,)), ring)
    assert fill_holes(ring[1:2], (1,)).sum() == 9


@given(seed=st.integers(0, 10**6), share=st.floats(0.3, 0.95))
def test_filled_holes_are_those_of_the_plain_definition(seed: int, share: float) -> None:
    generator = np.random.default_rng(seed)
    segmentation = (generator.random((6, 7, 8)) < share).astype(np.uint8)

    np.testing.assert_array_equal(fill_holes(segmentation, (1,)), ndimage.binary_fill_holes(segmentation))


@given(seed=st.integers(0, 10**6), share=st.floats(0.05, 0.9), minimum=st.integers(1, 12))
def test_removed_components_are_those_of_the_plain_definition(seed: int, share: float, minimum: int) -> None:
    generator = np.random.default_rng(seed)
    segmentation = (generator.random((5, 6, 7)) < share).astype(np.uint8)
    numbered, number = ndimage.label(segmentation)
    expected = segmentation.copy()
    for index in range(1, number + 1):
        if (numbered == index).sum() < minimum:
            expected[numbered == index] = 0

    np.testing.assert_array_equal(remove_small(segmentation, (1,), SPACING, minimum_mm3=minimum), expected)
