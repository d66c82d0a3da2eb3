"""What is drawn and done is what batchgenerators draws and does, to the last bit."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from batchgenerators.transforms.color_transforms import (
    BrightnessMultiplicativeTransform,
    ContrastAugmentationTransform,
    GammaTransform,
)
from batchgenerators.transforms.noise_transforms import GaussianBlurTransform, GaussianNoiseTransform
from batchgenerators.transforms.spatial_transforms import MirrorTransform

from autoseg.training.augmentation.default import Mirroring, RandomMirroring
from autoseg.training.augmentation.intensity import (
    RandomBlur,
    RandomBrightness,
    RandomContrast,
    RandomGamma,
    RandomNoise,
)
from autoseg.training.augmentation.variations import Drawing
from autoseg.training.sampling.samples import global_generators_seeded

PAIRS = {
    "noise": (RandomNoise((0.0, 0.1), 0.5), GaussianNoiseTransform((0.0, 0.1), p_per_sample=0.5)),
    "noise of one strength": (RandomNoise((0.1, 0.1), 0.5), GaussianNoiseTransform((0.1, 0.1), p_per_sample=0.5)),
    "blur": (
        RandomBlur(sigma=(0.5, 1.0), probability=0.5, channel_probability=0.5),
        GaussianBlurTransform((0.5, 1.0), different_sigma_per_channel=True, p_per_channel=0.5, p_per_sample=0.5),
    ),
    "brightness": (
        RandomBrightness((0.75, 1.25), 0.5),
        BrightnessMultiplicativeTransform((0.75, 1.25), p_per_sample=0.5),
    ),
    "contrast": (RandomContrast((0.75, 1.25), 0.5), ContrastAugmentationTransform((0.75, 1.25), p_per_sample=0.5)),
    "more contrast": (RandomContrast((1.5, 2.0), 0.5), ContrastAugmentationTransform((1.5, 2.0), p_per_sample=0.5)),
    "gamma": (
        RandomGamma((0.7, 1.5), 0.5),
        GammaTransform((0.7, 1.5), per_channel=True, retain_stats=True, p_per_sample=0.5),
    ),
    "inverted gamma": (
        RandomGamma((0.7, 1.5), 0.5, is_inverted=True),
        GammaTransform((0.7, 1.5), invert_image=True, per_channel=True, retain_stats=True, p_per_sample=0.5),
    ),
    "mirrored": (RandomMirroring((0, 1, 2)), MirrorTransform((0, 1, 2))),
    "mirrored along one axis": (RandomMirroring((1,)), MirrorTransform((1,))),
}


def patches(shape: tuple[int, ...]) -> dict[str, Any]:
    generator = np.random.default_rng(1)
    return {
        "data": generator.normal(3, 2, (2, 3, *shape)).astype(np.float32),
        "seg": generator.integers(-1, 3, (2, 1, *shape)).astype(np.int8),
    }


@pytest.mark.parametrize("name", PAIRS)
@pytest.mark.parametrize("shape", [(5, 8, 6), (9, 7)])
def test_it_does_what_batchgenerators_does(name: str, shape: tuple[int, ...]) -> None:
    ours, theirs = PAIRS[name]
    changed = 0
    for seed in range(12):
        made, expected = patches(shape), patches(shape)
        with global_generators_seeded(np.random.default_rng(seed)):
            made = ours(**made)
            after = np.random.uniform()
        with global_generators_seeded(np.random.default_rng(seed)):
            expected = theirs(**expected)
            expected_after = np.random.uniform()

        np.testing.assert_array_equal(made["data"], expected["data"])
        np.testing.assert_array_equal(made["seg"], expected["seg"])
        assert after == expected_after
        changed += not np.array_equal(made["data"], patches(shape)["data"])
    assert changed > 4


def test_what_is_drawn_is_a_value() -> None:
    """The same numbers make the same value, whatever it is applied to later."""

    def drawn(transform: Drawing) -> list[Any]:
        with global_generators_seeded(np.random.default_rng(4)):
            return [transform.draw(2, (4, 4)) for _ in range(30)]

    mirrored = drawn(RandomMirroring((0, 1)))
    assert mirrored == drawn(RandomMirroring((1, 0)))
    assert {Mirroring((0,)), Mirroring((1,)), Mirroring((0, 1)), None} == set(mirrored)
    assert None in (found := drawn(RandomGamma((0.7, 1.5), 0.5))) and found == drawn(RandomGamma((0.7, 1.5), 0.5))
