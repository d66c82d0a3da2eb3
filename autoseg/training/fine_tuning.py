"""Training on from other weights: the layers nearest to the input stay as they are, the others learn, or start anew."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor, nn


def freeze(network: nn.Module, share: float) -> tuple[str, ...]:
    """Let a share of the layers with weights, in the order of their definition from the input on, learn nothing.

    Returns:
        The names of the parameters that stay as they are.

    Source: ivadomed, which counts layers without weights too.
    """
    layers = [layer for layer in network.modules() if list(layer.parameters(recurse=False))]
    frozen = layers[: round(len(layers) * share)]
    kept = {id(parameter) for layer in frozen for parameter in layer.parameters(recurse=False)}
    for parameter in network.parameters():
        if id(parameter) in kept:
            parameter.requires_grad_(False)
    return tuple(name for name, parameter in network.named_parameters() if id(parameter) in kept)


@torch.no_grad()
def start_anew(network: nn.Module, first: Mapping[str, Tensor]) -> None:
    """Give what learns the values that it had first, before others were loaded."""
    for name, parameter in network.named_parameters():
        if parameter.requires_grad:
            parameter.copy_(first[name])
