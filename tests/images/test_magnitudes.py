"""Values that single precision does not hold, does not tell apart, or beside which all others look alike."""

from __future__ import annotations

import re

import numpy as np
import pytest

from autoseg.images.magnitudes import odd_magnitudes

NOISE = np.random.default_rng(0).normal(200, 20, (12, 20, 24))
PLACE, WHERE = (3, 4, 5), r"at voxel \(5, 4, 3; x, y, z\)"


def spoilt(value: float, places: object = PLACE, kind: type = np.float64) -> np.ndarray:
    data = NOISE.astype(kind)
    data[places] = value
    return data


@pytest.mark.parametrize(
    "data",
    [
        NOISE,
        NOISE.astype(np.float32),
        NOISE.astype(np.int16),
        NOISE.astype(np.int64),
        NOISE * 1e30,
        NOISE * 1e-30,
        NOISE.astype(np.int64) * 10**15,
        NOISE - 1e6,
        spoilt(4e4),
        spoilt(0, slice(0, 10)),  # padding
        (NOISE > 230).astype(np.uint8) * 255,  # a mask
        np.where(NOISE > 250, 1.0, 0.0) * NOISE + NOISE * 1e-12,  # a map of probabilities that are almost nowhere
        np.exp(NOISE / 20),  # skewed over six orders of magnitude
        np.arange(3)[:, None, None] + np.full((3, 4, 5), 10**7),  # whole, and held exactly
        spoilt(np.nan),  # which are told otherwise
        spoilt(np.inf),
        np.full((3, 4, 5), 1e300),
    ],
)
def test_ordinary_images_are_left_in_peace(data):
    assert odd_magnitudes(data) is None


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (spoilt(3e38, kind=np.float32), rf"holds 3e\+38 {WHERE}, beyond 1e\+37, .*; replace what marks missing values"),
        (spoilt(-1e300), rf"holds -1e\+300 {WHERE}, beyond 1e\+37"),
        (NOISE * 1e300, r"holds \d\.\d+e\+302 at voxel .* and 5760 voxels in all beyond 1e\+37"),
        (spoilt(-3.4e38, slice(0, 8), np.float32), r"holds -3\.4e\+38 .* and 3840 voxels in all beyond"),
        (spoilt(1e30, kind=np.float32), rf"holds 1e\+30 {WHERE}, so far from all others .* alike once normalised; replace"),
        (spoilt(1e30, slice(0, 8), np.float32), "holds 1e.30 .* and 3840 voxels in all so far from all others"),
        (spoilt(2**31 - 1, kind=np.int32), rf"holds 2147483647 {WHERE}, so far from all others"),
        (spoilt(2**64 - 1, kind=np.uint64), f"{WHERE}, so far from all others"),
        (spoilt(-1e9), f"holds -1e.09 {WHERE}, so far from all others"),
        (NOISE + 1e12, r"holds values from 10000000001\d\d\.\d+ to 10000000002\d\d\.\d+, which single precision tells apart by 6\.6e\+04 only"),
        (NOISE.astype(np.int64) + 2**40, "tells apart by 1.3e.05 only; take off what they have in common, or scale them"),
        (NOISE.astype(np.uint32) + 3 * 10**9, "tells apart by 2.6e.02 only"),
        (NOISE * 1e-300, r"tells apart by 1\.4e-45 only"),
    ],
)  # fmt: skip
def test_what_cannot_be_computed_with_is_named_with_value_and_place(data, words):
    found = odd_magnitudes(data)

    assert found is not None
    assert found.unusable
    assert re.search(words, found.text), found.text


def test_a_voxel_that_only_squeezes_the_others_is_worth_a_look():
    found = odd_magnitudes(spoilt(1e6))

    assert found is not None
    assert not found.unusable
    assert "these differ by 0.008 standard deviations only" in found.text
