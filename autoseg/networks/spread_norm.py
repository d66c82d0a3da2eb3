"""Instance normalisation of which every sum is taken by the whole GPU, and whether that is faster than torch's.

torch sums each channel of each sample in one block of threads, and so has 64 for two samples of 32 channels on a GPU that
runs 132 blocks at once (`aten/src/ATen/native/cuda/Normalization.cuh`); cuDNN's own is not taken for bf16. Plain
reductions divide such sums among all blocks.
"""

from __future__ import annotations

import logging
import math
import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, TypeAlias

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable
from torch.nn import functional as F

from autoseg.networks.fitting import empty_caches, is_out_of_memory

log = logging.getLogger(__name__)

Normalise: TypeAlias = Callable[[Tensor, Tensor, Tensor, float], Tensor]
"""A batch `(B, C, *space)`, a scale and a shift of each channel, and what is added to the variance."""

MEASURED_SHAPE = (2, 32, 96, 96, 96)
"""As large as the finest level of most plans, so that no cache holds it, and small enough for any GPU: 0.5 GB in all."""

ROUNDS = 6
EPSILON = 1e-5

WORTHWHILE = 0.9
"""Of the time of torch's own form; what wins less is noise."""

MOST_DIFFERENCE = {torch.float32: 1e-3, torch.float16: 0.01, torch.bfloat16: 0.05}
"""Of outputs and gradients, relative to their size: some roundings of the format."""


@dataclass(frozen=True, slots=True, kw_only=True)
class NormTrial:
    """What came of both forms on a device.

    Attributes:
        torch_seconds, spread_seconds: Of one normalisation, forward and backward.
        difference: Of the spread form's output and gradients from torch's, relative to their size.
    """

    torch_seconds: float
    spread_seconds: float
    difference: float


def torch_instance_norm(batch: Tensor, weight: Tensor, bias: Tensor, epsilon: float) -> Tensor:
    """torch's own form."""
    return F.instance_norm(batch, None, None, weight, bias, True, 0.0, epsilon)


def spread_instance_norm(batch: Tensor, weight: Tensor, bias: Tensor, epsilon: float) -> Tensor:
    """The same, with means and variances in fp32 (in fp64 for a batch in fp64), from a batch in any format."""
    normalised: Tensor = _SpreadInstanceNorm.apply(batch, weight, bias, epsilon)  # type: ignore[no-untyped-call]
    return normalised


def is_spread_worthwhile(trial: NormTrial, dtype: torch.dtype) -> bool:
    """Whether the spread form agrees with torch's and is faster."""
    agrees = trial.difference <= MOST_DIFFERENCE[dtype]
    return agrees and trial.spread_seconds < WORTHWHILE * trial.torch_seconds


def is_spread_taken(device: torch.device, dtype: torch.dtype) -> bool:
    """Whether networks on a device normalise in the spread form: tried once, in about a second, and only on CUDA.

    A deterministic training takes torch's form, whichever is faster at the moment.
    """
    if device.type != "cuda" or torch.are_deterministic_algorithms_enabled():
        return False
    return _tried(device, dtype)


def try_normalisations(device: torch.device, dtype: torch.dtype, shape: tuple[int, ...] = MEASURED_SHAPE) -> NormTrial:
    """Run both forms, forward and backward, in turns.

    Raises:
        RuntimeError: The device cannot compute one of them, or its memory does not hold them.
    """
    generator = torch.Generator(device).manual_seed(0)
    batch, direction = (torch.randn(shape, generator=generator, device=device).to(dtype) for _ in range(2))
    forms = (torch_instance_norm, spread_instance_norm)
    taken: dict[Normalise, list[float]] = {form: [] for form in forms}
    for _ in range(ROUNDS):
        for form in forms:
            started = time.perf_counter()
            _both_ways(form, batch, direction)
            taken[form].append(time.perf_counter() - started)
    found, right = (_both_ways(form, batch, direction) for form in reversed(forms))
    differences = [float((one - other).norm() / other.norm()) for one, other in zip(found, right, strict=True)]
    return NormTrial(
        torch_seconds=min(taken[torch_instance_norm]),
        spread_seconds=min(taken[spread_instance_norm]),
        difference=max(differences) if all(map(math.isfinite, differences)) else math.inf,
    )


class _SpreadInstanceNorm(torch.autograd.Function):
    """Few passes, each of which reads and writes the batch's own format and computes in that of the sums."""

    @staticmethod
    def forward(ctx: Any, batch: Tensor, weight: Tensor, bias: Tensor, epsilon: float) -> Tensor:
        space = tuple(range(2, batch.ndim))
        mean = batch.mean(space, keepdim=True, dtype=torch.promote_types(batch.dtype, torch.float32))
        # `out` is what lets torch cast within the reduction: a copy of the batch in fp32 would be twice its size.
        variance = torch.var(batch, space, correction=0, keepdim=True, out=torch.empty_like(mean))
        inverse = (variance + epsilon).rsqrt()
        scale = inverse * _by_channel(weight, mean)
        shift = _by_channel(bias, mean) - mean * scale
        ctx.save_for_backward(batch, mean, inverse, weight)
        return torch.addcmul(shift, batch, scale, out=torch.empty_like(batch))

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, Tensor, Tensor, None]:
        batch, mean, inverse, weight = ctx.saved_tensors
        space, voxels = tuple(range(2, batch.ndim)), batch[0, 0].numel()
        normalised = torch.addcmul(-mean * inverse, batch, inverse, out=torch.empty_like(batch))
        sums = gradient.sum(space, keepdim=True, dtype=mean.dtype)
        products = (gradient * normalised).sum(space, keepdim=True, dtype=mean.dtype)
        scale = inverse * _by_channel(weight, mean)
        centred = torch.addcmul(-scale * sums / voxels, normalised, -scale * products / voxels, out=normalised)
        found = torch.addcmul(centred, gradient, scale, out=torch.empty_like(batch))
        return found, products.sum(0).flatten().to(weight.dtype), sums.sum(0).flatten().to(weight.dtype), None


def _by_channel(values: Tensor, like: Tensor) -> Tensor:
    return values.to(like.dtype).reshape(1, -1, *[1] * (like.ndim - 2))


def _both_ways(form: Normalise, batch: Tensor, direction: Tensor) -> list[Tensor]:
    """Output and gradients in fp32; the device is done with them."""
    given = batch.detach().requires_grad_()
    weight, bias = (torch.full(batch.shape[1:2], value, device=batch.device) for value in (1.5, 0.5))
    weight.requires_grad_()
    bias.requires_grad_()
    output = form(given, weight, bias, EPSILON)
    output.backward(direction)  # type: ignore[no-untyped-call]
    results = [output.detach(), *(tensor.grad for tensor in (given, weight, bias) if tensor.grad is not None)]
    output.flatten()[0].item()  # waits for the device
    return [result.float() for result in results]


@lru_cache(maxsize=16)
def _tried(device: torch.device, dtype: torch.dtype) -> bool:
    try:
        trial = try_normalisations(device, dtype)
    except RuntimeError as error:
        cause = "its memory is full" if is_out_of_memory(error) else str(error).splitlines()[0]
        log.warning("normalisation in torch's form, as the other could not be tried on %s: %s", device, cause)
        return False
    finally:
        empty_caches()
    taken = is_spread_worthwhile(trial, dtype)
    log.info("%s", said_of(trial, taken=taken))
    return taken


def said_of(trial: NormTrial, *, taken: bool) -> str:
    """For the log."""
    form = "summed by the whole GPU" if taken else "in torch's form"
    return (
        f"normalisation {form}: {1000 * trial.spread_seconds:.2g} ms spread over the GPU, "
        f"{1000 * trial.torch_seconds:.2g} ms in torch's form, which differ by {trial.difference:.1g}"
    )
