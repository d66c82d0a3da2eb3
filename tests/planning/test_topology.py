"""Poolings and kernels of a patch."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from autoseg.geometry import Shape, Spacing
from autoseg.planning.topology import PatchTopology, plan_topology

# patch, spacing; rounded patch, pooling kernels, convolution kernels
TABLE = [
    ((36, 50, 35), (1, 1, 1), (40, 56, 40), "222 222 222", "333 333 333 333"),
    ((9, 237, 208), (10, 1.5, 1.5), (10, 256, 224), "122 122 222 122 122", "133 133 333 333 333 333"),
    ((20, 320, 256), (3.6, 0.625, 0.625), (20, 320, 256), "122 122 222 222 122 122", "133 133 333 333 333 333 333"),
    ((7, 7, 7), (1, 1, 1), (7, 7, 7), "", "333"),
    ((8, 7, 15), (1, 1, 1), (8, 7, 16), "212", "333 333"),
    ((16, 16, 16), (2, 1, 1), (16, 16, 16), "122 222 211", "133 333 333 333"),
    ((16, 16, 16), (1.99, 1, 1), (16, 16, 16), "222 222", "333 333 333"),
    ((64, 64, 64), (9, 3, 1), (64, 64, 64), "112 122 122 222 221", "311 133 333 333 333 333"),
    ((512, 8), (1, 1), (512, 8), "22 21", "33 33 33"),
]


def written(kernels: tuple[Shape, ...]) -> str:
    return " ".join("".join(map(str, kernel)) for kernel in kernels)


@pytest.mark.parametrize(("shape", "spacing", "patch", "pools", "kernels"), TABLE)
def test_known_patches(shape: Shape, spacing: Spacing, patch: Shape, pools: str, kernels: str) -> None:
    topology = plan_topology(shape, spacing)

    assert topology.patch_size == patch
    assert written(topology.pool_kernel_sizes) == pools
    assert written(topology.conv_kernel_sizes) == kernels


def test_counts_of_poolings_and_the_divisor() -> None:
    topology = PatchTopology(
        patch_size=(20, 64), pool_kernel_sizes=((1, 2), (2, 2), (2, 2)), conv_kernel_sizes=((3, 3),) * 4
    )

    assert topology.num_pool_per_axis == (2, 3)
    assert topology.divisor == (4, 8)


@given(
    shape=st.lists(st.integers(1, 600), min_size=2, max_size=3),
    spacing=st.lists(st.floats(0.2, 20), min_size=3, max_size=3),
)
def test_any_patch_can_be_pooled_and_keeps_four_voxels(shape: list[int], spacing: list[float]) -> None:
    topology = plan_topology(tuple(shape), tuple(spacing[: len(shape)]))

    assert len(topology.conv_kernel_sizes) == len(topology.pool_kernel_sizes) + 1
    for side, rounded, factor in zip(shape, topology.patch_size, topology.divisor, strict=True):
        assert rounded % factor == 0
        assert side <= rounded < side + factor
        assert factor == 1 or rounded // factor >= 4
    assert plan_topology(topology.patch_size, tuple(spacing[: len(shape)])) == topology
