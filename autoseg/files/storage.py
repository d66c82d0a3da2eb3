"""Reading and writing small files: bytes and JSON, in one step each. Nothing read here can run code.

Typed values go to plain builtins with `encode` and come back with `decode`, which names the exact field that does not
fit.
"""

from __future__ import annotations

import errno
import hashlib
import json
import math
import numbers
import os
import re
import reprlib
import secrets
import socket
import time
import types
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import Field, fields, is_dataclass
from functools import lru_cache
from itertools import repeat
from pathlib import Path
from types import MappingProxyType
from typing import Any, Literal, TypeVar, Union, get_args, get_origin, get_type_hints

from autoseg.errors import DiskError, StorageError
from autoseg.remedies import cannot_be_read, remedy
from autoseg.words import counted

T = TypeVar("T")

LARGEST_FILE = 256 * 2**20
"""Bytes; splits and fingerprints of the largest datasets stay far below."""


TEMPORARY_PREFIX = ".writing-"
STALE_SECONDS = 24 * 3600

LONGEST_HOST = 12
"""Characters of a computer's name in that of a temporary file, which people may want to know; a random word decides."""

HOPELESS = (errno.ENOSPC, errno.EDQUOT, errno.EROFS, None)
"""No room left, for all or for this user, and nothing may be written; numpy alone names no error where room is short."""

JSON_WORDS = {"True": "true", "False": "false", "None": "null"}

SPACE_AND_PERMISSIONS = "check space and permissions"

DEEPEST_NESTING = 64
MOST_DIGITS = 300
"""Of a whole number, which then is a float, too."""


@contextmanager
def atomic_path(path: Path) -> Iterator[Path]:
    """Yield a temporary path beside `path`; on success it is flushed to disk and renamed, on failure removed.

    The temporary name keeps the ending, because image writers choose the format by it.

    Raises:
        DiskError: The disk is full or read-only.
        StorageError: Something else is in the way. What the body cannot do with other files is raised as it is.
    """
    temporary = path.with_name(f"{TEMPORARY_PREFIX}{_own_word()}-{path.name}")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        _clear_once(path.parent)
        yield temporary
        with temporary.open("rb+") as file:
            os.fsync(file.fileno())
        for ask in tuple(_ASKED_BEFORE_WRITING):
            ask(path)
        temporary.replace(path)
    except OSError as error:
        if _is_about_another_file(error, path, temporary):
            raise
        kind = DiskError if error.errno in HOPELESS else StorageError
        raise kind(
            f"{path}: cannot be written: {error.strerror or error}; {remedy(error, SPACE_AND_PERMISSIONS)}"
        ) from error
    finally:
        with suppress(OSError):
            temporary.unlink(missing_ok=True)


@contextmanager
def ask_before_writing(ask: Callable[[Path], None]) -> Iterator[None]:
    """Meanwhile, call it with the path of each file before that takes its place; it raises where the file must not."""
    _ASKED_BEFORE_WRITING.append(ask)
    try:
        yield
    finally:
        _ASKED_BEFORE_WRITING.remove(ask)


_ASKED_BEFORE_WRITING: list[Callable[[Path], None]] = []


def _own_word() -> str:
    """For names that no other process of any computer or container takes, nor another thread of this one."""
    return f"{socket.gethostname()[:LONGEST_HOST]}-{os.getpid()}-{secrets.token_hex(4)}"


def stale_files(folder: Path) -> Iterator[Path]:
    """Temporary files in a folder whose writer was killed: nobody has written to them for a day."""
    oldest = time.time() - STALE_SECONDS
    with suppress(OSError):
        for entry in os.scandir(folder):
            with suppress(OSError):  # whoever writes it may rename it just now
                if entry.name.startswith(TEMPORARY_PREFIX) and entry.stat(follow_symlinks=False).st_mtime < oldest:
                    yield Path(entry.path)


@lru_cache(maxsize=1024)
def _clear_once(folder: Path) -> None:
    """Each process clears each folder it writes to, once."""
    for path in stale_files(folder):
        with suppress(OSError):
            path.unlink()


def _is_about_another_file(error: OSError, path: Path, temporary: Path) -> bool:
    """Copying names its source, too, where the disk of the target is full."""
    ours = (str(temporary), *map(str, (path, *path.parents)))
    return error.errno not in HOPELESS and error.filename is not None and os.fsdecode(error.filename) not in ours


def remove_file(path: Path) -> None:
    """Remove a file, if it is there.

    Raises:
        StorageError: It cannot be removed.
    """
    try:
        path.unlink(missing_ok=True)
    except OSError as error:
        raise StorageError(
            f"{path}: cannot be replaced: {error.strerror or error}; check the folder's permissions"
        ) from error


def write_bytes(path: Path, content: bytes) -> None:
    """Write a file in one step: afterwards it is whole, or as it was before."""
    with atomic_path(path) as temporary:
        temporary.write_bytes(content)


def write_json(path: Path, value: Any) -> None:
    """Write plain builtins, or a frozen dataclass, as readable JSON; NaN becomes null."""
    write_bytes(path, to_json(value))


def to_json(value: Any) -> bytes:
    """Plain builtins, or a frozen dataclass, as readable JSON; NaN becomes null."""
    text = json.dumps(_without_nan(encode(value)), indent=1, ensure_ascii=False, allow_nan=False)
    return (text + "\n").encode()


def read_json(path: Path) -> Any:
    """Read JSON; duplicate keys, NaN, extreme size and extreme nesting are refused.

    Raises:
        StorageError: Naming the file and, for a syntax error, the line.
    """
    return parse_json(read_bytes(path), str(path))


def parse_json(content: bytes, path: str) -> Any:
    """The same of a file's content; `path` is what it is called."""
    try:
        value = json.loads(
            content,
            object_pairs_hook=_unique_keys,
            parse_constant=_refuse_constant,
            parse_float=_finite,
            parse_int=_whole,
        )
    except RecursionError as error:
        raise StorageError(f"{path}: nested deeper than {DEEPEST_NESTING} levels") from error
    except UnicodeDecodeError as error:
        raise StorageError(f"{path}: not valid JSON: byte {error.start} is no text in UTF-8") from error
    except json.JSONDecodeError as error:
        raise StorageError(f"{path}: not valid JSON: {_in_words(error)}") from error
    except ValueError as error:
        raise StorageError(f"{path}: not valid JSON: {error}") from error
    if _depth(value) > DEEPEST_NESTING:
        raise StorageError(f"{path}: nested deeper than {DEEPEST_NESTING} levels")
    return value


def read_bytes(path: Path, *, limit: int = LARGEST_FILE) -> bytes:
    """Read a whole file, refusing one larger than `limit` bytes."""
    try:
        if path.stat().st_size > limit:
            raise StorageError(f"{path}: larger than {counted(limit, 'byte')}, which no file of this kind is")
        return path.read_bytes()
    except OSError as error:
        raise cannot_be_read(path, error) from error


LATER = MappingProxyType({"later": True})
"""Metadata of a dataclass field that older files lack: it is written only where it holds more than its default, so that
what has no need of it stays, byte for byte and hash for hash, what it was."""


def encode(value: Any) -> Any:
    """Turn a frozen dataclass into plain builtins: tuples become lists, mappings dicts, numpy's numbers Python's."""
    if is_dataclass(value) and not isinstance(value, type):
        held = {field: getattr(value, field.name) for field in fields(value)}
        return {field.name: encode(one) for field, one in held.items() if not _is_later(field) or one != field.default}
    if isinstance(value, Mapping):
        return {str(key): encode(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [encode(item) for item in value]
    if value is None or isinstance(value, bool):
        return value
    if isinstance(value, str):
        return str(value)
    if isinstance(value, numbers.Integral):
        return int(value)
    if isinstance(value, numbers.Real):
        return float(value)
    raise TypeError(f"{type(value).__name__} is not a plain value")


def decode(kind: Any, value: Any, where: str) -> Any:
    """Turn plain builtins into `kind`, a type built of dataclasses, tuples, mappings and scalars.

    Raises:
        StorageError: Naming the field, what was expected and what was found.
    """
    if kind is Any:
        return value
    origin, inner = get_origin(kind), get_args(kind)
    if origin in (Union, types.UnionType):
        (optional,) = (member for member in inner if member is not types.NoneType)
        return None if value is None else decode(optional, value, where)
    if origin is Literal:
        if not any(type(value) is type(choice) and value == choice for choice in inner):
            raise StorageError(f"{where}: expected {' or '.join(map(str, inner))}, found {reprlib.repr(value)}")
        return value
    if isinstance(kind, type) and is_dataclass(kind):
        return _decode_dataclass(kind, value, where)
    if origin is tuple and isinstance(value, list):
        kinds = list(repeat(inner[0], len(value))) if inner[-1] is Ellipsis else list(inner)
        if len(kinds) != len(value):
            raise StorageError(f"{where}: expected {counted(len(kinds), 'entry', 'entries')}, found {len(value)}")
        return tuple(decode(one, item, f"{where}[{i}]") for i, (one, item) in enumerate(zip(kinds, value, strict=True)))
    if origin is not None and issubclass(origin, Mapping) and isinstance(value, dict):
        return {decode(inner[0], key, where): decode(inner[1], item, f"{where}.{key}") for key, item in value.items()}
    if kind is float and type(value) is int and abs(value) < 10**MOST_DIGITS:
        return float(value)
    if type(value) is not kind:
        raise StorageError(f"{where}: expected {getattr(kind, '__name__', kind)}, found {reprlib.repr(value)}")
    return value


def with_absent(value: Any, absent: Mapping[str, Any]) -> Any:
    """An object that an older version wrote, with the fields that it lacks; anything else as it is, for `decode`."""
    return {**absent, **value} if isinstance(value, dict) else value


def content_hash(*parts: Any) -> str:
    """A short hash of plain values or dataclasses, equal when they are equal."""
    text = json.dumps([encode(part) for part in parts], sort_keys=True)
    return hashlib.blake2b(text.encode(), digest_size=16).hexdigest()


def file_hash(path: Path) -> str:
    """A short hash of a file's bytes."""
    digest = hashlib.blake2b(digest_size=16)
    try:
        with path.open("rb") as file:
            while block := file.read(2**20):
                digest.update(block)
    except OSError as error:
        raise cannot_be_read(path, error) from error
    return digest.hexdigest()


def _decode_dataclass(kind: type[T], value: Any, where: str) -> T:
    if not isinstance(value, dict):
        raise StorageError(f"{where}: expected an object with named fields, found {type(value).__name__}")
    hints = _type_hints(kind)  # type: ignore[arg-type]  # a class is hashable
    lacking = {field.name for field in fields(kind) if _is_later(field)} - value.keys()  # type: ignore[arg-type]
    wanted = {key: hint for key, hint in hints.items() if key not in lacking}
    differing = {"missing": wanted.keys() - value.keys(), "unknown": value.keys() - wanted.keys()}
    parts = [f"{what} {', '.join(sorted(map(str, keys)))}" for what, keys in differing.items() if keys]
    if parts:
        raise StorageError(f"{where}: wrong fields: {'; '.join(parts)}")
    return kind(**{key: decode(wanted[key], value[key], f"{where}.{key}") for key in wanted})


def _is_later(field: Field[Any]) -> bool:
    return "later" in field.metadata


_type_hints = lru_cache(maxsize=None)(get_type_hints)
"""Annotations are text that is compiled anew each time."""


def _in_words(error: json.JSONDecodeError) -> str:
    """What people write that is no JSON, by what stands where reading stopped; else the library's words."""
    rest, before = error.doc[error.pos :].lstrip(), error.doc[: error.pos].rstrip()
    place = f"line {error.lineno} column {error.colno} (char {error.pos})"
    if rest.startswith(("//", "/*", "#")):
        return f"{place}: a comment, which JSON does not have; take it out"
    if (before.endswith(",") and rest.startswith(("]", "}"))) or re.match(r",\s*[\]}]", rest):
        return f"{place}: a comma before the closing bracket; take it out"
    if rest.startswith("'"):
        return f"{place}: single quotation marks; write double ones"
    if found := re.match("(True|False|None)\\b", rest):
        return f"{place}: {found[1]} is Python's; write {JSON_WORDS[found[1]]}"
    return str(error)


def _without_nan(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _without_nan(item) for key, item in value.items()}
    if isinstance(value, list):
        return [_without_nan(item) for item in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value


def _unique_keys(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for key, value in pairs:
        if key in found:
            raise ValueError(f"the key {key!r} stands twice in one object")
        found[key] = value
    return found


def _refuse_constant(name: str) -> Any:
    raise ValueError(f"{name} is not a JSON value")


def _whole(text: str) -> int:
    if len(text) > MOST_DIGITS:
        raise ValueError(f"too large a number, of {counted(len(text), 'digit')}")
    return int(text)


def _finite(text: str) -> float:
    value = float(text)
    if not math.isfinite(value):
        raise ValueError(f"{text:.40} is too large a number")
    return value


def _depth(value: Any) -> int:
    deepest, level = 0, [value]
    while level and deepest <= DEEPEST_NESTING:
        deepest += 1
        level = [
            item
            for parent in level
            if isinstance(parent, (dict, list))
            for item in (parent.values() if isinstance(parent, dict) else parent)
        ]
    return deepest
