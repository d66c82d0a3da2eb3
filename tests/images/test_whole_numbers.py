"""Labels that are whole but for rounding come as integers; all others as they are."""

from __future__ import annotations

import numpy as np
import pytest

from autoseg.images.whole_numbers import as_whole_numbers, fractional_values, rounded_values

LABELS = np.array([0, 1, 2, 3, 255])


@pytest.mark.parametrize(
    "stored",
    [
        LABELS,
        LABELS.astype(np.float64),
        (LABELS * 1.0000001).astype(np.float32),
        (LABELS * 0.9999).astype(np.float32),
        (LABELS * 255).astype(np.float32) * np.float32(1 / 255),
        LABELS * 10 * np.float32(0.1),
        LABELS + 1e-5,
        -LABELS * -1.0 + 0.0,
    ],
)
def test_what_scaling_leaves_is_rounded(stored):
    found = as_whole_numbers(stored)

    assert found.dtype.kind == "i"
    np.testing.assert_array_equal(found, LABELS)


@pytest.mark.parametrize("odd", [0.5, 0.999, 1.001, 0.001, 2.998, -0.5, np.nan, np.inf, -np.inf, 30_000.4])
def test_what_is_not_whole_stays_as_it_is_and_is_listed(odd):
    stored = np.array([0.0, 1.0, odd])

    assert as_whole_numbers(stored) is stored
    np.testing.assert_array_equal(fractional_values(stored), [odd])


def test_the_smallest_type_that_holds_all_is_taken():
    assert [as_whole_numbers(np.array([0.0, top])).dtype for top in (32766, 32768, 2**31)] == ["i2", "i4", "i8"]
    beyond = np.array([0.0, 1e20])
    assert as_whole_numbers(beyond) is beyond


def test_what_was_rounded_is_listed():
    np.testing.assert_array_equal(rounded_values(np.array([0.0, 1.00001, 2.0, 2.9999])), [1.00001, 2.9999])
    assert not len(rounded_values(np.array([1.00001, 2.5])))
    assert not len(rounded_values(LABELS))
