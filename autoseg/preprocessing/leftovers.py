"""Prepared cases that a dataset no longer lists: they take space, and nothing is trained on them."""

from __future__ import annotations

from collections.abc import Collection
from pathlib import Path

from autoseg.files.storage import remove_file
from autoseg.preprocessing.dataset import REFERENCE_ENDING
from autoseg.preprocessing.store import PreparedCases


def find_leftovers(task: Path, listed: Collection[str]) -> tuple[str, ...]:
    """Cases prepared in any folder of `preprocessed/TaskXXX_Name` that are not listed, sorted.

    Only what a marker of ours stands beside counts; no other file is ever taken for a prepared case.
    """
    return tuple(sorted({case for store in _stores(task) for case in store.known() if case not in listed}))


def remove_leftovers(task: Path, leftovers: Collection[str], listed: Collection[str], references: Path) -> None:
    """Remove the prepared files of cases and their reference labels.

    Args:
        leftovers: As `find_leftovers` names them.
        listed: The dataset's cases, which stay.
        references: The folder of reference labels.

    Raises:
        StorageError: A file cannot be removed.
    """
    for case in leftovers:
        remove_file(references / f"{case}{REFERENCE_ENDING}")
        for store in _stores(task):
            if case in store:
                store.remove(case, kept=listed)


def _stores(task: Path) -> list[PreparedCases]:
    return [PreparedCases(folder) for folder in sorted(task.iterdir()) if folder.is_dir()] if task.is_dir() else []
