"""The planner of 2d: slices across the axis with the largest voxels."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np

from autoseg.errors import PlanError
from autoseg.files.layout import PLANES, SLICES
from autoseg.geometry import Shape, Spacing, reorder
from autoseg.planning.planner import Planner, Stage
from autoseg.planning.spacing import median_spacing
from autoseg.planning.topology import PatchTopology, dividing
from autoseg.planning.views import LARGEST_SIDE, SIDE_STEP, PlaneSize, plane_size
from autoseg.plans import Direction, Views

COSTS = {PLANES: 4}
"""Planes along several directions are more to predict than all else; slices come before all that is three-dimensional."""


@dataclass(kw_only=True, eq=False)
class Planner2D(Planner):
    """Plan the 2d configuration, and multiplanar where there are directions for it.

    Attributes:
        directions: That volumes are looked along; without any multiplanar is not planned. The others: see `Planner`.
    """

    directions: tuple[Direction, ...] = ()

    max_features = 512
    """Cap of the channels (Isensee et al. 2021, Fig. 2, "Architecture template")."""
    memory_reference = 19_739_648 * 50 / 2
    """Measured for a batch of 50, here for a batch of 2 (reference system, plans v2.1)."""
    reference_batch = 2
    planes_of_a_batch = 16
    """That a batch may hold however few the cases are (Perslev et al. 2019)."""
    features_of_first_estimate = 30
    """The reference system weighs a patch that is never shrunk with this many channels instead of `features`; kept,
    because the batch sizes that users know follow from it."""

    def target_spacing(self) -> Spacing:
        """The median voxel size; slices are not resampled across, so a coarse axis needs no exception."""
        return tuple(median_spacing(np.array(self.fingerprint.spacings)).tolist())

    def stages(self) -> Mapping[str, Stage]:
        """The one resolution of 2d, and the voxels as they are for planes."""
        slices = self.plan_stage(reorder(self.target.tolist(), self.transpose_forward()))
        return {SLICES: slices, PLANES: self.plane_stage()} if self.directions else {SLICES: slices}

    def plane_stage(self) -> Stage:
        """The largest planes, up to those that the cases ask for, of which memory holds one.

        Raises:
            PlanError: No plane fits.
        """
        for largest in range(LARGEST_SIDE, 0, -SIDE_STEP):
            size = self.plane_size(largest)
            topology = dividing(self.topology((size.side,) * 2, (size.pixel,) * 2), size.side)
            if self.memory_needed(topology) <= self.memory_budget():
                stage = self.native_stage(topology, Views(directions=self.directions, span=size.span))
                return replace(stage, batch_cap=max(stage.batch_cap, self.planes_of_a_batch))
        raise PlanError(f"{self.dataset}: no plane fits the memory; raise `gpu_memory_target`")

    def plane_size(self, largest: int) -> PlaneSize:
        """How wide and how fine planes are, of so many pixels along a side at most."""
        spacings, shapes = np.array(self.fingerprint.spacings), np.array(self.fingerprint.shapes)
        return plane_size(spacings * shapes, spacings, largest=largest)

    def batch_dice(self, configuration: str) -> bool:  # noqa: ARG002 - for subclasses
        """Over the batch: a slice alone often lacks a label."""
        return True

    def cost(self, configuration: str) -> int:
        """Slices before all that is three-dimensional, planes behind it."""
        return COSTS.get(configuration, 0)

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
