from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from scipy import ndimage

from autoseg.training.augmentation.default import AugmentationRecipe
from autoseg.training.augmentation.morphology import closing, dilation, erosion, opening
from autoseg.training.augmentation.previous_stage import RandomMorphology, RemoveComponent, build_previous_augmentation

SHAPE = (20, 24, 22)


def two_balls() -> np.ndarray:
    """Label 1 and label 3, touching each other; 2 is absent, -1 lies in a corner."""
    grid = np.stack(np.meshgrid(*map(np.arange, SHAPE), indexing="ij")).T
    labels = np.zeros(SHAPE, np.int16)
    labels[(np.linalg.norm(grid - (10, 9, 11), axis=-1) < 5).T] = 1
    labels[(np.linalg.norm(grid - (10, 18, 11), axis=-1) < 4.5).T] = 3
    labels[0, 0, 0] = -1
    return labels


def varied(transform: Any, labels: np.ndarray, seed: int) -> np.ndarray:
    """The previous stage's labels after the transform, which must leave data and true labels alone."""
    truth = np.arange(labels.size, dtype=labels.dtype).reshape(labels.shape)
    data = np.ones((1, 1, *labels.shape), np.float32)
    np.random.seed(seed)

    sample = transform(data=data.copy(), seg=np.stack([truth, labels])[None])

    np.testing.assert_array_equal(sample["data"], data)
    np.testing.assert_array_equal(sample["seg"][0, 0], truth)
    result: np.ndarray = sample["seg"][0, 1]
    return result


def expected_morphology(labels: np.ndarray, seed: int, radius: tuple[float, float]) -> np.ndarray:
    """The published recipe on one-hot channels, taking the same draws."""
    np.random.seed(seed)
    np.random.uniform()
    channels = {label: labels == label for label in (1, 3)}
    for label in np.random.permutation([1, 3]):
        operation = (dilation, erosion, closing, opening)[np.random.randint(4)]
        after = operation(channels[label], np.random.uniform(*radius))
        gained = after & ~channels[label]
        channels[label] = after
        for other in channels.keys() - {label}:
            channels[other] = channels[other] & ~gained
    assert not (channels[1] & channels[3]).any()
    return np.where(channels[1], 1, np.where(channels[3], 3, 0))


def test_each_label_is_grown_or_shrunk_and_what_it_gains_the_others_lose() -> None:
    labels, transform = two_balls(), RandomMorphology(probability=1.0, radius=(1.0, 4.0))

    results = [varied(transform, labels, seed) for seed in range(30)]

    for seed, result in enumerate(results):
        np.testing.assert_array_equal(np.maximum(result, 0), expected_morphology(labels, seed, (1.0, 4.0)))
    sizes = np.array([[(result == label).sum() for label in (1, 3)] for result in results])
    for label, before in zip(sizes.T, [(labels == 1).sum(), (labels == 3).sum()], strict=True):
        assert (label > before).sum() >= 5
        assert (label < before).sum() >= 5


def test_one_small_component_of_each_label_is_removed() -> None:
    labels = np.zeros((10, 10, 10), np.int8)
    labels[:5] = 1  # half of the patch: too large
    labels[7, :2, :2] = labels[7, 5:7, 5:7] = 1
    labels[9, 0, :3] = 2
    transform = RemoveComponent(probability=1.0, largest_share=0.15)

    results = [varied(transform, labels, seed) for seed in range(20)]

    for result in results:
        assert (result[:5] == 1).all()
        assert not (result == 2).any()
        assert sorted([(result[7, :2, :2] == 1).all(), (result[7, 5:7, 5:7] == 1).all()]) == [False, True]
    assert len({result.tobytes() for result in results}) == 2


def test_the_share_of_the_patch_decides_what_may_be_removed() -> None:
    """In the reference two arguments were exchanged, so that nothing was ever removed."""
    labels = np.zeros((10, 10, 10), np.int8)
    labels[0] = 1  # a tenth
    labels[2:4, :, :] = 2  # a fifth

    result = varied(build_previous_augmentation(AugmentationRecipe(previous_removal_probability=1.0))[1], labels, 0)

    assert not (result == 1).any()
    assert (result == 2).sum() == 200


def test_voxels_that_share_a_corner_are_one_component() -> None:
    labels = np.zeros((4, 4, 4), np.int8)
    labels[0, 0, 0] = labels[1, 1, 1] = 1

    assert not varied(RemoveComponent(probability=1.0, largest_share=0.15), labels, 0).any()


@pytest.mark.parametrize(
    ("transform", "probability"),
    [
        (build_previous_augmentation(AugmentationRecipe())[0], 0.4),
        (build_previous_augmentation(AugmentationRecipe())[1], 0.2),
    ],
)
def test_the_published_share_of_samples_is_varied(transform: Any, probability: float) -> None:
    labels = np.zeros((12, 12, 12), np.int8)
    labels[4:8, 4:8, 4:8] = 1
    labels[6, 6, 6] = 0  # so that closing changes something, too

    changed = np.mean([not np.array_equal(varied(transform, labels, seed), labels) for seed in range(600)])

    assert changed == pytest.approx(probability, abs=0.05)


def test_the_default_ball_has_a_radius_of_one_to_eight_voxels() -> None:
    """A ball of radius r round one voxel: its size tells the radius that was drawn."""
    point = np.zeros((19, 19, 19), np.int8)
    point[9, 9, 9] = 1
    transform = build_previous_augmentation(AugmentationRecipe(previous_morphology_probability=1.0))[0]

    radii = []
    for seed in range(200):
        grown = varied(transform, point, seed)
        if grown.sum() > 1:
            radii.append(np.sqrt((ndimage.distance_transform_edt(point == 0)[grown == 1] ** 2).max()))

    assert len(radii) > 30
    assert min(radii) < 1.5
    assert 7 < max(radii) <= 8
