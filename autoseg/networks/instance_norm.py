"""Instance normalisation that leaves a tensor's values in the order in which they lie."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from autoseg.networks.spread_norm import spread_instance_norm

CHANNELS_LAST = {4: torch.channels_last, 5: torch.channels_last_3d}
"""By a batch's number of axes."""

MOST_VOXELS = 2**21
"""Of a sample: torch sums them one after the other in fp32, which is off by 0.0006 then, a quarter of what bf16 rounds
away, and by 0.005 for three times as many."""


class OurInstanceNorm(nn.modules.instancenorm._InstanceNorm):
    """torch's instance normalisation, but bf16 tensors with channels last go through batch normalisation on a CPU.

    Sample by sample both are the same. torch's own would copy a tensor into the other order and back, a fifth of a
    training step.

    Attributes:
        spread: Sum with the whole GPU; `place_network` decides, by the device.
    """

    spread = False

    def forward(self, batch: Tensor) -> Tensor:
        if self.spread and not torch.compiler.is_compiling():  # which spreads torch's form, too
            return spread_instance_norm(batch, self.weight, self.bias, self.eps)
        if batch.device.type == "mps":
            return self.in_planes(batch)
        if not _is_for_batch_norm(batch):
            return super().forward(batch)
        samples = [self._normalised(sample) for sample in torch.split(batch, 1)]
        return samples[0] if len(samples) == 1 else torch.cat(samples)

    def in_planes(self, batch: Tensor) -> Tensor:
        """The same with depth and height as one axis, which Apple's GPU takes 2.4 times as fast (pytorch#180334)."""
        merged = batch.flatten(2, -2)
        return F.instance_norm(merged, None, None, self.weight, self.bias, True, 0.0, self.eps).reshape(batch.shape)

    def _normalised(self, sample: Tensor) -> Tensor:
        return torch.batch_norm(sample, self.weight, self.bias, None, None, True, 0, self.eps, False)


class InstanceNorm2d(OurInstanceNorm, nn.InstanceNorm2d):
    """Of `(B, C, Y, X)`; each channel of each sample gets mean 0 and variance 1, then a learned scale and shift."""


class InstanceNorm3d(OurInstanceNorm, nn.InstanceNorm3d):
    """Of `(B, C, Z, Y, X)`; each channel of each sample gets mean 0 and variance 1, then a learned scale and shift."""


def _is_for_batch_norm(tensor: Tensor) -> bool:
    return (
        tensor.device.type == "cpu"
        and tensor.dtype == torch.bfloat16
        and tensor[0, 0].numel() <= MOST_VOXELS
        and not tensor.is_contiguous()
        and tensor.is_contiguous(memory_format=CHANNELS_LAST[tensor.ndim])
    )
