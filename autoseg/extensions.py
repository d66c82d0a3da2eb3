"""Finding a Trainer or a Planner by name: one of ours, or one in the user's own file. There is no registry."""

from __future__ import annotations

import ast
import importlib.util
import sys
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType, TracebackType
from typing import TypeVar

from autoseg.errors import ExtensionError
from autoseg.files.storage import content_hash, file_hash
from autoseg.words import counted

T = TypeVar("T")

PACKAGE = "autoseg"
"""Ours is no code of the user's, even where it lies beside it."""

OWN_FILE = "__autoseg_own_file__"
"""Set in each module made of a user's file, to its path as the user gave it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Fault:
    """Where in a user's own file an error arose, and the traceback from there on."""

    file: str
    line: int
    traceback: TracebackType


def find_class(reference: str, *, base: type[T], modules: Iterable[ModuleType]) -> type[T]:
    """Return the subclass of `base` that `reference` names.

    Args:
        reference: `Name`, looked up in `modules`; or `path/to/file.py:Name`, looked up in the user's own file.

    Raises:
        ExtensionError: No class or several classes have that name; the message lists those known.
    """
    location, _, name = reference.rpartition(":")
    if location:
        modules = [import_file(Path(location))]
    known = {
        member
        for module in modules
        for member in vars(module).values()
        if isinstance(member, type) and issubclass(member, base)
    }
    matches = [member for member in known if member.__name__ == name]
    if len(matches) != 1:
        names = ", ".join(sorted({member.__name__ for member in known})) or "none"
        raise ExtensionError(
            f"{counted(len(matches), f'{base.__name__} class is', f'{base.__name__} classes are')} called {name!r}; "
            f"known: {names}. "
            "Name a class of your own as path/to/file.py:ClassName."
        )
    return matches[0]


def import_file(path: Path) -> ModuleType:
    """Run a Python file of the user's and return it as a module; its own folder is importable meanwhile.

    Raises:
        ExtensionError: The file is not there, or fails while it is imported.
    """
    if not path.is_file():
        raise ExtensionError(f"{path}: no such file; name a class of your own as path/to/file.py:ClassName")
    # A name of its own: the user's file may be called like a module that is already there.
    name = f"{path.stem}_{content_hash(str(path.resolve()))[:8]}"
    specification = importlib.util.spec_from_file_location(name, path)
    if specification is None or specification.loader is None:
        raise ExtensionError(f"{path}: not a Python file")
    module = importlib.util.module_from_spec(specification)
    setattr(module, OWN_FILE, str(path))
    sys.modules[name] = module
    try:
        with _importable(str(path.resolve().parent)):
            specification.loader.exec_module(module)
    except (Exception, SystemExit) as error:
        del sys.modules[name]
        raise ExtensionError(f"{path}: importing it failed: {type(error).__name__}: {error}") from error
    return module


@contextmanager
def _importable(folder: str) -> Iterator[None]:
    """Look for modules in a folder, too, behind everything installed: what lies there takes no library's place."""
    if folder in sys.path:
        yield
        return
    sys.path.append(folder)
    try:
        yield
    finally:
        sys.path.remove(folder)


def code_digest(path: Path) -> str | None:
    """Of what a Python file does; comments and layout do not matter."""
    try:
        return content_hash(ast.dump(ast.parse(path.read_bytes())))
    except (OSError, SyntaxError, ValueError):
        return file_hash(path) if path.is_file() else None


def files_beside(path: Path) -> tuple[Path, ...]:
    """The Python files of the same folder that a file imports, and those that these import, by name."""
    found: dict[Path, None] = {}
    waiting = [path]
    while waiting:
        new = [file for file in _imported_files(waiting.pop()) if file not in found and file != path]
        found.update(dict.fromkeys(new))
        waiting += new
    return tuple(sorted(found))


def digests_by_file(path: Path) -> dict[str, str]:
    """Of a Python file and of those of its folder that it imports, by path."""
    return {str(file): code_digest(file) or "" for file in (path, *files_beside(path))}


def digest_of_code(path: Path) -> str:
    """Of what a Python file and its neighbours that it imports do; comments and layout do not matter."""
    return content_hash(*digests_by_file(path).values())


def _imported_files(path: Path) -> Iterator[Path]:
    try:
        nodes = list(ast.walk(ast.parse(path.read_bytes())))
    except (OSError, SyntaxError, ValueError):
        return
    for node in nodes:
        if isinstance(node, ast.Import):
            modules = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom) and node.module is not None:
            modules = [node.module, *(f"{node.module}.{alias.name}" for alias in node.names)]
        else:
            continue
        for names in (module.split(".") for module in modules if module.partition(".")[0] != PACKAGE):
            places = [path.parent.joinpath(*names[:depth]) for depth in range(1, len(names) + 1)]
            files = [file for place in places for file in (place.with_suffix(".py"), place / "__init__.py")]
            yield from filter(Path.is_file, files)


def find_fault(error: BaseException) -> Fault | None:
    """Where an error arose, if that is in a user's own file or in what it called; None if autoseg's own code failed."""
    fault = None
    traceback = error.__traceback__
    while traceback is not None:
        names = traceback.tb_frame.f_globals
        if OWN_FILE in names and fault is None:
            fault = Fault(file=names[OWN_FILE], line=traceback.tb_lineno, traceback=traceback)
        elif str(names.get("__name__")).partition(".")[0] == "autoseg":
            fault = None
        traceback = traceback.tb_next
    return fault
