"""Where outputs hold in the maps of a segmentation, of every kind of target."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from autoseg.dataset.covering import covers, held, touched
from autoseg.dataset.target import Exclusive, Masks, Regions, Target

LABELS = Exclusive.numbered(4)
BRATS = Regions(names=("whole", "core", "enhancing"), members=((1, 2, 3), (2, 3), (3,)), order=(1, 2, 3))
CROSSED = Regions(names=("left", "right", "both"), members=((1, 2), (2, 4), (2,)), order=(1, 4, 2))
MASKS = Masks(names=("axon", "myelin", "other"))
KINDS = [LABELS, BRATS, CROSSED, MASKS]


@pytest.mark.parametrize(
    ("target", "numbers", "expected"),
    [
        (LABELS, (2,), [(0, (2,), (0,), (0,))]),
        (LABELS, (1, 3), [(0, (1, 3), (0, 0), (0,))]),
        (BRATS, (1,), [(0, (1, 2, 3), (0, 0, 0), (0,))]),
        (BRATS, (2,), [(0, (2, 3), (1, 1), (0, 1))]),
        (BRATS, (3,), [(0, (3,), (2,), (0, 1, 2))]),
        (BRATS, (2, 3), [(0, (2, 3), (1, 1), (0, 1))]),
        (CROSSED, (1,), [(0, (1, 2), (0, 4), (0,))]),  # where both were, the right one alone
        (CROSSED, (3,), [(0, (2,), (1,), (0, 1, 4))]),  # of two values that are as good, the lower
        (MASKS, (1,), [(0, (1,), (0,), (0,))]),
        (MASKS, (1, 3), [(0, (1,), (0,), (0,)), (2, (1,), (0,), (0,))]),
    ],
)
def test_what_outputs_are_in_maps(target: Target, numbers: tuple[int, ...], expected: list[object]) -> None:
    assert [(one.map, one.values, one.without, one.gaps) for one in covers(target, numbers)] == expected


@pytest.mark.parametrize(
    ("target", "expected"),
    [
        (LABELS, [(1,), (2,), (3,)]),
        (BRATS, [(1, 2, 3), (1, 2, 3), (1, 2, 3)]),
        (CROSSED, [(1, 2, 3), (1, 2, 3), (1, 2, 3)]),
        (MASKS, [(1,), (2,), (3,)]),
    ],
)
def test_what_else_may_change_with_an_output(target: Target, expected: list[object]) -> None:
    assert [touched(target, (number,)) for number in target.scored] == expected


@given(seed=st.integers(0, 10**6), target=st.sampled_from(KINDS), data=st.data())
def test_an_output_that_is_taken_away_takes_no_other_with_it_that_could_stay(
    seed: int, target: Target, data: st.DataObject
) -> None:
    numbers = tuple(data.draw(st.sets(st.sampled_from(list(target.scored)), min_size=1)))
    segmentation = np.random.default_rng(seed).choice(list(target.values), target.shape_of((2, 5, 5)))
    before = {number: held(segmentation, target, (number,)) for number in target.scored}

    after = segmentation.copy()
    maps = target.maps_of(after)
    for cover in covers(target, numbers):
        for value, other in zip(cover.values, cover.without, strict=True):
            where = target.maps_of(segmentation)[cover.map] == value
            maps[cover.map][where] = other

    assert not held(after, target, numbers).any()
    for number in target.scored:
        now = held(after, target, (number,))
        assert not (now & ~before[number]).any(), "nothing is added"
        if number not in touched(target, numbers):
            np.testing.assert_array_equal(now, before[number])
    np.testing.assert_array_equal(
        held(segmentation, target, numbers), np.logical_or.reduce([before[number] for number in numbers])
    )
