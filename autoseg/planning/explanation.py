"""Each decision of a planner in words: what was chosen and why. Nothing is decided here."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

import autoseg
from autoseg.files.layout import CASCADE, FULL, LOW
from autoseg.planning.fingerprint import single_slice_axes
from autoseg.planning.normalisation import KEPT_FRACTION_FOR_MASK, looks_like_ct
from autoseg.planning.spacing import coarse_axis, median_spacing
from autoseg.planning.topology import SMALLEST_BOTTLENECK_EDGE
from autoseg.planning.views import finest, smallest_angle
from autoseg.plans import Views
from autoseg.words import agreeing, counted, in_millimetres, in_sides

if TYPE_CHECKING:
    from autoseg.planning.planner import Planner, Stage
    from autoseg.planning.planner_3d import Planner3D

AXES = "zyx"

REASONS = {
    "CT": "Hounsfield units mean the same in every scan: clipped, then scaled by the foreground of all cases",
    "nonCT": "intensities have no fixed unit: scaled to mean 0 and deviation 1 in each case",
    "noNorm": "the channel is named noNorm: left as it is",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Decision:
    """One thing that was decided, for the user to read.

    Attributes:
        subject: What was decided about ("3d_fullres patch").
        outcome: What was chosen ("40 x 56 x 40 voxels").
        reason: Why.
    """

    subject: str
    outcome: str
    reason: str

    def __str__(self) -> str:
        return f"{self.subject}: {self.outcome} ({self.reason})"


def explain(planner: Planner) -> tuple[Decision, ...]:
    """What every planner decides: the grid, the normalisation, then each configuration's patch, network and batch."""
    decisions = [_target_spacing(planner), _axis_order(planner), *_normalisation(planner)]
    for name, stage in planner.planned_stages.items():
        if planner.previous(name) is None:
            seen = _patch(planner, name, stage) if stage.views is None else _views(planner, name, stage, stage.views)
            decisions += [seen, _poolings(planner, name, stage), _batch(planner, name, stage)]
        decisions += [_batch_dice(planner, name, stage)]
    return tuple(decisions)


def explain_low_resolution(planner: Planner3D) -> tuple[Decision, ...]:
    """Whether there is a low-resolution stage and a cascade, and why."""
    full, low = planner.planned_stages.get(FULL), planner.planned_stages.get(LOW)
    if full is None:
        return ()
    needed = f"a coarser stage is made where this is less than {_percent(1 / planner.lowres_coverage)}"
    seen = f"a {FULL} patch shows {_share(full.patch_size, planner.median_target_shape)} of the median case"
    if low is None:
        candidate = planner.coarser_stage(full)
        reason = f"{seen}; {needed}" if candidate is None else f"{seen}, but {_too_similar(planner, candidate, full)}"
        return (
            Decision(
                subject="low-resolution stage", outcome="none", reason=_reason(planner, "low_resolution_stage", reason)
            ),
            Decision(subject="cascade", outcome="none", reason="it needs a low-resolution stage"),
        )
    why = "it was asked for" if planner.force_lowres else f"{seen}; {needed}"
    size = f"{in_sides(low.spacing)} pixels" if planner.fingerprint.in_pixels else in_millimetres(low.spacing)
    outcome = f"{size}, median case {in_sides(low.median_shape)}"
    return (
        Decision(subject="low-resolution stage", outcome=outcome, reason=_reason(planner, "low_resolution_stage", why)),
        Decision(
            subject="cascade",
            outcome=CASCADE,
            reason=f"it refines at full resolution what {LOW} saw of the whole case",
        ),
    )


def _target_spacing(planner: Planner) -> Decision:
    target, fingerprint = planner.target, planner.fingerprint
    spacings, shapes = np.array(fingerprint.spacings), np.array(fingerprint.shapes)
    reason = f"the median of {counted(len(fingerprint.cases), 'case')}"
    if fingerprint.in_pixels:
        reason = (
            "nothing says how large a pixel is, so that all count as 1 mm; the key spacing in dataset.json would say it"
        )
    axis = coarse_axis(spacings, shapes)
    median = median_spacing(spacings)
    if axis is not None and target[axis] != median[axis]:
        reason += (
            f"; but axis {AXES[axis]} has far larger and far fewer voxels than the others, and its median of "
            f"{median[axis]:.4g} {'pixels' if fingerprint.in_pixels else 'mm'} would lose slices of the finer cases, so it takes the 10th percentile, though never less than theirs"
        )
    return Decision(
        subject="target spacing",
        outcome="that of a pixel in every direction"
        if fingerprint.in_pixels
        else f"{in_millimetres(target)} (z, y, x)",
        reason=_reason(planner, "target_spacing", reason),
    )


def _axis_order(planner: Planner) -> Decision:
    order = planner.transpose_forward()
    first = f"axis {AXES[order[0]]}, across the slices, comes first"
    why = "it has no extent" if single_slice_axes(planner.fingerprint) else "its voxels are the largest"
    if len(set(planner.target)) == 1:
        first, why = "as in the images", "voxels are equally large along all axes"
    return Decision(
        subject="axis order",
        outcome=", ".join(AXES[axis] for axis in order),
        reason=_reason(planner, "transpose_forward", f"{first}: {why}"),
    )


def _normalisation(planner: Planner) -> Iterator[Decision]:
    kept = float(np.median(planner.fingerprint.kept_fractions))
    schemes, masks = planner.normalization_schemes(), planner.use_mask_for_norm()
    for number, (channel, scheme, mask) in enumerate(zip(planner.fingerprint.channels, schemes, masks, strict=True)):
        reason = REASONS.get(scheme, "as dataset.json says")
        if looks_like_ct(channel):
            reason += (
                f'; only a channel named exactly "CT" is treated as CT, rename it in dataset.json if {channel!r} is one'
            )
        if scheme == "nonCT":
            reason += f"; cropping to the nonzero region kept {_percent(kept)} of the median case, and below "
            reason += f"{_percent(KEPT_FRACTION_FOR_MASK)} only that region counts"
        region = ", inside the nonzero region" if mask and scheme == "nonCT" else ""
        yield Decision(
            subject=f"normalisation of channel {number} ({channel})",
            outcome=f"{scheme}{region}",
            reason=_reason(planner, "normalization_schemes", _reason(planner, "use_mask_for_norm", reason)),
        )


def _patch(planner: Planner, name: str, stage: Stage) -> Decision:
    whole = stage.median_shape[-len(stage.patch_size) :]
    case = "slice" if len(stage.patch_size) == len("yx") else "case"
    if all(side >= edge for side, edge in zip(stage.patch_size, whole, strict=True)):
        reason = f"the whole median {case} of {in_sides(whole)} fits the memory; sides are rounded up for the poolings"
    else:
        reason = f"{_share(stage.patch_size, whole)} of the median {case} of {in_sides(whole)}, as much as memory for {_gigabytes(planner)} holds"
    return Decision(
        subject=f"{name} patch",
        outcome=f"{in_sides(stage.patch_size)} voxels",
        reason=_reason(planner, "patch_size", _reason(planner, "initial_patch_size", reason)),
    )


def _views(planner: Planner, name: str, stage: Stage, views: Views) -> Decision:
    """Planes, or boxes, and the directions that they lie along."""
    side, volumes = stage.patch_size[0], np.array(planner.fingerprint.spacings)
    lengths = (volumes * np.array(planner.fingerprint.shapes)).ravel()
    what = "planes" if len(stage.patch_size) == len("yx") else "boxes"
    within = _percent(float(np.mean(lengths <= views.span)))
    unit = "pixels of the images" if planner.fingerprint.in_pixels else "mm"
    return Decision(
        subject=f"{name} {what}",
        outcome=f"{in_sides(stage.patch_size)} pixels of {views.span / (side - 1):.3g} {unit}, across "
        f"{counted(len(views.directions), 'direction')}, the nearest two {counted(f'{smallest_angle(views.directions):.0f}', 'degree')} apart",
        reason=f"they are cut through each case as it is, with voxels of its own; {views.span:.4g} {unit} reach over "
        f"{within} of the sides of all cases, and the finest quarter of their voxels measures up to "
        f"{finest(volumes):.3g} {unit}",
    )


def _poolings(planner: Planner, name: str, stage: Stage) -> Decision:
    times = stage.topology.num_pool_per_axis
    reason = f"an axis is halved while {SMALLEST_BOTTLENECK_EDGE} voxels remain and its voxels are about as fine as the finest"
    if stage.do_dummy_2d_augmentation:
        reason += "; the patch is so thin that augmentation rotates it within slices only"
    levels = len(stage.topology.conv_kernel_sizes)
    blocks = planner.blocks_per_stage(levels)
    residual = (
        ""
        if blocks is None
        else f", {', '.join(map(str, blocks))} {agreeing(sum(blocks), 'residual block')} in the encoder"
    )
    return Decision(
        subject=f"{name} network",
        outcome=f"{counted(levels, 'level')}, axes halved {', '.join(map(str, times))} times{residual}",
        reason=_reason(planner, "topology", reason),
    )


def _batch(planner: Planner, name: str, stage: Stage) -> Decision:
    if stage.fitting_batch > stage.batch_cap:
        share = _percent(planner.largest_batch_share)
        reason = (
            f"memory for {_gigabytes(planner)} would hold {stage.fitting_batch}, but one batch may show at most {share} "
            f"of the dataset's voxels, which caps it at {max(1, stage.batch_cap)}"
        )
    else:
        reason = f"as many as memory for {_gigabytes(planner)} holds"
    return Decision(
        subject=f"{name} batch",
        outcome=str(stage.batch_size),
        reason=_reason(planner, "fitting_batch", _reason(planner, "batch_cap", reason)),
    )


def _batch_dice(planner: Planner, name: str, stage: Stage) -> Decision:
    whole = planner.batch_dice(name)
    if not whole:
        reason = "a patch shows so much of a case that it can be scored alone"
    elif len(stage.patch_size) == len("yx"):
        reason = "a slice alone often lacks a label"
    else:
        reason = "where there is a low-resolution stage, a patch of full resolution often lacks a label"
    return Decision(
        subject=f"{name} Dice loss",
        outcome="over the whole batch" if whole else "for each sample",
        reason=_reason(planner, "batch_dice", reason),
    )


def _too_similar(planner: Planner3D, candidate: Stage, full: Stage) -> str:
    voxels = _share(candidate.median_shape, full.median_shape)
    return f"the coarser stage would keep {voxels} of its voxels and is kept only below {_percent(1 / planner.lowres_reduction)}"


def _reason(planner: Planner, method: str, reason: str) -> str:
    """The reason of our rule; where a user's class overrides it, the first line of that method's own docstring."""
    function = getattr(type(planner), method)
    if function.__module__.partition(".")[0] == autoseg.__name__:
        return reason
    own_words = (function.__doc__ or "").strip().partition("\n")[0].rstrip(".")
    return own_words or f"decided by {type(planner).__name__}.{method}"


def _gigabytes(planner: Planner) -> str:
    return f"{planner.gpu_memory_target or planner.reference_gpu_memory:g} GB"


def _share(part: Iterable[float], whole: Iterable[float]) -> str:
    share = math.prod(part) / math.prod(whole)
    return "all" if share >= 1 else _percent(share)


def _percent(share: float) -> str:
    return f"{100 * share:.3g} %"
