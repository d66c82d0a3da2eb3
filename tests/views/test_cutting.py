"""Planes through an array at any angle: to the voxel what a function of the position says."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from scipy.ndimage import map_coordinates
from scipy.spatial.transform import Rotation

from autoseg.arrays import Float64Array
from autoseg.views.cutting import cut_linear, cut_nearest, points_inside, reach_of
from autoseg.views.frame import Pixels, Placement, grid_to_space, upward

SPACING, SHAPE = (3.0, 0.7, 1.2), (9, 31, 22)


def placed(number: int) -> tuple[Placement, Placement, tuple[int, int, int]]:
    """A grid in scanner space, oblique, with unequal voxels and axes flipped; and pixels that lie across it."""
    random = np.random.default_rng(number)
    axes = Rotation.random(random_state=number).as_matrix() * random.choice([-1, 1], 3)
    shape = (1, 40, 40) if number % 2 else (6, 20, 20)
    box = Pixels(
        direction=upward(random.standard_normal(3)),
        centre=tuple(random.uniform(-5, 5, 3)),
        spacing=(0.8, 0.8, 0.8),
        shape=shape,
    )
    return grid_to_space(axes, SPACING, SHAPE), box.to_space, shape


def indices(shape: tuple[int, ...]) -> Float64Array:
    return np.moveaxis(np.indices(shape).astype(np.float64), 0, -1)


def stripes(position: Float64Array) -> np.ndarray:
    """A label that is a function of the place in the scanner."""
    return (np.floor(position @ np.array([0.21, -0.13, 0.08])) % 4).astype(np.int16)


@pytest.mark.parametrize("number", range(8))
class TestPlanes:
    def test_labels_are_those_of_the_voxel_that_a_point_lies_in(self, number: int) -> None:
        voxels, pixels, shape = placed(number)
        labels = stripes(voxels(indices(SHAPE)))
        placement = voxels.inverse.after(pixels)

        found = cut_nearest(torch.from_numpy(labels[None]), placement, shape, outside=torch.tensor([-1]))[0]

        index = np.floor(placement(indices(shape)) + 0.5).astype(int)
        inside = ((index >= 0) & (index < np.array(SHAPE))).all(axis=-1)
        assert inside.mean() > 0.05
        assert found.dtype == torch.int16
        assert np.array_equal(found.numpy()[~inside], np.full((~inside).sum(), -1))
        said = stripes(voxels(index.astype(np.float64)))
        near_an_edge = (np.abs((placement(indices(shape)) + 0.5) % 1) < 1e-3).any(axis=-1)
        assert np.array_equal(found.numpy()[inside & ~near_an_edge], said[inside & ~near_an_edge])

    def test_images_are_linear_between_voxels(self, number: int) -> None:
        voxels, pixels, shape = placed(number)
        image = np.random.default_rng(1).standard_normal((2, *SHAPE)).astype(np.float32)
        placement = voxels.inverse.after(pixels)

        found = cut_linear(torch.from_numpy(image), placement, shape, outside=torch.tensor([7.0, -7.0])).numpy()

        position = np.moveaxis(placement(indices(shape)), -1, 0)
        inside = ((position >= -0.499) & (position < np.array(SHAPE)[:, None, None, None] - 0.501)).all(axis=0)
        beyond = ((position < -0.501) | (position > np.array(SHAPE)[:, None, None, None] - 0.499)).any(axis=0)
        for channel, said, outside in zip(found, image, (7.0, -7.0), strict=True):
            expected = map_coordinates(said.astype(np.float64), position, order=1, mode="nearest")
            assert np.allclose(channel[inside], expected[inside], atol=1e-4)
            assert (channel[beyond] == outside).all()

    def test_an_image_that_is_a_linear_function_of_the_place_comes_out_as_that(self, number: int) -> None:
        voxels, pixels, shape = placed(number)
        slope = np.array([0.3, -0.2, 0.5])
        image = (voxels(indices(SHAPE)) @ slope).astype(np.float32)
        placement = voxels.inverse.after(pixels)

        found = cut_linear(torch.from_numpy(image[None]), placement, shape, outside=torch.zeros(1)).numpy()[0]

        position = placement(indices(shape))
        within = ((position >= 0) & (position <= np.array(SHAPE) - 1)).all(axis=-1)
        assert np.allclose(found[within], (pixels(indices(shape)) @ slope)[within], atol=1e-4)


def test_half_precision_is_read_as_it_is_stored() -> None:
    image = torch.arange(27.0).reshape(1, 3, 3, 3).half()
    placement = Placement(np.eye(3), np.array([0.5, 0.0, 0.25]))

    found = cut_linear(image, placement, (1, 3, 2), outside=torch.zeros(1))

    assert found.dtype == torch.float32
    assert found[0, 0].tolist() == [[4.75, 5.75], [7.75, 8.75], [10.75, 11.75]]


def test_a_single_slice_is_as_thick_as_it_is() -> None:
    image = torch.tensor([[[[1.0, 2.0], [3.0, 4.0]]]])
    across = Placement(np.diag([0.3, 1.0, 1.0]), np.array([-0.6, 0.0, 0.0]))

    found = cut_linear(image, across, (5, 2, 2), outside=torch.tensor([9.0]))

    assert found[0, :, 0, 0].tolist() == [9, 1, 1, 1, 9]


@pytest.mark.parametrize("number", range(12))
def test_points_inside_are_all_that_lie_there(number: int) -> None:
    """Between two planes of an array, as those of all points are that are looked at one by one; straight grids, too."""
    random = np.random.default_rng(number)
    shape, sides = tuple(random.integers(1, 20, 3).tolist()), tuple(random.integers(1, 20, 3).tolist())
    axes = Rotation.random(random_state=number).as_matrix()
    if number % 3 == 0:
        axes = np.eye(3)[:, random.permutation(3)] * random.choice([-1, 1], 3)
    placement = grid_to_space(axes, tuple(random.uniform(0.5, 2, 3)), shape)
    placement = Placement(placement.matrix, placement.offset + np.array(sides) / 2)
    within = [(float(sides[0] // 3), sides[0] // 3 + 4.0), *reach_of(sides[1:])]

    found = points_inside(placement, shape, within)

    position = placement(indices(shape)).reshape(-1, 3)
    low, high = np.array(within).T
    inside = ((position >= low) & (position < high)).all(axis=1)
    at_an_edge = (np.minimum(abs(position - low), abs(position - high)) < 1e-4).any(axis=1)
    is_found = np.zeros(len(position), dtype=bool)
    is_found[found.places.numpy()] = True
    assert (is_found == inside)[~at_an_edge].all()
    assert np.abs(np.stack(found.positions, axis=1) - position[is_found]).max(initial=0) < 1e-4
