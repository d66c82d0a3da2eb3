"""`--overwrite`: what was trained before is kept aside until the training that replaces it has saved its state.

The steps are renames, so that a process killed between any two of them loses nothing: `.setting_aside` holds what is
on its way out of or back into the fold's folder, `.replaced` what waits, `.discarded` what is being removed.
"""

from __future__ import annotations

import logging
import shutil
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path

from autoseg.errors import StorageError
from autoseg.files.model_folder import FoldFolder

log = logging.getLogger(__name__)


@contextmanager
def replacing(fold: FoldFolder) -> Iterator[None]:
    """Set aside what was trained, and put it back unless `keep_new` was called meanwhile.

    Raises:
        StorageError: A file cannot be moved.
    """
    if fold.replaced.folder.is_dir():
        _remove_training(fold)  # of one that began to replace it, too, and came no further
    else:
        _set_aside(fold)
    try:
        yield
    finally:
        if fold.replaced.folder.is_dir():
            _put_back(fold)


def keep_new(fold: FoldFolder) -> None:
    """Remove what was set aside: the new training has got somewhere."""
    if fold.replaced.folder.is_dir():
        with _explained():
            fold.replaced.folder.rename(fold.discarded.folder)
        shutil.rmtree(fold.discarded.folder, ignore_errors=True)


def set_aside_in(fold: FoldFolder) -> tuple[FoldFolder, ...]:
    """Where a training may lie that `recover` puts back."""
    return fold.replaced, fold.moving


def recover(fold: FoldFolder, *, saved_in: FoldFolder | None = None) -> None:
    """Put back what a process that was killed had set aside, unless the new training has saved its state.

    Args:
        saved_in: Where that state lies; None: in the same folder.
    """
    shutil.rmtree(fold.discarded.folder, ignore_errors=True)
    if fold.moving.folder.is_dir():
        _return_all(fold)
    if fold.replaced.folder.is_dir() and not (saved_in or fold).checkpoint.is_file():
        _put_back(fold)


def _set_aside(fold: FoldFolder) -> None:
    present = [path for path in (*fold.training_files, *fold.training_folders) if path.exists()]
    if not present:
        return
    with _explained():
        fold.moving.folder.mkdir(exist_ok=True)
        for path in _model_files(fold):
            if path.is_file():
                shutil.copy2(path, fold.moving.folder / path.name)
        _move(present, fold.moving.folder)
        fold.moving.folder.rename(fold.replaced.folder)


def _put_back(fold: FoldFolder) -> None:
    _remove_training(fold)
    with _explained():
        fold.replaced.folder.rename(fold.moving.folder)
    _return_all(fold)
    log.warning(
        "%s: what was trained before is put back, as the training that was to replace it saved no state", fold.folder
    )


def _return_all(fold: FoldFolder) -> None:
    with _explained():
        own = [fold.moving.folder / path.name for path in _model_files(fold)]
        if not any(one.record.is_file() for one in fold.neighbours()):
            _move([path for path in own if path.is_file()], fold.model)
        _move([path for path in sorted(fold.moving.folder.iterdir()) if path not in own], fold.folder)
        shutil.rmtree(fold.moving.folder)


def _model_files(fold: FoldFolder) -> tuple[Path, ...]:
    """Beside the folds; a training may replace them where no other fold is trained."""
    return fold.model_plans, fold.model_plans_view


def _remove_training(fold: FoldFolder) -> None:
    """The checkpoint first, so that an interruption leaves no mixture."""
    with _explained():
        for path in fold.training_files:
            path.unlink(missing_ok=True)
        for path in fold.training_folders:
            if path.is_dir():
                shutil.rmtree(path)


def _move(paths: Iterable[Path], folder: Path) -> None:
    for path in paths:
        path.rename(folder / path.name)


@contextmanager
def _explained() -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise StorageError(
            f"{error.filename}: cannot be moved or removed: {error.strerror or error}; check its permissions"
        ) from error
