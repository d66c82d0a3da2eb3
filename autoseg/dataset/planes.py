"""A label file of one output, a mask or fractions: what it says, and the bytes that a plane holds of it."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from autoseg.arrays import Array, Float32Array
from autoseg.dataset.coding import IGNORED_PLANE, WHOLE, planes_of
from autoseg.dataset.target import Target
from autoseg.errors import DatasetError
from autoseg.words import agreeing, first_few, in_digits

LARGEST_FRACTION = 255
"""What stands for 1 in files of whole numbers that go beyond 1."""

ROUNDING = 1e-6
"""What a fraction may lie beyond 0 or 1, of interpolation or a header's scaling."""


def read_plane(data: Array, target: Target, where: str) -> npt.NDArray[np.uint8]:
    """The plane `(Z, Y, X)` of a label file's values.

    Args:
        where: What is said of the file before what is wrong with it.

    Raises:
        DatasetError: It holds values that are neither the output's nor ignored.
    """
    if target.soft:
        fractions = read_fractions(data, target.ignore, where)
        planes = planes_of(np.nan_to_num(fractions))
        planes[np.isnan(fractions)] = IGNORED_PLANE
        return planes
    if fault := plane_fault(np.unique(data), target):
        raise DatasetError(f"{where} {fault}")
    planes = np.zeros(data.shape, dtype=np.uint8)
    planes[data == 1] = WHOLE
    if target.ignore is not None:
        planes[data == target.ignore] = IGNORED_PLANE
    return planes


def read_fractions(data: Array, ignore: int | None, where: str) -> Float32Array:
    """What soft labels say, `(Z, Y, X)` from 0 to 1; NaN where nobody knows.

    Args:
        ignore: The value of what nobody knows; None where there is none.
        where: What is said of the file before what is wrong with it.

    Raises:
        DatasetError: It holds values that are no fractions.
    """
    kept = _kept(data, ignore)
    if fault := _nothing_in(kept) or _no_fractions(kept):
        raise DatasetError(f"{where} {fault}")
    fractions = np.multiply(data, 1 / _scale(kept), dtype=np.float32)
    np.clip(fractions, 0, 1, out=fractions)
    if ignore is not None:
        fractions[data == ignore] = np.nan
    return fractions


def plane_fault(values: Array, target: Target) -> str:
    """What is wrong with the distinct values of a label file of one output; empty where nothing is."""
    kept = _kept(values, target.ignore)
    if nothing := _nothing_in(kept):
        return nothing
    if target.soft:
        return _no_fractions(kept)
    odd = kept[(kept != 0) & (kept != 1)]
    if not len(odd):
        return ""
    fractions = odd[(odd > 0) & (odd < 1)]
    if len(fractions):
        return (
            f"holds fractions, such as {first_few(fractions, 3, say=in_digits)}; save masks as 0 and 1, or declare "
            '"soft_labels": true in dataset.json'
        )
    beside = "" if target.ignore is None else f", or {target.ignore} where it is ignored"
    return f"holds the {counted_values(odd)}, and a mask holds 0 and 1{beside}; correct the file"


def _nothing_in(kept: Array) -> str:
    return "" if kept.size else "is ignored everywhere: nothing is annotated; leave the case out, or draw some of it"


def _no_fractions(kept: Array) -> str:
    """Of all values or the distinct ones."""
    odd = np.unique(kept[~((kept >= -ROUNDING) & (kept <= LARGEST_FRACTION))])
    if not len(odd) and _scale(kept) > 1:
        odd = np.unique(kept[kept != np.rint(kept)])
    if not len(odd):
        return ""
    return (
        f"holds {first_few(odd, say=in_digits)}, {agreeing(len(odd), 'which is no fraction', 'which are no fractions')}; "
        "soft labels are from 0 to 1, or whole numbers from 0 to 255"
    )


def counted_values(values: Array) -> str:
    """`value 3` or `values 3, 4`."""
    return f"{agreeing(len(values), 'value')} {first_few(values, say=in_digits)}"


def _kept(values: Array, ignore: int | None) -> Array:
    return values if ignore is None else values[values != ignore]


def _scale(kept: Array) -> float:
    """What stands for 1."""
    return LARGEST_FRACTION if kept.size and kept.max() > 1 + ROUNDING else 1.0
