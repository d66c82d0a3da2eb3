"""Layers for two and three dimensions, by name: what the networks that a recipe may name are built of."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal, NamedTuple, TypeAlias

from torch import Tensor, nn
from torch.nn import functional as F

from autoseg.networks.instance_norm import InstanceNorm2d, InstanceNorm3d

Normalisation: TypeAlias = Literal["instance", "batch", "group", "none"]
Nonlinearity: TypeAlias = Literal["relu", "leaky_relu", "elu", "prelu", "gelu"]
Upsampling: TypeAlias = Literal["transposed", "nearest", "linear"]

GROUPS = 8
"""Of group normalisation (pytorch-3dunet); all channels are one group where they cannot be divided so."""

LEAKY_SLOPE = 0.01
"""Slope of the leaky ReLU below zero, also in the initialisation of planned networks (Isensee et al. 2021)."""


class Kinds(NamedTuple):
    """The kinds of layer for a number of dimensions."""

    conv: type[nn.Module]
    transposed: type[nn.Module]
    max_pool: type[nn.Module]
    average_pool: type[nn.Module]
    batch_norm: type[nn.Module]
    instance_norm: type[nn.Module]
    channel_dropout: type[nn.Module]
    linear: str


KINDS = {
    2: Kinds(
        nn.Conv2d,
        nn.ConvTranspose2d,
        nn.MaxPool2d,
        nn.AvgPool2d,
        nn.BatchNorm2d,
        InstanceNorm2d,
        nn.Dropout2d,
        linear="bilinear",
    ),
    3: Kinds(
        nn.Conv3d,
        nn.ConvTranspose3d,
        nn.MaxPool3d,
        nn.AvgPool3d,
        nn.BatchNorm3d,
        InstanceNorm3d,
        nn.Dropout3d,
        linear="trilinear",
    ),
}


def convolution(
    before: int,
    width: int,
    kernel: Sequence[int],
    *,
    stride: Sequence[int] | None = None,
    dilation: int = 1,
    bias: bool = True,
) -> nn.Module:
    """A convolution of an odd kernel that keeps the borders."""
    padding = tuple(dilation * (size // 2) for size in kernel)
    steps = (1,) * len(kernel) if stride is None else tuple(stride)
    return KINDS[len(kernel)].conv(
        before, width, kernel_size=tuple(kernel), stride=steps, padding=padding, dilation=dilation, bias=bias
    )


def pointwise(before: int, width: int, dimensions: int, *, bias: bool = True) -> nn.Module:
    """A convolution of size 1."""
    return KINDS[dimensions].conv(before, width, kernel_size=1, bias=bias)


def halving(before: int, width: int, stride: Sequence[int], *, bias: bool = True) -> nn.Module:
    """A convolution as large as its stride."""
    return KINDS[len(stride)].conv(before, width, kernel_size=tuple(stride), stride=tuple(stride), bias=bias)


def doubling(before: int, width: int, stride: Sequence[int], *, bias: bool = True) -> nn.Module:
    """A transposed convolution as large as its stride."""
    return KINDS[len(stride)].transposed(before, width, kernel_size=tuple(stride), stride=tuple(stride), bias=bias)


def normalisation(name: Normalisation, channels: int, dimensions: int, *, affine: bool = True) -> nn.Module:
    """Of each channel of each sample, of each channel of the batch, of groups of channels, or none."""
    kinds = KINDS[dimensions]
    if name == "instance":
        return kinds.instance_norm(channels, affine=affine)
    if name == "batch":
        return kinds.batch_norm(channels, affine=affine)
    if name == "group":
        return nn.GroupNorm(GROUPS if channels % GROUPS == 0 else 1, channels, affine=affine)
    return nn.Identity()


def nonlinearity(name: Nonlinearity, channels: int = 1) -> nn.Module:
    """By its name; PReLU has a slope for each channel."""
    kinds: dict[Nonlinearity, nn.Module] = {
        "relu": nn.ReLU(inplace=True),
        "leaky_relu": nn.LeakyReLU(LEAKY_SLOPE, inplace=True),
        "elu": nn.ELU(inplace=True),
        "prelu": nn.PReLU(channels),
        "gelu": nn.GELU(),
    }
    return kinds[name]


def pool(stride: Sequence[int]) -> nn.Module:
    """The maxima of blocks as large as the stride; nothing where it is 1 along every axis."""
    if max(stride) == 1:
        return nn.Identity()
    return KINDS[len(stride)].max_pool(tuple(stride), tuple(stride))


class Enlarge(nn.Module):
    """Brings features `(B, C, *space)` to another size: to the nearest values, or linearly with corners on corners."""

    def __init__(self, mode: Literal["nearest", "linear"], dimensions: int) -> None:
        super().__init__()
        self.mode = mode if mode == "nearest" else KINDS[dimensions].linear

    def forward(self, features: Tensor, size: Sequence[int]) -> Tensor:
        corners = None if self.mode == "nearest" else True
        return F.interpolate(features, size=tuple(size), mode=self.mode, align_corners=corners)


class Transposed(nn.Module):
    """A transposed convolution in the place of `Enlarge`; the size follows from its stride."""

    def __init__(self, layer: nn.Module) -> None:
        super().__init__()
        self.layer = layer

    def forward(self, features: Tensor, size: Sequence[int]) -> Tensor:  # noqa: ARG002
        enlarged: Tensor = self.layer(features)
        return enlarged


class SqueezeExcite(nn.Module):
    """Weighs channels by what they hold on the whole, places by what all channels hold there, or takes the larger of both.

    Source: Hu et al. 2018, "Squeeze-and-excitation networks"; Roy et al. 2018, "Concurrent spatial and channel squeeze and
    excitation" (arXiv 1803.02579). No channels are squeezed away, as in pytorch-3dunet.
    """

    def __init__(self, kind: Literal["channel", "space", "both"], channels: int, dimensions: int) -> None:
        super().__init__()
        self.of_channels = (
            nn.Sequential(
                nn.Linear(channels, channels), nn.ReLU(inplace=True), nn.Linear(channels, channels), nn.Sigmoid()
            )
            if kind in ("channel", "both")
            else None
        )
        self.of_places = (
            nn.Sequential(pointwise(channels, 1, dimensions), nn.Sigmoid()) if kind in ("space", "both") else None
        )

    def forward(self, features: Tensor) -> Tensor:
        weighed = []
        if self.of_channels is not None:
            weights = self.of_channels(features.flatten(2).mean(2))
            weighed.append(features * weights.reshape(*weights.shape, *[1] * (features.ndim - 2)))
        if self.of_places is not None:
            weighed.append(features * self.of_places(features))
        output: Tensor = weighed[0] if len(weighed) == 1 else weighed[0].maximum(weighed[1])
        return output


class AttentionGate(nn.Module):
    """Weighs the places of a skip by what a deeper level sees there.

    Args:
        skip: Channels of the skip, `stride` times as fine as the next level.
        gate: Channels of the deeper level, of any size.

    Source: Oktay et al. 2018, "Attention U-Net" (arXiv 1804.03999).
    """

    def __init__(self, skip: int, gate: int, stride: Sequence[int]) -> None:
        super().__init__()
        dimensions = len(stride)
        self.of_skip = halving(skip, skip, stride, bias=False)
        self.of_gate = pointwise(gate, skip, dimensions)
        self.weights = nn.Sequential(nn.ReLU(inplace=True), pointwise(skip, 1, dimensions), nn.Sigmoid())
        self.enlarge = Enlarge("linear", dimensions)
        self.result = nn.Sequential(pointwise(skip, skip, dimensions), normalisation("batch", skip, dimensions))

    def forward(self, skip: Tensor, gate: Tensor) -> Tensor:
        own = self.of_skip(skip)
        weights = self.weights(own + self.enlarge(self.of_gate(gate), own.shape[2:]))
        gated: Tensor = self.result(self.enlarge(weights, skip.shape[2:]) * skip)
        return gated
