"""Raw tasks that appear whole or not at all, and never in place of another."""

from __future__ import annotations

import logging
import os
import secrets
import shutil
import socket
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from pathlib import Path

from autoseg.errors import StorageError, WorkspaceError
from autoseg.files.layout import METADATA_FILE, PATIENTS_FILE
from autoseg.files.storage import SPACE_AND_PERMISSIONS
from autoseg.remedies import remedy
from autoseg.words import readable

log = logging.getLogger(__name__)

BYTES_PER_WORKER = 2 * 10**9
"""Of one that converts: a 4D image of the largest tasks, or a label image and its distinct values."""


def require_free_number(target: Path) -> None:
    """Refuse a task that exists, or another of its number.

    Raises:
        WorkspaceError: Naming it.
    """
    prefix = target.name.partition("_")[0]
    same_number = sorted(target.parent.glob(f"{prefix}_*")) if target.parent.is_dir() else []
    if same_number:
        raise WorkspaceError(
            f"{readable(same_number[0])}: this task exists already, and nothing is overwritten; "
            "move it away or delete it, or give the new one another number with `number`"
        )


def require_outside(target: Path, folders: Collection[Path]) -> None:
    """Refuse a task inside one of the folders that it is made from.

    Raises:
        WorkspaceError: Naming the folder.
    """
    above = set(target.resolve().parents)
    if inside := sorted(folder for folder in folders if folder.resolve() in above):
        raise WorkspaceError(
            f"{readable(target)}: is in {readable(inside[0])}, which holds files that are converted and stays as it is; "
            "name another folder with `home`"
        )


@contextmanager
def built_beside(target: Path) -> Iterator[Path]:
    """A folder to fill, beside `target`, which takes that name at the end; removed if something fails.

    Raises:
        WorkspaceError: Another task of its number is being converted, or is there by the end.
    """
    prefix = f".converting-{socket.gethostname()}-"
    temporary = target.with_name(f"{prefix}{os.getpid()}-{secrets.token_hex(4)}-{target.name}")
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        _remove_dead_runs(target, prefix)
        temporary.mkdir()
        yield temporary
        require_free_number(target)  # another may have come meanwhile, under another name
        temporary.rename(target)
    except OSError as error:
        raise StorageError(
            f"{readable(target)}: cannot be written: {error.strerror or error}; {remedy(error, SPACE_AND_PERMISSIONS)}"
        ) from error
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


def _remove_dead_runs(target: Path, prefix: str) -> None:
    number = f"-{target.name.partition('_')[0]}_"
    for path in target.parent.iterdir():
        if not (path.name.startswith(prefix) and number in path.name):
            continue
        process, name = path.name.removeprefix(prefix).partition("-")[0], path.name[path.name.index(number) + 1 :]
        if process.isdecimal() and _is_alive(int(process)):
            raise WorkspaceError(
                f"{readable(target.with_name(name))}: process {process} is converting into it right now; wait for it, "
                "or end it first"
            )
        log.info("%s: removed what an interrupted conversion left", target)
        shutil.rmtree(path, ignore_errors=True)


def _is_alive(process: int) -> bool:
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True


def copy_facts(source: Path, target: Path) -> None:
    """Copy what is known of the cases beside their images, as far as it is there.

    Raises:
        StorageError: Naming the file and the folder.
    """
    for name in (METADATA_FILE, PATIENTS_FILE):
        if (source / name).exists():
            copy_file(source / name, target / name)


def copy_file(path: Path, target: Path) -> None:
    """Copy a file's content.

    Raises:
        StorageError: Naming the file and the folder.
    """
    try:
        shutil.copyfile(path, target)
    except OSError as error:
        raise StorageError(
            f"{readable(path)}: cannot be copied to {readable(target.parent)}: {error.strerror or error}; "
            f"{remedy(error, SPACE_AND_PERMISSIONS)}"
        ) from error
