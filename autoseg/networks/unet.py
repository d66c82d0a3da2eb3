"""The plain U-Net of a plan: what `Topology` says, convolution by convolution.

Source: Isensee et al. 2021, "Blueprint parameters".
"""

from __future__ import annotations

from autoseg.networks.encoder_decoder import EncoderDecoder, conv_stage, level_widths
from autoseg.plans import Topology


class UNet(EncoderDecoder):
    """An encoder of plain convolutions and the decoder of `EncoderDecoder`, with one level for each of the topology.

    Args:
        topology: Strides and kernels of the levels, finest first.
        in_channels: Channels of the input.
        classes: Channels of the output, background counted.
        features: Channels of the finest level; each level has twice as many as the one above, at most `max_features`.
        convs_per_stage: Convolutions of each level, in the encoder and in the decoder.
    """

    def __init__(
        self,
        *,
        topology: Topology,
        in_channels: int,
        classes: int,
        features: int,
        max_features: int,
        convs_per_stage: int,
        deep_supervision: bool = True,
    ) -> None:
        widths = level_widths(len(topology.strides), features, max_features)
        super().__init__(
            (
                conv_stage((before, width), kernel, stride, convs_per_stage)
                for before, width, kernel, stride in zip(
                    (in_channels, *widths), widths, topology.kernels, topology.strides, strict=False
                )
            ),
            topology=topology,
            widths=widths,
            classes=classes,
            convs_per_stage=convs_per_stage,
            deep_supervision=deep_supervision,
        )
