"""The plain U-Net of a plan: what `Topology` says, convolution by convolution.

Source: Isensee et al. 2021, "Blueprint parameters".
"""

from __future__ import annotations

from autoseg.networks.encoder_decoder import EncoderDecoder, conv_stage
from autoseg.plans import UNetSettings


class UNet(EncoderDecoder):
    """An encoder of plain convolutions and the decoder of `EncoderDecoder`, with one level for each of the topology.

    Args:
        settings: What a plan says of it.
        in_channels: Channels of the input.
        classes: Channels of the output, background counted.
    """

    def __init__(
        self, settings: UNetSettings, in_channels: int, classes: int, *, deep_supervision: bool = True
    ) -> None:
        super().__init__(
            (
                conv_stage((before, width), kernel, stride, settings.convs_per_stage)
                for before, width, kernel, stride in zip(
                    (in_channels, *settings.widths), settings.widths, settings.kernels, settings.strides, strict=False
                )
            ),
            settings,
            classes,
            deep_supervision=deep_supervision,
        )
