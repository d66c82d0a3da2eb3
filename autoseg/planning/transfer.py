"""Planning with another task's plans, so that its trained weights fit: for fine-tuning."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import numpy as np

import autoseg
from autoseg.errors import PlanError
from autoseg.files.layout import DEFAULT_PLANS
from autoseg.planning.explanation import AXES, Decision
from autoseg.planning.fingerprint import DatasetFingerprint, is_two_dimensional, single_slice_axes
from autoseg.planning.spacing import median_resampled_shape, median_spacing
from autoseg.plans import ConfigurationPlan, Plans
from autoseg.words import counted, in_millimetres, in_sides


def transfer_plans(
    source: Plans, fingerprint: DatasetFingerprint, *, dataset: str, identifier: str | None = None
) -> Plans:
    """The plans of another task for this dataset.

    Networks, patches, batches, voxel sizes, axis order and normalisation are the source's, its intensities included:
    the weights expect images on that scale. Labels, channel names and the median case are the dataset's own.

    Args:
        dataset: Folder name of the task.
        identifier: Name to file the plans under; None is `transferred_identifier`.

    Raises:
        PlanError: The channels are not as many, or the dataset has single slices where the plans expect volumes.
    """
    _require_as_many_channels(source, fingerprint, dataset)
    _require_same_dimensions(source, fingerprint, dataset)
    return replace(
        source,
        version=autoseg.__version__,
        identifier=identifier or transferred_identifier(source),
        dataset=dataset,
        channels=fingerprint.channels,
        labels=fingerprint.labels,
        target_kind=fingerprint.target_kind,
        reading=fingerprint.reading,
        configurations={name: _own_sizes(plan, source, fingerprint) for name, plan in source.configurations.items()},
    )


def transferred_identifier(source: Plans) -> str:
    """`from_Task004`; with the name of the source's plans where that is not the usual one."""
    task, _, _ = source.dataset.partition("_")
    return f"from_{task}" if source.identifier == DEFAULT_PLANS else f"from_{task}_{source.identifier}"


def explain_transfer(source: Plans, plans: Plans) -> tuple[Decision, ...]:
    """What was taken over and what is the dataset's own, in words."""
    where = f"the plans {source.identifier!r} of {source.dataset} say so, and its weights are to fit"
    return (
        *(
            Decision(
                subject=f"{plan.name} patch and network",
                outcome=f"{in_sides(plan.sampling.patch_size)} voxels of "
                f"{in_millimetres(plan.grid.spacing)}, {counted(len(plan.topology.kernels), 'level')}, "
                f"batch {plan.batch_size}",
                reason=where,
            )
            for plan in plans.configurations.values()
        ),
        *_explain_normalisation(source, plans),
        Decision(
            subject="labels",
            outcome=", ".join(plans.target.outputs),
            reason="the dataset's own"
            if plans.target == source.target
            else f"the dataset's own; {source.dataset} has {', '.join(source.target.outputs)}",
        ),
    )


def _explain_normalisation(source: Plans, plans: Plans) -> Iterator[Decision]:
    (one, *_) = plans.configurations.values()
    for number, (own, other, rule) in enumerate(zip(plans.channels, source.channels, one.intensities, strict=True)):
        measured = f", with the intensities measured in {source.dataset}" if rule.name == "CT" else ""
        other_name = "" if own == other else f"; the channel is called {other} there, make sure that it shows the same"
        yield Decision(
            subject=f"normalisation of channel {number} ({own})",
            outcome=rule.name,
            reason=f"as in {source.dataset}{measured}, so that the weights see what they know{other_name}",
        )


def _require_as_many_channels(source: Plans, fingerprint: DatasetFingerprint, dataset: str) -> None:
    here, there = fingerprint.channels, source.channels
    if len(here) != len(there):
        raise PlanError(
            f"{dataset}: the images have {counted(len(here), 'channel')} ({', '.join(here)}), but the plans of {source.dataset} "
            f"are for {len(there)} ({', '.join(there)}); plan from a task with as many, or without `plans_from`"
        )


def _require_same_dimensions(source: Plans, fingerprint: DatasetFingerprint, dataset: str) -> None:
    if not is_two_dimensional(fingerprint):
        return
    if any(plan.dimensions != len("yx") for plan in source.configurations.values()):
        raise PlanError(f"{dataset}: every case is a single slice, so no 3D configuration is planned; use 2d instead")
    across, flat = source.transpose_forward[0], single_slice_axes(fingerprint)
    if across not in flat:
        raise PlanError(
            f"{dataset}: every case is a single slice across axis {AXES[flat[0]]}, but the plans of {source.dataset} "
            f"take slices across axis {AXES[across]}; plan without `plans_from`"
        )


def _own_sizes(plan: ConfigurationPlan, source: Plans, fingerprint: DatasetFingerprint) -> ConfigurationPlan:
    """The plan with the dataset's own median case; slices of 2d are not resampled across, so that spacing is its own."""
    order = list(source.transpose_forward)
    spacings = np.array(fingerprint.spacings)[:, order]
    shapes = np.array(fingerprint.shapes)[:, order]
    across, height, width = plan.grid.spacing
    if plan.dimensions == len("yx"):
        across = float(median_spacing(spacings)[0])
    spacing = (across, height, width)
    if plan.grid.native:
        across, height, width = spacing = tuple(median_spacing(spacings).tolist())
    z, y, x = np.round(median_resampled_shape(spacings, shapes, np.array(spacing))).astype(int).tolist()
    return replace(plan, grid=replace(plan.grid, spacing=spacing, median_shape=(max(1, z), max(1, y), max(1, x))))
