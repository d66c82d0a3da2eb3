"""The planner of 3d_fullres and, where a patch shows too little of a case, of 3d_lowres and the cascade of both."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from autoseg.arrays import Float64Array
from autoseg.errors import PlanError
from autoseg.files.layout import BOXES, CASCADE, FULL, LOW
from autoseg.geometry import Shape, Spacing, reorder
from autoseg.planning.explanation import Decision, explain_low_resolution
from autoseg.planning.fingerprint import is_two_dimensional
from autoseg.planning.patch import isotropic_patch
from autoseg.planning.planner import Planner, Stage
from autoseg.planning.spacing import coarser_spacings, target_spacing
from autoseg.planning.topology import PatchTopology, dividing
from autoseg.planning.views import BOX_SIDE, finest
from autoseg.plans import Direction, Views

COSTS = {LOW: 1, FULL: 2, CASCADE: 3, BOXES: 5}
"""A cascade predicts at both resolutions."""


@dataclass(kw_only=True, eq=False)
class Planner3D(Planner):
    """Plan the 3D configurations.

    Attributes:
        force_lowres: Make a low-resolution stage even where a patch shows enough of a case.
        directions: That boxes lie along; without any multiplanar_3d is not planned. The others: see `Planner`.
    """

    force_lowres: bool = False
    directions: tuple[Direction, ...] = ()

    max_features = 320
    """Cap of the channels (Isensee et al. 2021, Fig. 2, "Architecture template")."""
    memory_reference = 520_000_000 * 32 / 30
    """Measured with 30 channels at the finest level, scaled to 32 (reference system, plans v2.1)."""
    reference_batch = 2
    """The batch of that measurement."""
    smallest_batch_cap = 2
    """The share of the dataset never lowers the batch below this."""
    lowres_coverage = 4
    """A patch that shows less than one in this many voxels of the median case asks for a coarser stage
    (Isensee et al. 2021, Fig. 2, "Configuration of the 3D U-Net cascade": 25 %)."""
    lowres_reduction = 2
    """The coarser stage is kept when it has less than one in this many of the full resolution's voxels."""

    @property
    def decisions(self) -> tuple[Decision, ...]:
        """Each decision with its reason, in the order they build on each other."""
        return (*super().decisions, *explain_low_resolution(self))

    def target_spacing(self) -> Spacing:
        """The median voxel size; an axis that is far coarser and thinner than the others takes its 10th percentile."""
        fingerprint = self.fingerprint
        return tuple(target_spacing(np.array(fingerprint.spacings), np.array(fingerprint.shapes)).tolist())

    def stages(self) -> Mapping[str, Stage]:
        """Full resolution; where a low-resolution stage is made, that and the cascade, which refines it."""
        if is_two_dimensional(self.fingerprint):
            raise PlanError(
                f"{self.dataset}: every case is a single slice, so no 3D configuration is planned; use 2d instead"
            )
        full = self.plan_stage(reorder(self.target.tolist(), self.transpose_forward()))
        low = self.low_resolution_stage(full)
        boxes = {BOXES: self.box_stage()} if self.directions else {}
        if low is None:
            return {FULL: full, **boxes}
        return {FULL: full, LOW: low, CASCADE: full, **boxes}

    def box_stage(self) -> Stage:
        """Boxes of 64 pixels a side, as fine as most voxels (Perslev et al. 2019)."""
        span = BOX_SIDE * finest(np.array(self.fingerprint.spacings))
        pixel = span / (BOX_SIDE - 1)
        topology = dividing(self.topology((BOX_SIDE,) * 3, (pixel,) * 3), BOX_SIDE)
        return self.native_stage(topology, Views(directions=self.directions, span=span))

    def batch_dice(self, configuration: str) -> bool:
        """Over the batch where there is a coarser stage, and of boxes: each then shows only a small part of a case."""
        return configuration == BOXES or (configuration != LOW and LOW in self.planned_stages)

    def previous(self, configuration: str) -> str | None:
        """A cascade refines what the coarser stage predicted."""
        return LOW if configuration == CASCADE else None

    def prepared_as(self, configuration: str) -> str:
        """A cascade uses the prepared cases of full resolution."""
        return FULL if configuration == CASCADE else configuration

    def cost(self, configuration: str) -> int:
        """The coarser stage, full resolution, the cascade; a configuration of another name as full resolution."""
        return COSTS.get(configuration, COSTS[FULL])

    def low_resolution_stage(self, full: Stage) -> Stage | None:
        """The coarser stage, where one is needed and would be clearly smaller than full resolution."""
        candidate = self.coarser_stage(full)
        return candidate if candidate and self.is_clearly_smaller(candidate, full) else None

    def coarser_stage(self, full: Stage) -> Stage | None:
        """The first resolution, growing voxels by 1 % a step, at which a patch shows enough of the median case."""
        if self.shows_enough(full, self.median_target_shape) and not self.force_lowres:
            return None
        for grown in coarser_spacings(self.target.tolist()):
            stage = self.plan_stage(reorder(grown.tolist(), self.transpose_forward()))
            enough = self.shows_enough(stage, self.target / grown * self.median_target_shape)
            if enough and (self.is_clearly_smaller(stage, full) or not self.force_lowres):
                return stage
        return None

    def shows_enough(self, stage: Stage, median_shape: Float64Array) -> bool:
        """Whether one patch shows a quarter of the median case, whose three sides need not be whole voxels."""
        return bool(np.prod(median_shape) <= self.lowres_coverage * math.prod(stage.patch_size))

    def is_clearly_smaller(self, stage: Stage, full: Stage) -> bool:
        """Whether a stage has less than half the voxels of full resolution."""
        return self.lowres_reduction * math.prod(stage.median_shape) < math.prod(full.median_shape)

    def initial_patch_size(self, spacing: Spacing, median_shape: Shape) -> Shape:
        """A cube in mm, cut to the median case."""
        return isotropic_patch(spacing, median_shape)

    def fitting_batch(self, topology: PatchTopology) -> int:
        """As many samples as the budget holds, at least those of its measurement: the patch was shrunk to them."""
        share = max(self.memory_budget() / self.memory_needed(topology), 1)
        return math.floor(share * self.reference_batch)

    def batch_cap(self, median_shape: Shape, patch_size: Shape) -> int:
        """As in 2D, but never below two."""
        return max(super().batch_cap(median_shape, patch_size), self.smallest_batch_cap)
