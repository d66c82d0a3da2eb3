"""Arrays in numpy's files, of whose headers one thread at a time is reading.

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
from numpy.lib.format import open_memmap

from autoseg.arrays import Array

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
