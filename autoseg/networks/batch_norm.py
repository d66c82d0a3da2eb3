"""Batch normalisation in place of instance normalisation."""

from __future__ import annotations

from torch import nn


def with_batch_norm(network: nn.Module) -> nn.Module:
    """Replace every instance normalisation inside a network, which is returned; scales and shifts stay as they are."""
    for parent in list(network.modules()):
        for name, layer in parent.named_children():
            if isinstance(layer, (nn.InstanceNorm2d, nn.InstanceNorm3d)):
                kind = nn.BatchNorm2d if isinstance(layer, nn.InstanceNorm2d) else nn.BatchNorm3d
                batch_norm = kind(layer.num_features, eps=layer.eps)
                batch_norm.load_state_dict(layer.state_dict(), strict=False)
                setattr(parent, name, batch_norm)
    return network
