"""A batch in parts that fit into a GPU's memory, with the gradient of the whole, whatever the loss.

No loss over a batch need be a sum over its samples: Dice over the batch is not, nor is the mean of its worst voxels. But
every loss is a function of the batch's logits, and these are few beside what a network keeps for its gradient. So the
parts are first run without keeping anything; the loss of all logits together gives the gradient of each of them; then
each part is run again and takes its logits' gradients back into the weights. That is exact as long as samples do not
see each other inside the network. Source: Gao et al. 2021, "Scaling deep contrastive learning batch size under memory
limited setup".
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import TypeAlias, TypeVar

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

from autoseg.errors import TrainingError, counted

log = logging.getLogger(__name__)

Result = TypeVar("Result")
Forward: TypeAlias = Callable[[slice], Sequence[Tensor]]
"""Some samples of a batch to their logits, `(B, C, *space)` each, at every resolution."""


class SamplesAtOnce:
    """How many samples of a batch the memory holds at once: halved each time it runs out, and kept.

    Args:
        batch_size: Where it begins.
    """

    def __init__(self, batch_size: int) -> None:
        self.batch_size = self.number = batch_size

    def fit(self, attempt: Callable[[int], Result]) -> Result:
        """The result of `attempt(number)`, tried with fewer samples as long as the GPU's memory runs out.

        Raises:
            torch.OutOfMemoryError: It runs out even with one sample. No other error is taken for it.
        """
        before = self.number
        while True:
            try:
                result = attempt(self.number)
                break
            except torch.cuda.OutOfMemoryError:
                if self.number == 1:
                    raise
            # Outside of `except`, where the error no longer holds on to what the attempt had in memory.
            self.number = (self.number + 1) // 2
            torch.cuda.empty_cache()
        if self.number < before:
            log.warning(
                "the GPU's memory does not hold %s at once, so from now on they are computed %d at a time; the gradient is "
                "that of the whole batch, but a step takes about a third longer",
                counted(self.batch_size, "sample"),
                self.number,
            )
        return result


def parts(samples: int, at_once: int) -> Iterator[slice]:
    """Consecutive samples, so many at once; the last part may have fewer."""
    return (slice(start, min(start + at_once, samples)) for start in range(0, samples, at_once))


def outputs_in_parts(forward: Forward, samples: int, at_once: int) -> list[Tensor]:
    """The logits of the whole batch at every resolution, part after part."""
    if at_once >= samples:
        return list(forward(slice(0, samples)))
    outputs = [forward(part) for part in parts(samples, at_once)]
    return [torch.cat(level) for level in zip(*outputs, strict=True)]


def add_gradients(
    forward: Forward,
    loss: Callable[[Sequence[Tensor]], Tensor],
    *,
    samples: int,
    at_once: int,
    scale: Callable[[Tensor], Tensor],
    device: torch.device,
) -> Tensor:
    """Add the gradient of a batch's loss to the parameters that `forward` uses, and return the loss.

    Args:
        loss: Of the logits of the whole batch at every resolution.
        scale: What is done to the loss before its gradient is taken.
        device: Whose generator of random numbers the network may draw from: it draws the same both times.
    """
    if at_once >= samples:
        value = loss(forward(slice(0, samples)))
        scale(value).backward()  # type: ignore[no-untyped-call]
        return value.detach()
    with torch.random.fork_rng([device] if device.type == "cuda" else []):
        with torch.no_grad():
            outputs = outputs_in_parts(forward, samples, at_once)
        outputs = [level.requires_grad_() for level in outputs]
        value = loss(outputs)
        scale(value).backward()  # type: ignore[no-untyped-call]
    for part in parts(samples, at_once):
        levels = zip(forward(part), outputs, strict=True)
        used = [(own, whole.grad[part]) for own, whole in levels if whole.grad is not None]
        torch.autograd.backward([own for own, _ in used], [gradient for _, gradient in used])
    return value.detach()


def require_independent_samples(network: nn.Module) -> None:
    """Refuse parts of a batch for a network whose samples see each other.

    Raises:
        TrainingError: It has batch normalisation.
    """
    if any(isinstance(layer, _BatchNorm) for layer in network.modules()):
        raise TrainingError(
            "the GPU's memory does not hold the batch, and it cannot be computed in parts, as the network normalises over "
            "the batch; train with a smaller --batch_size, or plan for less memory (-gpu_memory_target)"
        )


@contextmanager
def memory_explained(device: torch.device) -> Iterator[None]:
    """Turn a GPU's last word on its memory into a sentence.

    Raises:
        TrainingError: The memory ran out where no smaller part of a batch helps.
    """
    try:
        yield
    except torch.cuda.OutOfMemoryError as error:
        raise TrainingError(
            f"{device}: the GPU's memory ran out, and a smaller part of the batch does not help "
            f"({str(error).splitlines()[0]}); see with nvidia-smi what else is in it, or plan for less memory "
            "(autoseg_plan_and_preprocess -gpu_memory_target)"
        ) from error
