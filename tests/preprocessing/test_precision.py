"""Intensities are kept in half precision where that moves them by too little to matter, and only there."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from autoseg.preprocessing.precision import kept_precision

NOISE = np.random.default_rng(0).standard_normal((3, 8, 9, 10), dtype=np.float32)


@pytest.mark.parametrize(
    ("data", "kept"),
    [
        (NOISE, np.float16),
        (NOISE + 19, np.float16),
        (NOISE + 21, np.float32),
        (NOISE - 21, np.float32),
        (1e-6 * NOISE, np.float32),
        (2e-3 * NOISE, np.float16),
        (np.where(NOISE > 3, np.float32(65_504), NOISE), np.float16),
        (np.where(NOISE > 3, np.float32(65_536), NOISE), np.float32),
        (np.where(NOISE > 3, np.float32(-65_536), NOISE), np.float32),
        (np.zeros_like(NOISE), np.float16),
        (np.full_like(NOISE, 2048), np.float16),
        (np.full_like(NOISE, 2049), np.float32),
        (np.round(128 + 60 * NOISE).clip(0, 255), np.float16),
        (np.stack([NOISE[0], NOISE[1] + 1000]), np.float32),
    ],
    ids=str,
)
def test_half_precision_is_kept_where_it_suffices(data: Any, kept: type) -> None:
    assert kept_precision(data.astype(np.float32)) is kept


def test_what_is_kept_in_half_moves_by_a_hundredth_of_the_deviation_at_most_near_the_mean() -> None:
    for mean in (0, 1, 5, 19.9):
        data = NOISE[:1] + np.float32(mean)
        assert kept_precision(data) is np.float16
        moved = np.abs(data.astype(np.float16).astype(np.float32) - data)[np.abs(data - mean) < 1]
        assert moved.max() <= 0.01
