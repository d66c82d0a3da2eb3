"""How much memory training takes, in the reference system's own unit: activations of one sample."""

from __future__ import annotations

import math

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
