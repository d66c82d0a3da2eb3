"""One case from its raw arrays to what a network sees, and a segmentation from there back to the original grid.

Forward: crop to the nonzero region, put the axes in the plan's order, resample, normalise. Everything that undoing
needs travels in `CaseProperties`.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Protocol

import numpy as np
import numpy.typing as npt

from autoseg.arrays import Array, Float32Array, LabelArray, LabelType, Locations
from autoseg.dataset.coding import (
    BACKGROUND,
    IGNORED,
    LARGEST_LABEL,
    OUTSIDE,
    is_foreground,
    is_ignored,
    is_planes,
    outside_as_background,
)
from autoseg.dataset.facts import NOTHING, Facts
from autoseg.dataset.raw_cases import RawCase
from autoseg.dataset.target import Target
from autoseg.errors import DatasetError
from autoseg.geometry import Box, Geometry, Shape, Spacing, box_shape, box_slices, inverse_order, reorder, turned
from autoseg.machine.resources import available_memory
from autoseg.plans import ConfigurationPlan, IntensityRule, IntensityStatistics, Plans
from autoseg.preprocessing.cropping import crop_to_nonzero
from autoseg.preprocessing.label_arrays import resample_labels, sample_outputs
from autoseg.preprocessing.normalisation import normalise
from autoseg.preprocessing.resampling import (
    resample_image,
    resample_segmentation,
    resample_steps,
    resampled_shape,
    separated_axis,
)
from autoseg.words import counted, first_few, in_bytes, in_sides


@dataclass(frozen=True, slots=True, kw_only=True)
class CaseProperties:
    """Where a prepared case came from: all that bringing a segmentation back needs.

    Attributes:
        geometry: Grid of the original image, as are `original_shape` and `crop`, in file order (z, y, x).
        crop: The part of the original that was kept.
        transpose_forward: Axis order from file order to that of every entry below.
        cropped_shape: Voxels of the crop.
        spacing: Voxel size of the crop in mm.
        prepared_spacing: Voxel size in mm after resampling.
        prepared_shape: Voxels after resampling.
    """

    identifier: str
    geometry: Geometry
    original_shape: Shape
    crop: Box
    transpose_forward: tuple[int, ...]
    cropped_shape: Shape
    spacing: Spacing
    prepared_spacing: Spacing
    prepared_shape: Shape

    @property
    def separated_axis(self) -> int | None:
        """The axis, in transposed order, along which slices are copied on the way there and back."""
        return separated_axis(self.spacing, self.prepared_spacing)


@dataclass(frozen=True, slots=True, kw_only=True)
class PreparedCase:
    """A case on the grid of one configuration, axes in transposed order.

    Attributes:
        data: `(C, Z, Y, X)` float32, normalised; float16 where it is kept on disk in half precision.
        segmentation: `(Z, Y, X)` labels, -1 outside the nonzero region; None where the case has no labels. Of several files
            `(P, Z, Y, X)` of maps, or of planes for masks and fractions (`dataset.coding`).
        foreground: For each scored output some of its voxels, `(k, 3)` int32 indices (z, y, x).
        previous: What the configuration before a cascade predicted, told as `segmentation`: a map, or a plane for each output
            `(outputs, Z, Y, X)`; None for all others.
        facts: What is known of the case beside its image.
        planes: Of each file output its raters' places in `segmentation`, none where it was not drawn; empty for one map.
        annotated: The outputs that were drawn; None: all.
    """

    data: Float32Array | npt.NDArray[np.float16]
    segmentation: LabelArray | None
    foreground: Mapping[int, Locations]
    properties: CaseProperties
    previous: LabelArray | None = None
    facts: Facts = NOTHING
    planes: tuple[tuple[int, ...], ...] = ()
    annotated: tuple[str, ...] | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Preparation:
    """All that the arrays of a prepared case follow from, beside the cropped case: where these are equal, so are those.

    Attributes:
        order: Of the axes, from that of files; every entry below is in it.
        shape: Voxels after resampling.
        separated: The axis along which slices are copied, or None.
        rules: Normalisation of each channel.
        intensities: Of the training cases, for each channel; None where no normalisation needs them.
        target: What is predicted, for which voxels of each output are kept.
    """

    order: tuple[int, ...]
    shape: Shape
    separated: int | None
    rules: tuple[IntensityRule, ...]
    intensities: tuple[IntensityStatistics | None, ...] | None
    target: Target


@dataclass(frozen=True, slots=True, kw_only=True)
class CroppedCase:
    """A case cropped to its nonzero region, which all configurations start from; axes in file order.

    Attributes:
        data: `(C, Z, Y, X)` float32.
        segmentation: `(Z, Y, X)` int16, -1 outside the nonzero region; or as in `RawCase`, outside marked.
        labelled: Whether `segmentation` holds labels, or only the region.
        cut_labels: Voxels of labels above background that the crop leaves out.
    """

    identifier: str
    data: Float32Array
    segmentation: LabelArray
    labelled: bool
    geometry: Geometry
    original_shape: Shape
    crop: Box
    cut_labels: int = 0
    planes: tuple[tuple[int, ...], ...] = ()
    annotated: tuple[str, ...] | None = None


def prepare_case(raw: RawCase, plans: Plans, configuration: str) -> PreparedCase:
    """Bring a raw case onto the grid and intensity scale of one configuration.

    Raises:
        DatasetError: The case is empty, holds NaN or infinite values, undeclared labels or other channels than planned.
        PlanError: The configuration is not planned, or the plans lack what its normalisation needs.

    Source: Isensee et al. 2021, Fig. 2.
    """
    return prepare_cropped(crop_case(raw, plans.target), plans, configuration)


def crop_case(raw: RawCase, target: Target) -> CroppedCase:
    """Check a raw case's values and crop it to its nonzero region; what is the same for every configuration."""
    for number, channel in enumerate(raw.data):
        require_finite(raw.identifier, number, channel)
    _require_label_values(raw, target)
    try:
        data, segmentation, crop = crop_to_nonzero(raw.data, raw.segmentation)
    except DatasetError as error:
        raise DatasetError(f"case {raw.identifier}: {error}") from error
    return CroppedCase(
        identifier=raw.identifier,
        data=data,
        segmentation=segmentation,
        labelled=raw.segmentation is not None,
        geometry=raw.geometry,
        original_shape=raw.data.shape[1:],
        crop=crop,
        cut_labels=0 if raw.segmentation is None else _labelled(raw.segmentation) - _labelled(segmentation),
        planes=raw.planes,
        annotated=raw.annotated,
    )


def _labelled(segmentation: LabelArray) -> int:
    return int(np.count_nonzero(is_foreground(segmentation)))


def prepare_cropped(case: CroppedCase, plans: Plans, configuration: str) -> PreparedCase:
    """Transpose, resample and normalise a cropped case for one configuration; see `prepare_case`."""
    require_fit(case, plans)
    properties = properties_of(case, plans, configuration)
    require_memory_for(properties, len(case.data))
    wanted = preparation(box_shape(case.crop), case.geometry.spacing, plans, configuration)
    data, segmentation = _arrays(case, wanted)
    labels = segmentation if case.labelled else None
    return PreparedCase(
        data=data,
        segmentation=labels,
        foreground={} if labels is None else sample_outputs(labels, wanted.target, case.planes),
        properties=properties,
        planes=case.planes,
        annotated=case.annotated,
    )


def preparation(shape: Shape, spacing: Spacing, plans: Plans, configuration: str) -> Preparation:
    """How a configuration's plan prepares a case.

    Args:
        shape: Voxels of the cropped case, in file order (z, y, x).
        spacing: Voxel size in mm, in file order.
    """
    plan, order = plans.configuration(configuration), plans.transpose_forward
    old = reorder(spacing, order)
    new = _prepared_spacing(old, plan)
    return Preparation(
        order=order,
        shape=resampled_shape(reorder(shape, order), old, new),
        separated=separated_axis(old, new),
        rules=plan.intensities,
        intensities=plans.intensities if plan.needs_statistics else None,
        target=plans.target,
    )


def _arrays(case: CroppedCase, wanted: Preparation) -> tuple[Float32Array, LabelArray | None]:
    """The images, and the labels where the case has some or a normalisation needs the region."""
    transposed = case.data.transpose(0, *(1 + axis for axis in wanted.order))
    data = resample_image(transposed, shape=wanted.shape, separated=wanted.separated)
    segmentation = None
    masked = any(rule.masked for rule in wanted.rules)
    if case.labelled or masked:
        segmentation = resample_labels(
            turned(case.segmentation, wanted.order),
            shape=wanted.shape,
            separated=wanted.separated,
            soft=wanted.target.soft,
        )
    region = segmentation
    if masked and (case.segmentation.ndim > len(wanted.shape) or is_ignored(case.segmentation).any()):
        region = resample_segmentation(
            _region(case.data).transpose(wanted.order), shape=wanted.shape, separated=wanted.separated
        )
    normalise(
        data,
        region,
        rules=wanted.rules,
        intensities=wanted.intensities,
        out=data,
    )
    return data, segmentation


def _region(data: Float32Array) -> LabelArray:
    """The nonzero region of cropped images as a map, where the labels leave it open: as of a case without labels."""
    _, region, _ = crop_to_nonzero(data, None)
    return region


def restore_segmentation(
    segmentation: npt.NDArray[LabelType], properties: CaseProperties, *, soft: bool = False
) -> npt.NDArray[LabelType]:
    """Bring a segmentation from the prepared grid back to the original one; the reverse of `prepare_case`.

    Args:
        segmentation: `(Z, Y, X)` labels on the prepared grid, axes in transposed order; below 0 is background. Of masks
            `(outputs, Z, Y, X)`.
        soft: Whether values are fractions, in any steps, which are resampled linearly.

    Returns:
        `(Z, Y, X)` labels on the original grid in file order, of the same type, background outside the crop; of masks all.

    Raises:
        DatasetError: The segmentation does not lie on the prepared grid.
    """
    if segmentation.ndim > len(properties.prepared_shape):
        return np.stack([restore_segmentation(one, properties, soft=soft) for one in segmentation])
    if segmentation.shape != properties.prepared_shape:
        raise DatasetError(
            f"case {properties.identifier}: expected a segmentation of {properties.prepared_shape} voxels, "
            f"found {segmentation.shape}; give the one predicted from this prepared case"
        )
    labels = outside_as_background(segmentation)
    resample = resample_steps if soft else resample_segmentation
    cropped = resample(labels, shape=properties.cropped_shape, separated=properties.separated_axis)
    restored = np.zeros(properties.original_shape, dtype=segmentation.dtype)
    restored[box_slices(properties.crop)] = cropped.transpose(inverse_order(properties.transpose_forward))
    return restored


def require_finite(identifier: str, channel: int, values: Array) -> None:
    """Refuse values that are no numbers.

    Raises:
        DatasetError: Naming the case and the channel.
    """
    # A NaN passes through both, an infinity through one, without the memory of a mask.
    if not (np.isfinite(values.min()) and np.isfinite(values.max())):
        raise DatasetError(
            f"case {identifier}: channel {channel} holds NaN or infinite intensities; "
            "replace them in the image file, then run again (autoseg_verify_dataset lists every such file)"
        )


def _require_label_values(raw: RawCase, target: Target) -> None:
    if raw.segmentation is None or is_planes(raw.segmentation):
        return
    lowest, highest = int(raw.segmentation.min()), int(raw.segmentation.max())
    if lowest == IGNORED and target.ignore is not None and not (raw.segmentation == OUTSIDE).any():
        lowest = BACKGROUND
    if lowest < BACKGROUND or highest > LARGEST_LABEL:
        raise DatasetError(
            f"case {raw.identifier}: labels from {lowest} to {highest} found, but labels are whole numbers from "
            f"{BACKGROUND} to {LARGEST_LABEL}; correct the label file"
        )


def require_fit(case: CroppedCase, plans: Plans) -> None:
    """Refuse a case that is not of the kind the plans are for.

    Raises:
        DatasetError: It has another number of channels, or labels that nobody declared.
    """
    require_channels(case.identifier, len(case.data), plans)
    if is_planes(case.segmentation):
        return
    highest = int(case.segmentation.max())
    declared = plans.target.values
    has_gaps = len(declared) <= declared[-1]
    if has_gaps and (uncovered := np.setdiff1d(case.segmentation, (OUTSIDE, IGNORED, *declared))).size:
        raise DatasetError(
            f"case {case.identifier}: label {uncovered[0]} is of no region; the regions cover "
            f"{first_few(declared[1:])}; correct the label file, or declare a region and plan again"
        )
    if highest > declared[-1]:
        raise DatasetError(
            f"case {case.identifier}: label {highest} is not declared; "
            f"the highest label of the plans is {declared[-1]} ({plans.target.labels[-1]}); "
            "correct the label file, or declare the label in dataset.json and plan again"
        )


def require_channels(identifier: str, number: int, plans: Plans) -> None:
    """Refuse a case with another number of channels than planned.

    Raises:
        DatasetError: Naming the case.
    """
    if number != len(plans.channels):
        raise DatasetError(
            f"case {identifier}: expected {counted(len(plans.channels), 'channel')} ({', '.join(plans.channels)}), "
            f"found {number}; give one image file for each channel"
        )


def require_memory_for(properties: CaseProperties, channels: int, *, planes: int | None = None) -> None:
    """Refuse a case that fills all memory, as a wrong voxel size makes it, before the process is killed without a word.

    Args:
        planes: How many are held at once; None: all.

    Raises:
        DatasetError: Naming the case and its voxel size.
    """
    shape, free = properties.prepared_shape, available_memory()
    if channels * (planes or shape[0]) * math.prod(shape[1:]) * np.dtype(np.float32).itemsize > free:
        raise DatasetError(
            f"case {properties.identifier}: its voxel size of {in_sides(properties.spacing)} mm makes it "
            f"{in_sides(shape)} voxels at the plan's {in_sides(properties.prepared_spacing)} mm, more than the "
            f"{in_bytes(free)} of free memory hold; check its voxel size, crop it, or use a larger machine"
        )


class Cropped(Protocol):
    """A case of which it is known where it lies and what of it is kept."""

    @property
    def identifier(self) -> str: ...
    @property
    def geometry(self) -> Geometry: ...
    @property
    def original_shape(self) -> Shape: ...
    @property
    def crop(self) -> Box: ...


def properties_of(case: Cropped, plans: Plans, configuration: str) -> CaseProperties:
    """Where a cropped case lies on the grid of a configuration."""
    order = plans.transpose_forward
    spacing = reorder(case.geometry.spacing, order)
    cropped_shape = reorder(box_shape(case.crop), order)
    prepared_spacing = _prepared_spacing(spacing, plans.configuration(configuration))
    return CaseProperties(
        identifier=case.identifier,
        geometry=case.geometry,
        original_shape=case.original_shape,
        crop=case.crop,
        transpose_forward=order,
        cropped_shape=cropped_shape,
        spacing=spacing,
        prepared_spacing=prepared_spacing,
        prepared_shape=resampled_shape(cropped_shape, spacing, prepared_spacing),
    )


def _prepared_spacing(spacing: Spacing, plan: ConfigurationPlan) -> Spacing:
    """The case's own on a native grid, and between slices of a 2D configuration, which stay where they are."""
    if plan.grid.native:
        return spacing
    return (spacing[0], *plan.grid.spacing[1:]) if len(plan.sampling.patch_size) == 2 else plan.grid.spacing
