"""The synthetic task: whole, the same each time, and not solved by brightness alone."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from scipy import ndimage

from autoseg.conversion.phantom import LABELS, SPACING_MM, make_phantom, make_phantom_task
from autoseg.dataset import read_dataset
from autoseg.dataset.raw_cases import read_case
from autoseg.images import read_image
from autoseg.planning.verification import verify_dataset


def test_the_task_is_a_raw_task_without_a_fault(tmp_path: Path) -> None:
    folder = make_phantom_task(tmp_path, "Task900_Phantom", cases=5, test_cases=2)

    dataset = read_dataset(folder)
    report = verify_dataset(folder, workers=1)

    assert report.findings == ()
    assert dataset.target.outputs == LABELS
    assert len(dataset.training) == 5
    assert [case.identifier for case in dataset.test] == ["phantom_005", "phantom_006"]
    truth = read_image(folder / "labelsTs" / "phantom_006.nii.gz")
    assert truth.geometry == read_case(dataset.test[1]).geometry
    assert set(np.unique(truth.data)) == {0, 1, 2}


def test_a_seed_always_draws_the_same_volume() -> None:
    first, second, other = (make_phantom(np.random.default_rng(seed)) for seed in (1, 1, 2))

    np.testing.assert_array_equal(first[0], second[0])
    np.testing.assert_array_equal(first[1], second[1])
    assert first[2] == second[2] != other[2]


def test_cases_differ_in_size_and_voxel_size_and_hold_both_organs() -> None:
    drawn = [make_phantom(np.random.default_rng(seed)) for seed in range(8)]

    assert len({image.shape for image, _, _ in drawn}) > 4
    for image, label, geometry in drawn:
        assert all(low <= side <= high for side, (low, high) in zip(geometry.spacing, SPACING_MM, strict=True))
        shares = [(label == value).mean() for value in (1, 2)]
        assert 0.02 < shares[0] < 0.25
        assert 0.005 < shares[1] < 0.1
        assert ndimage.label(label == 1)[1] <= 4
        assert (image[label > 0] > 0).mean() > 0.99


def test_brightness_alone_does_not_separate_the_organs() -> None:
    """The best threshold on a smoothed image overlaps far less with the organs than a network's result does."""
    scores = []
    for seed in range(5):
        image, label, _ = make_phantom(np.random.default_rng(seed))
        smooth = ndimage.gaussian_filter(image.astype(float), 1)
        organ = label > 0
        scores.append(
            max(
                2 * (organ & (smooth > level)).sum() / (organ.sum() + (smooth > level).sum())
                for level in range(100, 180, 5)
            )
        )
    assert max(scores) < 0.9
    assert np.mean(scores) > 0.4
