"""The U that every network of ours shares: levels of an encoder, a decoder that climbs them again, a head on each.

Source: Isensee et al. 2021, "Blueprint parameters"; Kaiming initialisation as in He et al. 2015.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from itertools import pairwise

import torch
from torch import Tensor, nn

from autoseg.networks.layers import KINDS, LEAKY_SLOPE, nonlinearity
from autoseg.plans import UNetSettings

NORM_EPSILON = 1e-5
"""Added to the variance of instance normalisation (Isensee et al. 2021)."""


class EncoderDecoder(nn.Module):
    """An encoder's levels, and the decoder that joins each with what comes from below.

    Input `(B, C, *patch)`. Output: raw logits `(B, classes, *patch)`; with `deep_supervision` a list of them, finest
    first, one for each decoder level at that level's resolution.

    Args:
        encoder: One module for each level of the topology, finest first, of the settings' `widths` as output channels.
        settings: What a plan says of the network.
        classes: Channels of the output, background counted.
    """

    def __init__(
        self, encoder: Iterable[nn.Module], settings: UNetSettings, classes: int, *, deep_supervision: bool
    ) -> None:
        super().__init__()
        topology, widths = settings.topology, settings.widths
        self.deep_supervision = deep_supervision
        self.dimensions = topology.dimensions
        kinds = KINDS[topology.dimensions]
        ones = (1,) * topology.dimensions

        self.encoder = nn.ModuleList(encoder)
        self.upsampling = nn.ModuleList(
            kinds.transposed(below, width, kernel_size=stride, stride=stride, bias=False)
            for (width, below), stride in zip(pairwise(widths), topology.strides[1:], strict=True)
        )
        self.decoder = nn.ModuleList(
            conv_stage((2 * width, width), kernel, ones, settings.convs_per_stage)
            for width, kernel in zip(widths[:-1], topology.kernels[:-1], strict=True)
        )
        self.heads = nn.ModuleList(
            kinds.conv(width, classes, kernel_size=1, bias=False) for width in widths[:-1] or widths
        )
        self.apply(_initialise)

    def forward(self, image: Tensor) -> Tensor | list[Tensor]:
        skips = []
        features = image
        for stage in self.encoder:
            features = stage(features)
            skips.append(features)

        decoded = [features] if len(skips) == 1 else []
        for level in reversed(range(len(self.decoder))):
            features = torch.cat((self.upsampling[level](features), skips[level]), dim=1)
            features = self.decoder[level](features)
            decoded.insert(0, features)

        if not self.deep_supervision:
            finest: Tensor = self.heads[0](decoded[0])
            return finest
        return [head(level) for head, level in zip(self.heads, decoded, strict=True)]


def conv_stage(channels: tuple[int, int], kernel: Sequence[int], stride: Sequence[int], convs: int) -> nn.Sequential:
    """Convolutions with normalisation and nonlinearity; the first one changes channels and resolution."""
    before, width = channels
    ones = (1,) * len(kernel)
    return nn.Sequential(
        conv_block((before, width), kernel, stride),
        *(conv_block((width, width), kernel, ones) for _ in range(convs - 1)),
    )


def conv_block(
    channels: tuple[int, int], kernel: Sequence[int], stride: Sequence[int], *, nonlinear: bool = True
) -> nn.Sequential:
    """A convolution that keeps the borders, instance normalisation, and leaky ReLU unless `nonlinear` is off."""
    before, width = channels
    kinds = KINDS[len(kernel)]
    padding = tuple(size // 2 for size in kernel)
    return nn.Sequential(
        kinds.conv(before, width, kernel_size=tuple(kernel), stride=tuple(stride), padding=padding),
        kinds.instance_norm(width, eps=NORM_EPSILON, affine=True),
        *([nonlinearity("leaky_relu")] if nonlinear else []),
    )


def _initialise(module: nn.Module) -> None:
    if isinstance(module, (nn.Conv2d, nn.Conv3d, nn.ConvTranspose2d, nn.ConvTranspose3d)):
        nn.init.kaiming_normal_(module.weight, a=LEAKY_SLOPE)
        if module.bias is not None:
            nn.init.zeros_(module.bias)
