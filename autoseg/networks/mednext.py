"""MedNeXt: large depthwise convolutions, and channels that are widened between two convolutions of size 1.

Source: Roy et al. 2023, "MedNeXt: transformer-driven scaling of ConvNets for medical image segmentation" (arXiv 2303.09975).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from torch import Tensor, nn

from autoseg.catalogue import Settings
from autoseg.networks.fitted import fitted_topology
from autoseg.networks.layers import KINDS, Transposed, normalisation, pointwise
from autoseg.networks.pooling_unet import Decoding, PoolingUNet, coarse_levels, heads_of
from autoseg.plans import ConfigurationPlan

LEVELS = 5


@dataclass(frozen=True, slots=True, kw_only=True)
class Scale:
    """Of nine stages, five down and four up again.

    Attributes:
        blocks: How many each has.
        widening: How many times as many channels its blocks have inside.
    """

    blocks: tuple[int, ...]
    widening: tuple[int, ...]


SCALES = {
    "S": Scale(blocks=(2,) * 9, widening=(2,) * 9),
    "B": Scale(blocks=(2,) * 9, widening=(2, 3, 4, 4, 4, 4, 4, 3, 2)),
    "M": Scale(blocks=(3, 4, 4, 4, 4, 4, 4, 4, 3), widening=(2, 3, 4, 4, 4, 4, 4, 3, 2)),
    "L": Scale(blocks=(3, 4, 8, 8, 8, 8, 8, 4, 3), widening=(3, 4, 8, 8, 8, 8, 8, 4, 3)),
}


class NextBlock(nn.Module):
    """A depthwise convolution, normalisation of each channel, and two convolutions of size 1 with GELU between, on a skip.

    Args:
        resized: A depthwise convolution of its own, and what the skip passes, where the block changes the resolution.
    """

    def __init__(
        self,
        before: int,
        width: int,
        kernel: Sequence[int],
        widening: int,
        resized: tuple[nn.Module, nn.Module] | None = None,
    ) -> None:
        super().__init__()
        dimensions = len(kernel)
        depthwise, self.skip = resized or (_depthwise(before, kernel, (1,) * dimensions), nn.Identity())
        self.layers = nn.Sequential(
            depthwise,
            normalisation("instance", before, dimensions),
            pointwise(before, widening * before, dimensions),
            nn.GELU(),
            pointwise(widening * before, width, dimensions),
        )

    def forward(self, features: Tensor) -> Tensor:
        output: Tensor = self.layers(features) + self.skip(features)
        return output


@dataclass(frozen=True, slots=True, kw_only=True)
class MedNextSettings(Settings):
    """MedNeXt, also of slices.

    Attributes:
        scale: How many blocks, and how wide they are inside.
        kernel: Side of the depthwise convolutions.
        width: Channels of the finest level; each level has twice as many as the one above.
        coarse_outputs: Whether the coarser levels of the decoder answer too, for deep supervision.

    Source: Roy et al. 2023 (arXiv 2303.09975).
    """

    scale: Literal["S", "B", "M", "L"] = "S"
    kernel: Literal[3, 5] = 3
    width: int = 32
    coarse_outputs: bool = True

    def build(self, plan: ConfigurationPlan, in_channels: int, out_channels: int) -> nn.Module:
        """The network of a plan."""
        topology = fitted_topology(
            plan, "mednext", levels=LEVELS, kernel=self.kernel, remedy="take a plan with such a patch"
        )
        blocks, widening = SCALES[self.scale].blocks, SCALES[self.scale].widening
        dimensions, widths = plan.dimensions, [self.width * 2**level for level in range(LEVELS)]

        def stage(level: int, number: int) -> list[nn.Module]:
            own, kernel = widths[level], topology.kernels[level]
            return [NextBlock(own, own, kernel, widening[number]) for _ in range(blocks[number])]

        encoder = [nn.Sequential(pointwise(in_channels, widths[0], dimensions), *stage(0, 0))]
        for level in range(1, LEVELS):
            before, own, stride = widths[level - 1], widths[level], topology.strides[level]
            resized = (
                _depthwise(before, topology.kernels[level], stride),
                KINDS[dimensions].conv(before, own, kernel_size=1, stride=stride),
            )
            down = NextBlock(before, own, topology.kernels[level], widening[level], resized)
            encoder.append(nn.Sequential(down, *stage(level, level)))
        decoder = []
        for level in reversed(range(LEVELS - 1)):
            below, own, stride = widths[level + 1], widths[level], topology.strides[level + 1]
            number = 2 * (LEVELS - 1) - level
            rest = tuple(step - 1 for step in stride)
            resized = (
                _depthwise(below, topology.kernels[level], stride, transposed=True),
                KINDS[dimensions].transposed(below, own, kernel_size=1, stride=stride, output_padding=rest),
            )
            up = NextBlock(below, own, topology.kernels[level], widening[number], resized)
            decoder.append(Decoding(enlarge=Transposed(up), stage=nn.Sequential(*stage(level, number)), added=True))
        coarse = coarse_levels(plan, LEVELS) if self.coarse_outputs else 0
        return PoolingUNet(encoder, decoder, heads_of(widths, out_channels, dimensions, coarse=coarse))


def _depthwise(channels: int, kernel: Sequence[int], stride: Sequence[int], *, transposed: bool = False) -> nn.Module:
    """A convolution of each channel by itself; a transposed one gives exactly `stride` times the size."""
    kinds, padding = KINDS[len(kernel)], tuple(side // 2 for side in kernel)
    shape = {"kernel_size": tuple(kernel), "stride": tuple(stride), "padding": padding, "groups": channels}
    if transposed:
        return kinds.transposed(channels, channels, **shape, output_padding=tuple(step - 1 for step in stride))
    return kinds.conv(channels, channels, **shape)
