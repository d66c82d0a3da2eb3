from __future__ import annotations

import numpy as np
import pytest
from batchgenerators.transforms.resample_transforms import SimulateLowResolutionTransform as TheirTransform
from skimage.transform import resize

from autoseg.training.augmentation.low_resolution import SimulateLowResolution, enlarge, nearest_voxels


@pytest.mark.parametrize(("shape", "ignored"), [((13, 16, 10), ()), ((5, 16, 18), (0,)), ((14, 21), ())])
def test_it_does_what_batchgenerators_does(shape: tuple[int, ...], ignored: tuple[int, ...]) -> None:
    ours = SimulateLowResolution(zoom=(0.5, 1.0), sample_probability=0.7, channel_probability=0.6, ignored_axes=ignored)
    theirs = TheirTransform(
        (0.5, 1.0),
        per_channel=True,
        p_per_channel=0.6,
        order_downsample=0,
        order_upsample=3,
        p_per_sample=0.7,
        ignore_axes=ignored or None,
    )
    changed = 0
    for seed in range(12):
        data = np.random.default_rng(seed).normal(size=(2, 2, *shape)).astype(np.float32)
        np.random.seed(seed)
        expected = theirs(data=data.copy())["data"]
        labels = np.zeros_like(data[:, :1], dtype=np.int8)
        np.random.seed(seed)
        made = ours(data=data.copy(), seg=labels)["data"]

        np.testing.assert_allclose(made, expected, atol=2e-5)
        changed += (made != data).any(axis=tuple(range(2, data.ndim))).sum()
    assert changed > 10


@pytest.mark.parametrize(("old", "new"), [(10, 5), (10, 7), (13, 12), (9, 9), (40, 21), (7, 1)])
def test_the_nearest_voxels_are_those_of_the_library(old: int, new: int) -> None:
    expected = resize(np.arange(old, dtype=float)[:, None], (new, 1), order=0, mode="edge", anti_aliasing=False)

    np.testing.assert_array_equal(nearest_voxels(old, new), expected[:, 0])


def test_a_patch_that_is_enlarged_stays_within_its_values() -> None:
    image = np.random.default_rng(0).random((4, 5, 6), np.float32)

    enlarged = enlarge(image, (9, 11, 13))

    assert enlarged.shape == (9, 11, 13)
    assert image.min() <= enlarged.min() and enlarged.max() <= image.max()
