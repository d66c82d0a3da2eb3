"""The U-Net of the Multi-Planar U-Net: wide, normalised once a level, its answers begun at the labels' frequencies.

Source: Perslev et al. 2019, "One network to segment them all" (arXiv 1911.01764).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from autoseg.catalogue import Settings
from autoseg.errors import PlanError
from autoseg.networks.fitted import fitted_topology
from autoseg.networks.layers import KINDS, Enlarge, convolution, normalisation, pool
from autoseg.networks.pooling_unet import Decoding, PoolingUNet, heads_of
from autoseg.plans import ConfigurationPlan


class NearestClimb(nn.Module):
    """Enlarged to the nearest values, then a convolution as large as the stride, ReLU and normalisation.

    The borders are kept: an even kernel gets zeros behind the last voxel.
    """

    def __init__(self, before: int, width: int, stride: Sequence[int]) -> None:
        super().__init__()
        self.enlarge = Enlarge("nearest", len(stride))
        sides = [((step - 1) // 2, step // 2) for step in reversed(stride)]
        self.margins = tuple(margin for side in sides for margin in side)
        self.layers = nn.Sequential(
            KINDS[len(stride)].conv(before, width, kernel_size=tuple(stride)),
            nn.ReLU(inplace=True),
            normalisation("batch", width, len(stride)),
        )

    def forward(self, features: Tensor, size: Sequence[int]) -> Tensor:
        output: Tensor = self.layers(F.pad(self.enlarge(features, size), self.margins))
        return output


@dataclass(frozen=True, slots=True, kw_only=True)
class UNetMultiplanarSettings(Settings):
    """The wide U-Net of slices that Multi-Planar trains, also of volumes.

    Attributes:
        width: Channels of the finest level, before `complexity`; each level has twice as many as the one above.
        complexity: The channels of all levels are multiplied by its square root.
        levels: Resolutions, the finest counted.
        class_frequencies: Of each output, the background counted; their logarithms are what the answers begin with.

    Source: Perslev et al. 2019 (arXiv 1911.01764).
    """

    width: int = 64
    complexity: float = 2.0
    levels: int = 5
    class_frequencies: tuple[float, ...] | None = None

    def build(self, plan: ConfigurationPlan, in_channels: int, out_channels: int) -> nn.Module:
        """The network of a plan."""
        topology = fitted_topology(plan, "unet_multiplanar", levels=self.levels, remedy=None)
        dimensions = plan.dimensions
        widths = [int(self.width * 2**level * math.sqrt(self.complexity)) for level in range(self.levels)]

        def stage(before: int, width: int, kernel: Sequence[int]) -> nn.Sequential:
            layers = nn.Sequential()
            for channels in (before, width):
                layers.extend([convolution(channels, width, kernel), nn.ReLU(inplace=True)])
            return layers.append(normalisation("batch", width, dimensions))

        encoder = [
            nn.Sequential(pool(stride), stage(before, own, kernel))
            for (before, own), stride, kernel in zip(
                pairwise((in_channels, *widths)), topology.strides, topology.kernels, strict=True
            )
        ]
        decoder = [
            Decoding(
                enlarge=NearestClimb(below, own, topology.strides[level + 1]),
                stage=stage(2 * own, own, topology.kernels[level]),
                skip_first=True,
            )
            for level, (own, below) in reversed(list(enumerate(pairwise(widths))))
        ]
        heads = heads_of(widths, out_channels, dimensions, coarse=0)
        if self.class_frequencies is not None:
            _begin_at(heads[0], self.class_frequencies, out_channels)
        return PoolingUNet(encoder, decoder, heads)


def _begin_at(head: nn.Module, frequencies: Sequence[float], outputs: int) -> None:
    if len(frequencies) != outputs or min(frequencies) <= 0:
        raise PlanError(
            f"unet_multiplanar: class_frequencies needs a number above 0 for each of the {outputs} outputs, the background "
            f"among them, found {', '.join(f'{one:g}' for one in frequencies) or 'none'}"
        )
    shares = torch.tensor(frequencies) / sum(frequencies)
    with torch.no_grad():
        head.get_parameter("bias").copy_(shares.log())
