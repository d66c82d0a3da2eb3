"""Every network that a recipe may name, small enough for a test."""

from __future__ import annotations

from typing import Any

import torch
from small_plans import unet_plan
from torch import Tensor, nn

from autoseg.networks.build import RECIPE_NETWORKS, build_named_network
from autoseg.plans import ConfigurationPlan

SIDE = 16

SMALL: dict[str, dict[str, Any]] = {
    "unet_2016": {"width": 8, "levels": 3},
    "vnet": {"width": 4, "levels": 3, "dropout": 0.0},
    "vnet_light": {"width": 4, "dropout": 0.0},
    "dense_single": {"growth": 4, "dropout": 0.0},
    "dense_dual": {"growth": 4},
    "dense_dual_single": {"growth": 4, "dropout": 0.0},
    "dense_voxel": {"width": 4, "growth": 4, "dropout": 0.0},
    "skip_dense": {"width": 8, "growth": 4, "dropout": 0.0},
    "hyper_dense": {"growth": 2},
    "highres": {"width": 4, "dropout": 0.0},
    "resnet_vae": {"width": 8, "dropout": 0.0},
    "resnet_med3d": {"width": 8, "depth": 10},
    "unet_2017": {"width": 8, "dropout": 0.0, "attention_gates": True},
    "unet_dropout": {"width": 8, "levels": 3, "dropout": 0.0},
    "unet_bilinear": {"width": 8, "levels": 3},
    "unet_multiplanar": {"width": 4, "levels": 3},
    "mednext": {"width": 4},
}
"""Settings by name; nothing is left out at random, so that a batch can be learned by heart."""

CHANNELS = {"hyper_dense": 2}
"""Fewest of the input, where one is not enough."""

LARGE = {"unet_2017", "mednext"}
"""Those that normalise each sample after four poolings, which needs more than one voxel."""

CASES = [(name, axes) for name in SMALL for axes in (2, 3)]


def plan_of(patch: tuple[int, ...], poolings: tuple[tuple[int, ...], ...] | None = None, **changes: Any) -> Any:
    """A plan that halves every axis four times, if nothing else is said."""
    return unet_plan(patch_size=patch, poolings=poolings or ((2,) * len(patch),) * 4, **changes)


def side_of(name: str) -> int:
    return 2 * SIDE if name in LARGE else SIDE


def built(
    name: str, plan: ConfigurationPlan, in_channels: int = 1, out_channels: int = 3, **settings: Any
) -> nn.Module:
    with torch.random.fork_rng():
        torch.manual_seed(0)
        return build_named_network(RECIPE_NETWORKS.part(name, **settings), plan, in_channels, out_channels)


def small(name: str, axes: int, **settings: Any) -> nn.Module:
    return built(name, plan_of((side_of(name),) * axes), CHANNELS.get(name, 1), **(SMALL[name] | settings))


def counted_on_meta(name: str, plan: ConfigurationPlan, in_channels: int, out_channels: int, **settings: Any) -> int:
    with torch.device("meta"):
        network = built(name, plan, in_channels, out_channels, **settings)
    return sum(parameter.numel() for parameter in network.parameters())


def scores(network: nn.Module, image: Tensor) -> list[Tensor]:
    outputs = network(image)
    return [outputs] if isinstance(outputs, Tensor) else list(outputs)


def image(*shape: int) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(1))
