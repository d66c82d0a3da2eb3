"""How what an earlier configuration predicted enters the network of a cascade; training and prediction share it."""

from __future__ import annotations

import torch

from autoseg.dataset.target import Target
from autoseg.networks.activations import activation_of


def expand_labels(tiles: torch.Tensor, target: Target) -> torch.Tensor:
    """Replace the last channels, which hold the maps of a segmentation, by one for each output that is scored.

    It holds zeros and ones, or fractions. Until here labels of one map travel as one channel, whatever their number.

    Args:
        tiles: `(B, C + maps, *space)`.
        target: What the earlier configuration predicted.

    Returns:
        `(B, C + scored outputs, *space)` of the same type.
    """
    channels, maps = tiles[:, : -target.maps], tiles[:, -target.maps :]
    return torch.cat([channels, activation_of(target).refined(maps, len(target.outputs))], dim=1)
