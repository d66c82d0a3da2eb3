"""The second input of a cascade in a training patch: the same voxels as the image and the labels, whatever is done."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from autoseg.dataset.coding import WHOLE
from autoseg.dataset.target import Exclusive, Masks, Regions
from autoseg.errors import TrainingError
from autoseg.inference.cascade import expand_labels
from autoseg.preprocessing.prepare import PreparedCase
from autoseg.preprocessing.previous import PreviousMaps
from autoseg.preprocessing.store import PreparedCases
from autoseg.training.augmentation.default import (
    Augmentation,
    AugmentationRecipe,
    build_augmentation,
    build_validation_augmentation,
)
from autoseg.training.augmentation.previous_stage import build_previous_augmentation
from autoseg.training.sampling.batches import Batches, BatchKey, Stream, Supply, iterate
from autoseg.training.sampling.regions import Patches
from autoseg.training.sampling.samples import Sample, make_sample, sample_generator
from autoseg.training.trial import untouched

SHAPE = (9, 14, 12)
PATCH = (6, 8, 6)


def case(**changes: Any) -> PreparedCase:
    """Two boxes of labels away from the border, which the previous stage found to the voxel."""
    labels = np.zeros(SHAPE, np.int8)
    labels[2:7, 3:8, 2:9] = 1
    labels[3:6, 8:11, 4:8] = 2
    values: dict[str, Any] = {
        "data": np.random.default_rng(0).random((1, *SHAPE), dtype=np.float32),
        "segmentation": labels,
        "foreground": {label: np.argwhere(labels == label) for label in (1, 2)},
        "properties": untouched("boxes", SHAPE),
        "previous": labels.copy(),
    }
    return PreparedCase(**{**values, **changes})


def masks(**changes: Any) -> PreparedCase:
    """The two boxes as masks, the second of which lies in the first: planes, which the previous stage found, too."""
    labels = case().segmentation
    planes = np.stack([labels > 0, labels > 1]).astype(np.uint8) * np.uint8(WHOLE)
    return case(segmentation=planes, previous=planes.copy(), planes=((0,), (1,)), **changes)


def augmentation(*, varied: bool = False, first: int = 1, **recipe: Any) -> Augmentation:
    """The default one, rotating and scaling always; with what is done to the previous stage where wanted."""
    numbers = AugmentationRecipe(**{"rotation_probability": 1.0, "scale_probability": 1.0, **recipe})
    built = build_augmentation(numbers, patch_size=PATCH, dummy_2d=False, mirror_axes=(0, 1, 2), masked_channels=[0])
    steps = build_previous_augmentation(numbers, first=first, planes=first > 1) if varied else ()
    return replace(built, transforms=(*built.transforms, *steps))


def sample(number: int, made_from: PreparedCase | None = None, **changes: Any) -> Sample:
    settings: dict[str, Any] = {"patch_size": PATCH, "forced": False, "augmentation": Augmentation(), **changes}
    generator = sample_generator(3, 0, 0, number)
    regions = Patches(settings.pop("patch_size"))
    region = regions.of_case(made_from or case(), generator, forced=settings.pop("forced"))
    return make_sample(region, generator=generator, **settings)


def test_the_previous_labels_are_the_last_channel_and_come_from_the_same_voxels() -> None:
    numbers = np.arange(1, 1 + np.prod(SHAPE), dtype=np.float32).reshape(SHAPE)
    numbered = case(data=numbers[None], previous=(numbers % 101).astype(np.int8))

    for number in range(20):
        made = sample(number, numbered, patch_size=(4, 16, 6))
        assert made.data.shape == (2, 4, 16, 6)
        np.testing.assert_array_equal(made.data[1], made.data[0] % 101)  # 0 outside of the image, as the padding is
        assert (made.data[0] == 0).any()


def test_a_flat_patch_has_the_slice_of_the_previous_labels() -> None:
    levels = case(previous=np.broadcast_to(np.arange(9).reshape(9, 1, 1), SHAPE))

    for number in range(5):
        patch = sample(number, levels, patch_size=(14, 12))
        (level,) = np.unique(patch.data[1])
        np.testing.assert_array_equal(patch.data[0], case().data[0, int(level)])


def test_rotation_scaling_and_mirrors_move_both_inputs_and_the_labels_alike() -> None:
    made = [sample(number, augmentation=augmentation()) for number in range(30)]

    for patch in made:
        np.testing.assert_array_equal(patch.data[1], patch.labels)
    assert len({patch.labels.tobytes() for patch in made}) == 30


def test_training_varies_the_previous_labels_and_nothing_else_by_it() -> None:
    plain = [sample(number, augmentation=augmentation()) for number in range(60)]
    varied = [sample(number, augmentation=augmentation(varied=True)) for number in range(60)]

    for one, other in zip(plain, varied, strict=True):
        np.testing.assert_array_equal(one.data[0], other.data[0])
        np.testing.assert_array_equal(one.labels, other.labels)
    changed = np.mean([not np.array_equal(patch.data[1], patch.labels) for patch in varied])
    assert 0.3 < changed < 0.65  # 1 - 0.6 * 0.8, less where there is nothing to change
    assert all(set(np.unique(patch.data[1])) <= {0, 1, 2} for patch in varied)


def test_previous_masks_move_with_the_true_ones_and_are_varied_each_for_itself() -> None:
    plain = [sample(number, masks(), augmentation=augmentation()) for number in range(40)]
    changed = [sample(number, masks(), augmentation=augmentation(varied=True, first=2)) for number in range(40)]

    for one, other in zip(plain, changed, strict=True):
        assert one.data.shape == (3, *PATCH)
        np.testing.assert_array_equal(one.data[1:], np.maximum(one.labels, 0))
        np.testing.assert_array_equal(other.labels, one.labels)
        np.testing.assert_array_equal(other.data[0], one.data[0])
        assert set(np.unique(other.data[1:])) <= {0, WHOLE}
    for mask in (1, 2):
        share = np.mean([(one.data[mask] != other.data[mask]).any() for one, other in zip(plain, changed, strict=True)])
        assert 0.2 < share < 0.7
    seen = expand_labels(torch.from_numpy(plain[0].data[None]), Masks(names=("whole", "core")))
    np.testing.assert_array_equal(seen[0, 1:], np.maximum(plain[0].labels, 0) / WHOLE)


def test_regions_are_seen_as_such() -> None:
    regions = Regions(names=("whole", "core"), members=((1, 2), (2,)), order=(1, 2))
    made = sample(3)

    seen = expand_labels(torch.from_numpy(made.data[None]), regions)

    np.testing.assert_array_equal(seen[0], [made.data[0], made.data[1] > 0, made.data[1] == 2])


def test_validation_takes_the_previous_labels_as_they_are() -> None:
    for number in range(10):
        made = sample(number, augmentation=build_validation_augmentation())
        np.testing.assert_array_equal(made.data[1], made.labels)


def test_samples_of_a_cascade_depend_on_their_numbers_alone() -> None:
    varied = augmentation(varied=True)
    first = [sample(number, augmentation=varied) for number in range(12)]
    np.random.seed(99)
    again = [sample(number, augmentation=varied) for number in reversed(range(12))][::-1]

    for one, other in zip(first, again, strict=True):
        np.testing.assert_array_equal(one.data, other.data)
        np.testing.assert_array_equal(one.labels, other.labels)


@pytest.fixture
def stores(tmp_path: Path) -> tuple[PreparedCases, PreviousMaps]:
    cases, maps = PreparedCases(tmp_path / "prepared"), PreviousMaps(tmp_path / "previous_stage")
    cases.save(case(), "signature")
    maps.save("boxes", case().previous, "signature")
    return cases, maps


def batches(cases: PreparedCases, maps: PreviousMaps) -> Batches:
    training, validation = augmentation(varied=True), build_validation_augmentation()
    return Batches(
        store=cases,
        streams=(
            Stream(cases=("boxes",), augmentation=training),
            Stream(cases=("boxes",), augmentation=validation),
        ),
        patch_size=PATCH,
        batch_size=2,
        strides=((1, 1, 1), (2, 2, 2)),
        foreground_fraction=0.33,
        seed=5,
        previous=maps,
    )


def test_batches_hold_what_the_network_of_a_cascade_takes(stores: Any) -> None:
    keys = [BatchKey(1, 0, 0), BatchKey(0, 0, 0)]
    here = list(iterate(batches(*stores), keys, Supply(workers=0)))
    elsewhere = list(iterate(batches(*stores), keys, Supply(workers=1)))

    for one, other in zip(here, elsewhere, strict=True):
        assert torch.equal(one.data, other.data)
    validation = here[0]
    assert validation.data.shape == (2, 2, *PATCH)
    network_input = expand_labels(validation.data, Exclusive.numbered(3))
    for label in (1, 2):
        assert torch.equal(network_input[:, label], (validation.targets[0] == label).float())


def test_a_missing_previous_segmentation_names_its_case(stores: Any) -> None:
    cases, maps = stores
    (maps.folder / "boxes.npy").unlink()

    with pytest.raises(TrainingError, match=r"case boxes: .*its prediction by the previous stage cannot be opened"):
        list(iterate(batches(cases, maps), [BatchKey(0, 0, 0)], Supply(workers=0)))
