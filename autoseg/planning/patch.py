"""The patch the network sees at once: as large as the median case, shrunk until training fits the memory."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from autoseg.errors import PlanError
from autoseg.geometry import Shape, Spacing
from autoseg.planning.topology import PatchTopology

LARGEST_EDGE = 512
"""Voxels along the coarsest axis before anything is shrunk (reference system, plans v2.1)."""


def isotropic_patch(spacing: Spacing, median_shape: Shape) -> Shape:
    """A cube in mm, 512 voxels along the coarsest axis, cut to the median case."""
    sides = np.array(spacing)
    start = np.minimum(np.round(LARGEST_EDGE * sides.max() / sides), median_shape)
    return tuple(start.astype(int).tolist())


def fit_patch(
    start: Shape,
    median_shape: Shape,
    *,
    plan_topology: Callable[[Shape], PatchTopology],
    fits: Callable[[PatchTopology], bool],
) -> PatchTopology:
    """Shrink a patch until it fits, always along the axis where it covers most of the median case.

    Of axes that cover equally much the last is shrunk. A step is as small as the poolings allow.

    Raises:
        PlanError: Nothing of the patch is left and it still does not fit.
    """
    topology = plan_topology(start)
    while not fits(topology):
        topology = plan_topology(_shrink(topology, median_shape, plan_topology))
    return topology


def _shrink(topology: PatchTopology, median_shape: Shape, plan_topology: Callable[[Shape], PatchTopology]) -> Shape:
    patch = list(topology.patch_size)
    if max(patch) == 1:
        raise PlanError(
            "no patch fits the memory: even a single voxel is too much for so many channels and labels; "
            "raise `gpu_memory_target`, or use fewer of them"
        )
    shares = [side / whole if side > 1 else 0.0 for side, whole in zip(patch, median_shape, strict=True)]
    axis = max(range(len(shares)), key=lambda axis: (shares[axis], axis))
    shorter = list(patch)
    shorter[axis] -= topology.divisor[axis]
    patch[axis] -= plan_topology(tuple(shorter)).divisor[axis]
    return tuple(patch)
