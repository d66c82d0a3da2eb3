"""The network as a function of a topology, and how it is computed; knows no trainer and no file of plans."""

from autoseg.networks.precision import PRECISIONS, Precision, resolve_device, resolve_precision
from autoseg.networks.unet import UNet, build_network

__all__ = ["PRECISIONS", "Precision", "UNet", "build_network", "resolve_device", "resolve_precision"]
