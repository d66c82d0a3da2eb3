"""What a device is worth before anything is trained on it: whether it computes rightly, and whether half precision pays."""

from __future__ import annotations

import time
from dataclasses import dataclass

import torch
from torch import nn

from autoseg.networks.agreement import largest_disagreement
from autoseg.networks.devices import resolve_device
from autoseg.networks.precision import Precision, resolve_precision

CHANNELS, SIDE, TRIES = 32, 64, 5
"""A layer of the finest level of most plans, small enough for any GPU."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Trial:
    """What came of it.

    Attributes:
        disagreement: Largest relative difference from the CPU in fp32.
        speedup: Time of 3D convolutions in fp32 by that in `precision`; None where that is fp32, or on a CPU.
    """

    device: str
    precision: str
    disagreement: float
    speedup: float | None


def try_arithmetic(name: str | None = None) -> Trial:
    """Compute small U-Nets and some convolutions on a device, in the format that trainings take on it.

    Raises:
        ModelError: It is not there.
        RuntimeError: It cannot compute them.
    """
    device = resolve_device(name)
    precision = resolve_precision("auto", device)
    return Trial(
        device=str(device),
        precision=precision.name,
        disagreement=largest_disagreement(device, precision),
        speedup=None if device.type == "cpu" or precision.name == "fp32" else half_speedup(device, precision),
    )


def half_speedup(device: torch.device, precision: Precision, side: int = SIDE) -> float:
    """How many times faster a plain, a strided and a transposed 3D convolution run than in fp32, forward and backward."""
    layers = nn.ModuleList(
        [
            nn.Conv3d(CHANNELS, CHANNELS, 3, padding=1),
            nn.Conv3d(CHANNELS, CHANNELS, 3, stride=2, padding=1),
            nn.ConvTranspose3d(CHANNELS, CHANNELS, 2, stride=2),
        ]
    ).to(device)
    image = torch.randn(1, CHANNELS, side, side, side, device=device)
    fp32 = Precision(name="fp32", device=device.type)
    return _seconds(layers, image, fp32) / _seconds(layers, image, precision)


def _seconds(layers: nn.ModuleList, image: torch.Tensor, precision: Precision) -> float:
    """Of the quickest of several tries, after one that warms up."""
    taken = []
    for _ in range(TRIES + 1):
        started = time.perf_counter()
        with precision.autocast():
            output = layers[2](layers[1](layers[0](image)))
        output.float().sum().backward()
        output.sum().item()  # waits for the device
        taken.append(time.perf_counter() - started)
    return min(taken[1:])
