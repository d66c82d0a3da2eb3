"""Short hashes of what steps read: equal as long as nothing in it changed that matters to the step."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from autoseg.errors import AutosegError
from autoseg.files.storage import content_hash, file_hash, read_json
from autoseg.plans import load_plans, plan_signature


def file_digest(path: Path) -> str | None:
    """Of a file's content."""
    return file_hash(path) if path.is_file() else None


def listing_digest(*folders: Path) -> str | None:
    """Of names, sizes and times of change of the files in folders, not below; for what is too much to be read.

    Folders that are not there are left out; None if all are.
    """
    found = [folder for folder in folders if folder.is_dir()]
    files = [path for folder in found for path in sorted(folder.iterdir()) if path.is_file()]
    listing = [(path.parent.name, path.name, path.stat().st_size, path.stat().st_mtime_ns) for path in files]
    return content_hash(listing) if found else None


def descriptions_digest(folder: Path) -> str | None:
    """Of the content of a folder's JSON files: beside prepared cases they say what each was made from."""
    if not folder.is_dir():
        return None
    files = sorted(path for path in folder.glob("*.json") if not path.name.startswith("."))
    return content_hash([(path.name, file_hash(path)) for path in files])


def plan_digest(path: Path, configuration: str) -> str | None:
    """Of what the plans say about one configuration; None where it is not planned, or the file is damaged.

    Other configurations in the same file do not matter: planning one more leaves the trained ones as they are.
    """
    try:
        return plan_signature(load_plans(path), configuration)
    except AutosegError:
        return None


def scores_digest(path: Path) -> str | None:
    """Of every score in a summary.json; when they were computed, and of files in which folder, does not matter."""
    try:
        cases = read_json(path)["results"]["all"]
        scores = [{label: value for label, value in case.items() if isinstance(value, dict)} for case in cases]
    except (AutosegError, KeyError, TypeError, AttributeError):
        return None
    names = [str(case.get("reference", "")).rpartition("/")[2] for case in cases]
    return content_hash(names, scores)


def split_digest(path: Path, fold: int) -> str | None:
    """Of one fold's entry in splits_final.json; None where there is no such file or entry yet."""
    try:
        content: Any = read_json(path)
    except AutosegError:
        return None
    return content_hash(content[fold]) if isinstance(content, list) and fold < len(content) else None
