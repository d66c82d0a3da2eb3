"""Arrays to numpy's files and back; of their headers one thread at a time is reading.

numpy lets Python's own parser read a header, and in Python 3.11 that ends with a SystemError where two threads do so at
the same moment (python/cpython issue 106905).
"""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
from numpy.lib.format import dtype_to_descr, open_memmap, write_array_header_1_0

from autoseg.arrays import Array
from autoseg.files.storage import atomic_path

_PARSING = threading.Lock()


def open_array(path: Path) -> Array:
    """A `.npy` file as a read-only memory map.

    Raises:
        OSError, ValueError, EOFError, OverflowError: As numpy raises them of a file that cannot be opened or is damaged.
    """
    with _PARSING:
        array: Array = open_memmap(path, mode="r")
    return array


@contextmanager
def opened_arrays(path: Path) -> Iterator[Any]:
    """The arrays of a `.npz` file by their names, each read when it is asked for; pickles are refused.

    Raises:
        OSError, ValueError, zipfile.BadZipFile: As numpy raises them.
    """
    with _PARSING, np.load(path, allow_pickle=False) as arrays:
        yield arrays


def write_array(path: Path, array: Array, precision: type[np.floating[Any]] | None = None) -> None:
    """Write a `.npy` file in one step, in another precision if wanted; what is converted takes the memory of one channel."""
    dtype = np.dtype(precision or array.dtype)
    if dtype == array.dtype:
        with atomic_path(path) as temporary, temporary.open("wb") as file:
            np.save(file, array, allow_pickle=False)
        return
    header = {"descr": dtype_to_descr(dtype), "fortran_order": False, "shape": array.shape}
    with atomic_path(path) as temporary, temporary.open("wb") as file:
        write_array_header_1_0(file, header)
        for channel in array:
            np.ascontiguousarray(channel, dtype=dtype).tofile(file)
