"""Convolutions in bf16 on a CPU: those that torch's library gets wrong are computed in fp32.

oneDNN, as torch 2.13 has it, reads and writes beside its arrays where a feature map is about as thin as the kernel:
results, gradients of the input or of the weights are then garbage, finite now and then (pytorch#68868). Which of them
depends on the processor: with AMX a map that a stride takes to a side of 1, or a single plane of one channel, without it
a map of two planes. Nothing of the kind was found in some ten thousand random convolutions that `is_sound` lets pass, on
either processor; a trial before training could not tell, as memory that is not initialised often happens to be right.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping, Sequence
from functools import lru_cache
from typing import Any

import torch
from torch import Tensor
from torch.overrides import TorchFunctionMode

log = logging.getLogger(__name__)

LARGEST_UPSAMPLING = 3
"""Gradients of transposed convolutions of stride 4 are wrong, too, for 16 channels."""

_CONVOLUTION = ("input", "weight", "bias", "stride", "padding", "dilation", "groups")
_TRANSPOSED = ("input", "weight", "bias", "stride", "padding", "output_padding", "groups", "dilation")
PARAMETERS: Mapping[Callable[..., Any], tuple[str, ...]] = {
    torch.conv1d: _CONVOLUTION,
    torch.conv2d: _CONVOLUTION,
    torch.conv3d: _CONVOLUTION,
    torch.conv_transpose1d: _TRANSPOSED,
    torch.conv_transpose2d: _TRANSPOSED,
    torch.conv_transpose3d: _TRANSPOSED,
}
"""Names of what each is handed, in order."""


class SoundConvolutions(TorchFunctionMode):
    """Within it, and within autocast, whatever network computes only convolutions in bf16 that are computed right."""

    def __torch_function__(
        self, func: Callable[..., Any], types: Any, args: Sequence[Any] = (), kwargs: Mapping[str, Any] | None = None
    ) -> Any:
        kwargs = kwargs or {}
        names = PARAMETERS.get(func)
        if names is None:
            return func(*args, **kwargs)
        given = {**dict(zip(names, args, strict=False)), **kwargs}
        if is_sound(given, transposed=names is _TRANSPOSED):
            return func(*args, **kwargs)
        _say_once()
        with torch.autocast("cpu", enabled=False):
            return func(**{name: _in_fp32(value) for name, value in given.items()}).to(torch.bfloat16)


def is_sound(given: Mapping[str, Any], *, transposed: bool) -> bool:
    """Whether a convolution is of those that bf16 computes right.

    Args:
        given: What it is called with, by name: `input` `(B, C, *space)`, `weight`, and where given `stride` and others.
    """
    image, weight = given["input"], given["weight"]
    dimensions = weight.ndim - 2
    strides, dilations = (_each(given.get(name, 1), dimensions) for name in ("stride", "dilation"))
    spans = tuple((size - 1) * step + 1 for size, step in zip(weight.shape[2:], dilations, strict=True))
    sides = tuple(image.shape[-dimensions:])
    if transposed:
        return all(map(_is_sound_upsampling, sides, spans, strides))
    return all(map(_is_sound_along, sides, spans, strides, _paddings(given.get("padding", 0), spans)))


def _is_sound_along(side: int, span: int, stride: int, padding: int) -> bool:
    """Along one axis: `span` is the kernel's, dilation counted, `padding` that of both ends together."""
    if span == 1:
        return stride == 1
    return stride < span and side >= span + stride - 1 and (side + padding - span) // stride >= 1


def _is_sound_upsampling(side: int, span: int, stride: int) -> bool:
    return stride == span <= LARGEST_UPSAMPLING and (stride == 1 or side > 1)


def _paddings(padding: Any, spans: Sequence[int]) -> Sequence[int]:
    if isinstance(padding, str):
        return [span - 1 if padding == "same" else 0 for span in spans]
    return [2 * side for side in _each(padding, len(spans))]


def _each(value: Any, dimensions: int) -> tuple[int, ...]:
    """torch takes one number for all axes, too."""
    values = (value,) if isinstance(value, int) else tuple(value)
    return values * dimensions if len(values) == 1 else values


def _in_fp32(value: Any) -> Any:
    return value.float() if isinstance(value, Tensor) else value


@lru_cache(maxsize=1)
def _say_once() -> None:
    log.warning(
        "some feature maps are as thin as the kernel or end in one voxel along an axis: torch computes such convolutions "
        "wrongly in bf16 on a CPU, so these are computed in fp32"
    )
