"""Folds as folders of links, for programs that want a folder for each split: nothing is copied."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

from autoseg.dataset.cases import Case
from autoseg.dataset.description import read_dataset
from autoseg.dataset.folds import ADDED, SPLIT, Split
from autoseg.errors import StorageError, WorkspaceError
from autoseg.files.layout import fold_name
from autoseg.files.task_folder import TaskFolder


def require_new_folder(folder: Path) -> None:
    """Refuse to put links among anything else.

    Raises:
        WorkspaceError: Something is there.
    """
    if folder.is_file() or (folder.is_dir() and any(folder.iterdir())):
        raise WorkspaceError(f"{folder}: something is there already; name a new folder for the links")


def link_splits(task: TaskFolder, splits: Sequence[Split], folder: Path) -> int:
    """Make `folder/fold_k/train/` and `val/`, and `aug/` for cases that only add, each with `images` and `labels`.

    Each folder of a fold is one that `autoseg_convert_dataset` reads, too.

    Returns:
        How many links there are.

    Raises:
        DatasetError: The task cannot be read.
        WorkspaceError: Something is in the folder.
        StorageError: The disk takes no links.
    """
    require_new_folder(folder)
    cases = {case.identifier: case for case in read_dataset(task.raw).training}
    links = 0
    for number, split in enumerate(splits):
        for part, names in (("train", split.training), ("val", split.validation)):
            for name in names:
                role = "aug" if part == "train" and cases[name].facts.get(SPLIT) == ADDED else part
                for kind, path in _files(cases[name]):
                    _link(folder / fold_name(str(number)) / role / kind / path.name, path)
                    links += 1
    return links


def _files(case: Case) -> Iterator[tuple[str, Path]]:
    yield from (("images", path) for path in case.image_paths)
    yield from (("labels", path) for path in case.label_paths)


def _link(link: Path, path: Path) -> None:
    link.parent.mkdir(parents=True, exist_ok=True)
    try:
        link.symlink_to(path.resolve())
    except OSError as error:
        raise StorageError(
            f"{link}: no link can be made here ({error.strerror}); name a folder on another disk"
        ) from error
