"""Convolution and normalisation of the finest level, forward and backward."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from autoseg.networks.instance_norm import InstanceNorm3d
from autoseg.networks.spread_norm import is_spread_taken, spread_instance_norm, torch_instance_norm
from gpu.checks import Check, Setting, judge_time
from gpu.machine import HALF, known_precisions, seconds_of

LAYOUTS = {"contiguous": torch.contiguous_format, "channels last": torch.channels_last_3d}
BATCH = 2
OURS = "as it trains"
MUCH_SLOWER = 1.3
"""Than a form of the same normalisation beside it; less is not worth a second form."""

CUDNN = (
    "3D convolutions without cuDNN's fast kernels (pytorch#166122): another torch, or pip install -U nvidia-cudnn-cu12"
)
NORMALISATION = "autoseg/networks/instance_norm.py: take the faster form (autoseg/networks/spread_norm.py), or torch.compile, which fuses it"


def checks(setting: Setting) -> Iterator[Check]:
    """In the half precisions that the device has, else in fp32."""
    known = [HALF[name] for name in known_precisions(setting.device) if name in HALF]
    for dtype in known or [torch.float32]:
        for layout, order in LAYOUTS.items():
            yield _convolution(setting, dtype, layout, order)
        yield from _normalisations(setting, dtype)


def _convolution(setting: Setting, dtype: torch.dtype, layout: str, order: torch.memory_format) -> Check:
    batch = _batch(setting, dtype).contiguous(memory_format=order)
    features = batch.shape[1]
    layer = nn.Conv3d(features, features, 3, padding=1).to(batch.device, dtype).to(memory_format=order)
    seconds = _both_ways(setting, batch, layer)
    operations = 3 * 2 * 27 * features * batch.numel()  # forward, and backward into input and weights
    bounds = setting.expect((3, 5)) if layout == "contiguous" else None
    beside = f", {operations / seconds / 1e12:.3g} trillion operations a second"
    return judge_time("layers", f"Conv3d, {_named(dtype)}, {layout}", seconds, bounds, mend=CUDNN, beside=beside)


def _normalisations(setting: Setting, dtype: torch.dtype) -> Iterator[Check]:
    batch = _batch(setting, dtype)
    features = batch.shape[1]
    layer = InstanceNorm3d(features, affine=True).to(batch.device)
    layer.spread = is_spread_taken(batch.device, dtype)
    weight, bias = layer.weight, layer.bias
    forms: dict[str, Callable[[Tensor], Tensor]] = {
        OURS: layer,
        "torch's": lambda x: torch_instance_norm(x, weight, bias, layer.eps),
        "spread": lambda x: spread_instance_norm(x, weight, bias, layer.eps),
        "GroupNorm": lambda x: F.group_norm(x, features, weight.to(dtype), bias.to(dtype)),
    }
    seconds = {name: _both_ways(setting, batch, form) for name, form in forms.items()}
    fastest = min(seconds.values())
    for form, taken in seconds.items():
        is_ours = form == OURS and setting.slower is not None
        bounds = (1000 * fastest, 1000 * MUCH_SLOWER * fastest) if is_ours else None
        yield judge_time("layers", f"normalisation {form}, {_named(dtype)}", taken, bounds, mend=NORMALISATION)


def _both_ways(setting: Setting, batch: Tensor, layer: Callable[[Tensor], Tensor]) -> float:
    gradient = torch.randn_like(batch)
    inputs = (batch, *(layer.parameters() if isinstance(layer, nn.Module) else ()))
    tries, warm_up = (2, 1) if setting.is_small else (20, 5)
    return seconds_of(
        lambda: torch.autograd.grad(layer(batch), inputs, gradient), batch.device, tries=tries, warm_up=warm_up
    )


def _batch(setting: Setting, dtype: torch.dtype) -> Tensor:
    shape = (BATCH, setting.network["features"], *(setting.side,) * 3)
    return torch.randn(shape, device=setting.device, dtype=dtype).requires_grad_()


def _named(dtype: torch.dtype) -> str:
    return str(dtype).removeprefix("torch.")
