"""How much memory training takes, in the reference system's own unit: activations of one sample."""

from __future__ import annotations

import math
from collections.abc import Sequence

from autoseg.planning.topology import PatchTopology


def estimate_memory(
    topology: PatchTopology, *, channels: int, classes: int, features: int, max_features: int, convs_per_stage: int
) -> int:
    """Estimate the number of activations a U-Net keeps for one sample of a patch.

    Every level but the deepest counts its convolutions on the way down and up and one upsampled map; the deepest
    only those on the way down. Input channels and class scores count once, at full resolution.

    Args:
        topology: The patch and its poolings.
        classes: Labels with the background.
        features: Channels of the finest level, doubled at each pooling up to `max_features`.

    Returns:
        Number of values; compared with a reference measured on an 8 GB card, never turned into bytes.

    Source: reference system, plans v2.1 (documentation/decisions_planning.md).
    """
    both_ways = 2 * convs_per_stage + 1
    size = list(topology.patch_size)
    total = math.prod(size) * (both_ways * features + channels + classes)
    deepest = len(topology.pool_kernel_sizes)
    for level, kernel in enumerate(topology.pool_kernel_sizes, start=1):
        size = [side // step for side, step in zip(size, kernel, strict=True)]
        features = min(2 * features, max_features)
        total += math.prod(size) * features * (convs_per_stage if level == deepest else both_ways)
    return total


def count_residual_activations(
    topology: PatchTopology,
    *,
    classes: int,
    features: int,
    max_features: int,
    blocks_per_stage: Sequence[int],
    convs_per_stage: int,
) -> int:
    """Count the elements in the outputs of all convolutions of a residual-encoder U-Net, for one sample of a patch.

    The stem, the two convolutions of each block, that of a skip where the channels change, upsampling, the decoder's
    convolutions and the heads of all its levels: exactly what the network that is trained computes.

    Args:
        topology: The patch and its poolings.
        classes: Labels with the background.
        features: Channels of the finest level, doubled at each pooling up to `max_features`.
        blocks_per_stage: Residual blocks of each encoder level, finest first.
        convs_per_stage: Convolutions of each decoder level.

    Source: Isensee et al. 2024, "nnU-Net Revisited" (documentation/decisions_planning.md).
    """
    voxels = math.prod(topology.patch_size)
    total, before, width = voxels * features, features, features
    strides = (1, *(math.prod(kernel) for kernel in topology.pool_kernel_sizes))
    deepest = len(strides) - 1
    for level, (stride, blocks) in enumerate(zip(strides, blocks_per_stage, strict=True)):
        voxels //= stride
        width = min(features * 2**level, max_features)
        total += voxels * width * (2 * blocks + (before != width))
        if level < deepest:
            total += voxels * (width * (1 + convs_per_stage) + classes)
        elif deepest == 0:
            total += voxels * classes
        before = width
    return total
