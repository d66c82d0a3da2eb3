"""The 3D U-Net of 2016 and what became of it: order of layers, residual blocks, squeeze and excitation, gates.

Source: Çiçek et al. 2016, "3D U-Net: learning dense volumetric segmentation from sparse annotation" (arXiv 1606.06650);
letters of layers, residual blocks and squeeze-and-excite as in pytorch-3dunet.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Literal, TypeAlias

from torch import Tensor, nn

from autoseg.catalogue import Settings
from autoseg.errors import PlanError
from autoseg.networks.fitted import fitted_topology
from autoseg.networks.layers import (
    KINDS,
    AttentionGate,
    Enlarge,
    Nonlinearity,
    SqueezeExcite,
    Transposed,
    Upsampling,
    convolution,
    doubling,
    nonlinearity,
    normalisation,
    pointwise,
    pool,
)
from autoseg.networks.pooling_unet import Decoding, PoolingUNet, coarse_levels, heads_of
from autoseg.plans import ConfigurationPlan

NAME = "unet_2016"

Squeeze: TypeAlias = Literal["none", "channel", "space", "both"]

NONLINEAR: dict[str, Nonlinearity] = {"r": "relu", "l": "leaky_relu", "e": "elu"}
LETTERS = "crlegbdD"

PAPERS_ORDER = "cbr"


@dataclass(frozen=True, slots=True, kw_only=True)
class Order:
    """Layers as letters from left to right.

    Attributes:
        letters: c convolution, r ReLU, l leaky ReLU, e ELU, g group normalisation, b batch normalisation, d dropout, D
            dropout of channels.
        dropout: Share that d and D leave out.
        bias: Whether a convolution has one beside a normalisation, too.
    """

    letters: str
    dropout: float
    bias: bool

    def __post_init__(self) -> None:
        unknown = sorted(set(self.letters) - set(LETTERS))
        if unknown or self.letters.count("c") != 1:
            raise PlanError(
                f"{NAME}: layer_order holds one c and any of {', '.join(LETTERS)}, found {self.letters!r:.40}"
            )
        if self.letters[0] in NONLINEAR:
            raise PlanError(f"{NAME}: layer_order cannot begin with the nonlinearity {self.letters[0]!r}")
        if len(several := [letter for letter in self.letters if letter in NONLINEAR]) > 1:
            raise PlanError(f"{NAME}: layer_order holds one nonlinearity at most, found {' and '.join(several)}")

    @property
    def is_normalised(self) -> bool:
        """Whether it has a normalisation."""
        return bool(set("gb") & set(self.letters))

    @property
    def without_nonlinearity(self) -> Order:
        """For what is added to a skip before it."""
        letters = "".join(letter for letter in self.letters if letter not in NONLINEAR)
        return Order(letters=letters, dropout=self.dropout, bias=self.bias)

    @property
    def nonlinearity(self) -> Nonlinearity:
        """The first that is named, else the ReLU."""
        return next((NONLINEAR[letter] for letter in self.letters if letter in NONLINEAR), "relu")

    def layers(self, before: int, width: int, kernel: Sequence[int]) -> nn.Sequential:
        """They as a module; normalisation before the convolution has the channels of what comes in."""
        dimensions, channels, found = len(kernel), before, nn.Sequential()
        for letter in self.letters:
            if letter == "c":
                found.append(convolution(before, width, kernel, bias=self.bias or not self.is_normalised))
                channels = width
            elif letter in NONLINEAR:
                found.append(nonlinearity(NONLINEAR[letter]))
            elif letter in "gb":
                found.append(normalisation("group" if letter == "g" else "batch", channels, dimensions))
            else:
                kind = nn.Dropout if letter == "d" else KINDS[dimensions].channel_dropout
                found.append(kind(self.dropout))
        return found


class OrderedResidual(nn.Module):
    """Two times the layers, added to what came in before the last nonlinearity, which may be followed by squeeze and excite.

    Where channels change, what came in passes a convolution of size 1 first.
    """

    def __init__(self, channels: tuple[int, int], kernel: Sequence[int], order: Order, squeeze: Squeeze) -> None:
        super().__init__()
        before, width = channels
        self.fit = nn.Identity() if before == width else pointwise(before, width, len(kernel))
        self.layers = nn.Sequential(
            order.layers(width, width, kernel), order.without_nonlinearity.layers(width, width, kernel)
        )
        self.last = nonlinearity(order.nonlinearity)
        self.squeeze = nn.Identity() if squeeze == "none" else SqueezeExcite(squeeze, width, len(kernel))

    def forward(self, image: Tensor) -> Tensor:
        fitted = self.fit(image)
        output: Tensor = self.squeeze(self.last(self.layers(fitted) + fitted))
        return output


@dataclass(frozen=True, slots=True, kw_only=True)
class UNet2016Settings(Settings):
    """The 3D U-Net of 2016, also of slices: convolutions in pairs, pooling of maxima, skips.

    Attributes:
        width: Channels of the finest level; each level has twice as many as the one above.
        levels: Resolutions, the finest counted.
        layer_order: Of each convolution: c convolution, r ReLU, l leaky ReLU, e ELU, g group and b batch normalisation, d
            dropout, D dropout of channels.
        bias: Whether convolutions beside a normalisation have one.
        dropout: Share that d and D leave out.
        upsampling: By transposed convolutions, or to the nearest values, or linearly.
        blocks: Two convolutions, or three as residual blocks.
        squeeze_excite: Of residual blocks: weighs channels, places, or both.
        attention_gates: Whether skips are weighed by what the level below sees.
        coarse_outputs: Whether the coarser levels of the decoder answer too, for deep supervision.

    Source: Çiçek et al. 2016 (arXiv 1606.06650); Lee et al. 2017 for residual blocks (arXiv 1706.00120).
    """

    width: int = 64
    levels: int = 4
    layer_order: str = PAPERS_ORDER
    bias: bool = True
    dropout: float = 0.1
    upsampling: Upsampling = "transposed"
    blocks: Literal["double", "residual"] = "double"
    squeeze_excite: Squeeze = "none"
    attention_gates: bool = False
    coarse_outputs: bool = False

    def build(self, plan: ConfigurationPlan, in_channels: int, out_channels: int) -> nn.Module:
        """The network of a plan."""
        if self.squeeze_excite != "none" and self.blocks != "residual":
            raise PlanError(f"{NAME}: squeeze_excite needs blocks 'residual', found {self.blocks!r}")
        topology = fitted_topology(plan, NAME, levels=self.levels)
        order = Order(letters=self.layer_order, dropout=self.dropout, bias=self.bias)
        widths = tuple(self.width * 2**level for level in range(self.levels))

        def stage(before: int, width: int, kernel: Sequence[int], *, halved: bool) -> nn.Module:
            if self.blocks == "residual":
                return OrderedResidual((before, width), kernel, order, self.squeeze_excite)
            middle = max(before, width // 2) if halved else width
            return nn.Sequential(order.layers(before, middle, kernel), order.layers(middle, width, kernel))

        encoder = [
            nn.Sequential(pool(stride), stage(before, width, kernel, halved=True))
            for before, width, stride, kernel in zip(
                (in_channels, *widths), widths, topology.strides, topology.kernels, strict=False
            )
        ]
        decoder = []
        for level, (own, below) in reversed(list(enumerate(pairwise(widths)))):
            stride, kernel = topology.strides[level + 1], topology.kernels[level]
            added = self.blocks == "residual" and self.upsampling == "transposed"
            enlarge = _enlarging(self.upsampling, (below, own if added else below), stride, kernel)
            decoder.append(
                Decoding(
                    enlarge=enlarge,
                    stage=stage(own if added else own + below, own, kernel, halved=False),
                    gate=AttentionGate(own, below, stride) if self.attention_gates else None,
                    added=added,
                    skip_first=True,
                )
            )
        coarse = coarse_levels(plan, self.levels) if self.coarse_outputs else 0
        return PoolingUNet(encoder, decoder, heads_of(widths, out_channels, plan.dimensions, coarse=coarse))


def _enlarging(
    upsampling: Upsampling, channels: tuple[int, int], stride: Sequence[int], kernel: Sequence[int]
) -> nn.Module:
    """A transposed convolution that changes channels is larger than its stride, as residual networks have it."""
    before, width = channels
    if upsampling != "transposed":
        return Enlarge(upsampling, len(stride))
    if before == width:
        return Transposed(doubling(before, width, stride, bias=False))
    sizes = tuple(side if step == 1 else step + (step + 1) % 2 for side, step in zip(kernel, stride, strict=True))
    padding = tuple((size - step + 1) // 2 for size, step in zip(sizes, stride, strict=True))
    output_padding = tuple(step + 2 * pad - size for size, step, pad in zip(sizes, stride, padding, strict=True))
    return Transposed(
        KINDS[len(stride)].transposed(
            before,
            width,
            kernel_size=sizes,
            stride=tuple(stride),
            padding=padding,
            output_padding=output_padding,
            bias=False,
        )
    )
