"""Finding a Trainer or a Planner by name: one of ours, or one in the user's own file. There is no registry."""

from __future__ import annotations

import importlib.util
import sys
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType, TracebackType
from typing import TypeVar

from autoseg.errors import ExtensionError
from autoseg.storage import content_hash

T = TypeVar("T")

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
            f"{len(matches)} {base.__name__} classes are called {name!r}; known: {names}. "
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
