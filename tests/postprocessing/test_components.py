"""Keep-largest: what stays, what goes, ties, and its agreement with the plain definition."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import ndimage

from autoseg.postprocessing.components import components, keep_largest

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
