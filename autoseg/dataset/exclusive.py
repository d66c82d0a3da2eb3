"""One whole number a voxel, or one label's fraction: the outputs share the voxel among them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from autoseg.arrays import Float32Array, FloatArray, LabelArray, Mask
from autoseg.dataset.coding import (
    BACKGROUND,
    LARGEST_LABEL,
    fractions_of,
    is_ignored,
    outside_as_background,
    planes_of,
)
from autoseg.dataset.one_map import OneMap
from autoseg.errors import DatasetError


@dataclass(frozen=True, slots=True, kw_only=True)
class Exclusive(OneMap):
    """One whole number a voxel: of all labels, the background among them, exactly one holds.

    Attributes:
        names: Of the labels; the index is the value, 0 is the background.
        ignore: The value in label files where nobody knows; None where there is none.
        soft: Whether files hold fractions of the one label above the background.
    """

    names: tuple[str, ...]
    ignore: int | None = None
    soft: bool = False

    activation: ClassVar = "softmax"

    def __post_init__(self) -> None:
        if len(self.names) < 2:
            raise DatasetError("labels: declare the background and at least one more label")
        if len(self.names) - 1 > LARGEST_LABEL:
            raise DatasetError(f"labels: {too_many_labels(len(self.names))}")
        if double := [name for name, times in Counter(self.names).items() if times > 1]:
            raise DatasetError(f"labels: given twice: {', '.join(double)}; name each label differently")
        if self.soft and len(self.names) > 2:
            raise DatasetError(
                f"soft_labels: one file holds the fractions of one label, and {len(self.names) - 1} are declared; "
                'name each under "masks", with a file of its own'
            )
        require_ignore(self.ignore, self.values, soft=self.soft)

    @classmethod
    def numbered(cls, outputs: int) -> Exclusive:
        """So many labels that nobody named, the background counted."""
        return cls(names=("background", *(f"label {value}" for value in range(1, outputs))))

    @property
    def labels(self) -> tuple[str, ...]:
        """The background's name, and that of each number of `scored` at its index."""
        return self.names

    @property
    def outputs(self) -> tuple[str, ...]:
        """Names of what a network scores in each voxel, in the order of its channels."""
        return self.names

    @property
    def scored(self) -> range:
        """Numbers of the outputs that are looked at: by losses and scores, sampling, rules, and a cascade's next stage."""
        return range(BACKGROUND + 1, len(self.names))

    @property
    def in_planes(self) -> bool:
        """Whether prepared arrays tell labels in planes of fractions, and not in a map."""
        return self.soft

    @property
    def values(self) -> range:
        """What a segmentation may hold."""
        return range(BACKGROUND, len(self.names))

    def decide(self, probabilities: FloatArray, *, summed: int = 1) -> LabelArray:
        """The segmentation `(...)` of the sum of so many probabilities `(outputs, ...)`: of equally probable labels the lowest.

        Of soft labels the plane `(...)` of the one label's fractions.
        """
        if self.soft:
            return planes_of(probabilities[BACKGROUND + 1] / summed)
        best = probabilities[0].copy()
        labels = np.zeros(best.shape, dtype=self.written_type)
        for label in range(1, len(probabilities)):  # output by output, as numpy's argmax is slow
            labels[probabilities[label] > best] = label
            np.maximum(best, probabilities[label], out=best)
        return labels

    @property
    def value_names(self) -> tuple[str, ...]:
        """What a file that names its segments should call each value; empty where values have no names."""
        return () if self.soft else self.names

    def members_of(self, number: int) -> tuple[int, ...]:
        """The labels of a map that a number of `scored` covers."""
        return (number,)

    def label_of(self, number: int) -> int:
        """The label that a number of `scored` writes into a map."""
        return number

    def undrawn(self, names: Sequence[str] | None) -> tuple[int, ...]:
        """Numbers of `scored` that nobody drew, of the names that were drawn in a case; None: all were."""
        return () if names is None else tuple(number for number in self.scored if self.names[number] not in names)

    def drawn_outputs(self, names: Sequence[str] | None) -> tuple[bool, ...]:
        """Whether somebody drew each output, of the names that were drawn in a case; None: all."""
        return tuple(names is None or number == BACKGROUND or name in names for number, name in enumerate(self.names))

    def encode(self, labels: LabelArray) -> Float32Array:
        """What the probabilities `(outputs, ...)` should be of a prepared map `(...)`, or of the plane `(1, ...)` if soft."""
        if self.soft:
            fractions = fractions_of(labels[0].astype(np.uint8, copy=False))
            return np.stack([1 - fractions, fractions])
        numbers = np.arange(len(self.names)).reshape(-1, *[1] * labels.ndim)
        truth: Float32Array = (outside_as_background(labels) == numbers).astype(np.float32)
        return truth

    def known(self, labels: LabelArray) -> Mask:
        """Where anybody knows what should be, `(1, ...)`, for all outputs alike."""
        return ~is_ignored(labels if self.soft else labels[None])


def require_ignore(ignore: int | None, values: Sequence[int], *, soft: bool) -> None:
    """Refuse a value for what is unknown that says something else, too."""
    if ignore is None:
        return
    if soft and ignore <= 1:
        raise DatasetError(f"ignore: {ignore} is a fraction, too; take another value, such as 255")
    if ignore in values:
        raise DatasetError(f"ignore: {ignore} is also a label; take a value above all labels")
    if ignore <= max(values):
        raise DatasetError(f"ignore: {ignore} does not lie above the labels; take a value above {max(values)}")
    if ignore > LARGEST_LABEL:
        raise DatasetError(f"ignore: {ignore} is too large; take a value up to {LARGEST_LABEL}")


def too_many_labels(declared: int) -> str:
    """What is said of more labels, background included, than can be used."""
    return f"{declared - 1} above background, and {LARGEST_LABEL} can be used; join labels, or leave some out"
