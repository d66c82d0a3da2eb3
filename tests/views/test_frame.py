"""How voxels and pixels lie in scanner space: what is known of each, and properties over random grids."""

from __future__ import annotations

import math

import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from autoseg.arrays import Float64Array
from autoseg.plans import Views
from autoseg.views.frame import Pixels, Placement, axes_along, grid_to_space, pixel_of, swept, upward

PLANE = Views(directions=((1.0, 0.0, 0.0),), span=127.0)


def directions(number: int) -> Float64Array:
    drawn = np.random.default_rng(0).standard_normal((number, 3))
    return drawn / np.linalg.norm(drawn, axis=1, keepdims=True)


class TestAxes:
    def test_along_z_they_are_z_y_and_x(self) -> None:
        assert axes_along((1.0, 0.0, 0.0)).tolist() == np.eye(3).tolist()

    def test_along_x_rows_stay_y_and_columns_go_down(self) -> None:
        assert np.allclose(axes_along((0.0, 0.0, 1.0)).T, [[0, 0, 1], [0, 1, 0], [-1, 0, 0]])

    def test_they_turn_z_to_the_direction_without_a_mirror(self) -> None:
        for direction in directions(200):
            axes = axes_along(tuple(direction))
            assert np.allclose(axes[:, 0], direction)
            assert np.allclose(axes @ axes.T, np.eye(3))
            assert math.isclose(np.linalg.det(axes), 1)

    def test_near_directions_have_near_axes(self) -> None:
        for direction in directions(200):
            if direction[0] > -0.5:
                near = direction + 1e-6 * np.array([0.3, -0.5, 0.8])
                found = axes_along(tuple(near / np.linalg.norm(near)))
                assert np.abs(found - axes_along(tuple(direction))).max() < 1e-5

    def test_upward_directions_have_the_same_planes(self) -> None:
        assert upward(np.array([-3.0, 0.0, 4.0])) == (0.6, 0.0, -0.8)
        assert upward(np.array([0.0, 2.0, 0.0])) == (0.0, 1.0, 0.0)


class TestPlacements:
    def test_the_middle_of_a_grid_is_the_origin_and_a_step_a_voxel(self) -> None:
        axes = Rotation.from_rotvec([0.3, -0.2, 0.9]).as_matrix()
        placement = grid_to_space(axes, (4.0, 0.5, 2.0), (10, 21, 30))

        assert np.allclose(placement(np.array([4.5, 10, 14.5])), 0)
        assert np.allclose(placement(np.array([5.5, 10, 14.5])), 4 * axes[:, 0])

    def test_there_and_back(self) -> None:
        placement = grid_to_space(np.eye(3)[:, [2, 0, 1]], (4.0, 0.5, 2.0), (10, 21, 30))
        index = np.array([[1.0, 2.0, 3.0], [9.0, 0.5, 7.0]])

        assert np.allclose(placement.inverse(placement(index)), index)
        assert np.allclose(placement.inverse.after(placement)(index), index)
        assert np.allclose(placement.shifted((1, 2, 3))(index), placement(index + [1, 2, 3]))

    def test_a_box_of_pixels_lies_where_it_says(self) -> None:
        box = Pixels(direction=(0.0, 0.0, 1.0), centre=(5.0, 0.0, 2.0), spacing=(0.5, 0.5, 0.5), shape=(1, 3, 5))

        assert np.allclose(box.to_space(np.array([0, 1, 2])), [-2, 0, 5]), "5 mm along x, 2 mm along -z"
        assert np.allclose(box.to_space(np.array([0, 2, 2])), [-2, 0.5, 5]), "rows are y"

    def test_placements_are_what_they_say(self) -> None:
        assert Placement(2 * np.eye(3), np.array([1.0, 0, 0]))(np.array([1.0, 1, 1])).tolist() == [3, 2, 2]


@pytest.mark.parametrize(
    ("longest", "shape"),
    [(127, (148, 128, 128)), (158, (148, 128, 128)), (200, (221, 201, 201))],
    ids=["as planned", "hardly longer", "longer by far"],
)
def test_what_is_swept(longest: int, shape: tuple[int, int, int]) -> None:
    """Twenty planes more than a plane has pixels, and wider ones for cases much longer than the span."""
    box = swept((1.0, 0.0, 0.0), PLANE, (128, 128), (1.0, 1.0, 1.0), (30, longest, 60))

    assert pixel_of(PLANE, (128, 128)) == 1.0
    assert (box.spacing, box.shape, box.centre) == ((1.0, 1.0, 1.0), shape, (0.0, 0.0, 0.0))
    first, last = (box.to_space(np.array([plane, 0, 0]))[0] for plane in (0, shape[0] - 1))
    assert (first, last) == (-(shape[0] - 1) / 2, (shape[0] - 1) / 2)


@pytest.mark.parametrize(
    ("spacing", "planes", "apart"),
    [((0.5, 2.0, 2.0), 148, 1.0), ((9.0, 2.5, 3.0), 60, 2.5), ((4.0, 3.0, 3.0), 50, 3.0)],
)
def test_planes_are_no_closer_than_the_finest_voxels(
    spacing: tuple[float, float, float], planes: int, apart: float
) -> None:
    """They reach over the 147 mm that the span and twenty pixels are, in whole steps. Boxes go through every pixel."""
    box = swept((0.0, 0.0, 1.0), PLANE, (128, 128), spacing, (10, 20, 20))

    assert (box.shape, box.spacing) == ((planes, 128, 128), (apart, 1.0, 1.0))
    assert swept((0.0, 0.0, 1.0), PLANE, (128,) * 3, spacing, (10, 20, 20)).spacing == (1.0, 1.0, 1.0)
