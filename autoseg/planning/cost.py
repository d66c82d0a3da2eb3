"""How much a network will have to predict: tiles a case, known from the sizes of the training cases before anything is trained."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from autoseg.geometry import STEP_SIZE, Shape, reorder, tile_starts
from autoseg.planning.explanation import Decision
from autoseg.planning.fingerprint import DatasetFingerprint
from autoseg.plans import ConfigurationPlan, Plans
from autoseg.views.frame import swept
from autoseg.words import HOUR, MINUTE, counted, time_span

VOXELS_OF_AN_HOUR = 1800 * 128**3
"""That the network is shown: the default one takes a CPU of eight cores about two seconds for a patch of 128x128x128 (16 for
one core, measured)."""

MANY_TILES = 500
"""Of a case, in 3D: a plan that was made for such images has a few, up to some 250 for a whole CT."""

FLIPS_IN_SPACE = 2**3


@dataclass(frozen=True, slots=True, kw_only=True)
class TileCost:
    """What predicting the training cases takes, and new ones like them.

    Attributes:
        tiles: Of each case, in the fingerprint's order.
        flips: How often each tile is predicted, mirrored along every axis of the patch.
        patch_voxels: Of one tile.
    """

    cases: tuple[str, ...]
    tiles: tuple[int, ...]
    flips: int
    patch_voxels: int

    @property
    def median(self) -> int:
        """Tiles of the median case."""
        return int(np.median(self.tiles))

    @property
    def largest(self) -> tuple[str, int]:
        """The case with most tiles, and how many."""
        return max(zip(self.cases, self.tiles, strict=True), key=lambda case: case[1])

    @property
    def hours_on_a_cpu(self) -> float:
        """Of the median case, roughly."""
        return self.median * self.flips * self.patch_voxels / VOXELS_OF_AN_HOUR

    @property
    def is_high(self) -> bool:
        """Whether it is worth a warning."""
        in_space = self.flips == FLIPS_IN_SPACE
        return self.hours_on_a_cpu >= 1 or (in_space and self.median >= MANY_TILES)


def tile_cost(plan: ConfigurationPlan, order: Sequence[int], fingerprint: DatasetFingerprint) -> TileCost:
    """What a configuration's network has to predict.

    Args:
        order: The plans' `transpose_forward`.
    """
    views, patch = plan.sampling.views, plan.sampling.patch_size
    if views is not None:
        tiles = tuple(
            sum(count_tiles(swept(one, views, patch, spacing, shape).shape, patch) for one in views.directions)
            for spacing, shape in zip(fingerprint.spacings, fingerprint.shapes, strict=True)
        )
        return _cost(plan, fingerprint, tiles)
    shapes = [
        _resampled(plan, reorder(shape, order), reorder(spacing, order))
        for shape, spacing in zip(fingerprint.shapes, fingerprint.spacings, strict=True)
    ]
    return _cost(plan, fingerprint, tuple(count_tiles(shape, patch) for shape in shapes))


def _cost(plan: ConfigurationPlan, fingerprint: DatasetFingerprint, tiles: tuple[int, ...]) -> TileCost:
    return TileCost(
        cases=tuple(fingerprint.cases),
        tiles=tiles,
        flips=2 ** len(plan.sampling.patch_size),
        patch_voxels=math.prod(plan.sampling.patch_size),
    )


def count_tiles(shape: Shape, patch_size: Shape, step: float = STEP_SIZE) -> int:
    """How many tiles cover an image; a patch of two sides goes through every slice along the first axis."""
    patch = (1,) * (len(shape) - len(patch_size)) + tuple(patch_size)
    padded = tuple(max(side, wanted) for side, wanted in zip(shape, patch, strict=True))
    return math.prod(map(len, tile_starts(padded, patch, step)))


def explain_cost(plans: Plans, fingerprint: DatasetFingerprint) -> tuple[Decision, ...]:
    """For each configuration the tiles of the median and the largest case, in words."""
    decisions = []
    for plan in plans.configurations.values():
        cost = tile_cost(plan, plans.transpose_forward, fingerprint)
        case, most = cost.largest
        decisions.append(
            Decision(
                subject=f"{plan.name} prediction",
                outcome=f"{counted(cost.median, 'tile')} for the median case, {most} for the largest ({case})",
                reason="tiles of the patch's size overlap by half, and each is predicted "
                f"{counted(cost.flips, 'time')}, mirrored",
            )
        )
    return tuple(decisions)


def warn_of_cost(plans: Plans, fingerprint: DatasetFingerprint) -> tuple[str, ...]:
    """A line for each configuration with which one case will take long where there is no GPU."""
    warnings = []
    for plan in plans.configurations.values():
        cost = tile_cost(plan, plans.transpose_forward, fingerprint)
        if cost.is_high:
            warnings.append(
                f"{plans.dataset}: {plan.name}: predicting the median case means {counted(cost.median, 'tile')}, each "
                f"{counted(cost.flips, 'time')}: without a GPU about {_time(cost.hours_on_a_cpu)} a case, in the "
                "final validation, too. A "
                "configuration of larger voxels (3d_lowres) takes less, and so do prediction with larger steps "
                "(`step_size=1`) and without mirroring (`mirror=False`)"
            )
    return tuple(warnings)


def _time(hours: float) -> str:
    return time_span(max(MINUTE, hours * HOUR), smallest=HOUR if hours >= 1 else MINUTE)


def _resampled(plan: ConfigurationPlan, shape: Shape, spacing: Sequence[float]) -> Shape:
    """A case's sides on the network's grid; slices of 2d are not resampled across."""
    wanted = (spacing[0], *plan.grid.spacing[1:]) if len(plan.sampling.patch_size) < len(shape) else plan.grid.spacing
    sides = (round(side * own / other) for side, own, other in zip(shape, spacing, wanted, strict=True))
    return tuple(max(1, side) for side in sides)
