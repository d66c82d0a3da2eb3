"""The networks that a recipe may name beside the planned one."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from types import MappingProxyType

from torch import nn

from autoseg.networks.unet_2016 import unet_2016
from autoseg.networks.vnet import vnet, vnet_light

NAMED_NETWORKS: Mapping[str, Callable[..., nn.Module]] = MappingProxyType(
    {"unet_2016": unet_2016, "vnet": vnet, "vnet_light": vnet_light}
)
"""By name what builds them of the plan, `in_channels` and `out_channels`, and their settings."""
