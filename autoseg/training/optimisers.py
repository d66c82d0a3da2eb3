"""Optimisers by name; each is called with the network's parameters and the learning rate of the first step."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TypeAlias

import torch
from torch import nn

from autoseg.catalogue import Catalogue, Within


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
        nesterov: Whether gradients are those ahead of the step, where there is momentum.
        weight_decay: How strongly weights are drawn to 0.
        fit_to_length: Whether a training that is short beside the memory of the momentum starts with less momentum and a
            higher rate.
    """
    weights = list(params)
    return torch.optim.SGD(
        weights,
        lr=lr,
        momentum=momentum,
        nesterov=nesterov and momentum > 0,  # there is nothing to look ahead by
        weight_decay=weight_decay,
        fused=weights[0].device.type in ("cpu", "cuda") or None,
    )


Betas: TypeAlias = tuple[float, float]
BETAS: Betas = (0.9, 0.999)
EPSILON = 1e-8
"""Kingma and Ba 2015."""


def adam(
    params: Iterable[nn.Parameter],
    lr: float,
    *,
    weight_decay: float = 3e-5,
    amsgrad: bool = True,
    betas: Betas = BETAS,
    epsilon: float = EPSILON,
) -> torch.optim.Optimizer:
    """Adam (Kingma and Ba 2015), by default with the greatest second moment seen (Reddi et al. 2018).

    Args:
        weight_decay: How strongly weights are drawn to 0.
        amsgrad: Whether the greatest second moment seen counts.
        betas: Shares of the moments so far in the next ones, of the gradient and of its square.
        epsilon: What is added to the root of the second moment.
    """
    return torch.optim.Adam(params, lr=lr, weight_decay=weight_decay, amsgrad=amsgrad, betas=betas, eps=epsilon)


def adamw(
    params: Iterable[nn.Parameter],
    lr: float,
    *,
    weight_decay: float = 3e-5,
    betas: Betas = BETAS,
    epsilon: float = EPSILON,
) -> torch.optim.Optimizer:
    """Adam with decoupled weight decay (Loshchilov and Hutter 2019).

    Args:
        weight_decay: How strongly weights are drawn to 0.
        betas: Shares of the moments so far in the next ones, of the gradient and of its square.
        epsilon: What is added to the root of the second moment.
    """
    return torch.optim.AdamW(params, lr=lr, weight_decay=weight_decay, betas=betas, eps=epsilon)


def rms_prop(
    params: Iterable[nn.Parameter],
    lr: float,
    *,
    memory: float = 0.99,
    momentum: float = 0.0,
    weight_decay: float = 3e-5,
    centred: bool = False,
) -> torch.optim.Optimizer:
    """Gradients divided by the root of the average of their squares (Tieleman and Hinton 2012).

    Args:
        memory: Share of the average so far in the next one.
        momentum: Share of the earlier steps in the next one.
        weight_decay: How strongly weights are drawn to 0.
        centred: Whether it is divided by the deviation from the average gradient.
    """
    return torch.optim.RMSprop(
        params, lr=lr, alpha=memory, momentum=momentum, weight_decay=weight_decay, centered=centred
    )


LARGEST_DECAY = 100
"""What is beyond is a slip: with a learning rate of 0.01 it leaves nothing of a weight."""

OPTIMISERS = Catalogue(
    kind="optimiser",
    entries={"SGD": sgd, "Adam": adam, "AdamW": adamw, "RMSprop": rms_prop},
    given=("params", "lr"),
    within={
        "weight_decay": Within(0, LARGEST_DECAY),
        "betas": Within(0, 1, below=True),
        "memory": Within(0, 1, below=True),
        "epsilon": Within(0, 1),
    },
)
