"""Starting from another training's weights."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor, nn

from autoseg.errors import ModelError

HEADS = "heads."
ENCODER = "encoder."


def transfer_weights(network: nn.Module, weights: Mapping[str, Tensor], *, source: str) -> tuple[str, ...]:
    """Copy into `network` every tensor of `weights` that has its name and shape, the output heads excepted.

    Heads always start anew: equal numbers of labels need not be equal labels.

    Args:
        source: Where the weights come from, for messages.

    Returns:
        Names of the network's tensors that keep their own initial values.

    Raises:
        ModelError: An encoder tensor does not fit, or nothing at all does.
    """
    own = network.state_dict()
    fitting = {
        name: weights[name]
        for name, tensor in own.items()
        if not name.startswith(HEADS) and name in weights and weights[name].shape == tensor.shape
    }
    missing = [name for name in own if name.startswith(ENCODER) and name not in fitting]
    if missing or not fitting:
        found = "\n".join(f"  {name}: {_shape(own[name])} here, {_shape(weights.get(name))} there" for name in missing)
        raise ModelError(
            f"{source}: these weights do not fit the network of this plan\n{found}\n"
            "Plan with the other task's plans, so that both networks are the same, or train without them."
        )
    with torch.no_grad():
        for name, tensor in fitting.items():
            own[name].copy_(tensor)
    return tuple(name for name in own if name not in fitting)


def _shape(tensor: Tensor | None) -> str:
    return "none" if tensor is None else "x".join(str(side) for side in tensor.shape)
