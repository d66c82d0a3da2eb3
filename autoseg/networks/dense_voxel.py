"""DenseVoxelNet: two dense blocks at half and quarter resolution, and an auxiliary answer from the first.

Source: Yu et al. 2017, "Automatic 3D cardiovascular MR segmentation with densely-connected volumetric ConvNets" (arXiv
1708.00573).
"""

from __future__ import annotations

from torch import Tensor, nn

from autoseg.networks.dense import dense_block
from autoseg.networks.fitted import fitted_topology
from autoseg.networks.layers import KINDS, doubling, normalisation, pointwise, pool
from autoseg.plans import ConfigurationPlan, Topology

LAYERS = 12
"""Of each block."""


class DenseVoxelNet(nn.Module):
    """Input `(B, C, *patch)`; output raw scores `(B, outputs, *patch)`, with `deep_supervision` twice: main and auxiliary.

    Both pass the same head.
    """

    def __init__(
        self, topology: Topology, in_channels: int, out_channels: int, *, width: int, growth: int, dropout: float
    ) -> None:
        super().__init__()
        self.deep_supervision = True
        dimensions, growths = topology.dimensions, (growth,) * LAYERS
        first, second = topology.strides[1:]
        middle = width + sum(growths)
        deep = middle + sum(growths)
        self.encoder = nn.Sequential(
            KINDS[dimensions].conv(in_channels, width, kernel_size=1, stride=first, bias=False),
            dense_block(width, growths, topology.kernels[1], dropout),
            normalisation("batch", middle, dimensions),
            nn.ReLU(inplace=True),
            pointwise(middle, middle, dimensions),
        )
        self.deep = nn.Sequential(
            pool(second),
            dense_block(middle, growths, topology.kernels[2], dropout),
            normalisation("batch", deep, dimensions),
            nn.ReLU(inplace=True),
            pointwise(deep, deep, dimensions, bias=False),
            doubling(deep, 8 * width, second),
            doubling(8 * width, 4 * width, first),
        )
        self.auxiliary = doubling(middle, 4 * width, first)
        self.heads = nn.ModuleList([pointwise(4 * width, out_channels, dimensions, bias=False)])

    def forward(self, image: Tensor) -> Tensor | list[Tensor]:
        middle = self.encoder(image)
        scores: Tensor = self.heads[0](self.deep(middle))
        return [scores, self.heads[0](self.auxiliary(middle))] if self.deep_supervision else scores


def dense_voxel(
    plan: ConfigurationPlan,
    in_channels: int,
    out_channels: int,
    *,
    width: int = 16,
    growth: int = 12,
    dropout: float = 0.2,
) -> nn.Module:
    """Two dense blocks at half and quarter resolution; an auxiliary answer from the first learns too, with equal weight.

    Args:
        width: Channels before the first block.
        growth: Channels that each dense layer adds.
        dropout: Share that each dense layer leaves out.

    Source: Yu et al. 2017 (arXiv 1708.00573).
    """
    topology = fitted_topology(plan, "dense_voxel", levels=3, remedy="take a plan with such a patch")
    return DenseVoxelNet(topology, in_channels, out_channels, width=width, growth=growth, dropout=dropout)
