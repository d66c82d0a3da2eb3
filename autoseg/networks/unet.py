"""The plain U-Net of a plan: what `Topology` says, convolution by convolution.

Source: Isensee et al. 2021, "Blueprint parameters"; Kaiming initialisation as in He et al. 2015.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

import torch
from torch import Tensor, nn

from autoseg.plans import ConfigurationPlan, Topology

NORM_EPSILON = 1e-5
"""Added to the variance of instance normalisation (Isensee et al. 2021)."""

LEAKY_SLOPE = 0.01
"""Slope of the leaky ReLU below zero, also in the initialisation (Isensee et al. 2021)."""


class UNet(nn.Module):
    """An encoder and a decoder with one level for each entry of the topology.

    Input `(B, C, *patch)`. Output: raw logits `(B, classes, *patch)`; with `deep_supervision` a list of them, finest
    first, one for each decoder level at that level's resolution.

    Args:
        topology: Strides and kernels of the levels, finest first.
        in_channels: Channels of the input.
        classes: Channels of the output, background counted.
        features: Channels of the finest level; each level has twice as many as the one above, at most `max_features`.
        convs_per_stage: Convolutions of each level, in the encoder and in the decoder.
    """

    def __init__(
        self,
        *,
        topology: Topology,
        in_channels: int,
        classes: int,
        features: int,
        max_features: int,
        convs_per_stage: int,
        deep_supervision: bool = True,
    ) -> None:
        super().__init__()
        self.deep_supervision = deep_supervision
        widths = level_widths(len(topology.strides), features, max_features)
        conv, upsample, norm = _LAYERS[topology.dimensions]
        ones = (1,) * topology.dimensions

        self.encoder = nn.ModuleList(
            _stage(conv, norm, (before, width), kernel, stride, convs_per_stage)
            for before, width, kernel, stride in zip(
                (in_channels, *widths), widths, topology.kernels, topology.strides, strict=False
            )
        )
        self.upsampling = nn.ModuleList(
            upsample(below, width, kernel_size=stride, stride=stride, bias=False)
            for (width, below), stride in zip(pairwise(widths), topology.strides[1:], strict=True)
        )
        self.decoder = nn.ModuleList(
            _stage(conv, norm, (2 * width, width), kernel, ones, convs_per_stage)
            for width, kernel in zip(widths[:-1], topology.kernels[:-1], strict=True)
        )
        self.heads = nn.ModuleList(conv(width, classes, kernel_size=1, bias=False) for width in widths[:-1] or widths)
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


def build_network(plan: ConfigurationPlan, in_channels: int, classes: int) -> nn.Module:
    """The U-Net a plan describes, with deep supervision on (switch it by the attribute `deep_supervision`)."""
    return UNet(
        topology=plan.topology,
        in_channels=in_channels,
        classes=classes,
        features=plan.features,
        max_features=plan.max_features,
        convs_per_stage=plan.convs_per_stage,
    )


def level_widths(levels: int, features: int, max_features: int) -> tuple[int, ...]:
    """Channels of each level, finest first."""
    return tuple(min(features * 2**level, max_features) for level in range(levels))


_LAYERS: dict[int, tuple[type[nn.Module], type[nn.Module], type[nn.Module]]] = {
    2: (nn.Conv2d, nn.ConvTranspose2d, nn.InstanceNorm2d),
    3: (nn.Conv3d, nn.ConvTranspose3d, nn.InstanceNorm3d),
}


def _stage(
    conv: type[nn.Module],
    norm: type[nn.Module],
    channels: tuple[int, int],
    kernel: Sequence[int],
    stride: Sequence[int],
    convs: int,
) -> nn.Sequential:
    """Convolutions with normalisation and nonlinearity; the first one changes channels and resolution."""
    before, width = channels
    padding = tuple(size // 2 for size in kernel)
    blocks = []
    for number in range(convs):
        blocks.append(
            nn.Sequential(
                conv(
                    width if number else before,
                    width,
                    kernel_size=tuple(kernel),
                    stride=1 if number else tuple(stride),
                    padding=padding,
                ),
                norm(width, eps=NORM_EPSILON, affine=True),
                nn.LeakyReLU(LEAKY_SLOPE, inplace=True),
            )
        )
    return nn.Sequential(*blocks)


def _initialise(module: nn.Module) -> None:
    if isinstance(module, (nn.Conv2d, nn.Conv3d, nn.ConvTranspose2d, nn.ConvTranspose3d)):
        nn.init.kaiming_normal_(module.weight, a=LEAKY_SLOPE)
        if module.bias is not None:
            nn.init.zeros_(module.bias)
