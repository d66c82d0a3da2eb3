"""Memory of prediction: what it takes, how many tiles that allows at once, and fewer where it runs out."""

from __future__ import annotations

import logging
import math

import torch
from torch import nn

from autoseg.networks.devices import free_device_memory
from autoseg.networks.encoder_decoder import EncoderDecoder
from autoseg.networks.fitting import FittingNumber
from autoseg.networks.memory import estimate_answer
from autoseg.plans import ConfigurationPlan
from autoseg.words import counted

log = logging.getLogger(__name__)

BYTES_PER_VALUE = 4

LARGE_ACTIVATIONS = 6
"""Activations of a network's finest level that exist at once, where nothing is kept for gradients: what came from
below and the skip, both joined, the convolution's input, output and workspace."""

SCORE_COPIES = 3
"""Of a tile's scores: as the network returned them, their probabilities, and the sum over folds and flips."""

BATCH_VOXELS = {"cpu": 2**20, "cuda": 2**22}
"""Voxels of the tiles handed to the network at once: two patches of 128x128x128 on a GPU, whose activations take
about 2 GB then, and more where it has room; on a CPU, whose cores compute small tiles side by side, eight flips of a patch of 64x64x32."""

MOST_TILES_ON_GPU = 16
"""Patches of 128x128x128, of which two leave half of a large GPU's blocks without work; more win nothing."""

SHARE_FOR_TILES = 1 / 4
"""Of a GPU's free memory; scores are summed in the rest."""


def most_tiles(plan: ConfigurationPlan, each: int, device: torch.device) -> int:
    """Tiles, flipped ones counted, that a network is handed at once where memory allows.

    Args:
        each: Bytes that a tile takes.
    """
    voxels = BATCH_VOXELS.get(device.type, BATCH_VOXELS["cpu"])
    usual = max(1, voxels // math.prod(plan.sampling.patch_size))
    if device.type != "cuda":
        return usual
    return tiles_on_gpu(usual, each, free_device_memory(device))


def tiles_on_gpu(usual: int, each: int, free: int) -> int:
    """How many tiles a GPU is handed at once: more than usual where its memory has room.

    Args:
        usual: The number that any GPU is handed.
        each: Bytes that a tile takes.
        free: Bytes of the GPU.
    """
    return max(usual, min(MOST_TILES_ON_GPU, int(SHARE_FOR_TILES * free) // each))


def tile_bytes(network: nn.Module, plan: ConfigurationPlan, *, in_channels: int, channels: int) -> int:
    """What one tile takes while a network runs.

    The plan's own networks, whose layers are known, are not counted, as a count takes longer to begin than a short
    prediction may; nor is one that only runs with real numbers.

    Args:
        channels: Values that are held for each voxel.
    """
    voxels = math.prod(plan.sampling.patch_size)
    activations = voxels * BYTES_PER_VALUE * LARGE_ACTIVATIONS * plan.network.features
    if not isinstance(network, EncoderDecoder):
        try:
            activations = estimate_answer(network, (in_channels, *plan.sampling.patch_size))
        except Exception as error:  # a network of the user's own may do anything
            log.debug("the memory of a tile cannot be estimated: %s", error)
    return activations + voxels * BYTES_PER_VALUE * SCORE_COPIES * channels


def fitting_batch(most: int, each: int, free: int) -> int:
    """How many tiles to hand to the network at once: as many as fit into `free` bytes, at least one."""
    return max(1, min(most, free // each))


def tiles_at_once(most: int) -> FittingNumber:
    """How many tiles, flipped ones counted, the network is handed at once."""
    return FittingNumber(
        most, lambda number: f"the device's memory is full: {counted(number, 'tile')} at once from here on"
    )


def say_once(kind: str, message: str) -> None:
    """Warn, the first time of its kind only; the message may name the case that is the first."""
    if kind not in SAID:
        SAID.add(kind)
        log.warning("%s", message)


SAID: set[str] = set()
"""Kinds of warnings that were given."""
