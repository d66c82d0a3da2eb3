"""The networks that a recipe may name beside the planned one."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from types import MappingProxyType

from torch import nn

from autoseg.catalogue import Settings
from autoseg.networks.dense import dense_dual, dense_dual_single, dense_single
from autoseg.networks.dense_voxel import dense_voxel
from autoseg.networks.highres import highres
from autoseg.networks.hyper_dense import hyper_dense
from autoseg.networks.mednext import MedNextSettings
from autoseg.networks.resnet_med3d import resnet_med3d
from autoseg.networks.resnet_vae import ResNetVAESettings
from autoseg.networks.skip_dense import skip_dense
from autoseg.networks.unet_2016 import UNet2016Settings
from autoseg.networks.unet_2017 import unet_2017
from autoseg.networks.unet_linear import UNetBilinearSettings, UNetDropoutSettings
from autoseg.networks.unet_multiplanar import UNetMultiplanarSettings
from autoseg.networks.vnet import VNetLightSettings, VNetSettings

NAMED_NETWORKS: Mapping[str, Callable[..., nn.Module] | type[Settings]] = MappingProxyType(
    {
        "unet_2016": UNet2016Settings,
        "unet_2017": unet_2017,
        "unet_dropout": UNetDropoutSettings,
        "unet_bilinear": UNetBilinearSettings,
        "unet_multiplanar": UNetMultiplanarSettings,
        "vnet": VNetSettings,
        "vnet_light": VNetLightSettings,
        "dense_single": dense_single,
        "dense_dual": dense_dual,
        "dense_dual_single": dense_dual_single,
        "dense_voxel": dense_voxel,
        "skip_dense": skip_dense,
        "hyper_dense": hyper_dense,
        "highres": highres,
        "resnet_vae": ResNetVAESettings,
        "resnet_med3d": resnet_med3d,
        "mednext": MedNextSettings,
    }
)
"""By name what builds them of the plan, `in_channels` and `out_channels`, and their settings."""
