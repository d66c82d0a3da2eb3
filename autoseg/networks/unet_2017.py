"""The U-Net of the 2017 brain tumour challenge, with shared weights on each level, summed answers, and attention gates.

Source: Isensee et al. 2017, "Brain tumor segmentation and radiomics survival prediction" (arXiv 1802.10508), as ivadomed and
MedicalZoo have it; gates of Oktay et al. 2018 (arXiv 1804.03999).
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from autoseg.networks.fitted import fitted_topology
from autoseg.networks.layers import (
    KINDS,
    AttentionGate,
    Enlarge,
    convolution,
    nonlinearity,
    normalisation,
    pointwise,
)
from autoseg.plans import ConfigurationPlan, Topology

LEVELS = 5


class FirstLevel(nn.Module):
    """Three convolutions, the last two added to the first, without normalisation between them."""

    def __init__(self, in_channels: int, width: int, kernel: Sequence[int], dropout: float) -> None:
        super().__init__()
        self.first = convolution(in_channels, width, kernel, bias=False)
        self.layers = nn.Sequential(
            nonlinearity("leaky_relu"),
            convolution(width, width, kernel, bias=False),
            KINDS[len(kernel)].channel_dropout(dropout),
            nonlinearity("leaky_relu"),
            convolution(width, width, kernel, bias=False),
        )
        self.last = nonlinearity("leaky_relu")

    def forward(self, image: Tensor) -> Tensor:
        first = self.first(image)
        output: Tensor = self.last(self.layers(first.clone()) + first)  # its ReLU works in place
        return output


class SharedLevel(nn.Module):
    """A strided convolution, and the same layers twice, with dropout between them, added to it."""

    def __init__(self, width: int, kernel: Sequence[int], stride: Sequence[int], dropout: float) -> None:
        super().__init__()
        self.down = convolution(width // 2, width, kernel, stride=stride, bias=False)
        self.shared = nn.Sequential(*_begin(width, len(kernel)), convolution(width, width, kernel, bias=False))
        self.dropout = KINDS[len(kernel)].channel_dropout(dropout)

    def forward(self, features: Tensor) -> Tensor:
        down = self.down(features)
        output: Tensor = self.shared(self.dropout(self.shared(down))) + down
        return output


class ClimbUp(nn.Module):
    """Enlarged to the nearest values, and a convolution with normalisation and nonlinearity."""

    def __init__(self, before: int, width: int, kernel: Sequence[int]) -> None:
        super().__init__()
        self.enlarge = Enlarge("nearest", len(kernel))
        self.layers = nn.Sequential(convolution(before, width, kernel, bias=False), *_begin(width, len(kernel)))

    def forward(self, features: Tensor, size: Sequence[int]) -> Tensor:
        output: Tensor = self.layers(self.enlarge(features, size))
        return output


class UNet2017(nn.Module):
    """Input `(B, C, *patch)`, output raw scores `(B, outputs, *patch)`: the sum of those of three resolutions."""

    def __init__(
        self,
        topology: Topology,
        in_channels: int,
        out_channels: int,
        *,
        width: int,
        dropout: float,
        attention_gates: bool,
    ) -> None:
        super().__init__()
        dimensions, kernels, strides = topology.dimensions, topology.kernels, topology.strides
        widths = [width * 2**level for level in range(LEVELS)]
        self.encoder = nn.ModuleList(
            [
                FirstLevel(in_channels, width, kernels[0], dropout),
                *(SharedLevel(widths[level], kernels[level], strides[level], dropout) for level in range(1, LEVELS)),
            ]
        )
        self.begins = nn.ModuleList(nn.Sequential(*_begin(own, dimensions)) for own in widths)
        self.bottom = ClimbUp(widths[4], widths[3], kernels[3])
        self.bottom_layers = _narrowing(widths[3], widths[3], dimensions)
        joined = [2 * own for own in reversed(widths[:4])]
        self.decoder = nn.ModuleList(
            nn.Sequential(convolution(own, own, kernels[3 - step], bias=False), *_begin(own, dimensions))
            for step, own in enumerate(joined)
        )
        self.narrowing = nn.ModuleList(_narrowing(own, own // 2, dimensions) for own in joined[:3])
        self.climbs = nn.ModuleList(
            ClimbUp(own // 2, own // 4, kernels[2 - step]) for step, own in enumerate(joined[:3])
        )
        self.enlarge = Enlarge("nearest", dimensions)
        self.heads = nn.ModuleList(
            pointwise(own, out_channels, dimensions, bias=False) for own in (joined[3], joined[2], joined[1])
        )
        self.gating: nn.Module | None = None
        self.gates = nn.ModuleList()
        if attention_gates:
            self.gating = nn.Sequential(
                pointwise(widths[4], widths[3], dimensions),
                normalisation("batch", widths[3], dimensions),
                nn.ReLU(inplace=True),
            )
            self.gates.extend(
                AttentionGate(widths[level], widths[3], strides[level + 1]) for level in reversed(range(1, 4))
            )
            self.apply(_initialise)

    def forward(self, image: Tensor) -> Tensor:
        features, skips = image, []
        for level, (stage, begin) in enumerate(zip(self.encoder, self.begins, strict=True)):
            found = stage(features)
            features = begin(found)
            skips.append(found if level == 0 else features)
        deepest = skips.pop()
        gate = None if self.gating is None else self.gating(deepest)
        features = self.bottom_layers(self.bottom(deepest, skips[-1].shape[2:]))
        decoded = []
        for step, stage in enumerate(self.decoder):
            skip = skips.pop()
            if gate is not None and step < len(self.gates):
                skip = self.gates[step](skip, gate)
            features = stage(torch.cat((features, skip), dim=1))
            decoded.append(features)
            if step < len(self.climbs):
                features = self.climbs[step](self.narrowing[step](features), skips[-1].shape[2:])
        finest, second, third = (head(level) for head, level in zip(self.heads, reversed(decoded), strict=False))
        scores: Tensor = finest + self.enlarge(self.enlarge(third, second.shape[2:]) + second, finest.shape[2:])
        return scores


def unet_2017(
    plan: ConfigurationPlan,
    in_channels: int,
    out_channels: int,
    *,
    width: int = 16,
    dropout: float = 0.3,
    attention_gates: bool = False,
) -> nn.Module:
    """Five levels of shared weights, whose three finest answers are summed; also of slices.

    Args:
        width: Channels of the finest level; each level has twice as many as the one above.
        dropout: Share of channels that each level of the encoder leaves out.
        attention_gates: Whether skips are weighed by what the deepest level sees.

    Source: Isensee et al. 2017 (arXiv 1802.10508); Oktay et al. 2018 (arXiv 1804.03999).
    """
    topology = fitted_topology(plan, "unet_2017", levels=LEVELS, remedy="take a plan with such a patch")
    return UNet2017(topology, in_channels, out_channels, width=width, dropout=dropout, attention_gates=attention_gates)


def _begin(width: int, dimensions: int) -> tuple[nn.Module, nn.Module]:
    return normalisation("instance", width, dimensions, affine=False), nonlinearity("leaky_relu")


def _narrowing(before: int, width: int, dimensions: int) -> nn.Sequential:
    return nn.Sequential(pointwise(before, width, dimensions, bias=False), *_begin(width, dimensions))


def _initialise(module: nn.Module) -> None:
    if isinstance(module, (nn.Conv2d, nn.Conv3d)):
        nn.init.kaiming_normal_(module.weight)
