"""Outputs that hold or not, each for itself: regions of a map of labels, and masks with a file each."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import numpy.typing as npt

from autoseg.arrays import Float32Array, FloatArray, LabelArray, Mask
from autoseg.dataset.coding import (
    BACKGROUND,
    LARGEST_LABEL,
    WHOLE,
    fractions_of,
    is_ignored,
    outside_as_background,
    planes_of,
)
from autoseg.dataset.exclusive import require_ignore
from autoseg.dataset.one_map import OneMap
from autoseg.errors import DatasetError
from autoseg.geometry import Shape
from autoseg.words import first_few

THRESHOLD = 0.5
"""An output holds where it is more probable than not."""


class NamedOutputs:
    """What regions and masks share: outputs by name, beside a background that is none."""

    __slots__ = ()

    names: tuple[str, ...]

    @property
    def labels(self) -> tuple[str, ...]:
        """The background's name, and that of each number of `scored` at its index."""
        return ("background", *self.names)

    @property
    def outputs(self) -> tuple[str, ...]:
        """Names of what a network scores in each voxel, in the order of its channels."""
        return self.names

    @property
    def scored(self) -> range:
        """Numbers of the outputs that are looked at; the channel of a number is the one before it."""
        return range(1, len(self.names) + 1)

    def undrawn(self, names: Sequence[str] | None) -> tuple[int, ...]:
        """Numbers of `scored` that nobody drew, of the names that were drawn in a case; None: all were."""
        return () if names is None else tuple(number for number in self.scored if self.labels[number] not in names)

    def drawn_outputs(self, names: Sequence[str] | None) -> tuple[bool, ...]:
        """Whether somebody drew each output, of the names that were drawn in a case; None: all."""
        return tuple(names is None or name in names for name in self.names)

    @property
    def value_names(self) -> tuple[str, ...]:
        """What a file that names its segments should call each value; empty where values have no names."""
        return ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Regions(NamedOutputs, OneMap):
    """Sets of the labels of a map, which may lie in each other.

    Attributes:
        names: Of the regions.
        members: The labels that each covers.
        order: The label that each writes into a segmentation; a region writes over those before it.
        ignore: The value in label files where nobody knows; None where there is none.
    """

    names: tuple[str, ...]
    members: tuple[tuple[int, ...], ...]
    order: tuple[int, ...]
    ignore: int | None = None

    activation: ClassVar = "sigmoid"
    soft: ClassVar = False

    def __post_init__(self) -> None:
        _require_names(self.names, "labels", "region")
        if len(self.members) != len(self.names) or not all(self.members):
            raise DatasetError("labels: every region needs the labels that it covers, at least one")
        for name, members in zip(self.names, self.members, strict=True):
            if BACKGROUND in members:
                raise DatasetError(f"labels: region {name} covers 0, which is the background")
            if min(members) < 0 or max(members) > LARGEST_LABEL:
                raise DatasetError(f"labels: region {name}: a label is a whole number from 1 to {LARGEST_LABEL}")
            if len(set(members)) < len(members):
                raise DatasetError(f"labels: region {name} names a label twice")
        self._require_order()
        require_ignore(self.ignore, self.values, soft=False)

    def _require_order(self) -> None:
        if len(self.order) != len(self.names):
            raise DatasetError(
                f"regions_class_order: give each region its label, in their order ({', '.join(self.names)}); "
                f"found {len(self.order)}"
            )
        if unknown := [label for label in self.order if label not in self.values or label == BACKGROUND]:
            raise DatasetError(f"regions_class_order: {first_few(unknown)}: no region covers it")
        if double := [label for label, times in Counter(self.order).items() if times > 1]:
            raise DatasetError(
                f"regions_class_order: {first_few(double)} is written by two regions, and nobody could tell them apart; "
                "give each region a label of its own"
            )

    @property
    def values(self) -> tuple[int, ...]:
        """What a map of labels may hold, beside `ignore`."""
        return (BACKGROUND, *sorted({label for members in self.members for label in members}))

    @property
    def table(self) -> npt.NDArray[np.uint8]:
        """`(largest label + 1, regions)`: 1 where a region covers a label."""
        table = np.zeros((self.values[-1] + 1, len(self.names)), dtype=np.uint8)
        for region, members in enumerate(self.members):
            table[list(members), region] = 1
        return table

    def decide(self, probabilities: FloatArray, *, summed: int = 1) -> LabelArray:
        """The segmentation `(...)` of the sum of so many probabilities `(outputs, ...)`, regions written in their order."""
        labels = np.zeros(probabilities.shape[1:], dtype=self.written_type)
        for probability, label in zip(probabilities, self.order, strict=True):
            labels[probability > THRESHOLD * summed] = label
        return labels

    def members_of(self, number: int) -> tuple[int, ...]:
        """The labels of a map that a number of `scored` covers."""
        return self.members[number - 1]

    def label_of(self, number: int) -> int:
        """The label that a number of `scored` writes into a map."""
        return self.order[number - 1]

    def encode(self, labels: LabelArray) -> Float32Array:
        """What the probabilities `(outputs, ...)` should be of a prepared map `(...)`."""
        return np.moveaxis(self.table[outside_as_background(labels)], -1, 0).astype(np.float32)

    def known(self, labels: LabelArray) -> Mask:
        """Where anybody knows what should be, `(1, ...)`, for all outputs alike."""
        return ~is_ignored(labels[None])


@dataclass(frozen=True, slots=True, kw_only=True)
class Masks(NamedOutputs):
    """Outputs that were drawn into a file each, or by several raters into several, and may overlap.

    Attributes:
        names: Of the masks.
        ignore: The value in their files where nobody knows; None where there is none.
        soft: Whether files hold fractions from 0 to 1, or from 0 to 255.
    """

    names: tuple[str, ...]
    ignore: int | None = None
    soft: bool = False

    activation: ClassVar = "sigmoid"
    drawn_apart: ClassVar = True

    def __post_init__(self) -> None:
        _require_names(self.names, "masks", "mask")
        require_ignore(self.ignore, self.values, soft=self.soft)

    @property
    def values(self) -> range:
        """What a file of a mask may hold, beside `ignore` and, if soft, what lies between."""
        return range(BACKGROUND, 2)

    @property
    def written_type(self) -> type[np.uint8] | type[np.uint16]:
        """Of a segmentation, a mask an output."""
        return np.uint8

    @property
    def in_planes(self) -> bool:
        """Whether prepared arrays tell labels in planes of fractions, and not in a map."""
        return True

    def kept(self, segmentation: LabelArray) -> LabelArray:
        """A segmentation `(outputs, Z, Y, X)` as prepared arrays tell labels: planes."""
        return segmentation if self.soft else segmentation * np.uint8(WHOLE)

    @property
    def maps(self) -> int:
        """How many maps a segmentation has."""
        return len(self.names)

    def decide(self, probabilities: FloatArray, *, summed: int = 1) -> LabelArray:
        """The masks `(outputs, ...)` of the sum of so many probabilities `(outputs, ...)`; if soft, planes of fractions."""
        if self.soft:
            return planes_of(probabilities / summed)
        return (probabilities > THRESHOLD * summed).astype(self.written_type)

    def members_of(self, number: int) -> tuple[int, ...]:  # noqa: ARG002
        """The values that count in a file of its own."""
        return (1,)

    def label_of(self, number: int) -> int:  # noqa: ARG002
        """The value that is written into it."""
        return 1

    def map_of(self, number: int) -> int:
        """Which of the maps of a segmentation a number of `scored` is told in."""
        return number - 1

    def files_of(self, stem: str) -> tuple[str, ...]:
        """Names, endings and raters left out, of the files that hold a case's labels."""
        return tuple(f"{stem}_{name}" for name in self.names)

    def shape_of(self, space: Shape) -> Shape:
        """Of a segmentation of so many voxels."""
        return (len(self.names), *space)

    def maps_of(self, segmentation: LabelArray) -> tuple[LabelArray, ...]:
        """What each of the files of a segmentation holds."""
        return tuple(segmentation)

    def joined(self, maps: Sequence[LabelArray]) -> LabelArray:
        """The segmentation of what its files hold, in their order."""
        return np.stack(maps)

    def encode(self, labels: LabelArray) -> Float32Array:
        """What the probabilities `(outputs, ...)` should be of prepared planes `(outputs, ...)`."""
        return fractions_of(labels.astype(np.uint8, copy=False))

    def known(self, labels: LabelArray) -> Mask:
        """Where anybody knows what should be, `(outputs, ...)`."""
        return ~is_ignored(labels)


def _require_names(names: Sequence[str], key: str, noun: str) -> None:
    if not names:
        raise DatasetError(f"{key}: declare at least one {noun}")
    if double := [name for name, times in Counter(names).items() if times > 1]:
        raise DatasetError(f"{key}: given twice: {', '.join(double)}; name each {noun} differently")
