"""Patches of masks, fractions, several raters, and of cases in which most is unknown."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

import numpy as np
import numpy.typing as npt
import pytest

from autoseg.arrays import LabelArray
from autoseg.dataset.coding import IGNORED, IGNORED_PLANE, OUTSIDE, OUTSIDE_PLANE, WHOLE, signed
from autoseg.errors import TrainingError
from autoseg.preprocessing.prepare import PreparedCase
from autoseg.training.augmentation.default import (
    Augmentation,
    AugmentationRecipe,
    build_spatial,
    build_validation_augmentation,
)
from autoseg.training.sampling.regions import Patches
from autoseg.training.sampling.samples import Sample, make_sample
from autoseg.training.trial import untouched

SHAPE = (12, 14, 10)
PATCH = (8, 8, 8)


def case_of(labels: LabelArray, *, planes: tuple[tuple[int, ...], ...] = ()) -> PreparedCase:
    shape = labels.shape[-3:]
    return PreparedCase(
        data=np.random.default_rng(0).normal(size=(1, *shape)).astype(np.float32),
        segmentation=labels,
        foreground={},
        properties=untouched("case", shape),
        planes=planes,
    )


def sampled(case: PreparedCase, number: int = 0, *, ignores: bool = False, **words: Augmentation) -> Sample:
    generator = np.random.default_rng(number)
    return make_sample(
        Patches(PATCH, ignores=ignores).of_case(case, generator),
        augmentation=words.get("augmentation", build_validation_augmentation()),
        generator=generator,
    )


def turning(**changes: float) -> Augmentation:
    """Every patch is turned and scaled."""
    recipe = AugmentationRecipe(rotation_probability=1.0, scale_probability=1.0, **changes)  # type: ignore[arg-type]
    validation = build_validation_augmentation()
    return replace(validation, spatial=build_spatial(recipe, patch_size=PATCH, dummy_2d=False))


def constant_planes(values: Mapping[int, int]) -> npt.NDArray[np.uint8]:
    planes = np.zeros((len(values), *SHAPE), dtype=np.uint8)
    for place, value in values.items():
        planes[place] = value
    return planes


def test_each_mask_is_a_plane_and_what_was_not_drawn_is_unknown() -> None:
    case = case_of(constant_planes({0: WHOLE, 1: 0}), planes=((0,), (), (1,)))

    labels = sampled(case).labels
    assert labels.shape == (3, *PATCH)
    assert [np.unique(plane).tolist() for plane in labels] == [[WHOLE], [IGNORED], [0]]


def test_one_rater_is_drawn_for_a_sample_the_same_one_for_all_masks() -> None:
    case = case_of(constant_planes({0: 10, 1: 20, 2: 30, 3: 110, 4: 120, 5: 130}), planes=((0, 1, 2), (3, 4, 5)))

    found = [tuple(int(plane[0, 0, 0]) for plane in sampled(case, number).labels) for number in range(60)]
    assert set(found) == {(10, 110), (20, 120), (30, 130)}
    assert all(found.count(pair) > 8 for pair in set(found))
    assert found[:5] == [tuple(int(plane[0, 0, 0]) for plane in sampled(case, number).labels) for number in range(5)]

    maps = case_of(np.stack([np.full(SHAPE, label, dtype=np.int8) for label in (1, 2)]), planes=((0, 1),))
    values = [int(sampled(maps, number).labels[0, 0, 0]) for number in range(30)]
    assert sampled(maps).labels.shape == PATCH and set(values) == {1, 2}


def test_masks_stay_whole_when_turned_and_fractions_are_their_mean() -> None:
    z = np.arange(SHAPE[0]).reshape(-1, 1, 1)
    planes = np.zeros((2, *SHAPE), dtype=np.uint8)
    planes[0] = np.where(z < 6, WHOLE, 0)
    planes[1] = np.broadcast_to(20 * z, SHAPE)  # a slope, which linear interpolation keeps
    case = case_of(planes, planes=((0,), (1,)))

    soft = set()
    for number in range(5):
        labels = sampled(case, number, augmentation=turning()).labels
        assert set(np.unique(labels[0])) <= {0, WHOLE}
        soft |= set(np.unique(labels[1]).tolist())
        inside = labels[1][3:5, 3:5, 3:5].astype(float)
        assert np.abs(inside[0, 0, 0] + inside[1, 1, 1] - inside[0, 1, 1] - inside[1, 0, 0]) <= 2.0
    assert len(soft) > 100


def test_nothing_that_is_unknown_or_outside_bleeds_into_fractions() -> None:
    planes = np.full((1, *SHAPE), 100, dtype=np.uint8)
    planes[0, :, :5] = IGNORED_PLANE
    planes[0, :3] = OUTSIDE_PLANE
    case = case_of(planes, planes=((0,),))

    for number in range(8):
        labels = sampled(case, number, augmentation=turning()).labels[0]
        assert set(np.unique(labels)) <= {0, 100, IGNORED}, "outside of the image there is nothing"


def test_ignored_voxels_of_a_map_stay_ignored_and_outside_becomes_background() -> None:
    labels = np.full(SHAPE, 2, dtype=np.int8)
    labels[:, :7] = IGNORED
    labels[:4] = OUTSIDE
    for number in range(5):
        assert set(np.unique(sampled(case_of(labels), number, augmentation=turning()).labels)) <= {0, 2, IGNORED}


def test_a_patch_of_which_nobody_knows_anything_is_never_trained_on() -> None:
    labels = np.full((40, 40, 40), IGNORED, dtype=np.int8)
    labels[33, 5, 20] = 1
    for number in range(20):
        assert (sampled(case_of(labels), number, ignores=True).labels == 1).sum() == 1
    assert sum((sampled(case_of(labels), number).labels == 1).any() for number in range(20)) < 5

    with pytest.raises(
        TrainingError, match="nobody labelled anything in it, so there is nothing to learn; leave it out of"
    ):
        sampled(case_of(np.full(SHAPE, IGNORED, dtype=np.int8)), ignores=True)


def test_planes_say_what_is_unknown_as_maps_do() -> None:
    planes = np.array([0, 7, WHOLE, OUTSIDE_PLANE, IGNORED_PLANE], dtype=np.uint8)
    assert signed(planes).tolist() == [0, 7, WHOLE, OUTSIDE, IGNORED]
