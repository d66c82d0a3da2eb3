"""Which slices of a case patches of two sides are drawn from: all, or those that show what is to be learned.

Source of the three conditions: the slice filters of ivadomed (Gros et al. 2021), which leave out slices without labels, those in
which a channel holds one value only, and those with too few pixels of a region of interest.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np

from autoseg.arrays import Array, Locations
from autoseg.catalogue import Catalogue, Part, Settings
from autoseg.dataset.coding import is_foreground, is_ignored
from autoseg.errors import TrainingError
from autoseg.preprocessing.prepare import PreparedCase

ALL = "all"


def every_slice(case: PreparedCase) -> Array:
    """None is left out."""
    return np.arange(case.data.shape[1])


@dataclass(frozen=True, slots=True, kw_only=True)
class Chosen(Settings):
    """Slices are left out that teach nothing.

    Attributes:
        labels: Whether a slice must show a label, of any rater.
        image: Whether no channel of it may hold one value only.
        known: More pixels than so many must not be ignored, which are those of a region of interest.
    """

    labels: bool = False
    image: bool = True
    known: int = 0

    def __post_init__(self) -> None:
        if self.known < 0:
            raise TrainingError(f"known: 0 or more, found {self.known}")

    def build(self, case: PreparedCase) -> Array:
        """The indices of the slices that are kept."""
        return np.array([number for number in range(case.data.shape[1]) if self._keeps(case, number)], dtype=np.intp)

    def _keeps(self, case: PreparedCase, number: int) -> bool:
        if self.image and any(channel.min() == channel.max() for channel in case.data[:, number]):
            return False
        labels = case.segmentation
        if labels is None:
            return True
        maps = labels[None, number] if labels.ndim == case.data.ndim - 1 else labels[:, number]
        if self.labels and not is_foreground(maps).any():
            return False
        return int((~is_ignored(maps)).any(axis=0).sum()) > self.known


SLICES = Catalogue(kind="choice of slices", entries={ALL: every_slice, "chosen": Chosen}, given=("case",))


ALL_SLICES = SLICES.part(ALL)


@dataclass(frozen=True, slots=True)
class SliceChoice:
    """The slices that a part of a recipe keeps of each case; looked for once a case.

    Attributes:
        part: Of `SLICES`.
    """

    part: Part
    _found: dict[str, Array] = field(default_factory=dict, compare=False, repr=False)

    def of(self, case: PreparedCase) -> Array:
        """Indices along the first axis of the grid, ascending; perhaps none."""
        name = case.properties.identifier
        if name not in self._found:
            self._found[name] = np.asarray(SLICES.build(self.part, case=case), dtype=np.intp)
        return self._found[name]

    def foreground(self, case: PreparedCase) -> Mapping[int, Locations]:
        """Of the recorded voxels of each label those in such slices."""
        kept = self.of(case)
        return {label: voxels[np.isin(voxels[:, 0], kept)] for label, voxels in case.foreground.items()}


def choice_of(part: Part) -> SliceChoice | None:
    """The choice of a recipe; None where all slices are taken."""
    return None if part.name == ALL else SliceChoice(part)
