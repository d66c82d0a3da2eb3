"""How labels are told in prepared arrays: numbers in a map, fractions in planes, and what stands where nobody labelled."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from autoseg.arrays import Float32Array, FloatArray, LabelArray, Mask

BACKGROUND = 0
OUTSIDE = -1
"""The label of a prepared case where there is no image, or nothing but background outside of its nonzero region."""

IGNORED = -2
"""The label where nobody knows."""

LARGEST_LABEL = 2**15 - 1
"""Prepared labels are kept in 16 bits with a sign, for `OUTSIDE` and `IGNORED`."""

WHOLE, OUTSIDE_PLANE, IGNORED_PLANE = 250, 254, 255
"""In planes, bytes: what stands for 1, so that a fraction is off by 0.2 % at most, and the two other marks."""


def is_outside(labels: LabelArray) -> Mask:
    """Where a prepared case's labels, a map or planes, say that there is no image."""
    outside: Mask = labels == (OUTSIDE_PLANE if is_planes(labels) else OUTSIDE)
    return outside


def is_ignored(labels: LabelArray) -> Mask:
    """Where they say that nobody knows."""
    ignored: Mask = labels == (IGNORED_PLANE if is_planes(labels) else IGNORED)
    return ignored


def is_planes(labels: LabelArray) -> bool:
    """Whether they are fractions, of an output each; maps have a sign."""
    return labels.dtype == np.uint8


def is_foreground(labels: LabelArray) -> Mask:
    """Where a map holds more than background, or a plane more than half."""
    foreground: Mask = (labels >= WHOLE / 2) & (labels <= WHOLE) if is_planes(labels) else labels > BACKGROUND
    return foreground


def beyond_half(planes: LabelArray) -> Mask:
    """Where fractions are more than one half, which is where an output counts as there."""
    beyond: Mask = (planes > WHOLE / 2) & (planes <= WHOLE)
    return beyond


def mark_outside(labels: LabelArray, region: Mask) -> None:
    """Mark, in place, the background outside of a region, `(Z, Y, X)`; labels are a map, or several, or planes."""
    labels[(labels == BACKGROUND) & ~region] = OUTSIDE_PLANE if is_planes(labels) else OUTSIDE


def outside_as_background(labels: LabelArray) -> LabelArray:
    """A map of a prepared case as a network learns it and files hold it; what is ignored is background, too."""
    return labels.clip(min=BACKGROUND)


def fractions_of(planes: npt.NDArray[np.uint8]) -> Float32Array:
    """From 0 to 1; 0 outside and where nobody knows."""
    fractions: Float32Array = np.where(planes <= WHOLE, planes, np.uint8(0)).astype(np.float32) / np.float32(WHOLE)
    return fractions


def signed(planes: npt.NDArray[np.uint8]) -> npt.NDArray[np.int16]:
    """Planes as numbers that say what is outside or ignored as maps do: 0 to `WHOLE`, `OUTSIDE`, `IGNORED`."""
    numbers = planes.astype(np.int16)
    numbers[planes == OUTSIDE_PLANE] = OUTSIDE
    numbers[planes == IGNORED_PLANE] = IGNORED
    return numbers


def planes_of(fractions: FloatArray) -> npt.NDArray[np.uint8]:
    """The reverse: fractions from 0 to 1 as bytes, the nearest; what rounding left beyond is cut."""
    return np.rint(np.clip(fractions, 0, 1) * WHOLE).astype(np.uint8)
