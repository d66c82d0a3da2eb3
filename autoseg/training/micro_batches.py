"""A batch in parts that fit into a GPU's memory or a CPU's caches, with the gradient of the whole, whatever the loss.

No loss over a batch need be a sum over its samples: Dice over the batch is not, nor is the mean of its worst voxels. But
every loss is a function of the batch's logits, and these are few beside what a network keeps for its gradient. So the
parts are run one after the other; the loss of all logits together gives the gradient of each of them; then each part
takes its logits' gradients back into the weights. Where memory does not hold what all parts keep for that, nothing is
kept and each part is run again. It is exact as long as samples do not see each other inside the network. Source: Gao et
al. 2021, "Scaling deep contrastive learning batch size under memory limited setup".
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass
from typing import TypeAlias

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

from autoseg.errors import TrainingError
from autoseg.networks.encoder_decoder import EncoderDecoder
from autoseg.networks.fitting import FittingNumber, held_by_caches, parts
from autoseg.words import counted

Forward: TypeAlias = Callable[[slice], Sequence[Tensor]]
"""Some samples of a batch to their logits, `(B, C, *space)` each, at every resolution."""


def samples_at_once(batch_size: int) -> FittingNumber:
    """How many samples of a batch are computed at once: all, until the memory does not hold them."""
    return FittingNumber(
        batch_size,
        lambda number: (
            f"the GPU's memory does not hold {counted(batch_size, 'sample')} at once, so from now on they are computed "
            f"{number} at a time; the gradient is that of the whole batch, but a step takes about a third longer"
        ),
    )


def samples_together(network: nn.Module, batch: Tensor) -> int:
    """How many samples of a batch `(B, C, *patch)` go through a network together: on a CPU what its caches hold.

    All of them elsewhere, and in a network that may let samples see each other.
    """
    if batch.device.type != "cpu" or not isinstance(network, EncoderDecoder) or normalises_over_batch(network):
        return len(batch)
    return torch.get_num_threads() * held_by_caches(batch[0, 0].numel())


def outputs_in_parts(forward: Forward, samples: int, at_once: int) -> list[Tensor]:
    """The logits of the whole batch at every resolution, part after part."""
    if at_once >= samples:
        return list(forward(slice(0, samples)))
    outputs = [forward(part) for part in parts(samples, at_once)]
    return [torch.cat(level) for level in zip(*outputs, strict=True)]


@dataclass(frozen=True, slots=True, kw_only=True)
class Portions:
    """How many samples of a batch are computed when.

    Attributes:
        samples: The batch's.
        at_once: Those whose activations the memory holds.
        together: Those that go through the network together.
    """

    samples: int
    at_once: int
    together: int


def add_gradients(
    forward: Forward,
    loss: Callable[[Sequence[Tensor]], Tensor],
    portions: Portions,
    *,
    scale: Callable[[Tensor], Tensor],
    device: torch.device,
) -> Tensor:
    """Add the gradient of a batch's loss to the parameters that `forward` uses, and return the loss.

    Args:
        loss: Of the logits of the whole batch at every resolution.
        scale: What is done to the loss before its gradient is taken.
        device: Whose generator of random numbers the network may draw from: it draws the same both times.
    """
    part_size = min(portions.at_once, portions.together)
    if part_size >= portions.samples:
        value = loss(forward(slice(0, portions.samples)))
        scale(value).backward()  # type: ignore[no-untyped-call]
        return value.detach()
    is_kept = portions.at_once >= portions.samples
    all_parts = list(parts(portions.samples, part_size))
    with nullcontext() if is_kept else _drawing_the_same_again(device), torch.set_grad_enabled(is_kept):
        outputs = [list(forward(part)) for part in all_parts]
    joined = [torch.cat([own.detach() for own in level]).requires_grad_() for level in zip(*outputs, strict=True)]
    value = loss(joined)
    scale(value).backward()  # type: ignore[no-untyped-call]
    for part, own_outputs in zip(all_parts, outputs, strict=True):
        levels = zip(own_outputs if is_kept else forward(part), joined, strict=True)
        used = [(own, whole.grad[part]) for own, whole in levels if whole.grad is not None]
        torch.autograd.backward([own for own, _ in used], [gradient for _, gradient in used])
        own_outputs.clear()
    return value.detach()


def require_independent_samples(network: nn.Module) -> None:
    """Refuse parts of a batch for a network whose samples see each other.

    Raises:
        TrainingError: It has batch normalisation.
    """
    if normalises_over_batch(network):
        raise TrainingError(
            "the GPU's memory does not hold the batch, and it cannot be computed in parts, as the network normalises over "
            "the batch; train with a smaller `batch_size`, or plan for less memory (`gpu_memory_target`)"
        )


def normalises_over_batch(network: nn.Module) -> bool:
    """Whether samples of a batch see each other inside a network."""
    return any(isinstance(layer, _BatchNorm) for layer in network.modules())


def _drawing_the_same_again(device: torch.device) -> AbstractContextManager[None]:
    return torch.random.fork_rng([device] if device.type == "cuda" else [])


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
            "(`PlannerChoice.gpu_memory_target`)"
        ) from error
