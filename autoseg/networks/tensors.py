"""Tensors and plain values in one file, written in one step; what is read cannot run code or fill the memory."""

from __future__ import annotations

import pickle
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch

from autoseg.errors import LimitError, StorageError
from autoseg.files.storage import atomic_path
from autoseg.remedies import pass_on_limit, shortage

ZIP_START = b"PK\3\4"


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


def read_tensors(path: Path) -> Any:
    """Read a file of tensors and plain values onto the CPU.

    Only torch's zip format, whose records are not packed, is taken: older formats have been made to run code even with
    `weights_only` (CVE-2025-32434), and packed tensors could fill the memory.

    Raises:
        StorageError: It is damaged, of another format, or holds anything else.
    """
    try:
        _require_plain_zip(path)
        return torch.load(path, map_location="cpu", weights_only=True)
    except StorageError:
        raise
    except pickle.UnpicklingError as error:
        raise StorageError(f"{path}: refused: it holds more than tensors and plain values") from error
    except Exception as error:  # from a mutated file torch raises nearly anything
        pass_on_limit(error, path)
        if (what := shortage(error)) is not None:
            raise LimitError(f"{path}: cannot be read: {what}") from error
        reason = (str(error) or type(error).__name__).splitlines()[0]
        raise StorageError(f"{path}: damaged ({reason:.200})") from error


def _require_plain_zip(path: Path) -> None:
    with path.open("rb") as file:
        if file.read(len(ZIP_START)) != ZIP_START or not zipfile.is_zipfile(file):
            raise StorageError(f"{path}: refused: it is cut short, or no file of tensors as torch writes them")
        with zipfile.ZipFile(file) as opened:
            records = opened.infolist()
    if any(record.compress_type != zipfile.ZIP_STORED for record in records):
        raise StorageError(f"{path}: refused: its tensors are packed, as no weights are; they could fill the memory")
    if sum(record.file_size for record in records) > path.stat().st_size:
        raise StorageError(f"{path}: refused: its tensors are larger than the file; they could fill the memory")
