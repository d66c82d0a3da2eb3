"""HyperDenseNet: a path for each channel of the image, every layer of which sees the layers before it on all paths.

Source: Dolz et al. 2018, "HyperDense-Net: a hyper-densely connected CNN for multi-modal image segmentation" (arXiv
1804.02967).
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from autoseg.errors import PlanError
from autoseg.networks.dense import HEAD, NINE_LAYERS
from autoseg.networks.fitted import fitted_topology
from autoseg.networks.layers import KINDS, normalisation, pointwise
from autoseg.plans import ConfigurationPlan


class HyperDenseNet(nn.Module):
    """Input `(B, C, *patch)`, output raw scores `(B, outputs, *patch)`.

    The convolutions keep no borders; the image is padded with zeros by as much as they take away.
    """

    def __init__(self, in_channels: int, out_channels: int, *, kernel: Sequence[int], growth: int) -> None:
        super().__init__()
        dimensions = len(kernel)
        self.margins = tuple(len(NINE_LAYERS) * (side // 2) for side in kernel)
        self.trim = tuple(side // 2 for side in kernel)
        before = 1
        self.encoder = nn.ModuleList()
        for layer, unit in enumerate(NINE_LAYERS):
            self.encoder.append(
                nn.ModuleList(
                    nn.Sequential(
                        normalisation("batch" if layer else "none", before, dimensions),
                        nn.PReLU(),
                        KINDS[dimensions].conv(before, unit * growth, kernel_size=tuple(kernel)),
                    )
                    for _ in range(in_channels)
                )
            )
            before = in_channels * unit * growth + (before if layer else 0)
        head, width = nn.Sequential(), before * in_channels
        for unit in HEAD:
            head.append(pointwise(width, unit * growth, dimensions))
            width = unit * growth
        self.joined = head
        self.heads = nn.ModuleList([pointwise(width, out_channels, dimensions)])

    def forward(self, image: Tensor) -> Tensor:
        return self.inner(F.pad(image, [margin for side in reversed(self.margins) for margin in (side, side)]))

    def inner(self, image: Tensor) -> Tensor:
        """Scores of the voxels that are seen with all that is around them: fewer on each side by `margins`."""
        paths = list(torch.split(image, 1, dim=1))
        for number, layers in enumerate(self.encoder):
            found = [layer(path) for layer, path in zip(layers, paths, strict=True)]  # type: ignore[call-overload]
            before = [[self._trimmed(path)] if number else [] for path in paths]  # the image itself is not passed on
            paths = [torch.cat((*old, *found[own:], *found[:own]), dim=1) for own, old in enumerate(before)]
        scores: Tensor = self.heads[0](self.joined(torch.cat(paths, dim=1)))
        return scores

    def _trimmed(self, features: Tensor) -> Tensor:
        inside = (slice(side, size - side) for side, size in zip(self.trim, features.shape[2:], strict=True))
        place = (slice(None), slice(None), *inside)
        return features[place]


def hyper_dense(plan: ConfigurationPlan, in_channels: int, out_channels: int, *, growth: int = 25) -> nn.Module:
    """A path of nine layers for each channel, every layer of which sees the layers before it on all paths.

    Args:
        growth: Channels of the first layers of a path; the next have twice, the last three times as many.

    Source: Dolz et al. 2018 (arXiv 1804.02967).
    """
    if in_channels < 2:
        raise PlanError(
            f"{plan.name}: hyper_dense connects the paths of several channels, and the image has {in_channels}; name "
            "another network, dense_single for one"
        )
    kernel = fitted_topology(plan, "hyper_dense", levels=1).kernels[0]
    return HyperDenseNet(in_channels, out_channels, kernel=kernel, growth=growth)
