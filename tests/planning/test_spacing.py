"""Target spacing and the growing spacings of a low-resolution stage."""

from __future__ import annotations

from itertools import islice

import numpy as np
import pytest

from autoseg.geometry import Shape, Spacing
from autoseg.planning.spacing import (
    coarse_axis,
    coarser_spacings,
    median_resampled_shape,
    median_spacing,
    target_spacing,
)

# spacings, shapes, target; the medians would be in the first column of each comment
TABLE = [
    pytest.param(  # median 10
        [(10, 1.5, 1.5)] * 8 + [(5, 1.5, 1.5)] * 2, [(9, 237, 208)] * 10, (5, 1.5, 1.5), id="10th percentile"
    ),
    pytest.param(  # median 4, 10th percentile 0.9
        [(4, 1, 1)] * 3 + [(0.9, 1, 1)] * 2, [(20, 150, 140)] * 5, (1.00001, 1, 1), id="never below the others"
    ),
    pytest.param([(1, 0.5, 4)] * 3, [(90, 300, 29)] * 3, (1, 0.5, 4), id="uniform cases keep their median"),
    pytest.param([(1, 1, 3.1)] * 5 + [(1, 1, 1)] * 4, [(90, 90, 30)] * 9, (1, 1, 3.1), id="not thin enough"),
    pytest.param([(3, 1, 1)] * 5 + [(1, 1, 1)] * 4, [(10, 90, 90)] * 9, (3, 1, 1), id="not coarse enough"),
    pytest.param([(1, 2, 3), (2, 3, 4), (9, 1, 5)], [(50, 50, 50)] * 3, (2, 2, 4), id="each axis for itself"),
    pytest.param([(1, 1, 1), (2, 1, 1)], [(50, 50, 50)] * 2, (1.5, 1, 1), id="an even number of cases"),
]


@pytest.mark.parametrize(("spacings", "shapes", "expected"), TABLE)
def test_target_spacing(spacings: list[Spacing], shapes: list[Shape], expected: Spacing) -> None:
    target = target_spacing(np.array(spacings, dtype=float), np.array(shapes, dtype=float))

    np.testing.assert_allclose(target, expected, rtol=1e-12)


def test_the_lowered_percentile_lies_between_two_cases() -> None:
    spacings = np.array([(5.0 + case, 1, 1) for case in range(11)])

    np.testing.assert_allclose(target_spacing(spacings, np.full((11, 3), (10, 200, 200))), (6, 1, 1))
    np.testing.assert_allclose(median_spacing(spacings), (10, 1, 1))


def test_coarse_axis_is_the_one_that_is_both_coarse_and_thin() -> None:
    spacings = np.array([(0.5, 6.0, 0.6)] * 3)

    assert coarse_axis(spacings, np.array([(300, 20, 400)] * 3)) == 1
    assert coarse_axis(spacings, np.array([(60, 20, 400)] * 3)) is None


def test_median_shape_is_that_of_the_resampled_cases() -> None:
    spacings = np.array([(1.0, 1, 1), (2, 1, 1), (4, 2, 1)])
    shapes = np.array([(30.0, 10, 10), (20, 12, 11), (15, 7, 12)])

    shape = median_resampled_shape(spacings, shapes, np.array([2.0, 1, 1]))

    np.testing.assert_allclose(shape, (20, 12, 11))


def test_all_axes_grow_together_when_they_are_alike() -> None:
    grown = list(islice(coarser_spacings((2.0, 1.0, 1.5)), 3))

    np.testing.assert_allclose(grown, [np.array((2.0, 1.0, 1.5)) * 1.01**step for step in (1, 2, 3)])


def test_finer_axes_catch_up_first() -> None:
    steps = list(islice(coarser_spacings((4.0, 1.0, 1.98)), 72))

    np.testing.assert_allclose(steps[0], (4, 1.01, 1.98 * 1.01))
    np.testing.assert_allclose(steps[1], (4, 1.01**2, 1.98 * 1.01**2))
    np.testing.assert_allclose(steps[2], (4, 1.01**3, 1.98 * 1.01**2))
    np.testing.assert_allclose(steps[69], (4, 1.01**70, 1.98 * 1.01**2))
    np.testing.assert_allclose(steps[70], (4.04, 1.01**71, 1.98 * 1.01**3))
