"""Dropout that stays on while a network predicts: each pass leaves out something else, and their mean is taken.

Source: Gal and Ghahramani 2016, "Dropout as a Bayesian approximation" (arXiv 1506.02142).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import torch
from torch import Tensor, nn
from torch.nn.modules.dropout import _DropoutNd

from autoseg.errors import ModelError
from autoseg.inference.members import Forward, Networks, in_turn


def with_dropout(networks: Networks, modules: Sequence[nn.Module], samples: int) -> Networks:
    """Each network so many times over, each time with other dropout, the same for every tile.

    Args:
        modules: The networks themselves, in evaluation mode; their dropout is switched on.

    Raises:
        ModelError: A network has no dropout.
    """
    for module in modules:
        dropouts = [layer for layer in module.modules() if isinstance(layer, _DropoutNd) and layer.p > 0]
        if not dropouts:
            raise ModelError(
                f"`dropout_samples`: {type(module).__name__} has no dropout, so all passes would be alike; leave it out, or "
                "train a network that has some, such as unet_dropout"
            )
        for layer in dropouts:
            layer.train()
    forwards = [_drawing(forward, sample) for sample in range(samples) for forward in networks.forwards]
    return replace(networks, forwards=tuple(forwards), ask=in_turn)


def _drawing(forward: Forward, sample: int) -> Forward:
    """The same answer to the same tiles, whatever was drawn before."""

    def call(tiles: Tensor) -> Tensor:
        with torch.random.fork_rng([tiles.device] if tiles.is_cuda else []):
            torch.manual_seed(sample)
            return forward(tiles)

    return call
