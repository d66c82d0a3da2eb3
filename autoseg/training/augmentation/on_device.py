"""Training patches varied by the device that trains, from what a worker read and drew."""

from __future__ import annotations

import torch
from torch import Tensor

from autoseg.dataset.target import BACKGROUND
from autoseg.training.augmentation.device_warping import warp_on_device
from autoseg.training.sampling.packing import Packed
from autoseg.training.sampling.samples import DrawnSample


def vary(sample: DrawnSample) -> tuple[Tensor, Tensor]:
    """What a worker makes of the sample, up to rounding.

    Args:
        sample: With tensors on one device, which may be changed.

    Returns:
        `data` `(C, *patch)` float32 and `labels` `(*patch)`, as `Sample` has them.
    """
    data, maps = sample.data.float(), sample.labels
    if sample.warp is not None:
        data, maps = warp_on_device(sample.warp, data, maps)
    for variation in sample.variations:
        variation.apply_on_device(data, maps)
    previous = maps[1:].clamp(min=BACKGROUND).float()
    return torch.cat([data, previous]) if len(previous) else data, maps[0]


def vary_all(packed: Packed, device: torch.device) -> tuple[Tensor, Tensor]:
    """A batch: `(B, C, *patch)` float32 and labels `(B, *patch)`, on the device; nothing there is waited for."""

    def fetched(tensor: Tensor) -> Tensor:
        return tensor.to(device, non_blocking=device.type == "cuda", copy=True)

    images, labels = zip(*(vary(sample) for sample in packed.unpacked(fetched)), strict=True)
    return torch.stack(images), torch.stack(labels)
