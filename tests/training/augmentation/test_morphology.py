from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from scipy import ndimage

from autoseg.arrays import Mask
from autoseg.training.augmentation.morphology import closing, dilation, erosion, opening, surroundings

MASKS = st.one_of(
    arrays(bool, st.tuples(*[st.integers(1, 9)] * 3), elements=st.integers(0, 5).map(lambda drawn: drawn == 0)),
    arrays(bool, st.tuples(*[st.integers(1, 14)] * 2)),
)
RADII = st.floats(0.3, 9)


def ball(radius: float, dimensions: int) -> Mask:
    axis = np.arange(-int(radius), int(radius) + 1)
    return sum(grid**2 for grid in np.meshgrid(*[axis] * dimensions)) <= radius**2


@given(mask=MASKS, radius=RADII)
def test_masks_grow_and_shrink_by_a_ball(mask: Mask, radius: float) -> None:
    """As scipy does with the ball as a structuring element; nothing shrinks away from the array's border."""
    element = ball(radius, mask.ndim)

    np.testing.assert_array_equal(dilation(mask, radius), ndimage.binary_dilation(mask, element))
    np.testing.assert_array_equal(erosion(mask, radius), ndimage.binary_erosion(mask, element, border_value=1))


@given(mask=MASKS, radius=RADII)
def test_closing_only_adds_and_opening_only_takes_and_twice_is_once(mask: Mask, radius: float) -> None:
    closed, opened = closing(mask, radius), opening(mask, radius)

    assert not (mask & ~closed).any()
    assert not (opened & ~mask).any()
    np.testing.assert_array_equal(closing(closed, radius), closed)
    np.testing.assert_array_equal(opening(opened, radius), opened)


@given(mask=MASKS, radius=RADII, operation=st.sampled_from([dilation, erosion, closing, opening]))
def test_working_on_the_surroundings_alone_changes_nothing(mask: Mask, radius: float, operation) -> None:
    expected = operation(mask, radius)
    result = np.zeros_like(mask)
    box = surroundings(mask, radius)
    if box is not None:
        result[box] = operation(mask[box], radius)

    np.testing.assert_array_equal(result, expected if mask.any() else False)


def test_a_gap_is_closed_and_a_bridge_is_opened() -> None:
    row = np.array([[0, 0, 0, 1, 1, 1, 1, 0, 1, 1, 1, 0, 0, 0]] * 5 + [[0] * 14] * 9, dtype=bool)

    assert closing(row, 1.0)[2].tolist() == [False] * 3 + [True] * 8 + [False] * 3
    assert closing(row, 0.9)[2].tolist() == row[2].tolist()
    thin = np.zeros((9, 14), dtype=bool)
    thin[1:6, 1:6] = thin[3, 6:12] = True
    assert np.argwhere(opening(thin, 1.0))[:, 1].max() == 6  # the bridge keeps the voxel the ball still reaches


@pytest.mark.parametrize("operation", [dilation, erosion, closing, opening])
def test_a_large_radius_needs_no_larger_array(operation) -> None:
    mask = np.zeros((3, 4, 5), dtype=bool)
    mask[1, 2, 2] = True

    expected = operation in (dilation, closing)
    assert (operation(mask, 300.0) == expected).all()
