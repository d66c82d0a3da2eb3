"""The U-Net with an encoder of residual blocks.

Source: Isensee et al. 2024, "nnU-Net Revisited" (arXiv 2404.09556), residual encoder; blocks as in He et al. 2016,
"Deep residual learning", with the skip of He et al. 2019, "Bag of tricks" (their ResNet-D).
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from autoseg.errors import PlanError
from autoseg.networks.encoder_decoder import EncoderDecoder, conv_block
from autoseg.networks.layers import KINDS, nonlinearity
from autoseg.plans import UNetSettings


class ResidualUNet(EncoderDecoder):
    """A stem, then residual blocks on each level, and the decoder of `EncoderDecoder`.

    Args:
        settings: What a plan says of it, with `blocks_per_stage`.
        in_channels: Channels of the input.
        classes: Channels of the output, background counted.

    Raises:
        PlanError: The settings are those of a network without residual blocks.
    """

    def __init__(
        self, settings: UNetSettings, in_channels: int, classes: int, *, deep_supervision: bool = True
    ) -> None:
        if settings.blocks_per_stage is None:
            raise PlanError("a residual_unet needs blocks_per_stage, found null; plan again or correct it")
        widths, kernels, strides = settings.widths, settings.kernels, settings.strides
        stem = conv_block((in_channels, widths[0]), kernels[0], strides[0])
        finest, *coarser = (
            _blocks((before, width), kernel, stride, blocks)
            for before, width, kernel, stride, blocks in zip(
                (widths[0], *widths[:-1]), widths, kernels, strides, settings.blocks_per_stage, strict=True
            )
        )
        super().__init__((nn.Sequential(stem, *finest), *coarser), settings, classes, deep_supervision=deep_supervision)
        self.apply(_start_as_identity)


class BlockMean(nn.Module):
    """The mean of each block of voxels as large as the stride, which divides the input's sides.

    Pooling has no deterministic gradient on CUDA (pytorch#72766) and none at all on Apple's GPUs before torch 2.9; on a
    CPU it has one, and is faster.
    """

    def __init__(self, stride: Sequence[int]) -> None:
        super().__init__()
        self.stride = tuple(stride)
        self.pool = KINDS[len(stride)].average_pool(self.stride, self.stride)

    def forward(self, image: Tensor) -> Tensor:
        output: Tensor = self.pool(image) if image.device.type == "cpu" else block_means(image, self.stride)
        return output


def block_means(image: Tensor, stride: Sequence[int]) -> Tensor:
    """Means `(B, C, *space / stride)` of an image `(B, C, *space)` over blocks of the stride's size, in fp32."""
    sides = [part for side, step in zip(image.shape[2:], stride, strict=True) for part in (side // step, step)]
    within = tuple(range(3, 3 + 2 * len(stride), 2))
    return image.reshape(*image.shape[:2], *sides).mean(within, dtype=torch.float32)


class ResidualBlock(nn.Module):
    """Two convolutions, each with normalisation, whose result is added to the input before the last nonlinearity.

    Where the block changes the resolution, the input is averaged over the stride; where it changes the channels, it
    passes a convolution of size 1 with normalisation.
    """

    def __init__(self, channels: tuple[int, int], kernel: Sequence[int], stride: Sequence[int]) -> None:
        super().__init__()
        before, width = channels
        ones = (1,) * len(kernel)
        self.first = conv_block((before, width), kernel, stride)
        self.second = conv_block((width, width), kernel, ones, nonlinear=False)
        self.skip = nn.Sequential()
        if max(stride) > 1:
            self.skip.append(BlockMean(stride))
        if before != width:
            self.skip.append(conv_block((before, width), ones, ones, nonlinear=False))
        self.nonlinearity = nonlinearity("leaky_relu")

    def forward(self, image: Tensor) -> Tensor:
        output: Tensor = self.nonlinearity(self.second(self.first(image)) + self.skip(image))
        return output


def _blocks(channels: tuple[int, int], kernel: Sequence[int], stride: Sequence[int], blocks: int) -> nn.Sequential:
    """Residual blocks; the first one changes channels and resolution."""
    before, width = channels
    ones = (1,) * len(kernel)
    return nn.Sequential(
        ResidualBlock((before, width), kernel, stride),
        *(ResidualBlock((width, width), kernel, ones) for _ in range(blocks - 1)),
    )


def _start_as_identity(module: nn.Module) -> None:
    """A block begins as its skip alone, so that a deep encoder trains from the first step (Goyal et al. 2017, 5.1)."""
    if isinstance(module, ResidualBlock):
        nn.init.zeros_(module.second.get_parameter("1.weight"))
