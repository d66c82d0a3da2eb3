"""The network as a function of a topology, and how it is computed; knows no trainer and no file of plans."""

from autoseg.networks.build import build_network, place_network
from autoseg.networks.devices import limit_threads, resolve_device
from autoseg.networks.precision import Precision, resolve_precision
from autoseg.networks.residual import ResidualUNet
from autoseg.networks.unet import UNet

__all__ = [
    "Precision",
    "ResidualUNet",
    "UNet",
    "build_network",
    "limit_threads",
    "place_network",
    "resolve_device",
    "resolve_precision",
]
