"""The start of the patch, and how it shrinks."""

from __future__ import annotations

import math

import pytest

from autoseg.errors import PlanError
from autoseg.geometry import Shape, Spacing
from autoseg.planning.patch import fit_patch, isotropic_patch
from autoseg.planning.topology import PatchTopology, plan_topology

STARTS = [
    ((1, 1, 1), (600, 500, 512), (512, 500, 512)),
    ((5, 1, 1), (600, 2000, 3000), (512, 2000, 2560)),
    ((3, 0.7, 0.7), (40, 400, 300), (40, 400, 300)),
    ((1.7, 1, 1), (999, 999, 999), (512, 870, 870)),
]


@pytest.mark.parametrize(("spacing", "median", "expected"), STARTS)
def test_start_is_a_cube_in_millimetres_cut_to_the_median_case(
    spacing: Spacing, median: Shape, expected: Shape
) -> None:
    assert isotropic_patch(spacing, median) == expected


def shrink(start: Shape, median: Shape, voxels: int, spacing: Spacing | None = None) -> Shape:
    def topology(shape: Shape) -> PatchTopology:
        return plan_topology(shape, spacing or (1.0,) * len(shape))

    def fits(found: PatchTopology) -> bool:
        return math.prod(found.patch_size) <= voxels

    return fit_patch(start, median, plan_topology=topology, fits=fits).patch_size


# start, median, voxels that fit, patch
SHRINKING = [
    pytest.param((64, 64), (64, 64), 64 * 64, (64, 64), id="fits as it is"),
    pytest.param((64, 64), (64, 64), 64 * 64 - 1, (64, 56), id="of equal shares the last axis shrinks"),
    pytest.param((64, 64), (64, 64), 64 * 56 - 1, (56, 56), id="then the other"),
    pytest.param((64, 64), (65, 64), 64 * 56 - 1, (56, 56), id="the larger share shrinks"),
    pytest.param((64, 32), (128, 32), 64 * 32 - 1, (64, 28), id="not the longer side"),
    pytest.param((60, 40), (60, 40), 64 * 40 - 1, (56, 40), id="the share is that of the rounded patch"),
    pytest.param((8, 8), (8, 8), 9, (3, 3), id="down to where nothing is pooled"),
    pytest.param((1, 16), (1, 16), 5, (1, 5), id="an axis of one voxel stays"),
]


@pytest.mark.parametrize(("start", "median", "voxels", "expected"), SHRINKING)
def test_shrinking(start: Shape, median: Shape, voxels: int, expected: Shape) -> None:
    assert shrink(start, median, voxels) == expected


def test_nothing_fits() -> None:
    with pytest.raises(PlanError) as caught:
        shrink((16, 16), (16, 16), 0)
    assert str(caught.value) == (
        "no patch fits the memory: even a single voxel is too much for so many channels and labels; "
        "raise `gpu_memory_target`, or use fewer of them"
    )
