"""How often each axis is halved inside the network, and which kernels its levels get."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from autoseg.geometry import Shape, Spacing

SMALLEST_BOTTLENECK_EDGE = 4
"""Voxels; halving further would leave too little to convolve (Isensee et al. 2021, Fig. 2, "Network topology")."""

SIMILAR = 2.0
"""Voxel sides within this factor of each other are pooled, and convolved, together."""

WIDE_KERNEL = 3
POOL = 2


@dataclass(frozen=True, slots=True, kw_only=True)
class PatchTopology:
    """A patch and the levels of the network that fit it, finest first.

    Attributes:
        patch_size: Voxels per axis, divisible by `divisor`.
        pool_kernel_sizes: One entry for each pooling.
        conv_kernel_sizes: One entry for each level, so one more.
    """

    patch_size: Shape
    pool_kernel_sizes: tuple[tuple[int, ...], ...]
    conv_kernel_sizes: tuple[tuple[int, ...], ...]

    @property
    def num_pool_per_axis(self) -> tuple[int, ...]:
        """How often each axis is halved."""
        return tuple(sum(kernel[axis] == POOL for kernel in self.pool_kernel_sizes) for axis in _axes(self.patch_size))

    @property
    def divisor(self) -> Shape:
        """What every side of the patch must be divisible by."""
        return tuple(POOL**times for times in self.num_pool_per_axis)


def plan_topology(shape: Shape, spacing: Spacing) -> PatchTopology:
    """Halve every axis as long as its voxels are about as fine as the finest and enough of them remain.

    Axes of similar voxel size are convolved together with kernel 3, the others with kernel 1 until they have caught
    up; the deepest level always has kernel 3. The patch is rounded up to what the poolings divide.

    Args:
        shape: Wanted patch in voxels, two or three axes.
        spacing: Voxel size in mm of the same axes.

    Source: Isensee et al. 2021, Fig. 2, "Network topology"; loop as in the reference system, plans v2.1.
    """
    sides, size = list(spacing), list(shape)
    pools: list[tuple[int, ...]] = []
    kernels: list[tuple[int, ...]] = []
    while halved := _axes_to_halve(size, sides):
        pools.append(tuple(POOL if axis in halved else 1 for axis in _axes(size)))
        kernels.append(_kernel(sides))
        for axis in halved:
            sides[axis] *= POOL
            size[axis] = math.ceil(size[axis] / POOL)
    kernels.append((WIDE_KERNEL,) * len(shape))
    times = [math.prod(steps) for steps in zip(*pools, strict=True)] or [1] * len(shape)
    return PatchTopology(
        patch_size=tuple(math.ceil(side / factor) * factor for side, factor in zip(shape, times, strict=True)),
        pool_kernel_sizes=tuple(pools),
        conv_kernel_sizes=tuple(kernels),
    )


def dividing(topology: PatchTopology, side: int) -> PatchTopology:
    """For a patch of equal sides, so that none has to be rounded up: the deepest poolings are left out as far as needed."""
    pools, kernels = topology.pool_kernel_sizes, topology.conv_kernel_sizes
    depth = max(depth for depth in range(len(pools) + 1) if side % POOL**depth == 0)
    return PatchTopology(
        patch_size=(side,) * len(topology.patch_size),
        pool_kernel_sizes=pools[:depth],
        conv_kernel_sizes=(*kernels[:depth], kernels[-1]),
    )


def _axes_to_halve(size: Sequence[int], spacing: Sequence[float]) -> set[int]:
    finest = min(spacing)
    return {
        axis
        for axis in _axes(size)
        if spacing[axis] / finest < SIMILAR and size[axis] >= POOL * SMALLEST_BOTTLENECK_EDGE
    }


def _kernel(spacing: Sequence[float]) -> tuple[int, ...]:
    """Kernel 3 along the largest group of axes whose voxel sides are similar to one axis' (the first such group)."""
    groups = [{other for other in _axes(spacing) if _similar(spacing[axis], spacing[other])} for axis in _axes(spacing)]
    largest = max(groups, key=len)
    return tuple(WIDE_KERNEL if axis in largest else 1 for axis in _axes(spacing))


def _similar(one: float, other: float) -> bool:
    return one / other < SIMILAR and other / one < SIMILAR


def _axes(values: Sequence[object]) -> range:
    return range(len(values))
