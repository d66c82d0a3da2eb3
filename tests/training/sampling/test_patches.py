from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from autoseg.training.sampling.patches import draw_foreground_voxel, draw_start, is_forced, read_box, start_range


def generator(seed: int = 0) -> np.random.Generator:
    return np.random.default_rng(seed)


@pytest.mark.parametrize(
    ("batch_size", "expected"), [(2, 1), (3, 1), (4, 1), (5, 2), (7, 2), (9, 3), (12, 4), (40, 13)]
)
def test_the_last_third_of_a_batch_holds_foreground(batch_size: int, expected: int) -> None:
    forced = [is_forced(number, batch_size, 0.33, generator()) for number in range(batch_size)]

    assert forced == [False] * (batch_size - expected) + [True] * expected


def test_in_batches_of_one_a_third_is_drawn() -> None:
    random = generator()

    assert sum(is_forced(0, 1, 0.33, random) for _ in range(3000)) == pytest.approx(990, abs=80)


@pytest.mark.parametrize(
    ("side", "patch", "expected"), [(10, 4, (0, 6)), (4, 4, (0, 0)), (4, 6, (-1, -1)), (3, 6, (-2, -1)), (1, 1, (0, 0))]
)
def test_a_patch_stays_inside_or_has_the_smaller_image_in_its_middle(
    side: int, patch: int, expected: tuple[int, int]
) -> None:
    assert start_range(side, patch) == expected


def test_every_position_is_equally_likely() -> None:
    random = generator()
    starts = [draw_start((5, 9), (4, 4), None, random) for _ in range(6000)]
    counts = np.bincount([row * 6 + column for row, column in starts], minlength=12)

    assert counts == pytest.approx(500, abs=90)


@pytest.mark.parametrize(
    ("voxel", "expected"), [((10, 10), (8, 8)), ((1, 10), (0, 8)), ((19, 18), (16, 16)), ((2, 17), (0, 15))]
)
def test_a_forced_patch_centres_its_voxel_as_far_as_the_image_reaches(
    voxel: tuple[int, int], expected: tuple[int, int]
) -> None:
    assert draw_start((20, 20), (4, 4), voxel, generator()) == expected


@given(
    side=st.integers(1, 30),
    patch=st.integers(1, 20),
    position=st.floats(0, 1, exclude_max=True),
    seed=st.integers(0, 99),
)
def test_a_forced_patch_always_holds_its_voxel(side: int, patch: int, position: float, seed: int) -> None:
    voxel = int(position * side)
    (start,) = draw_start((side,), (patch,), (voxel,), generator(seed))

    assert start <= voxel < start + patch


FOREGROUND = {
    1: np.array([[0, 1, 1]] * 90 + [[5, 2, 2]] * 10),
    2: np.array([[3, 4, 4]]),
    3: np.empty((0, 3), dtype=int),
}


def test_labels_are_equally_likely_however_large() -> None:
    random = generator()
    drawn = [draw_foreground_voxel(FOREGROUND, random, by_slice=False) for _ in range(3000)]

    assert drawn.count((3, 4, 4)) == pytest.approx(1500, abs=110)
    assert drawn.count((0, 1, 1)) == pytest.approx(1350, abs=110)
    assert drawn.count((5, 2, 2)) == pytest.approx(150, abs=50)


def test_by_slice_the_slices_of_a_label_are_equally_likely() -> None:
    random = generator()
    drawn = [draw_foreground_voxel(FOREGROUND, random, by_slice=True) for _ in range(3000)]

    assert drawn.count((3, 4, 4)) == pytest.approx(1500, abs=110)
    assert drawn.count((0, 1, 1)) == pytest.approx(750, abs=90)
    assert drawn.count((5, 2, 2)) == pytest.approx(750, abs=90)


def test_a_case_without_foreground_has_no_voxel() -> None:
    assert draw_foreground_voxel({1: np.empty((0, 3), dtype=int)}, generator(), by_slice=False) is None


@given(start=st.tuples(st.integers(-9, 9), st.integers(-9, 9)), shape=st.tuples(st.integers(1, 8), st.integers(1, 8)))
def test_a_box_is_what_an_endlessly_padded_array_holds(start: tuple[int, int], shape: tuple[int, int]) -> None:
    array = np.arange(1, 31, dtype=np.int16).reshape(1, 5, 6)
    padded = np.pad(array, ((0, 0), (20, 20), (20, 20)), constant_values=-1)
    rows, columns = (slice(20 + first, 20 + first + length) for first, length in zip(start, shape, strict=True))

    box = read_box(array, start, shape, outside=-1)

    np.testing.assert_array_equal(box, padded[:, rows, columns])
    assert box.base is None and box.dtype == array.dtype


@pytest.mark.parametrize("start", [(1, 2, 3), (-3, 2, 8), (20, 0, 0)])
def test_half_precision_is_read_as_single(tmp_path: Path, start: tuple[int, ...]) -> None:
    stored = np.random.default_rng(0).standard_normal((2, 9, 10, 11)).astype(np.float16)
    np.save(tmp_path / "case.npy", stored)
    for array in (np.load(tmp_path / "case.npy", mmap_mode="r"), np.load(tmp_path / "case.npy", mmap_mode="r")[:, 4]):
        place = start[-(array.ndim - 1) :]
        shape = (6, 5, 4)[-(array.ndim - 1) :]

        box = read_box(array, place, shape, outside=-7)

        assert box.dtype == np.float32
        np.testing.assert_array_equal(box, read_box(np.array(array, dtype=np.float32), place, shape, outside=-7))
