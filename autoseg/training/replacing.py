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
from autoseg.inference.model import PLANS_FILE, RUN_FILE
from autoseg.training.fold import CHECKPOINT_FILE, TRAINING_FILES, TRAINING_FOLDERS

log = logging.getLogger(__name__)

MOVING, REPLACED, DISCARDED = ".setting_aside", ".replaced", ".discarded"
MODEL_FILES = (PLANS_FILE, str(Path(PLANS_FILE).with_suffix(".json")))
"""Beside the folds; a training may replace them where no other fold is trained."""


@contextmanager
def replacing(fold: Path) -> Iterator[None]:
    """Set aside what was trained, and put it back unless `keep_new` was called meanwhile.

    Raises:
        StorageError: A file cannot be moved.
    """
    if (fold / REPLACED).is_dir():
        _remove_training(fold)  # of one that began to replace it, too, and came no further
    else:
        _set_aside(fold)
    try:
        yield
    finally:
        if (fold / REPLACED).is_dir():
            _put_back(fold)


def keep_new(fold: Path) -> None:
    """Remove what was set aside: the new training has got somewhere."""
    if (fold / REPLACED).is_dir():
        with _explained():
            (fold / REPLACED).rename(fold / DISCARDED)
        shutil.rmtree(fold / DISCARDED, ignore_errors=True)


def set_aside_in(fold: Path) -> tuple[Path, ...]:
    """Where a training may lie that `recover` puts back."""
    return fold / REPLACED, fold / MOVING


def recover(fold: Path) -> None:
    """Put back what a process that was killed had set aside, unless the new training has saved its state."""
    shutil.rmtree(fold / DISCARDED, ignore_errors=True)
    if (fold / MOVING).is_dir():
        _return_all(fold)
    if (fold / REPLACED).is_dir() and not (fold / CHECKPOINT_FILE).is_file():
        _put_back(fold)


def _set_aside(fold: Path) -> None:
    present = [fold / name for name in (*TRAINING_FILES, *TRAINING_FOLDERS) if (fold / name).exists()]
    if not present:
        return
    with _explained():
        (fold / MOVING).mkdir(exist_ok=True)
        for name in MODEL_FILES:
            if (fold.parent / name).is_file():
                shutil.copy2(fold.parent / name, fold / MOVING / name)
        _move(present, fold / MOVING)
        (fold / MOVING).rename(fold / REPLACED)


def _put_back(fold: Path) -> None:
    _remove_training(fold)
    with _explained():
        (fold / REPLACED).rename(fold / MOVING)
    _return_all(fold)
    log.warning("%s: what was trained before is put back, as the training that was to replace it saved no state", fold)


def _return_all(fold: Path) -> None:
    with _explained():
        own = {name: fold / MOVING / name for name in MODEL_FILES}
        if not any(fold.parent.glob(f"*/{RUN_FILE}")):
            _move([path for path in own.values() if path.is_file()], fold.parent)
        _move([path for path in sorted((fold / MOVING).iterdir()) if path not in own.values()], fold)
        shutil.rmtree(fold / MOVING)


def _remove_training(fold: Path) -> None:
    """The checkpoint first, so that an interruption leaves no mixture."""
    with _explained():
        for name in TRAINING_FILES:
            (fold / name).unlink(missing_ok=True)
        for name in TRAINING_FOLDERS:
            if (fold / name).is_dir():
                shutil.rmtree(fold / name)


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
