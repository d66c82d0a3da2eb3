"""Hashes of what a walk leaves, without what may differ between two: seconds, dates, and the folder it lies in."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from autoseg.inference.model import load_weights, weights_sha256

VOLATILE = ("seconds", "waited", "timestamp", "id", "author")


def digests(home: Path, products: Sequence[str]) -> dict[str, str]:
    """A hash for each file, of what in it must not depend on interruptions."""
    files = [
        path for name in products for path in ([home / name] if (home / name).is_file() else (home / name).rglob("*"))
    ]
    return {
        str(path.relative_to(home)): digest(path, home)
        for path in files
        if path.is_file() and not path.name.startswith(".") and path.name not in ("lock.json", "log")
    }


def digest(path: Path, home: Path) -> str:
    reader = READERS.get(path.suffix)
    content = path.read_bytes() if reader is None else reader(path, home)
    return hashlib.sha256(content).hexdigest()


def _weights(path: Path, _home: Path) -> bytes:
    file = load_weights(path)
    return f"{file.epoch} {file.trainer} {weights_sha256(file.weights)}".encode()


def _arrays(path: Path, _home: Path) -> bytes:
    with np.load(path, allow_pickle=False) as arrays:
        return b"".join(name.encode() + arrays[name].tobytes() for name in sorted(arrays))


def _text(path: Path, home: Path) -> bytes:
    return path.read_bytes().replace(str(home).encode(), b"HOME")


def _values(path: Path, home: Path) -> bytes:
    return json.dumps(_lasting(json.loads(_text(path, home))), sort_keys=True).encode()


def _lasting(value: Any) -> Any:
    if isinstance(value, dict):
        return {name: _lasting(item) for name, item in value.items() if name not in VOLATILE}
    return [_lasting(item) for item in value] if isinstance(value, list) else value


READERS: dict[str, Callable[[Path, Path], bytes]] = {
    ".pt": _weights,
    ".npz": _arrays,
    ".json": _values,
    ".txt": _text,
    ".csv": _text,
}
