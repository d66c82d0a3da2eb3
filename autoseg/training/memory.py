"""How much memory a training step takes on a CPU: said before the first one, not by the kernel that kills it."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.func import functional_call

from autoseg.errors import TrainingError
from autoseg.machine.resources import available_memory
from autoseg.words import in_gigabytes

log = logging.getLogger(__name__)

COPIES_OF_WEIGHTS = 3
"""The weights, their gradients, and the momentum."""

COPIES_OF_LOGITS = 3
"""That the loss keeps in fp32: logits, and of Dice and cross-entropy probabilities each."""

LARGEST_TENSORS = 2
"""For each sample on top of what is kept: the gradients into and out of the largest layer."""

LIBRARIES = 200 * 2**20
"""What torch loads with its first step."""


@dataclass(frozen=True, slots=True, kw_only=True)
class StepMemory:
    """Bytes of one step.

    Attributes:
        kept: At least: what a step holds at once, for sure.
        peak: About, within 5 % of what was measured for plain U-Nets (documentation/decisions_training.md).
    """

    kept: int
    peak: int


def estimate_step(network: nn.Module, sample: Sequence[int], batch_size: int, dtype: torch.dtype) -> StepMemory:
    """Run the network on one sample without any memory, and count what it keeps for its gradient.

    Args:
        sample: `(C, *patch)`.
        dtype: That the network computes in.
    """
    weights = {name: tensor.to("meta", dtype) for name, tensor in network.state_dict().items()}
    own = {tensor.untyped_storage()._cdata for tensor in weights.values()}
    kept: dict[int, Tensor] = {}  # the tensors themselves, so that no address is used twice

    def keep(tensor: Tensor) -> Tensor:
        kept[tensor.untyped_storage()._cdata] = tensor
        return tensor

    for name, _ in network.named_parameters():
        weights[name].requires_grad_()
    with torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor):
        outputs = functional_call(network, weights, torch.empty(1, *sample, device="meta", dtype=dtype))
    logits = sum(level.numel() * 4 for level in ([outputs] if isinstance(outputs, Tensor) else outputs))
    sizes = [tensor.untyped_storage().nbytes() for address, tensor in kept.items() if address not in own]
    parameters = COPIES_OF_WEIGHTS * sum(tensor.numel() * 4 for tensor in network.parameters())
    at_least = batch_size * (sum(sizes) + COPIES_OF_LOGITS * logits) + parameters
    return StepMemory(kept=at_least, peak=at_least + batch_size * LARGEST_TENSORS * max(sizes, default=0) + LIBRARIES)


def require_memory(network: nn.Module, sample: Sequence[int], batch_size: int, dtype: torch.dtype) -> None:
    """Compare a step with the memory that is free; networks that only run with real numbers are not estimated.

    Raises:
        TrainingError: It certainly does not fit. Where it only may not, that is logged as a warning.
    """
    try:
        needed = estimate_step(network, sample, batch_size, dtype)
    except Exception as error:  # a network of the user's own may do anything
        log.debug("the memory of a step cannot be estimated: %s", error)
        return
    compare(needed, available_memory(), batch_size)


def compare(needed: StepMemory, free: int, batch_size: int) -> None:
    """See `require_memory`."""
    remedy = (
        f"use a smaller `batch_size` than {batch_size}"
        if batch_size > 1
        else "plan for less memory (`PlannerChoice.gpu_memory_target`)"
    )
    if needed.kept > free:
        raise TrainingError(
            f"a step of this training takes at least {in_gigabytes(needed.kept)} of memory, and {in_gigabytes(free)} are free; "
            f"{remedy}"
        )
    if needed.peak > free:
        log.warning(
            "a step of this training takes about %s of memory, and %s are free; if it is killed, %s",
            in_gigabytes(needed.peak),
            in_gigabytes(free),
            remedy,
        )
