"""numpy's files may be opened by several threads at once."""

from __future__ import annotations

import re
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest

import autoseg
from autoseg.files.npy import open_array, opened_arrays

PACKAGE = Path(autoseg.__file__).parent


@pytest.fixture
def hurried() -> object:
    """Threads take turns as often as they can."""
    interval = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    yield
    sys.setswitchinterval(interval)


@pytest.mark.usefixtures("hurried")
def test_threads_open_arrays_at_the_same_time(tmp_path: Path) -> None:
    """Python 3.11's parser fails where two threads are in it, about once in 20,000 times."""
    np.save(tmp_path / "a.npy", np.arange(6, dtype=np.float16).reshape(1, 2, 3))
    np.savez(tmp_path / "b.npz", values=np.arange(6))

    def opened(number: int) -> float:
        if number % 2:
            return float(open_array(tmp_path / "a.npy").sum())
        with opened_arrays(tmp_path / "b.npz") as arrays:
            return float(arrays["values"].sum())

    with ThreadPoolExecutor(4) as pool:
        assert set(pool.map(opened, range(2000))) == {15.0}


def test_an_array_is_read_only(tmp_path: Path) -> None:
    np.save(tmp_path / "a.npy", np.zeros(3))

    with pytest.raises(ValueError, match="read-only"):
        open_array(tmp_path / "a.npy")[0] = 1


def test_nothing_else_lets_numpy_read_its_files() -> None:
    readers = {
        path.relative_to(PACKAGE).as_posix()
        for path in PACKAGE.rglob("*.py")
        if re.search(r"\bnp\.load\(|open_memmap\(|np\.lib\.format\.read|read_array\(", path.read_text())
    }

    assert readers == {"files/npy.py"}
