"""How much of a batch fits: into a device's memory, less each time it runs out, and into the caches of a CPU's core."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator
from typing import TypeVar

import torch

log = logging.getLogger(__name__)

Result = TypeVar("Result")

OUT_OF_MEMORY = (
    "unable to find an engine to execute this computation",
    "CUDNN_STATUS_ALLOC_FAILED",
    "CUBLAS_STATUS_ALLOC_FAILED",
    "MPS backend out of memory",
)
"""How devices say it beside torch's own error: cuDNN meets it while it tries algorithms (pytorch#108645)."""

CACHED_VOXELS = 2**17
"""Of the samples that a CPU's core computes together; with more, their activations leave its caches. Batches of 7 patches
of 40x56x40 took 2.0 s a training step in parts of two on two cores, 3.3 s as a whole (U-Net of 32 to 256 features, bf16)."""


def held_by_caches(voxels: int) -> int:
    """How many samples or tiles of so many voxels a core computes together, at least one."""
    return max(1, CACHED_VOXELS // voxels)


def parts(samples: int, at_once: int) -> Iterator[slice]:
    """Consecutive samples, tiles or flips, so many at once; the last part may have fewer."""
    return (slice(start, min(start + at_once, samples)) for start in range(0, samples, at_once))


def is_out_of_memory(error: RuntimeError) -> bool:
    """Whether a device's memory ran out, as torch's allocator, cuDNN, cuBLAS and Apple's GPU say it."""
    return isinstance(error, torch.OutOfMemoryError) or any(words in str(error) for words in OUT_OF_MEMORY)


def empty_caches() -> None:
    """Hand back what torch holds of a GPU's memory without using it."""
    torch.cuda.empty_cache()
    if torch.backends.mps.is_available():
        torch.mps.empty_cache()


class FittingNumber:
    """How many samples or tiles a network is handed at once: halved each time the memory runs out, and kept.

    Args:
        number: Where it begins.
        message: What is said, once it fits again, of the number that it came to.
    """

    def __init__(self, number: int, message: Callable[[int], str]) -> None:
        self.number = self._begins = number
        self._message = message

    def restart(self) -> None:
        """Begin where it began: there is memory again."""
        self.number = self._begins

    def run(self, attempt: Callable[[int], Result]) -> Result:
        """The result of `attempt(number)`, tried with fewer as long as the memory runs out.

        Raises:
            torch.OutOfMemoryError: It runs out even with one, in whichever words the device says so. No other error is
                taken for it.
        """
        before = self.number
        while True:
            try:
                result = attempt(self.number)
                break
            except RuntimeError as error:
                if not is_out_of_memory(error):
                    raise
                if self.number == 1:
                    raise torch.OutOfMemoryError(str(error)) from error
            # Outside of `except`, where the error no longer holds on to what the attempt had in memory.
            self.number = (self.number + 1) // 2
            empty_caches()
        if self.number < before:
            log.warning("%s", self._message(self.number))
        return result
