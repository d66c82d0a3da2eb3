"""The same in every bit each time: let torch use no algorithm that adds up in varying order."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch

from autoseg.errors import TrainingError

DEFAULT_SEED = 0
"""Of a deterministic training whose user names none, so that the same command gives the same weights."""

CUBLAS_WORKSPACE = ":4096:8"
"""Matrix products on a GPU repeat only with workspaces of fixed size (pytorch.org/docs, `use_deterministic_algorithms`)."""


@contextmanager
def deterministic_algorithms(wanted: bool) -> Iterator[None]:
    """While the body runs, if wanted; afterwards torch is as it was.

    Raises:
        TrainingError: The body needs something that this device computes only in varying order.
    """
    if not wanted:
        yield
        return
    os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", CUBLAS_WORKSPACE)
    before = torch.are_deterministic_algorithms_enabled(), torch.is_deterministic_algorithms_warn_only_enabled()
    memory: Any = torch.utils.deterministic
    filled = memory.fill_uninitialized_memory
    torch.use_deterministic_algorithms(True)
    memory.fill_uninitialized_memory = False  # it writes each new tensor, for whoever reads what nobody wrote
    try:
        with torch.backends.cudnn.flags(enabled=True, benchmark=False, deterministic=True):
            yield
    except RuntimeError as error:
        if "deterministic implementation" not in str(error):
            raise
        raise TrainingError(
            f"not every step can be computed deterministically on this device: {str(error).splitlines()[0]} "
            "Train without `deterministic`, on a CPU, or with a recipe that does without this step"
        ) from error
    finally:
        torch.use_deterministic_algorithms(before[0], warn_only=before[1])
        memory.fill_uninitialized_memory = filled
