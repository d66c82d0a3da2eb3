"""Whether a CPU's memory holds a training step: said before the first one, not by the kernel that kills it."""

from __future__ import annotations

import logging
import sys
from collections.abc import Sequence

import torch
from torch import nn

from autoseg.errors import TrainingError
from autoseg.machine.resources import available_memory
from autoseg.networks.memory import StepMemory, estimate_step
from autoseg.words import in_gigabytes

log = logging.getLogger(__name__)


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


def most_memory(device: torch.device) -> int | None:
    """Bytes that this process held most so far: of a GPU's memory, or of main memory where the system says it."""
    if device.type == "cuda":
        return torch.cuda.max_memory_allocated(device)
    try:
        import resource
    except ImportError:  # on Windows
        return None
    most = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return most if sys.platform == "darwin" else 1024 * most


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
