"""Grids: what counts as equal, how they are oriented, and that axes are moved there and back."""

from __future__ import annotations

from dataclasses import replace
from itertools import permutations, product

import numpy as np
import pytest
import SimpleITK as sitk
from hypothesis import given
from hypothesis import strategies as st

from autoseg.geometry import Geometry, bounding_box, box_shape, box_slices, inverse_order, reorder

GRID = Geometry(spacing=(3.0, 0.8, 0.8), origin=(-120.5, 33.0, 7.0))
SIDEWAYS = (0.0, 1.0, 0.0, 1.0, 0.0, 0.0, 0.0, 0.0, 1.0)


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"spacing": (3.0029, 0.8, 0.8)},
        {"origin": (-120.5, 33.0, 7.0 + 0.079)},
        {"direction": (1, 9e-4, 0, -9e-4, 1, 0, 0, 0, 1)},
    ],
)
def test_grids_that_differ_by_rounding_are_equal(changes: dict[str, tuple[float, ...]]) -> None:
    assert GRID.differences(replace(GRID, **changes)) == ()


@pytest.mark.parametrize(
    ("changes", "named"),
    [
        ({"spacing": (3.0031, 0.8, 0.8)}, ("spacing (3, 0.8, 0.8) and (3.0031, 0.8, 0.8)",)),
        ({"origin": (-120.5, 33.0, 7.081)}, ("origin (-120.5, 33, 7) and (-120.5, 33, 7.081)",)),
        (
            {"direction": SIDEWAYS},
            ("direction (1, 0, 0, 0, 1, 0, 0, 0, 1) and (0, 1, 0, 1, 0, 0, 0, 0, 1)",),
        ),
        (
            {"spacing": (0.8, 3.0, 0.8), "origin": (0.0, 0.0, 0.0)},
            ("spacing (3, 0.8, 0.8) and (0.8, 3, 0.8)", "origin (-120.5, 33, 7) and (0, 0, 0)"),
        ),
    ],
)
def test_what_differs_is_named_with_both_values(changes: dict[str, tuple[float, ...]], named: tuple[str, ...]) -> None:
    assert GRID.differences(replace(GRID, **changes)) == named


def test_orientations_are_called_as_in_the_field() -> None:
    """All 48 ways to lay three axes, each turned a little, named as SimpleITK names them."""
    little = sitk.Euler3DTransform()
    little.SetRotation(0.2, -0.15, 0.1)
    turn = np.reshape(little.GetMatrix(), (3, 3))
    names = set()
    for order, signs in product(permutations(range(3)), product((1, -1), repeat=3)):
        direction = turn @ (np.eye(3)[:, order] * signs)  # (x, y, z): a column for each axis of the file
        flat = tuple(direction[::-1, ::-1].ravel().tolist())
        name = Geometry(spacing=(1.0, 1.0, 1.0), direction=flat).orientation
        assert name == sitk.DICOMOrientImageFilter.GetOrientationFromDirectionCosines(direction.ravel().tolist())
        names.add(name)
    assert len(names) == 48
    assert GRID.orientation == "LPS"


@given(st.permutations(range(4)))
def test_axes_are_moved_as_numpy_does_and_back(order: list[int]) -> None:
    shape = (2, 3, 5, 7)
    moved = reorder(shape, order)

    assert moved == np.zeros(shape).transpose(order).shape
    assert reorder(moved, inverse_order(order)) == shape


def test_a_box_is_an_index() -> None:
    box = ((1, 4), (0, 2), (5, 6))

    assert box_shape(box) == (3, 2, 1)
    assert np.zeros((9, 9, 9))[box_slices(box)].shape == (3, 2, 1)
    assert box_slices(box)[0] == slice(1, 4)


@pytest.mark.parametrize("shape", [(7,), (5, 6), (4, 5, 6)])
def test_the_bounding_box_holds_every_true_voxel_and_no_empty_border(shape: tuple[int, ...]) -> None:
    mask = np.zeros(shape, bool)
    mask[(1,) * len(shape)] = mask[(3,) * len(shape)] = True

    assert bounding_box(mask) == ((1, 4),) * len(shape)
    assert bounding_box(np.ones(shape, bool)) == tuple((0, side) for side in shape)
    assert bounding_box(np.zeros(shape, bool)) is None


def test_the_bounding_box_of_one_voxel() -> None:
    mask = np.zeros((3, 4, 5), bool)
    mask[2, 0, 4] = True

    assert bounding_box(mask) == ((2, 3), (0, 1), (4, 5))
