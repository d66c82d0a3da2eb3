"""Optimisers by name; each is called with the network's parameters and the learning rate of the first step."""

from __future__ import annotations

from collections.abc import Iterable

import torch
from torch import nn

from autoseg.catalogue import Catalogue


def sgd(
    params: Iterable[nn.Parameter],
    lr: float,
    *,
    momentum: float = 0.99,
    nesterov: bool = True,
    weight_decay: float = 3e-5,
    fit_to_length: bool = True,  # noqa: ARG001
) -> torch.optim.Optimizer:
    """Stochastic gradient descent (Isensee et al. 2021, "Fixed parameters").

    Args:
        momentum: Share of the earlier steps in the next one, of a long training.
        nesterov: Whether gradients are those ahead of the step.
        weight_decay: How strongly weights are drawn to 0.
        fit_to_length: Whether a training that is short beside the memory of the momentum starts with less momentum and a
            higher rate.
    """
    weights = list(params)
    return torch.optim.SGD(
        weights,
        lr=lr,
        momentum=momentum,
        nesterov=nesterov,
        weight_decay=weight_decay,
        fused=weights[0].device.type in ("cpu", "cuda") or None,
    )


def adam(
    params: Iterable[nn.Parameter], lr: float, *, weight_decay: float = 3e-5, amsgrad: bool = True
) -> torch.optim.Optimizer:
    """Adam (Kingma and Ba 2015), by default with the greatest second moment seen (Reddi et al. 2018).

    Args:
        weight_decay: How strongly weights are drawn to 0.
        amsgrad: Whether the greatest second moment seen counts.
    """
    return torch.optim.Adam(params, lr=lr, weight_decay=weight_decay, amsgrad=amsgrad)


def adamw(params: Iterable[nn.Parameter], lr: float, *, weight_decay: float = 3e-5) -> torch.optim.Optimizer:
    """Adam with decoupled weight decay (Loshchilov and Hutter 2019).

    Args:
        weight_decay: How strongly weights are drawn to 0.
    """
    return torch.optim.AdamW(params, lr=lr, weight_decay=weight_decay)


OPTIMISERS = Catalogue(kind="optimiser", entries={"SGD": sgd, "Adam": adam, "AdamW": adamw}, given=("params", "lr"))
