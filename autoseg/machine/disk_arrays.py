"""Arrays that lie on disk, of which no more is held in memory than is worked on."""

from __future__ import annotations

import mmap
import os
import tempfile
from pathlib import Path
from typing import Any

import numpy as np

from autoseg.arrays import Array


def zeros_on_disk(shape: tuple[int, ...], kind: Any, folder: Path | None = None) -> Array:
    """An array in a file without a name, which goes with it.

    Args:
        folder: Where; None: where temporary files lie.

    Raises:
        OSError: The disk has no room for it.
    """
    with tempfile.TemporaryFile(dir=folder) as file:
        if hasattr(os, "posix_fallocate"):  # a disk that is full later on would have the process killed
            os.posix_fallocate(file.fileno(), 0, max(1, int(np.prod(shape, dtype=np.int64)) * np.dtype(kind).itemsize))
        return np.memmap(file, kind, "r+", shape=shape)


def let_go(array: Array) -> None:
    """Give the memory back that parts of an array on disk take, which is read again when asked for; others stay as they are."""
    base: Any = array
    while isinstance(base, np.ndarray):
        base = base.base
    if isinstance(base, mmap.mmap) and hasattr(base, "madvise"):
        base.madvise(mmap.MADV_DONTNEED)
