"""Med3D's residual network: strides at the beginning, dilation instead of them later, and a short decoder.

Source: Chen et al. 2019, "Med3D: transfer learning for 3D medical image analysis" (arXiv 1904.00625).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

from torch import Tensor, nn

from autoseg.networks.fitted import fitted_topology
from autoseg.networks.layers import KINDS, convolution, doubling, normalisation, pointwise
from autoseg.plans import ConfigurationPlan, Topology

BLOCKS = {
    10: (1, 1, 1, 1),
    18: (2, 2, 2, 2),
    34: (3, 4, 6, 3),
    50: (3, 4, 6, 3),
    101: (3, 4, 23, 3),
    152: (3, 8, 36, 3),
    200: (3, 24, 36, 3),
}
"""Residual blocks of the four stages, by depth (He et al. 2016)."""

LEAST_WITH_BOTTLENECKS = 50
EXPANSION = 4
"""Channels that a block with a bottleneck gives, in units of those inside."""

DILATIONS = (1, 1, 2, 4)
START_KERNEL = 7
DECODER = (4, 4, 4, 2)
"""Channels of three transposed convolutions and of the last convolution, in units of the first width."""


class DilatedBlock(nn.Module):
    """Two convolutions, or three around a bottleneck, added to what comes in before the last ReLU.

    Only the first of the larger ones is dilated, as in the source.
    """

    def __init__(
        self,
        before: int,
        inside: int,
        kernel: Sequence[int],
        stride: Sequence[int],
        *,
        dilation: int,
        bottleneck: bool,
    ) -> None:
        super().__init__()
        dimensions, width = len(kernel), inside * (EXPANSION if bottleneck else 1)
        first = convolution(
            inside if bottleneck else before, inside, kernel, stride=stride, dilation=dilation, bias=False
        )
        if bottleneck:
            layers: tuple[nn.Module, ...] = (
                *_normalised(pointwise(before, inside, dimensions, bias=False), inside, dimensions),
                nn.ReLU(inplace=True),
                *_normalised(first, inside, dimensions),
                nn.ReLU(inplace=True),
                *_normalised(pointwise(inside, width, dimensions, bias=False), width, dimensions),
            )
        else:
            layers = (
                *_normalised(first, width, dimensions),
                nn.ReLU(inplace=True),
                *_normalised(convolution(width, width, kernel, bias=False), width, dimensions),
            )
        self.layers = nn.Sequential(*layers)
        self.skip: nn.Module = nn.Identity()
        if before != width or max(stride) > 1:
            fitted = KINDS[dimensions].conv(before, width, kernel_size=1, stride=tuple(stride), bias=False)
            self.skip = nn.Sequential(*_normalised(fitted, width, dimensions))
        self.last = nn.ReLU(inplace=True)

    def forward(self, features: Tensor) -> Tensor:
        output: Tensor = self.last(self.layers(features) + self.skip(features))
        return output


class ResNetMed3D(nn.Module):
    """Input `(B, C, *patch)`, output raw scores `(B, outputs, *patch)`."""

    def __init__(self, topology: Topology, in_channels: int, out_channels: int, *, width: int, depth: int) -> None:
        super().__init__()
        dimensions, strides = topology.dimensions, topology.strides
        ones = (1,) * dimensions
        bottleneck = depth >= LEAST_WITH_BOTTLENECKS
        start = tuple(1 if side == 1 else START_KERNEL for side in topology.kernels[0])
        pooled = tuple(1 if step == 1 else max(3, step) for step in strides[2])
        self.encoder = nn.ModuleList(
            [
                nn.Sequential(
                    *_normalised(
                        convolution(in_channels, width, start, stride=strides[1], bias=False), width, dimensions
                    ),
                    nn.ReLU(inplace=True),
                    KINDS[dimensions].max_pool(pooled, strides[2], padding=tuple(side // 2 for side in pooled)),
                )
            ]
        )
        before = width
        for stage, (blocks, dilation) in enumerate(zip(BLOCKS[depth], DILATIONS, strict=True)):
            inside = width * 2**stage
            layers = nn.Sequential()
            for block in range(blocks):
                stride = strides[3] if stage == 1 and block == 0 else ones
                layers.append(
                    DilatedBlock(before, inside, topology.kernels[3], stride, dilation=dilation, bottleneck=bottleneck)
                )
                before = inside * (EXPANSION if bottleneck else 1)
            self.encoder.append(layers)
        *ups, last = (unit * width for unit in DECODER)
        self.decoder = nn.Sequential()
        for up, stride in zip(ups, (strides[3], strides[2], strides[1]), strict=True):
            self.decoder.extend([*_normalised(doubling(before, up, stride), up, dimensions), nn.ReLU(inplace=True)])
            before = up
        self.decoder.extend(
            [
                *_normalised(convolution(before, last, topology.kernels[0], bias=False), last, dimensions),
                nn.ReLU(inplace=True),
            ]
        )
        self.heads = nn.ModuleList([pointwise(last, out_channels, dimensions, bias=False)])

    def forward(self, image: Tensor) -> Tensor:
        features = image
        for stage in self.encoder:
            features = stage(features)
        scores: Tensor = self.heads[0](self.decoder(features))
        return scores


def resnet_med3d(
    plan: ConfigurationPlan,
    in_channels: int,
    out_channels: int,
    *,
    width: int = 64,
    depth: Literal[10, 18, 34, 50, 101, 152, 200] = 18,
) -> nn.Module:
    """A residual network at an eighth of the resolution, and three transposed convolutions.

    Args:
        width: Channels of the first stage; each stage has twice as many as the one before.
        depth: Layers of the encoder.

    Source: Chen et al. 2019 (arXiv 1904.00625).
    """
    topology = fitted_topology(plan, "resnet_med3d", levels=4, remedy="take a plan with such a patch")
    return ResNetMed3D(topology, in_channels, out_channels, width=width, depth=depth)


def _normalised(layer: nn.Module, width: int, dimensions: int) -> tuple[nn.Module, nn.Module]:
    return layer, normalisation("batch", width, dimensions)
