"""Which slices patches of two sides are drawn from."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from autoseg.dataset.coding import IGNORED, IGNORED_PLANE, WHOLE
from autoseg.errors import AutosegError, TrainingError
from autoseg.preprocessing.prepare import PreparedCase
from autoseg.training.recipes.file import read_recipe
from autoseg.training.recipes.recipe import DEFAULT
from autoseg.training.recipes.record import recorded
from autoseg.training.sampling.regions import Patches, Slot
from autoseg.training.sampling.slices import SLICES, SliceChoice, choice_of
from autoseg.training.trial import untouched

SHAPE = (8, 6, 7)
PATCH = (4, 4)
LABELLED = {1: 3, 4: 1, 5: 20}
"""Pixels of label 1 in slices."""


def case_of(segmentation: np.ndarray, data: np.ndarray | None = None, planes: Any = ()) -> PreparedCase:
    voxels = np.argwhere(segmentation == 1).astype(np.int32) if segmentation.ndim == 3 else np.zeros((0, 3), np.int32)
    return PreparedCase(
        data=np.random.default_rng(0).normal(size=(2, *SHAPE)).astype(np.float32) if data is None else data,
        segmentation=segmentation,
        foreground={1: voxels},
        properties=untouched("case", SHAPE),
        planes=planes,
    )


def labels() -> np.ndarray:
    data = np.zeros(SHAPE, np.int8)
    for number, pixels in LABELLED.items():
        data[number].flat[:pixels] = 1
    return data


def chosen(**settings: Any) -> SliceChoice:
    return SliceChoice(SLICES.part("chosen", **settings))


def kept(case: PreparedCase, **settings: Any) -> list[int]:
    return list(chosen(**settings).of(case))


def test_slices_without_a_label_are_left_out() -> None:
    assert kept(case_of(labels()), labels=True) == [1, 4, 5]
    assert kept(case_of(labels())) == list(range(8))
    ignored = np.where(labels() == 1, labels(), np.int8(IGNORED))
    assert kept(case_of(ignored), labels=True) == [1, 4, 5]


def test_slices_in_which_a_channel_holds_one_value_are_left_out() -> None:
    data = np.random.default_rng(0).normal(size=(2, *SHAPE)).astype(np.float32)
    data[0, 2], data[1, 6] = 0, 3
    assert kept(case_of(labels(), data)) == [0, 1, 3, 4, 5, 7]
    assert kept(case_of(labels(), data), image=False) == list(range(8))


def test_slices_with_too_few_known_pixels_are_left_out() -> None:
    known = np.where(labels() == 1, 0, IGNORED).astype(np.int8)
    assert kept(case_of(known)) == [1, 4, 5]
    assert kept(case_of(known), known=1) == [1, 5]
    assert kept(case_of(known), known=3) == [5]


def test_in_planes_a_slice_counts_by_any_of_them() -> None:
    planes = np.full((2, *SHAPE), IGNORED_PLANE, np.uint8)
    planes[0, 2], planes[1, 3, 0, 0] = 0, WHOLE
    case = case_of(planes, planes=((0,), (1,)))
    assert kept(case) == [2, 3]
    assert kept(case, known=1) == [2]
    assert kept(case, labels=True) == [3]


@pytest.mark.parametrize("forced", [False, True])
@pytest.mark.parametrize("ignores", [False, True])
def test_patches_come_from_these_slices_each_as_often(forced: bool, ignores: bool) -> None:
    case = case_of(labels())
    marked = case.data.copy()
    marked[:] = np.arange(8, dtype=np.float32)[None, :, None, None]
    case = case_of(labels(), marked + case.data * 1e-3)
    patches = Patches(PATCH, ignores=ignores, slices=chosen(labels=True, known=2))

    drawn = [patches.of_case(case, np.random.default_rng(number), forced=forced) for number in range(400)]

    numbers, counts = np.unique([round(float(patch.image.mean())) for patch in drawn], return_counts=True)
    assert list(numbers) == [1, 4, 5]
    assert counts.min() > 100
    if forced:
        assert all(patch.maps(patch.start, PATCH)[0].max() == 1 for patch in drawn)


def test_a_patch_in_a_slice_is_known_somewhere() -> None:
    known = np.full(SHAPE, IGNORED, np.int8)
    known[3, 5, 6] = 0
    patches = Patches(PATCH, ignores=True, slices=chosen())
    for number in range(20):
        patch = patches.of_case(case_of(known), np.random.default_rng(number))
        assert (patch.maps(patch.start, PATCH)[0] == 0).any()


def test_a_case_of_which_nothing_is_left_is_passed_over_and_at_last_refused() -> None:
    case = case_of(np.zeros(SHAPE, np.int8))
    patches = Patches(PATCH, slices=chosen(labels=True))
    slot = Slot(number=0, batch_size=2, foreground=0.33)

    assert not patches.suits(case, slot) and Patches(PATCH).suits(case, slot)
    with pytest.raises(
        TrainingError, match="no slice of it is left by the recipe's choice of slices; ask for less there, or"
    ):
        patches.draw(case, slot, np.random.default_rng(0))


def test_a_recipe_says_it_and_a_file_of_the_users_may(tmp_path: Path) -> None:
    assert choice_of(DEFAULT.slices) is None and "slices" not in recorded(DEFAULT)
    (tmp_path / "mine.py").write_text("def even(case, step):\n    return range(0, case.data.shape[1], step)\n")
    path = tmp_path / "recipe.json"
    path.write_text(json.dumps({"slices": {"name": "mine.py:even", "step": 3}}))
    own = choice_of(read_recipe(path).slices)
    assert own is not None and list(own.of(case_of(labels()))) == [0, 3, 6]
    path.write_text(json.dumps({"slices": {"name": "chosen", "labels": True}}))
    assert recorded(read_recipe(path))["slices"] == "chosen(image=True, known=0, labels=True)"
    path.write_text(json.dumps({"slices": {"name": "chosen", "known": -1}}))
    with pytest.raises(AutosegError, match="known: 0 or more, found -1"):
        read_recipe(path)
