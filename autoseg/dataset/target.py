"""What is predicted of a task: which outputs a network has, and how they and the labels of a case follow from each other.

A kind of target is a frozen value, and the only place that knows its convention; all else asks it. What it means to a
network, in torch, stands under the name of its activation in `networks.activations`. There is one kind so far.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from typing import ClassVar, TypeAlias

import numpy as np

from autoseg.arrays import FloatArray, LabelArray, Mask, label_type
from autoseg.errors import DatasetError

BACKGROUND = 0
OUTSIDE = -1
"""The label of a prepared case where there is no image, or nothing but background outside of its nonzero region."""

LARGEST_LABEL = 2**15 - 1
"""Prepared labels are kept in 16 bits with a sign, for `OUTSIDE`."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Exclusive:
    """One whole number a voxel: of all labels, the background among them, exactly one holds.

    Attributes:
        names: Of the labels; the index is the value, 0 is the background.
    """

    names: tuple[str, ...]

    activation: ClassVar = "softmax"

    def __post_init__(self) -> None:
        if len(self.names) < 2:
            raise DatasetError("labels: declare the background and at least one more label")
        if len(self.names) - 1 > LARGEST_LABEL:
            raise DatasetError(f"labels: {too_many_labels(len(self.names))}")
        if double := [name for name, times in Counter(self.names).items() if times > 1]:
            raise DatasetError(f"labels: given twice: {', '.join(double)}; name each label differently")

    @classmethod
    def numbered(cls, outputs: int) -> Exclusive:
        """So many labels that nobody named, the background counted."""
        return cls(names=("background", *(f"label {value}" for value in range(1, outputs))))

    @property
    def outputs(self) -> tuple[str, ...]:
        """Names of what a network scores in each voxel, in the order of its channels."""
        return self.names

    @property
    def scored(self) -> range:
        """Which outputs are looked at: by losses and scores, by sampling, by rules, and by a cascade's next stage."""
        return range(BACKGROUND + 1, len(self.names))

    @property
    def values(self) -> range:
        """What a segmentation may hold."""
        return range(BACKGROUND, len(self.names))

    @property
    def written_type(self) -> type[np.uint8] | type[np.uint16]:
        """The smallest unsigned type of a segmentation."""
        return label_type(len(self.names))

    @property
    def kept_type(self) -> type[np.int8] | type[np.int16]:
        """The smallest type of a segmentation beside `OUTSIDE`."""
        return np.int8 if self.values[-1] <= np.iinfo(np.int8).max else np.int16

    def decide(self, probabilities: FloatArray) -> LabelArray:
        """The segmentation `(...)` of probabilities `(outputs, ...)`: of equally probable labels the lowest."""
        best = probabilities[0].copy()
        labels = np.zeros(best.shape, dtype=self.written_type)
        for label in range(1, len(probabilities)):  # output by output, as numpy's argmax is slow
            labels[probabilities[label] > best] = label
            np.maximum(best, probabilities[label], out=best)
        return labels


Target: TypeAlias = Exclusive
"""Every kind there is; those to come join it with `|`, so that mypy asks each of them for all that is used."""


def too_many_labels(declared: int) -> str:
    """What is said of more labels, background included, than can be used."""
    return f"{declared - 1} above background, and {LARGEST_LABEL} can be used; join labels, or leave some out"


def is_outside(labels: LabelArray) -> Mask:
    """Where a prepared case's labels say that there is no image."""
    return labels < BACKGROUND


def outside_as_background(labels: LabelArray) -> LabelArray:
    """Labels of a prepared case as a network learns them and files hold them."""
    return labels.clip(min=BACKGROUND)
