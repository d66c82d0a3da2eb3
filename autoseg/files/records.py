"""Our own files that say which format they have: one of another autoseg is told from a damaged one, in one way.

The number of the format, and in some the version of the autoseg that wrote them, stand before what a file holds.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any, TypeVar

import autoseg
from autoseg.errors import AutosegError, StorageError
from autoseg.files.storage import decode, encode, read_json, write_json
from autoseg.versions import remedy_by_version, warn_if_newer

T = TypeVar("T")

HEADER = ("format", "version")


@dataclass(frozen=True, slots=True, kw_only=True)
class RecordFormat:
    """One kind of file, in the format that this autoseg writes.

    Attributes:
        number: Of the format.
        what: What messages call such a file, "a selection"; empty where whoever reads it says so.
        error: What is raised where a file is of another format, or holds what it must not.
        another: What helps against another format.
        damaged: What helps against a field that does not fit.
        older: Formats that are read as well.
        completed: Gives what an older autoseg wrote the fields that it lacks.
    """

    number: int
    what: str = ""
    error: type[AutosegError] = StorageError
    another: str = ""
    damaged: str = ""
    older: tuple[int, ...] = ()
    completed: Callable[[dict[str, Any]], dict[str, Any]] = dict


def write_record(path: Path, value: Any, form: RecordFormat) -> None:
    """Write a frozen dataclass, or plain values by name, as JSON that says its format."""
    write_json(path, {"format": form.number, **encode(value)})


def read_record(path: Path, kind: type[T], form: RecordFormat) -> T:
    """Read a JSON file of ours.

    Raises:
        AutosegError: The `error` of the format, naming the file, and either both versions, or the field, what was
            expected and what was found.
    """
    content = None
    try:
        content = read_json(path)
        return decode_record(content, kind, form, path)
    except StorageError as error:
        if form.error is StorageError:
            raise
        raise form.error(f"{error}; {remedy_by_version(content, form.damaged)}") from error
    except form.error as error:
        raise error if str(path) in str(error) else form.error(f"{path}: {error}") from error


def decode_record(content: Any, kind: type[T], form: RecordFormat, path: Path, *, where: str = "") -> T:
    """Turn what such a file holds into `kind`; say where a newer autoseg wrote it.

    Args:
        where: What fields are said to be in; the path, where it is empty.

    Raises:
        AutosegError: The `error` of the format: it is another.
        StorageError: A field does not fit.
    """
    require_format(content, form, path)
    warn_if_newer(path, content)
    own = {field.name for field in fields(kind)}  # type: ignore[arg-type]  # a frozen dataclass
    plain = {name: value for name, value in form.completed(content).items() if name in own or name not in HEADER}
    value: T = decode(kind, plain, where or str(path))
    return value


def require_format(content: Any, form: RecordFormat, path: Path | None = None) -> None:
    """Refuse what is of another format.

    Args:
        path: Of the file, as messages name it; None where whoever catches the error names it.

    Raises:
        AutosegError: The `error` of the format, naming both.
    """
    found = content.get("format") if isinstance(content, Mapping) else None
    if type(found) is not int or found not in (form.number, *form.older):
        raise form.error(_another(found, content, form, "" if path is None else f"{path}: "))


def is_record(path: Path, *names: str) -> bool:
    """Whether a file is one of ours of any format, as its header and these names in it tell."""
    try:
        content = read_json(path)
    except StorageError:
        return False
    return isinstance(content, dict) and {*HEADER, *names} <= content.keys()


def _another(found: object, content: Any, form: RecordFormat, where: str) -> str:
    if not form.what:
        return f"expected format {form.number}, found {found!r:.40}"
    advice = f"; {form.another}" if form.another else ""
    read = " and ".join(map(str, (*form.older, form.number)))
    version = content.get("version") if isinstance(content, Mapping) else None
    if version is None:
        return f"{where}{form.what} of format {found!r:.40}, but this autoseg reads format {read}{advice}"
    return (
        f"{where}{form.what} of format {found!r:.40} (autoseg {version!s:.40}), but this is autoseg "
        f"{autoseg.__version__}, which reads format {read}{advice}"
    )
