"""How far a score sees: of any network, by following what its layers do with the places of its input."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from math import ceil
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.overrides import TorchFunctionMode

CONVOLUTIONS: dict[Callable[..., Any], bool] = {
    torch.conv2d: False,
    torch.conv3d: False,
    torch.conv_transpose2d: True,
    torch.conv_transpose3d: True,
}
"""And whether each is transposed."""

CONVOLUTION = ("input", "weight", "bias", "stride", "padding", "dilation")
TRANSPOSED = ("input", "weight", "bias", "stride", "padding", "output_padding", "groups", "dilation")
POOLINGS = {F.max_pool2d, F.max_pool3d, torch.max_pool2d, torch.max_pool3d, F.avg_pool2d, F.avg_pool3d}
POOLING = ("input", "kernel_size", "stride")


@dataclass(frozen=True, slots=True, kw_only=True)
class Seen:
    """Of a feature map, along each axis.

    Attributes:
        field: Voxels of the input that one place depends on.
        step: Voxels of the input from one place to the next.
    """

    field: tuple[float, ...]
    step: tuple[float, ...]

    def wider(self, reach: Sequence[float], factor: Sequence[float]) -> Seen:
        """After a layer that reaches over so many further places, in steps so many times as long."""
        return Seen(
            field=tuple(own + far * step for own, far, step in zip(self.field, reach, self.step, strict=True)),
            step=tuple(own * times for own, times in zip(self.step, factor, strict=True)),
        )


class Following(TorchFunctionMode):
    """Within it each tensor that follows from the input knows what it saw of it."""

    def __init__(self, image: Tensor) -> None:
        super().__init__()
        ones = (1.0,) * (image.ndim - 2)
        self.known: dict[int, tuple[Tensor, Seen]] = {}
        self._keep(image, Seen(field=ones, step=ones))

    def __torch_function__(
        self, func: Callable[..., Any], types: Any, args: Sequence[Any] = (), kwargs: Mapping[str, Any] | None = None
    ) -> Any:
        kwargs = kwargs or {}
        result = func(*args, **kwargs)
        if (seen := self._joined((*args, *kwargs.values()))) is not None:
            after = _after(func, args, kwargs, seen, result)
            for tensor in _tensors(result):
                self._keep(tensor, after)
        return result

    def seen(self, tensor: Tensor) -> Seen:
        """What a tensor of the network saw."""
        return self.known[id(tensor)][1]

    def _keep(self, tensor: Tensor, seen: Seen) -> None:
        self.known[id(tensor)] = (tensor, seen)  # the tensor itself, so that no other gets its number

    def _joined(self, given: Sequence[Any]) -> Seen | None:
        """Of all that a function is given what saw furthest; the steps are those of the last map."""
        found = [self.known[id(tensor)][1] for tensor in _tensors(given) if id(tensor) in self.known]
        if not found:
            return None
        return Seen(field=tuple(map(max, zip(*(one.field for one in found), strict=True))), step=found[0].step)


@torch.no_grad()
def seen_by_a_score(network: nn.Module, sample: Sequence[int]) -> tuple[int, ...]:
    """Voxels along each axis that a score of the first answer depends on, before normalisation makes it the whole patch.

    Args:
        network: On the meta device, in evaluation mode.
        sample: `(C, *patch)`.
    """
    image = torch.empty(1, *sample, device="meta")
    with Following(image) as following:
        outputs = network(image)
        first = outputs if isinstance(outputs, Tensor) else outputs[0]
    return tuple(ceil(side) for side in following.seen(first).field)


def _after(func: Callable[..., Any], args: Sequence[Any], kwargs: Mapping[str, Any], seen: Seen, result: Any) -> Seen:
    axes = len(seen.field)
    if func in CONVOLUTIONS:
        transposed = CONVOLUTIONS[func]
        given = {**dict(zip(TRANSPOSED if transposed else CONVOLUTION, args, strict=False)), **kwargs}
        stride, dilation = (_each(given.get(name, 1), axes) for name in ("stride", "dilation"))
        spans = [(size - 1) * apart + 1 for size, apart in zip(given["weight"].shape[2:], dilation, strict=True)]
        if transposed:  # each place depends on those whose kernels cover it
            reach = [ceil(span / step) - 1 for span, step in zip(spans, stride, strict=True)]
            return seen.wider(reach, [1 / step for step in stride])
        return seen.wider([span - 1 for span in spans], stride)
    if func in POOLINGS:
        given = {**dict(zip(POOLING, args, strict=False)), **kwargs}
        kernel = _each(given["kernel_size"], axes)
        return seen.wider([side - 1 for side in kernel], _each(given.get("stride") or kernel, axes))
    if func is F.interpolate:
        before, mode = args[0].shape[2:], kwargs.get("mode", "nearest")
        factor = [old / new for old, new in zip(before, result.shape[2:], strict=True)]
        reach = [1.0 if mode != "nearest" and times != 1 else 0.0 for times in factor]
        return seen.wider(reach, factor)
    return seen


def _each(value: Any, axes: int) -> tuple[int, ...]:
    values = (value,) if isinstance(value, int) else tuple(value)
    return values * axes if len(values) == 1 else values


def _tensors(value: Any) -> Iterator[Tensor]:
    if isinstance(value, Tensor):
        yield value
    elif isinstance(value, (list, tuple)):
        for one in value:
            yield from _tensors(one)
