"""How the labels an earlier configuration predicted enter the network of a cascade; training and prediction share it."""

from __future__ import annotations

import torch

from autoseg.dataset.target import Target
from autoseg.networks.activations import activation_of


def expand_labels(tiles: torch.Tensor, target: Target) -> torch.Tensor:
    """Replace the last channel, which holds labels, by a channel of zeros and ones for each output that is scored.

    Until here labels travel as one channel, whatever their number.

    Args:
        tiles: `(B, C + 1, *space)`.
        target: What the earlier configuration predicted.

    Returns:
        `(B, C + scored outputs, *space)` of the same type.
    """
    activation = activation_of(target)
    zeros = tiles.new_zeros((len(tiles), len(target.outputs), *tiles.shape[2:]))
    return torch.cat([tiles[:, :-1], activation.encode(tiles[:, -1], zeros)[:, activation.scored]], dim=1)
