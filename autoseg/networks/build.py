"""From a plan to its network."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Literal

import torch
from torch import nn

from autoseg.catalogue import Catalogue, Part, Within
from autoseg.errors import PlanError
from autoseg.networks.batch_norm import with_batch_norm
from autoseg.networks.encoder_decoder import EncoderDecoder
from autoseg.networks.instance_norm import OurInstanceNorm
from autoseg.networks.named import NAMED_NETWORKS
from autoseg.networks.precision import Precision
from autoseg.networks.residual import ResidualUNet
from autoseg.networks.spread_norm import is_spread_taken
from autoseg.networks.unet import UNet
from autoseg.plans import NETWORKS as NAMES
from autoseg.plans import ConfigurationPlan
from autoseg.plans.configuration import of_configuration


def build_network(plan: ConfigurationPlan, in_channels: int, classes: int) -> nn.Module:
    """The network a plan describes, with deep supervision on (switch it by the attribute `deep_supervision`).

    Raises:
        PlanError: No network of ours has the plan's name.
    """
    if plan.network.name not in NETWORKS:
        raise PlanError(
            f"{plan.name}: no network is called {plan.network.name!r}, known are {', '.join(NETWORKS)}; "
            "correct `network.name` in the plans, or train with a trainer that builds its own"
        )
    return NETWORKS[plan.network.name](plan, in_channels, classes)


def place_network(network: nn.Module, device: torch.device, precision: Precision) -> nn.Module:
    """Bring a network to its device, its weights in the order in which they are read fastest; activations follow them.

    There its normalisation takes the form that is faster, which CUDA is asked for.

    One of the user's own keeps its order, on which it may count.
    """
    placed = network.to(device)
    for part in placed.modules():  # itself, or those that it holds
        if not isinstance(part, EncoderDecoder):
            continue
        part.to(memory_format=precision.memory_format(part.dimensions))  # type: ignore[call-overload]
        spread = is_spread_taken(device, precision.dtype)
        for layer in part.modules():
            if isinstance(layer, OurInstanceNorm):
                layer.spread = spread
    return placed


def _unet(plan: ConfigurationPlan, in_channels: int, classes: int) -> nn.Module:
    return UNet(plan.network.unet(), in_channels, classes)


def _residual_unet(plan: ConfigurationPlan, in_channels: int, classes: int) -> nn.Module:
    with of_configuration(plan.name):
        return ResidualUNet(plan.network.unet(), in_channels, classes)


NETWORKS: Mapping[str, Callable[[ConfigurationPlan, int, int], nn.Module]] = MappingProxyType(
    dict(zip(NAMES, (_unet, _residual_unet), strict=True))
)


def planned_network(
    plan: ConfigurationPlan,
    in_channels: int,
    out_channels: int,
    *,
    normalisation: Literal["instance", "batch"] = "instance",
) -> nn.Module:
    """The plan's network.

    Args:
        normalisation: Of what every layer normalises over: each sample by itself, or the whole batch.

    Source: Isensee et al. 2021, "nnU-Net" (arXiv 1904.08128).
    """
    network = build_network(plan, in_channels, out_channels)
    return with_batch_norm(network) if normalisation == "batch" else network


MOST_FEATURES = 4096
"""Of the finest level; ten times as many as any of these networks has."""

MOST_COMPLEXITY = 100
LARGEST_WEIGHT = 1e6
"""What is beyond is a slip."""

RECIPE_NETWORKS = Catalogue(
    kind="network",
    entries={"planned": planned_network, **NAMED_NETWORKS},
    given=("plan", "in_channels", "out_channels", "spatial_dims"),
    within={
        "width": Within(1, MOST_FEATURES),
        "growth": Within(1, MOST_FEATURES),
        "dropout": Within(0, 1, below=True),
        "complexity": Within(0, MOST_COMPLEXITY, above=True),
        "reconstruction_weight": Within(0, LARGEST_WEIGHT),
        "divergence_weight": Within(0, LARGEST_WEIGHT),
    },
)
"""What a recipe may name; of the plan's networks it takes the planned one."""

PLANNED = RECIPE_NETWORKS.part("planned")


def build_named_network(part: Part, plan: ConfigurationPlan, in_channels: int, classes: int) -> nn.Module:
    """The network that a recipe names, with deep supervision on where it has that."""
    network: nn.Module = RECIPE_NETWORKS.build(
        part, plan=plan, in_channels=in_channels, out_channels=classes, spatial_dims=plan.dimensions
    )
    return network
