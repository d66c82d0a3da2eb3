"""Which autoseg this is, with what it stands on, and which one made a file: a newer one may mean something else by the same
words."""

from __future__ import annotations

import logging
import platform
import re
from collections.abc import Mapping
from functools import lru_cache
from importlib import metadata
from pathlib import Path
from typing import Any

import autoseg

log = logging.getLogger(__name__)

RELEASE = re.compile(r"\d+(\.\d+)*")
REPORTED_PACKAGES = ("torch", "numpy", "SimpleITK", "batchgenerators")


def versions() -> str:
    """autoseg's version, and those of what it stands on, without importing any of it."""
    found = [f"autoseg {autoseg.__version__}", f"Python {platform.python_version()}", platform.platform()]
    for package in REPORTED_PACKAGES:
        try:
            found.append(f"{package} {metadata.version(package)}")
        except metadata.PackageNotFoundError:
            found.append(f"{package} not installed")
    return ", ".join(found)


def warn_if_newer(path: Path, content: Mapping[str, Any]) -> None:
    """Say, once for each file, that a newer autoseg made it.

    Args:
        content: What the file holds; its `version` tells, and where there is none nothing is said.
    """
    if is_newer(version := content.get("version")):
        _warn(str(path), str(version))


def remedy_by_version(content: Any, otherwise: str) -> str:
    """What to do about a file that cannot be read: get the autoseg that made it, where that is newer than this one."""
    version = content.get("version") if isinstance(content, Mapping) else None
    if not is_newer(version):
        return otherwise
    return f"autoseg {version} made it, and this is autoseg {autoseg.__version__}; install {version} or newer"


def is_newer(version: object) -> bool:
    """Whether a version is above this autoseg's; what is no version is not."""
    found = _release(version)
    return found is not None and found > (_release(autoseg.__version__) or ())


def _release(version: object) -> tuple[int, ...] | None:
    match = RELEASE.match(version) if isinstance(version, str) else None
    if match is None:
        return None
    numbers = [int(number) for number in match[0].split(".")]
    while numbers and numbers[-1] == 0:
        numbers.pop()
    return tuple(numbers)


@lru_cache(maxsize=256)
def _warn(path: str, version: str) -> None:
    log.warning(
        "%s: autoseg %s made it, and this is autoseg %s: a newer one may mean something else by it; install %s or newer",
        path,
        version,
        autoseg.__version__,
        version,
    )
