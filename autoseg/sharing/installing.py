"""Putting the models of an archive where prediction finds them: all of them, or nothing."""

from __future__ import annotations

import logging
import shutil
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from autoseg.errors import ModelError, StorageError
from autoseg.files.layout import CARD_FILE, CARD_TEXT_FILE, SELECTION_FILE
from autoseg.sharing.archive import Archive, open_archive, refusing
from autoseg.sharing.card import ModelCard
from autoseg.sharing.checking import check_files
from autoseg.sharing.members import RESULTS, unpacked_path
from autoseg.words import counted

log = logging.getLogger(__name__)

SPACE_LEFT = 100 * 2**20
"""Bytes that stay free on the disk."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Installation:
    """What was installed.

    Attributes:
        folders: The model folders, and the folder of the selection where there is one.
        replaced: Those of them that were there before.
    """

    card: ModelCard
    folders: tuple[Path, ...]
    replaced: tuple[Path, ...]


def install_models(path: Path, results: Path, *, overwrite: bool = False) -> Installation:
    """Check an archive, unpack it beside its target, check every file, and move the models into place.

    Args:
        results: The folder that holds `<configuration>/<task>/<model>`.
        overwrite: Whether models that are there may be replaced; they come back if anything fails.

    Raises:
        ModelError: The archive is refused, or a model is there already; nothing has changed then.
        StorageError: The disk is full or the folder cannot be written; nothing has changed then.
    """
    with open_archive(path) as archive:
        names = _moved_folders(archive)
        existing = tuple(name for name in names if (results / name).exists() or (results / name).is_symlink())
        if existing and not overwrite:
            listing = "\n".join(f"  {results / name}" for name in existing)
            raise ModelError(f"{path}: these are there already:\n{listing}\nAdd `overwrite=True` to replace them.")
        with _staging(results, archive.size) as staging:
            card = _unpack(archive, staging / "new")
            _replace(staging / "new" / RESULTS, results, names)
    return Installation(
        card=card,
        folders=tuple(results / name for name in names),
        replaced=tuple(results / name for name in existing),
    )


def read_archived_card(path: Path) -> ModelCard:
    """The card of an archive whose directory and manifest are in order; its other files are not looked at.

    Raises:
        ModelError: The archive is refused.
    """
    from autoseg.sharing.card import load_card

    with open_archive(path) as archive, tempfile.TemporaryDirectory() as folder, refusing(path, unpacked=Path(folder)):
        return load_card(archive.unpack_one(CARD_FILE, Path(folder)))


def _moved_folders(archive: Archive) -> tuple[str, ...]:
    """The folders that are moved as a whole, relative to the results folder."""
    selections = {name.rpartition("/")[0] for name in archive.members if name.endswith(f"/{SELECTION_FILE}")}
    return tuple(name.removeprefix(f"{RESULTS}/") for name in (*archive.folders, *sorted(selections)))


@contextmanager
def _staging(results: Path, size: int) -> Iterator[Path]:
    """A folder on the disk of the results, which goes away in every case."""
    results.mkdir(parents=True, exist_ok=True)
    free = shutil.disk_usage(results).free
    if free < size + SPACE_LEFT:
        raise StorageError(
            f"{results}: {counted(size, 'byte is', 'bytes are')} needed and {counted(free, 'is', 'are')} free; make "
            "space and install again"
        )
    with tempfile.TemporaryDirectory(prefix=".installing-", dir=results) as folder:
        yield Path(folder)


def _unpack(archive: Archive, folder: Path) -> ModelCard:
    """Unpack and check everything; each model folder gets the card too."""
    archive.unpack(folder)
    paths = {name: unpacked_path(folder, archive.members[name]) for name in archive.manifest.files}
    with refusing(archive.path, unpacked=folder):
        card = check_files(archive.members, paths)
    for model in archive.folders:
        for name in (CARD_FILE, CARD_TEXT_FILE):
            shutil.copyfile(folder / name, folder / model / name)
    return card


def _replace(new: Path, results: Path, names: Sequence[str]) -> None:
    """Move the new folders into place; on failure everything is as it was."""
    backup = Path(tempfile.mkdtemp(prefix=".replaced-", dir=results))
    moves: list[tuple[Path, Path]] = []
    try:
        for name in names:
            target = results / name
            if target.exists() or target.is_symlink():
                _move(target, backup / name, moves)
            _move(new / name, target, moves)
    except BaseException:
        _undo(moves)
        shutil.rmtree(backup, ignore_errors=True)
        raise
    shutil.rmtree(backup, ignore_errors=True)


def _move(source: Path, target: Path, moves: list[tuple[Path, Path]]) -> None:
    target.parent.mkdir(parents=True, exist_ok=True)
    source.rename(target)
    moves.append((source, target))


def _undo(moves: Sequence[tuple[Path, Path]]) -> None:
    """Move everything back; what cannot be moved stays where it is, for it may be the user's only copy."""
    for source, target in reversed(moves):
        try:
            source.parent.mkdir(parents=True, exist_ok=True)
            target.rename(source)
        except OSError as error:
            raise StorageError(
                f"{source}: could not be put back ({error.strerror}); it lies in {target}, move it by hand"
            ) from error
        with suppress(OSError):  # folders made for it, where they are empty
            target.parent.rmdir()
            target.parent.parent.rmdir()
