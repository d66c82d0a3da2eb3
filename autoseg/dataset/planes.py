"""A label file of one output, a mask or fractions, as the bytes that a plane holds."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from autoseg.arrays import Array
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
    values = np.unique(data)
    if fault := plane_fault(values, target):
        raise DatasetError(f"{where} {fault}")
    ignored = np.zeros(data.shape, dtype=bool) if target.ignore is None else data == target.ignore
    if target.soft:
        fractions = np.clip(np.where(ignored, 0, data) / _scale(_kept(values, target)), 0, 1).astype(np.float32)
        planes = planes_of(fractions)
    else:
        planes = np.where(data == 1, np.uint8(WHOLE), np.uint8(0))
    planes[ignored] = IGNORED_PLANE
    return planes


def plane_fault(values: Array, target: Target) -> str:
    """What is wrong with the distinct values of a label file of one output; empty where nothing is."""
    kept = _kept(values, target)
    if not len(kept):
        return "is ignored everywhere: nothing is annotated; leave the case out, or draw some of it"
    if target.soft:
        odd = kept[~np.isfinite(kept) | (kept < -ROUNDING) | (kept > LARGEST_FRACTION)]
        if not len(odd) and _scale(kept) > 1:
            odd = kept[kept != np.rint(kept)]
        if len(odd):
            return (
                f"holds {first_few(odd, say=in_digits)}, {agreeing(len(odd), 'which is no fraction', 'which are no fractions')}; "
                "soft labels are from 0 to 1, or whole numbers from 0 to 255"
            )
        return ""
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


def counted_values(values: Array) -> str:
    """`value 3` or `values 3, 4`."""
    return f"{agreeing(len(values), 'value')} {first_few(values, say=in_digits)}"


def _kept(values: Array, target: Target) -> Array:
    return values if target.ignore is None else values[values != target.ignore]


def _scale(kept: Array) -> float:
    """What stands for 1."""
    return LARGEST_FRACTION if len(kept) and kept.max() > 1 + ROUNDING else 1.0
