"""Rules of fractions: what they take away goes with all that fades around it; scored by what is more than one half."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from autoseg.dataset.coding import WHOLE
from autoseg.dataset.target import Exclusive, Masks, Target, hardened
from autoseg.errors import CasesFailed
from autoseg.geometry import Geometry
from autoseg.images import Told, read_image, write_image
from autoseg.postprocessing.folders import apply_postprocessing
from autoseg.postprocessing.fractions import follow
from autoseg.postprocessing.rules import (
    FILL_HOLES,
    KEEP_LARGEST,
    Rule,
    apply_rules,
    load_rules,
    save_rules,
    target_of_rules,
)
from autoseg.postprocessing.scoring import DiceTable, ValidationCase

GEOMETRY = Geometry(spacing=(1.0, 1.0, 1.0))
LESION = Exclusive(names=("background", "lesion"), ignore=9, soft=True)
APART = Masks(names=("axon", "myelin"), ignore=9, soft=True)
LARGEST, FULL = Rule(kind=KEEP_LARGEST, labels=(1,)), Rule(kind=FILL_HOLES, labels=(1,))
ROW = [0, 40, 250, 200, 100, 20, 90, 150, 60, 0]
"""Two objects that fade into each other."""


def row(values: list[int]) -> np.ndarray:
    return np.array(values, np.uint8).reshape(1, 1, -1)


def test_the_smaller_of_two_objects_goes_with_what_fades_around_it() -> None:
    before = row(ROW)

    found = apply_rules(before, GEOMETRY.spacing, [LARGEST], LESION)

    assert found.ravel().tolist() == [0, 40, 250, 200, 100, 20, 0, 0, 0, 0] and found.dtype == np.uint8
    assert before.ravel().tolist() == ROW
    twice = apply_rules(
        np.stack([row(ROW[::-1]), before]), GEOMETRY.spacing, [Rule(kind=KEEP_LARGEST, labels=(2,))], APART
    )
    assert twice[0].ravel().tolist() == ROW[::-1] and twice[1].ravel().tolist() == found.ravel().tolist()


def test_a_hole_is_filled_wholly() -> None:
    plane = np.full((1, 5, 5), 220, np.uint8)
    plane[0, 2, 2] = 60

    assert apply_rules(plane, GEOMETRY.spacing, [FULL], LESION)[0, 2, 2] == WHOLE


def test_nearest_is_meant_in_mm() -> None:
    """The voxel that fades lies two steps from what stays and one from what goes, each of its own size."""
    plane, gone = np.zeros((1, 3, 4), np.uint8), np.zeros((1, 3, 4), np.uint8)
    plane[0, 0, 0], plane[0, 1, 0], plane[0, 1, 2] = 250, 100, 250
    before = (plane > 125).astype(np.uint8)
    gone[0, 0, 0] = 1
    assert [follow(plane, before, before - gone, (1, y, 1))[0, 1, 0] for y in (1.5, 2.5)] == [0, 100]


@given(st.integers(0, 2**32 - 1))
def test_what_is_more_than_half_afterwards_is_what_rules_left(seed: int) -> None:
    generator = np.random.default_rng(seed)
    planes = generator.integers(0, WHOLE + 1, (2, 2, 4, 5)).astype(np.uint8)
    before, after = (planes > WHOLE / 2).astype(np.uint8), generator.integers(0, 2, planes.shape).astype(np.uint8)

    found = follow(planes, before, after, (2.0, 1.0, 0.7))

    np.testing.assert_array_equal(found > WHOLE / 2, after > 0)
    np.testing.assert_array_equal(follow(planes, before, before, (1, 1, 1)), planes)


@pytest.mark.parametrize("target", [LESION, APART], ids=["shared", "apart"])
def test_fractions_are_compared_as_the_labels_of_more_than_half(tmp_path: Path, target: Target) -> None:
    """Also of two raters, whose mean it is, and where one of them knows nothing."""
    generator, tables = np.random.default_rng(3), {}
    shape = target.shape_of((4, 6, 7))
    ours, *raters = (generator.integers(0, 11, shape) / np.float32(10) for _ in range(3))
    raters[0][..., 0] = 9
    mean = np.where(raters[0] == 9, raters[1], (raters[0] + raters[1]) / 2)
    soft = (ours, raters)
    hard = ((ours > 0.501).astype(np.uint8), [(mean > 0.501).astype(np.uint8)])
    for kind, (prediction, references), of in ((True, soft, target), (False, hard, hardened(target))):
        folder, maps = tmp_path / str(kind), [of.maps_of(one) for one in (prediction, *references)]
        files = [[folder / f"{place}_{number}.nii.gz" for place in range(of.maps)] for number, _ in enumerate(maps)]
        for paths, arrays in zip(files, maps, strict=True):
            for path, array in zip(paths, arrays, strict=True):
                write_image(path, array, GEOMETRY)
        case = ValidationCase(
            identifier="a",
            fold="0",
            patient="a",
            predictions=tuple(files[0]),
            references=tuple(zip(*files[1:], strict=True)),
        )
        tables[kind] = DiceTable([case], of, workers=1)
        tables[kind].measure([((), LARGEST), ((LARGEST,), FULL)])

    for rules in ((), (LARGEST,), (LARGEST, FULL)):
        np.testing.assert_allclose(tables[True].dice(rules), tables[False].dice(rules))
    assert 0 < tables[True].dice(())[0, 0] < 1
    one = np.array([True])
    np.testing.assert_array_equal(tables[True].true_volumes(one)[1], tables[False].true_volumes(one)[1])


@pytest.mark.parametrize("target", [LESION, APART], ids=["shared", "apart"])
def test_rules_say_that_they_are_of_fractions_and_change_a_folder_of_them(tmp_path: Path, target: Target) -> None:
    rules, folder = tmp_path / "postprocessing.json", tmp_path / "predicted"
    save_rules([LARGEST], rules, target=target)
    for name in target.files_of("case"):
        write_image(folder / f"{name}.nii.gz", row(ROW), GEOMETRY, Told(step=1 / WHOLE))
    said = target_of_rules(rules)
    assert said is not None and said.soft and said.files_of("case") == target.files_of("case")

    written = apply_postprocessing(folder, tmp_path / "out", load_rules(rules), target=said, workers=1)

    expected = apply_rules(row(ROW), GEOMETRY.spacing, [LARGEST], LESION)
    np.testing.assert_allclose(read_image(written[0]).data, expected / WHOLE, atol=1e-6)
    assert [path.name for path in written] == [f"{name}.nii.gz" for name in target.files_of("case")]
    if target is LESION:
        with pytest.raises(
            CasesFailed, match=r"whole numbers only, found 0\.08, .*; soft labels are taken where the task, or a"
        ):
            apply_postprocessing(folder, tmp_path / "other", load_rules(rules), workers=1)
