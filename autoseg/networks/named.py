"""The networks that a recipe may name beside the planned one."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from types import MappingProxyType

from torch import nn

from autoseg.networks.dense import dense_dual, dense_dual_single, dense_single
from autoseg.networks.dense_voxel import dense_voxel
from autoseg.networks.highres import highres
from autoseg.networks.hyper_dense import hyper_dense
from autoseg.networks.mednext import mednext
from autoseg.networks.resnet_med3d import resnet_med3d
from autoseg.networks.resnet_vae import resnet_vae
from autoseg.networks.skip_dense import skip_dense
from autoseg.networks.unet_2016 import unet_2016
from autoseg.networks.unet_2017 import unet_2017
from autoseg.networks.unet_linear import unet_bilinear, unet_dropout
from autoseg.networks.unet_multiplanar import unet_multiplanar
from autoseg.networks.vnet import vnet, vnet_light

NAMED_NETWORKS: Mapping[str, Callable[..., nn.Module]] = MappingProxyType(
    {
        "unet_2016": unet_2016,
        "unet_2017": unet_2017,
        "unet_dropout": unet_dropout,
        "unet_bilinear": unet_bilinear,
        "unet_multiplanar": unet_multiplanar,
        "vnet": vnet,
        "vnet_light": vnet_light,
        "dense_single": dense_single,
        "dense_dual": dense_dual,
        "dense_dual_single": dense_dual_single,
        "dense_voxel": dense_voxel,
        "skip_dense": skip_dense,
        "hyper_dense": hyper_dense,
        "highres": highres,
        "resnet_vae": resnet_vae,
        "resnet_med3d": resnet_med3d,
        "mednext": mednext,
    }
)
"""By name what builds them of the plan, `in_channels` and `out_channels`, and their settings."""
