"""Tensors and plain values in one file, written in one step."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch

from autoseg.storage import atomic_path


def save_tensors(path: Path, content: Mapping[str, Any]) -> None:
    """Write a file that `torch.load(weights_only=True)` reads; until it is whole, the one before stays.

    Raises:
        StorageError: It cannot be written.
    """
    with atomic_path(path) as temporary, temporary.open("wb") as file:
        try:
            torch.save(dict(content), file)
        except RuntimeError as error:
            # torch closes its archive on a disk that is full, and hides the cause behind what fails then.
            if isinstance(error.__context__, OSError):
                raise error.__context__ from None
            raise
