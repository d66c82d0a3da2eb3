"""The planner of 2d: slices across the axis with the largest voxels."""

from __future__ import annotations

import math
from collections.abc import Mapping
from functools import cached_property

import numpy as np

from autoseg.files.layout import SLICES
from autoseg.geometry import Shape, Spacing, reorder
from autoseg.planning.planner import Planner, Stage
from autoseg.planning.spacing import median_spacing
from autoseg.planning.topology import PatchTopology


class Planner2D(Planner):
    """Plan the 2d configuration."""

    max_features = 512
    """Cap of the channels (Isensee et al. 2021, Fig. 2, "Architecture template")."""
    memory_reference = 19_739_648 * 50 / 2
    """Measured for a batch of 50, here for a batch of 2 (reference system, plans v2.1)."""
    reference_batch = 2
    features_of_first_estimate = 30
    """The reference system weighs a patch that is never shrunk with this many channels instead of `features`; kept,
    because the batch sizes that users know follow from it."""

    def target_spacing(self) -> Spacing:
        """The median voxel size; slices are not resampled across, so a coarse axis needs no exception."""
        return tuple(median_spacing(np.array(self.fingerprint.spacings)).tolist())

    def stages(self) -> Mapping[str, Stage]:
        """The one resolution of 2d."""
        return {SLICES: self.plan_stage(reorder(self.target.tolist(), self.transpose_forward()))}

    def batch_dice(self, configuration: str) -> bool:  # noqa: ARG002 - for subclasses
        """Over the batch: a slice alone often lacks a label."""
        return True

    def cost(self, configuration: str) -> int:  # noqa: ARG002 - for subclasses
        """Before all that is three-dimensional."""
        return 0

    def initial_patch_size(self, spacing: Spacing, median_shape: Shape) -> Shape:  # noqa: ARG002 - for subclasses
        """A whole slice of the median case."""
        return median_shape[1:]

    def memory_needed(self, topology: PatchTopology, *, features: int | None = None) -> int:
        """Activations of one sample; a whole slice is weighed more lightly than one that was shrunk."""
        first = self.features_of_first_estimate if topology == self.whole_slice else None
        return super().memory_needed(topology, features=features or first)

    def fitting_batch(self, topology: PatchTopology) -> int:
        """As many samples as the budget holds, in multiples of the reference's batch."""
        return math.floor(self.memory_budget() / self.memory_needed(topology)) * self.reference_batch

    @cached_property
    def whole_slice(self) -> PatchTopology:
        """The patch before anything is shrunk, rounded up to what its poolings divide."""
        spacing = reorder(self.target.tolist(), self.transpose_forward())
        return self.topology(self.initial_patch_size(spacing, self.median_shape(spacing)), spacing[1:])
