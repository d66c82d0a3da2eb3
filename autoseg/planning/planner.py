"""What both planners share: from a fingerprint to plans, one small method for each decision.

A subclass in a user's own file overrides a method or a class attribute; everything else follows from it. Methods
return values and change nothing, so the order in which they are asked does not matter.
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any, ClassVar

import numpy as np

import autoseg
from autoseg.arrays import Float64Array
from autoseg.errors import PlanError
from autoseg.files.layout import DEFAULT_PLANS
from autoseg.geometry import Shape, Spacing, inverse_order, reorder
from autoseg.planning.explanation import Decision, explain
from autoseg.planning.fingerprint import DatasetFingerprint, single_slice_axes
from autoseg.planning.memory import estimate_memory
from autoseg.planning.normalisation import choose_mask, choose_scheme
from autoseg.planning.patch import fit_patch
from autoseg.planning.spacing import median_resampled_shape, median_spacing
from autoseg.planning.topology import PatchTopology, plan_topology
from autoseg.plans import (
    FORMAT,
    ConfigurationPlan,
    Grid,
    IntensityRule,
    NetworkPlan,
    Plans,
    Sampling,
    Views,
)
from autoseg.plans.configuration import of_configuration
from autoseg.words import counted

SMALLEST_PLANNED_BATCH = 2
"""Memory that does not hold two samples of the smallest patch is too small to train with (reference system)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Stage:
    """What is decided for one resolution; axes in transposed order.

    Attributes:
        spacing: mm, three entries.
        median_shape: Median case at this spacing, three entries, voxels.
        topology: The patch and the network's levels, two or three axes.
        fitting_batch: Samples that memory holds.
        batch_cap: Samples that together cover the largest share of the dataset that one batch may.
        views: How samples lie in the scanner, of cases that keep their voxels; None: as the grid does.
    """

    spacing: tuple[float, float, float]
    median_shape: tuple[int, int, int]
    topology: PatchTopology
    fitting_batch: int
    batch_cap: int
    do_dummy_2d_augmentation: bool
    views: Views | None = None

    @property
    def patch_size(self) -> Shape:
        """Voxels the network sees at once."""
        return self.topology.patch_size

    @property
    def batch_size(self) -> int:
        """Samples of one training step."""
        return max(1, min(self.fitting_batch, self.batch_cap))


@dataclass(kw_only=True, eq=False)
class Planner(ABC):
    """Decide everything about a dataset's configurations from its fingerprint.

    Attributes:
        fingerprint: What was measured on the training cases.
        dataset: Folder name of the task.
        gpu_memory_target: GB that training may take; None is `reference_gpu_memory`.
        identifier: Name the plans are filed under; None is `shipped_identifier` for planners of ours, else the class's
            name.
    """

    fingerprint: DatasetFingerprint
    dataset: str
    gpu_memory_target: float | None = None
    identifier: str | None = None

    shipped_identifier = DEFAULT_PLANS
    """Name that plans are filed under; a user's subclass takes its own class's name instead."""
    network = "unet"
    features = 32
    """Channels of the finest level (reference system, plans v2.1)."""
    max_features: ClassVar[int]
    convs_per_stage = 2
    reference_gpu_memory = 8.0
    """GB of the card on which `memory_reference` was measured (reference system)."""
    memory_reference: ClassVar[float]
    """Activations that fit the reference card, in the unit of `memory.estimate_memory`."""
    largest_batch_share = 0.05
    """A batch may cover at most 5 % of the dataset's voxels (Isensee et al. 2021, Fig. 2, "Batch size")."""

    dummy_2d_anisotropy = 3
    """A patch more than this many times as long as thick is augmented within slices only (reference system)."""

    # ---------------------------------------------------------------- results

    def plan(self) -> Plans:
        """Take all decisions.

        Raises:
            PlanError: The dataset does not allow this kind of configuration, or nothing fits the memory.
        """
        return self._plans

    @property
    def decisions(self) -> tuple[Decision, ...]:
        """Each decision with its reason, in the order they build on each other."""
        return explain(self)

    @cached_property
    def planned_stages(self) -> Mapping[str, Stage]:
        """The stage of each planned configuration, by its name."""
        return self.stages()

    # -------------------------------------------- decisions, to be overridden

    @abstractmethod
    def target_spacing(self) -> Spacing:
        """Voxel size in mm that cases are resampled to, axes in the images' order (z, y, x)."""

    @abstractmethod
    def stages(self) -> Mapping[str, Stage]:
        """The resolution of each configuration to plan, by its name."""

    @abstractmethod
    def initial_patch_size(self, spacing: Spacing, median_shape: Shape) -> Shape:
        """The patch before it is shrunk to fit the memory, two or three axes; arguments have three, transposed."""

    @abstractmethod
    def fitting_batch(self, topology: PatchTopology) -> int:
        """How many samples of a patch memory holds."""

    def transpose_forward(self) -> tuple[int, int, int]:
        """Axis order of the network: the axis with the largest voxels first, or the one without extent in 2D data."""
        target, candidates = self.target_spacing(), single_slice_axes(self.fingerprint) or range(3)
        first = max(candidates, key=lambda axis: target[axis])
        second, third = (axis for axis in range(3) if axis != first)
        return first, second, third

    def normalization_schemes(self) -> tuple[str, ...]:
        """How each channel is normalised: as dataset.json says, else CT, nonCT or noNorm by the channel's name."""
        said = self.fingerprint.normalisation or ("",) * len(self.fingerprint.channels)
        return tuple(
            scheme or choose_scheme(channel) for channel, scheme in zip(self.fingerprint.channels, said, strict=True)
        )

    def use_mask_for_norm(self) -> tuple[bool, ...]:
        """For each channel whether it is normalised inside the nonzero region only."""
        return tuple(choose_mask(scheme, self.fingerprint.kept_fractions) for scheme in self.normalization_schemes())

    def patch_size(self, spacing: Spacing, median_shape: Shape) -> Shape:
        """The patch, shrunk until one sample fits the memory; arguments have three axes, transposed."""
        budget, start = self.memory_budget(), self.initial_patch_size(spacing, median_shape)
        axes = len(start)
        fitted = fit_patch(
            start,
            median_shape[-axes:],
            plan_topology=lambda shape: self.topology(shape, spacing[-axes:]),
            fits=lambda topology: self.memory_needed(topology) <= budget,
        )
        return fitted.patch_size

    def topology(self, patch_size: Shape, spacing: Spacing) -> PatchTopology:
        """Poolings and kernels for a patch, which is rounded up to what they divide; same axes in both."""
        return plan_topology(patch_size, spacing)

    def batch_cap(self, median_shape: Shape, patch_size: Shape) -> int:
        """How many patches cover the share of the dataset's voxels that one batch may."""
        voxels = math.prod(median_shape) * len(self.fingerprint.cases)
        return round(self.largest_batch_share * voxels / math.prod(patch_size))

    def do_dummy_2d_augmentation(self, patch_size: Shape) -> bool:
        """Whether a 3D patch is so thin along its first axis that rotating it out of its plane would tear it."""
        return len(patch_size) == 3 and max(patch_size) / patch_size[0] > self.dummy_2d_anisotropy

    @abstractmethod
    def batch_dice(self, configuration: str) -> bool:
        """Whether the Dice loss sums over the batch: where a patch shows only a small part of a case."""

    @abstractmethod
    def cost(self, configuration: str) -> int:
        """Its place in the order of what predicting takes; of equal scores the cheaper is selected."""

    def blocks_per_stage(self, levels: int) -> tuple[int, ...] | None:  # noqa: ARG002 - for subclasses
        """Residual blocks of each encoder level, finest first; None for a network without."""
        return None

    def previous(self, configuration: str) -> str | None:  # noqa: ARG002 - for subclasses
        """The configuration whose predictions this one takes as further input channels."""
        return None

    def prepared_as(self, configuration: str) -> str:
        """The configuration whose prepared cases this one uses, where another has its grid and normalisation."""
        return configuration

    def network_settings(self, topology: PatchTopology) -> Mapping[str, Any]:
        """What the network is built from; of a U-Net the fields of `UNetSettings`."""
        levels = len(topology.conv_kernel_sizes)
        blocks = self.blocks_per_stage(levels)
        return {
            "strides": ((1,) * len(topology.patch_size), *topology.pool_kernel_sizes),
            "kernels": topology.conv_kernel_sizes,
            "features": self.features,
            "max_features": self.max_features,
            "convs_per_stage": self.convs_per_stage,
            **({} if blocks is None else {"blocks_per_stage": blocks}),
        }

    # ------------------------------------------------------------ consequences

    def memory_budget(self) -> float:
        """Activations that training may keep: the reference, scaled by the memory there is."""
        target = self.reference_gpu_memory if self.gpu_memory_target is None else self.gpu_memory_target
        if not (math.isfinite(target) and target > 0):
            raise PlanError(f"the GPU memory target must be a positive number of GB, found {target}")
        return self.memory_reference * target / self.reference_gpu_memory

    def memory_needed(self, topology: PatchTopology, *, features: int | None = None) -> int:
        """Activations of one sample, to be compared with `memory_budget`."""
        return estimate_memory(
            topology,
            channels=len(self.fingerprint.channels),
            classes=len(self.fingerprint.target.outputs),
            features=self.features if features is None else features,
            max_features=self.max_features,
            convs_per_stage=self.convs_per_stage,
        )

    def plan_stage(self, spacing: Spacing) -> Stage:
        """Everything that follows from one voxel size (mm, transposed)."""
        median_shape = self.median_shape(spacing)
        patch_size = self.patch_size(spacing, median_shape)
        return self.stage_of(self.topology(patch_size, spacing[-len(patch_size) :]), spacing, median_shape)

    def stage_of(
        self, topology: PatchTopology, spacing: Spacing, median_shape: tuple[int, int, int], views: Views | None = None
    ) -> Stage:
        """Everything that follows from a patch; spacing in mm and shape of the median case, transposed."""
        z, y, x = spacing
        fitting = self.fitting_batch(topology)
        if fitting < SMALLEST_PLANNED_BATCH:
            raise PlanError(
                f"{self.dataset}: memory holds only {counted(fitting, 'sample')} of the patch {topology.patch_size}, "
                "and training "
                f"needs {SMALLEST_PLANNED_BATCH}; raise `gpu_memory_target` or plan a smaller patch"
            )
        return Stage(
            spacing=(z, y, x),
            median_shape=median_shape,
            topology=topology,
            fitting_batch=fitting,
            batch_cap=self.batch_cap(median_shape, topology.patch_size),
            do_dummy_2d_augmentation=self.do_dummy_2d_augmentation(topology.patch_size),
            views=views,
        )

    def native_stage(self, topology: PatchTopology, views: Views) -> Stage:
        """Everything that follows from planes or boxes through cases that keep their voxels."""
        order = self.transpose_forward()
        spacing = median_spacing(np.array(self.fingerprint.spacings))
        z, y, x = (round(side) for side in np.median(np.array(self.fingerprint.shapes), axis=0)[list(order)].tolist())
        return self.stage_of(topology, reorder(spacing.tolist(), order), (z, y, x), views)

    def median_shape(self, spacing: Spacing) -> tuple[int, int, int]:
        """The median case at a voxel size (mm, transposed), whole voxels."""
        order = list(self.transpose_forward())
        shape = self.target[order] / spacing * self.median_target_shape[order]
        z, y, x = np.round(shape).astype(int).tolist()
        return max(1, z), max(1, y), max(1, x)

    @cached_property
    def target(self) -> Float64Array:
        """`target_spacing` as an array, images' axis order."""
        return np.array(self.target_spacing(), dtype=np.float64)

    @cached_property
    def median_target_shape(self) -> Float64Array:
        """The median case at the target spacing, images' axis order, voxels, not rounded."""
        return median_resampled_shape(
            np.array(self.fingerprint.spacings), np.array(self.fingerprint.shapes), self.target
        )

    @cached_property
    def _plans(self) -> Plans:
        forward = self.transpose_forward()
        z, y, x = inverse_order(forward)
        intensities = self.fingerprint.intensities
        return Plans(
            format=FORMAT,
            version=autoseg.__version__,
            identifier=self.identifier or default_identifier(type(self)),
            planner=type(self).__name__,
            dataset=self.dataset,
            channels=self.fingerprint.channels,
            labels=self.fingerprint.labels,
            target_kind=self.fingerprint.target_kind,
            reading=self.fingerprint.reading,
            transpose_forward=forward,
            transpose_backward=(z, y, x),
            intensities=intensities if any(intensities) else None,
            configurations={name: self._configuration(name, stage) for name, stage in self.planned_stages.items()},
        )

    def _configuration(self, name: str, stage: Stage) -> ConfigurationPlan:
        schemes, masks = self.normalization_schemes(), self.use_mask_for_norm()
        with of_configuration(name):
            return ConfigurationPlan(
                name=name,
                grid=Grid(spacing=stage.spacing, median_shape=stage.median_shape, native=stage.views is not None),
                sampling=Sampling(
                    patch_size=stage.patch_size, in_plane=stage.do_dummy_2d_augmentation, views=stage.views
                ),
                network=NetworkPlan(name=self.network, settings=self.network_settings(stage.topology)),
                intensities=tuple(
                    IntensityRule(name=scheme, masked=mask) for scheme, mask in zip(schemes, masks, strict=True)
                ),
                batch_size=stage.batch_size,
                batch_dice=self.batch_dice(name),
                previous=self.previous(name),
                prepared_as=self.prepared_as(name),
                cost=self.cost(name),
            )


def is_shipped(planner: type[Planner]) -> bool:
    """Whether a planner is shipped with autoseg, rather than a user's."""
    return planner.__module__.partition(".")[0] == autoseg.__name__


def default_identifier(planner: type[Planner]) -> str:
    """The name plans are filed under when none is given."""
    return planner.shipped_identifier if is_shipped(planner) else planner.__name__
