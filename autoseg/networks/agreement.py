"""Does a device compute what a CPU computes? A network is asked both, forward and backward."""

from __future__ import annotations

import copy
import math

import torch
from torch import Tensor, nn

from autoseg.networks.precision import Precision
from autoseg.networks.unet import UNet
from autoseg.plans import Topology, UNetSettings

MOST_DISAGREEMENT = 0.5
"""Of an output or a gradient, relative to its size. On a sound CPU it is 0.2 in bf16, and far below 0.001 in fp32; what was
wrong elsewhere was so altogether (pytorch#197114: "unrelated to the CPU")."""

VANISHING = 1e-3
"""Of the size of all together, below which a gradient is as good as zero: a bias before a normalisation has none."""

PROBE_SEED = 0

ANISOTROPIC = Topology(strides=((1, 1, 1), (1, 2, 2), (2, 2, 2)), kernels=((1, 3, 3), (3, 3, 3), (3, 3, 3)))
FLAT = Topology(strides=((1, 1), (2, 2)), kernels=((3, 3), (3, 3)))
FEATURES, LARGEST_SIDE = 16, 16


def largest_disagreement(device: torch.device, precision: Precision) -> float:
    """How far a device is off in small U-Nets of two and three dimensions, which hold every layer that ours have.

    Raises:
        RuntimeError: A layer is not there, in torch's words.
    """
    return max(
        disagreement(_small_network(topology), (1, *(LARGEST_SIDE,) * topology.dimensions), device, precision)
        for topology in (FLAT, ANISOTROPIC)
    )


def disagreement(network: nn.Module, shape: tuple[int, ...], device: torch.device, precision: Precision) -> float:
    """How far a network's outputs and gradients are off on a device, relative to those on the CPU in fp32.

    Args:
        network: On the CPU; it is left as it is.
        shape: Of one sample, `(C, *patch)`.

    Returns:
        The largest, over outputs and gradients, of the norm of the difference by the norm of what is right; infinite
        where anything is not finite.
    """
    probe = torch.randn(1, *shape, generator=torch.Generator().manual_seed(PROBE_SEED))
    right = _answers(copy.deepcopy(network), probe, Precision(name="fp32", device="cpu"))
    found = _answers(copy.deepcopy(network).to(device), probe.to(device), precision)
    least = VANISHING * max(float(values.norm()) for values in right)
    differences = [
        float((one.cpu() - other).norm()) / max(float(other.norm()), least)
        for one, other in zip(found, right, strict=True)
    ]
    return max(differences) if all(map(math.isfinite, differences)) else math.inf


def _answers(network: nn.Module, probe: Tensor, precision: Precision) -> list[Tensor]:
    """Outputs and the gradient of every weight, in fp32."""
    with precision.autocast():
        outputs = network(probe)
    levels = [outputs] if isinstance(outputs, Tensor) else outputs
    torch.stack([level.float().square().mean() for level in levels]).sum().backward()  # type: ignore[no-untyped-call]
    gradients = [weights.grad for weights in network.parameters() if weights.grad is not None]
    return [values.detach().float() for values in (*levels, *gradients)]


def _small_network(topology: Topology) -> nn.Module:
    with torch.random.fork_rng([]):
        torch.manual_seed(PROBE_SEED)
        settings = UNetSettings(
            strides=topology.strides,
            kernels=topology.kernels,
            features=FEATURES,
            max_features=2 * FEATURES,
            convs_per_stage=1,
        )
        return UNet(settings, in_channels=1, classes=2)
