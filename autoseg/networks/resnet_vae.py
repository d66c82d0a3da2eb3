"""A residual encoder and decoder, and a branch that makes the image anew from the deepest features while it learns.

Source: Myronenko 2018, "3D MRI brain tumor segmentation using autoencoder regularization" (arXiv 1810.11654).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import prod

import torch
from torch import Tensor, nn

from autoseg.catalogue import Settings
from autoseg.networks.fitted import fitted_topology
from autoseg.networks.layers import KINDS, Enlarge, convolution, normalisation, pointwise
from autoseg.plans import ConfigurationPlan, Topology

BLOCKS = (1, 2, 2, 4)
"""Residual blocks of each level of the encoder."""

CODE = 4
"""Numbers that describe a patch, in units of the first width: 128 for 32."""

SQUEEZED = 16
"""Channels of the patch's description before it is one."""


class GroupBlock(nn.Module):
    """Two times group normalisation, ReLU and convolution, added to what comes in."""

    def __init__(self, width: int, kernel: Sequence[int]) -> None:
        super().__init__()
        dimensions = len(kernel)
        self.layers = nn.Sequential(
            normalisation("group", width, dimensions),
            nn.ReLU(inplace=True),
            convolution(width, width, kernel),
            normalisation("group", width, dimensions),
            nn.ReLU(inplace=True),
            convolution(width, width, kernel),
        )

    def forward(self, features: Tensor) -> Tensor:
        output: Tensor = self.layers(features) + features
        return output


class Climb(nn.Module):
    """Half of the channels at twice the size, where they are added to a skip, and a block where one is wanted."""

    def __init__(self, before: int, width: int, kernel: Sequence[int], *, block: bool) -> None:
        super().__init__()
        self.narrow = pointwise(before, width, len(kernel))
        self.enlarge = Enlarge("nearest", len(kernel))
        self.block = GroupBlock(width, kernel) if block else nn.Identity()

    def forward(self, features: Tensor, size: Sequence[int], skip: Tensor | None = None) -> Tensor:
        enlarged = self.enlarge(self.narrow(features), size)
        output: Tensor = self.block(enlarged if skip is None else enlarged + skip)
        return output


class Autoencoder(nn.Module):
    """Makes the image anew from the deepest features, by way of a few numbers that are drawn around what it says.

    Args:
        topology: Of the encoder, and one level more.
        patch: The sides of every image.
    """

    def __init__(self, topology: Topology, patch: Sequence[int], in_channels: int, widths: Sequence[int]) -> None:
        super().__init__()
        dimensions, deepest, kernels = topology.dimensions, widths[-1], topology.kernels
        steps = [
            tuple(map(prod, zip(*topology.strides[: level + 1], strict=True))) for level in range(len(topology.strides))
        ]
        self.sizes = [tuple(side // step for side, step in zip(patch, total, strict=True)) for total in steps]
        inside, code = SQUEEZED * prod(self.sizes[-1]), CODE * widths[0]
        self.squeeze = nn.Sequential(
            normalisation("group", deepest, dimensions),
            nn.ReLU(inplace=True),
            convolution(deepest, SQUEEZED, kernels[-1], stride=topology.strides[-1]),
        )
        self.code = nn.Linear(inside, 2 * code)
        self.unfold = nn.Sequential(nn.Linear(code, inside), nn.ReLU(inplace=True))
        befores = (SQUEEZED, *reversed(widths))
        self.climbs = nn.ModuleList(
            Climb(before, width, kernel, block=number > 0)
            for number, (before, width, kernel) in enumerate(
                zip(befores, reversed(widths), reversed(kernels[: len(widths)]), strict=False)
            )
        )
        self.last = convolution(widths[0], in_channels, kernels[0])

    def forward(self, features: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """The image made anew, and mean and log-variance `(B, numbers)` of what it was drawn from."""
        mean, log_variance = self.code(self.squeeze(features).flatten(1)).chunk(2, dim=1)
        drawn = mean + torch.exp(0.5 * log_variance) * torch.randn_like(mean)
        found = self.unfold(drawn).reshape(len(drawn), SQUEEZED, *self.sizes[-1])
        for climb, size in zip(self.climbs, reversed(self.sizes[:-1]), strict=True):
            found = climb(found, size)
        return self.last(found), mean, log_variance


class ResNetVAE(nn.Module):
    """Input `(B, C, *patch)`, output raw scores `(B, outputs, *patch)`; in training also a penalty `(B,)` of each sample.

    Args:
        weights: Of the squared error of the image made anew, and of how far its description is from the normal
            distribution, both by the number of voxels.
    """

    def __init__(
        self,
        topology: Topology,
        patch: Sequence[int],
        channels: tuple[int, int],
        *,
        width: int,
        dropout: float,
        weights: tuple[float, float],
    ) -> None:
        super().__init__()
        dimensions, kernels = topology.dimensions, topology.kernels
        in_channels, out_channels = channels
        widths = [width * 2**level for level in range(len(BLOCKS))]
        start = (convolution(in_channels, width, kernels[0]), KINDS[dimensions].channel_dropout(dropout))
        self.encoder = nn.ModuleList()
        for level, (own, blocks) in enumerate(zip(widths, BLOCKS, strict=True)):
            begin = (
                start if level == 0 else (convolution(own // 2, own, kernels[level], stride=topology.strides[level]),)
            )
            self.encoder.append(nn.Sequential(*begin, *(GroupBlock(own, kernels[level]) for _ in range(blocks))))
        self.decoder = nn.ModuleList(
            Climb(widths[level + 1], widths[level], kernels[level], block=True)
            for level in reversed(range(len(widths) - 1))
        )
        self.heads = nn.ModuleList([convolution(width, out_channels, kernels[0])])
        self.autoencoder = Autoencoder(topology, patch, in_channels, widths)
        self.weights = weights

    def forward(self, image: Tensor) -> Tensor | list[Tensor]:
        features, skips = image, []
        for stage in self.encoder:
            features = stage(features)
            skips.append(features)
        deepest = skips.pop()
        for stage in self.decoder:
            skip = skips.pop()
            features = stage(features, skip.shape[2:], skip)
        scores: Tensor = self.heads[0](features)
        return [scores, self.penalty(image, deepest)] if self.training else scores

    def penalty(self, image: Tensor, deepest: Tensor) -> Tensor:
        """Of each sample `(B,)`."""
        again, mean, log_variance = self.autoencoder(deepest)
        missed = (again - image).float().square().flatten(1).mean(1)
        apart = divergence(mean.float(), log_variance.float()) / image[0, 0].numel()
        penalty: Tensor = self.weights[0] * missed + self.weights[1] * apart
        return penalty


def divergence(mean: Tensor, log_variance: Tensor) -> Tensor:
    """Of normal distributions `(B, numbers)` from the standard one, Kullback and Leibler's, summed over the numbers."""
    return -0.5 * (1 + log_variance - mean.square() - log_variance.exp()).sum(1)


@dataclass(frozen=True, slots=True, kw_only=True)
class ResNetVAESettings(Settings):
    """A residual network that has to make the image anew from its deepest features, too, while it learns.

    Attributes:
        width: Channels of the finest level; each level has twice as many as the one above.
        dropout: Share of channels that is left out after the first convolution.
        reconstruction_weight: Of the mean squared error of the image made anew.
        divergence_weight: Of how far the image's description is from the normal distribution, by the number of voxels.

    Source: Myronenko 2018 (arXiv 1810.11654).
    """

    width: int = 32
    dropout: float = 0.2
    reconstruction_weight: float = 0.1
    divergence_weight: float = 0.1

    def build(self, plan: ConfigurationPlan, in_channels: int, out_channels: int) -> nn.Module:
        """The network of a plan."""
        topology = fitted_topology(plan, "resnet_vae", levels=len(BLOCKS) + 1, remedy="take a plan with such a patch")
        return ResNetVAE(
            topology,
            plan.sampling.patch_size,
            (in_channels, out_channels),
            width=self.width,
            dropout=self.dropout,
            weights=(self.reconstruction_weight, self.divergence_weight),
        )
