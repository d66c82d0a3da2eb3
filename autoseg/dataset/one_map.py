"""What targets share whose segmentation is one map of labels in one file."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

import numpy as np

from autoseg.arrays import LabelArray, label_type
from autoseg.geometry import Shape


class OneMap:
    """A map says all of a voxel, whatever outputs a network has."""

    __slots__ = ()

    drawn_apart: ClassVar = False

    @property
    def values(self) -> Sequence[int]:
        """What a map may hold, ascending, beside `ignore`."""
        raise NotImplementedError

    @property
    def written_type(self) -> type[np.uint8] | type[np.uint16]:
        """The smallest unsigned type of a segmentation."""
        return label_type(self.values[-1] + 1)

    @property
    def in_planes(self) -> bool:
        """Whether prepared arrays tell labels in planes of fractions, and not in a map."""
        return False

    def kept(self, segmentation: LabelArray) -> LabelArray:
        """A segmentation `(Z, Y, X)` as prepared arrays tell labels, in the smallest type: a map, or if soft its plane alone."""
        if self.in_planes:
            return segmentation[None]
        return segmentation.astype(np.int8 if self.values[-1] <= np.iinfo(np.int8).max else np.int16)

    @property
    def maps(self) -> int:
        """How many maps a segmentation has."""
        return 1

    def files_of(self, stem: str) -> tuple[str, ...]:
        """Names, endings and raters left out, of the files that hold a case's labels."""
        return (stem,)

    def shape_of(self, space: Shape) -> Shape:
        """Of a segmentation of so many voxels."""
        return space

    def maps_of(self, segmentation: LabelArray) -> tuple[LabelArray, ...]:
        """What each of the files of a segmentation holds."""
        return (segmentation,)

    def joined(self, maps: Sequence[LabelArray]) -> LabelArray:
        """The segmentation of what its files hold, in their order."""
        (only,) = maps
        return only

    def map_of(self, number: int) -> int:  # noqa: ARG002
        """Which of the maps of a segmentation a number of `scored` is told in."""
        return 0
