"""What a network takes while it computes, in training and in answering: counted on tensors that have shapes, but no memory."""

from __future__ import annotations

import weakref
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.func import functional_call
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

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
    """Bytes of one training step.

    Attributes:
        kept: At least: what a step holds at once, for sure.
        peak: About, within 5 % of what was measured for plain U-Nets (documentation/decisions_training.md).
    """

    kept: int
    peak: int


def estimate_step(network: nn.Module, sample: Sequence[int], batch_size: int, dtype: torch.dtype) -> StepMemory:
    """What a training step takes: run the network on one sample, and count what it keeps for its gradient.

    Args:
        sample: `(C, *patch)`.
        dtype: That the network computes in.
    """
    weights = _without_memory(network, dtype)
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


def estimate_answer(network: nn.Module, sample: Sequence[int], dtype: torch.dtype = torch.float32) -> int:
    """What answering for one sample takes, where nothing is kept for gradients: the most bytes that are held at once.

    Weights are not counted, nor is the room in which a library computes a layer.

    Args:
        network: In the mode in which it answers.
        sample: `(C, *patch)`.
        dtype: That the network computes in.
    """
    weights = _without_memory(network, dtype)
    with torch.no_grad(), _Held() as held:
        functional_call(network, weights, torch.empty(1, *sample, device="meta", dtype=dtype))
    most: int = held.most
    return most


class _Held(TorchDispatchMode):
    """Counts the bytes of all tensors that operations return, as long as they live."""

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.most = 0
        self._now = 0
        self._holders: Counter[int] = Counter()

    def __torch_dispatch__(
        self,
        func: Callable[..., Any],
        types: Sequence[type],
        args: tuple[Any, ...] = (),
        kwargs: dict[str, Any] | None = None,
    ) -> Any:
        result = func(*args, **(kwargs or {}))
        for tensor in tree_leaves(result):
            if isinstance(tensor, Tensor):
                self._hold(tensor)
        self.most = max(self.most, self._now)
        return result

    def _hold(self, tensor: Tensor) -> None:
        storage = tensor.untyped_storage()
        if not self._holders[storage._cdata]:
            self._now += storage.nbytes()
        self._holders[storage._cdata] += 1
        weakref.finalize(tensor, self._let_go, storage._cdata, storage.nbytes())

    def _let_go(self, storage: int, size: int) -> None:
        self._holders[storage] -= 1
        if not self._holders[storage]:
            self._now -= size


def _without_memory(network: nn.Module, dtype: torch.dtype) -> dict[str, Tensor]:
    """What a network keeps, by name: all of it in one type."""
    return {name: tensor.to("meta", dtype) for name, tensor in network.state_dict().items()}
