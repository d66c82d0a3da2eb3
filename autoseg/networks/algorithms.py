"""cuDNN's trials: which of its algorithms is fastest for a shape is measured when the shape is first met, in seconds."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch


@contextmanager
def trying_algorithms(wanted: bool) -> Iterator[None]:
    """While the body runs cuDNN measures, or takes what its rules say; afterwards it does as before.

    It pays for shapes that come again and again. Never where every bit is to be the same each time.
    """
    before = torch.backends.cudnn.benchmark
    torch.backends.cudnn.benchmark = wanted and not torch.are_deterministic_algorithms_enabled()
    try:
        yield
    finally:
        torch.backends.cudnn.benchmark = before
