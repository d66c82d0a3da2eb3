"""What a network is, in words and in a picture: levels, parameters, receptive field."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from torch import nn

from autoseg.files.model_folder import FoldFolder
from autoseg.files.storage import atomic_path, write_bytes
from autoseg.plans import ConfigurationPlan, Topology, UNetSettings
from autoseg.words import agreeing, counted


def write_architecture(fold: FoldFolder, network: nn.Module, plan: ConfigurationPlan, in_channels: int) -> None:
    """Write `architecture.txt` and, for the plan's own U-Net, its picture `architecture.png`."""
    text = describe_unet(network, plan, in_channels) if hasattr(network, "upsampling") else describe_other(network)
    write_bytes(fold.architecture, text.encode())
    if hasattr(network, "upsampling"):
        with atomic_path(fold.architecture_picture) as temporary:
            _figure(plan, in_channels).savefig(temporary, dpi=100)


def count_parameters(network: nn.Module) -> int:
    """Numbers that training changes."""
    return sum(parameter.numel() for parameter in network.parameters() if parameter.requires_grad)


def encoder_convolutions(settings: UNetSettings) -> tuple[int, ...]:
    """How many convolutions follow each other on each encoder level, finest first."""
    if settings.blocks_per_stage is None:
        return (settings.convs_per_stage,) * len(settings.kernels)
    stem = (1,) + (0,) * (len(settings.blocks_per_stage) - 1)
    return tuple(first + 2 * blocks for first, blocks in zip(stem, settings.blocks_per_stage, strict=True))


def receptive_field(topology: Topology, convolutions: Sequence[int]) -> tuple[int, ...]:
    """Voxels along each axis that one voxel of the deepest level sees, before normalisation makes it the whole patch.

    Args:
        convolutions: Of each encoder level, finest first; the first of a level carries its stride.
    """
    field = np.ones(topology.dimensions, dtype=int)
    jump = np.ones(topology.dimensions, dtype=int)
    for stride, kernel, convs in zip(topology.strides, topology.kernels, convolutions, strict=True):
        reach = np.array(kernel) - 1
        field += reach * jump
        jump = jump * np.array(stride)
        field += (convs - 1) * reach * jump
    return tuple(field.tolist())


def level_shapes(topology: Topology, patch_size: Sequence[int]) -> tuple[tuple[int, ...], ...]:
    """Voxels of the feature maps of each level, finest first."""
    factors = np.cumprod(np.array(topology.strides), axis=0)
    return tuple(tuple((np.array(patch_size) // factor).tolist()) for factor in factors)


def describe_unet(network: nn.Module, plan: ConfigurationPlan, in_channels: int) -> str:
    """A table of the levels, then what the whole network amounts to."""
    settings = plan.network.unet()
    topology = settings.topology
    widths = settings.widths
    shapes = level_shapes(topology, plan.sampling.patch_size)
    field = receptive_field(topology, encoder_convolutions(settings))
    seen = [size * side for size, side in zip(field, plan.grid.spacing[-len(field) :], strict=True)]
    lines = [
        f"U-Net of {plan.name}: {counted(in_channels, 'input channel')}, patch {_times(plan.sampling.patch_size)}, batch "
        f"{plan.batch_size}",
        "",
        f"{'level':>5}  {'channels':>8}  {'feature map':>14}  {'kernel':>8}  {'stride':>8}",
    ]
    for level, (width, shape) in enumerate(zip(widths, shapes, strict=True)):
        kernel, stride = topology.kernels[level], topology.strides[level]
        lines.append(f"{level:>5}  {width:>8}  {_times(shape):>14}  {_times(kernel):>8}  {_times(stride):>8}")
    return "\n".join(
        [
            *lines,
            "",
            _content_of_levels(settings),
            f"parameters: {count_parameters(network):,}",
            f"receptive field of the deepest level: {_times(field)} voxels, "
            f"{' x '.join(f'{side:.0f}' for side in seen)} mm",
            "",
            str(network),
            "",
        ]
    )


def _content_of_levels(settings: UNetSettings) -> str:
    each = "each with normalisation and leaky ReLU"
    convolutions = counted(settings.convs_per_stage, "convolution")
    if settings.blocks_per_stage is None:
        return f"{convolutions} on each level, {each}, in the encoder and in the decoder"
    blocks = ", ".join(map(str, settings.blocks_per_stage))
    return (
        f"a stem and {blocks} {agreeing(sum(settings.blocks_per_stage), 'residual block')} of two convolutions on the "
        "levels of the encoder, "
        f"{convolutions} on each level of the decoder, {each}"
    )


def describe_other(network: nn.Module) -> str:
    """What can be said of a network that is not the plan's."""
    return f"{type(network).__name__}\nparameters: {count_parameters(network):,}\n\n{network}\n"


def _times(numbers: Sequence[int]) -> str:
    return "x".join(str(number) for number in numbers)


BOX_WIDTH, BOX_HEIGHT = 1.5, 0.62
COLUMN = 2.6
"""Distance between encoder and decoder at the bottom, in boxes' units."""


def _figure(plan: ConfigurationPlan, in_channels: int) -> Any:
    """The U: encoder down on the left, decoder up on the right, skips across."""
    from matplotlib.figure import Figure

    settings = plan.network.unet()
    topology = settings.topology
    widths = settings.widths
    shapes = level_shapes(topology, plan.sampling.patch_size)
    deepest = len(widths) - 1
    figure = Figure(figsize=(10, 1.4 + 1.1 * len(widths)), layout="constrained")
    axes = figure.add_subplot()
    axes.set_axis_off()
    axes.set_title(f"{plan.name}: {counted(in_channels, 'channel')} in, patch {_times(plan.sampling.patch_size)}")
    for level, (width, shape) in enumerate(zip(widths, shapes, strict=True)):
        offset = COLUMN / 2 + (deepest - level) * 0.55
        label = f"{width}\n{_times(shape)}"
        if level == deepest:
            _box(axes, (0, -level), label, "tab:orange")
            continue
        _box(axes, (-offset, -level), label, "tab:blue")
        _box(axes, (offset, -level), label, "tab:green")
        _arrow(axes, (-offset + BOX_WIDTH / 2, -level), (offset - BOX_WIDTH / 2, -level), "skip")
        below = COLUMN / 2 + (deepest - level - 1) * 0.55 if level + 1 < deepest else 0.0
        edge = BOX_HEIGHT / 2
        stride = _times(topology.strides[level + 1])
        _arrow(axes, (-offset, -level - edge), (-below, -level - 1 + edge), f"stride {stride}")
        _arrow(axes, (below, -level - 1 + edge), (offset, -level - edge), f"up {stride}")
    axes.autoscale_view()
    return figure


def _box(axes: Any, centre: tuple[float, float], label: str, colour: str) -> None:
    from matplotlib.patches import FancyBboxPatch

    corner = (centre[0] - BOX_WIDTH / 2, centre[1] - BOX_HEIGHT / 2)
    axes.add_patch(FancyBboxPatch(corner, BOX_WIDTH, BOX_HEIGHT, boxstyle="round,pad=0", fc=colour, alpha=0.3))
    axes.text(*centre, label, ha="center", va="center", fontsize=9)


def _arrow(axes: Any, start: tuple[float, float], stop: tuple[float, float], label: str) -> None:
    axes.annotate("", xy=stop, xytext=start, arrowprops={"arrowstyle": "->", "color": "grey"})
    middle = ((start[0] + stop[0]) / 2, (start[1] + stop[1]) / 2)
    background = {"facecolor": "white", "edgecolor": "none", "pad": 1}
    axes.text(*middle, label, ha="center", va="center", fontsize=7, color="grey", bbox=background)
