"""How the labels an earlier configuration predicted enter the network of a cascade; training and prediction share it."""

from __future__ import annotations

import torch


def expand_labels(tiles: torch.Tensor, classes: int) -> torch.Tensor:
    """Replace the last channel, which holds labels, by a channel of zeros and ones for each label above background.

    Until here labels travel as one channel, whatever their number.

    Args:
        tiles: `(B, C + 1, *space)`.
        classes: Number of labels, background included.

    Returns:
        `(B, C + classes - 1, *space)` of the same type.
    """
    values = torch.arange(1, classes, device=tiles.device, dtype=tiles.dtype)
    one_hot = tiles[:, -1:] == values.reshape(-1, *[1] * (tiles.ndim - 2))
    return torch.cat([tiles[:, :-1], one_hot.to(tiles.dtype)], dim=1)
