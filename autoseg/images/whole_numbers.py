"""Labels are whole numbers, however a file stores them: what a header's scaling makes of them is rounded back."""

from __future__ import annotations

import numpy as np

from autoseg.arrays import Array

RELATIVE, LARGEST_ROUNDING = 2e-4, 0.1
"""A slope written with four decimals, 0.9999, moves a label by a ten-thousandth of itself; interpolation makes values all
over, and never such alone."""


def as_whole_numbers(data: Array) -> Array:
    """The values as integers, where all are whole but for rounding; as they are where they are not.

    Args:
        data: Of any shape and type.

    Returns:
        Integers unchanged, others as the smallest of int16, int32 and int64 that holds them.
    """
    if data.dtype.kind in "iu" or len(fractional_values(data)):
        return data
    low, high = float(data.min()), float(data.max())
    for kind in (np.int16, np.int32, np.int64):
        if np.iinfo(kind).min <= low and high < np.iinfo(kind).max:
            return np.rint(data).astype(kind)
    return data


def fractional_values(data: Array) -> Array:
    """The distinct values, sorted, that are not whole; none where rounding makes all whole (NaN and infinite ones never are)."""
    found = _not_whole(data)
    return found[:0] if _are_rounded(found) else found


def rounded_values(data: Array) -> Array:
    """The distinct values, sorted, that are not whole, where rounding makes all of them so."""
    found = _not_whole(data)
    return found if _are_rounded(found) else found[:0]


def _not_whole(data: Array) -> Array:
    if data.dtype.kind in "iu":
        return data[:0].reshape(-1)
    return np.unique(data[~np.isfinite(data) | (data != np.rint(data))])


def _are_rounded(values: Array) -> bool:
    if not np.isfinite(values).all():
        return False
    rounding = np.clip(RELATIVE * np.abs(values), RELATIVE, LARGEST_ROUNDING)
    return bool(np.all(np.abs(values - np.rint(values)) <= rounding))
