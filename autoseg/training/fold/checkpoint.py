"""Everything needed to continue a training exactly where it was, in one file of tensors and plain values."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import autoseg
from autoseg.errors import StorageError, TrainingError
from autoseg.files.records import RecordFormat, require_format
from autoseg.files.storage import decode
from autoseg.networks.tensors import read_tensors, save_tensors
from autoseg.training.recipes.record import RecipeRecord, differences
from autoseg.versions import warn_if_newer

log = logging.getLogger(__name__)

FORMAT = RecordFormat(
    number=2,
    what="a checkpoint",
    error=TrainingError,
    another="continue with a matching version, or start anew with `overwrite=True`",
)

HASHED = {
    "plan": "the plan",
    "data": "the prepared data",
    "split": "the split",
    "previous": "what the previous stage predicted",
}
"""Conditions that are kept as a hash, which tells nobody anything, and what each stands for."""


def save_checkpoint(path: Path, content: Mapping[str, Any]) -> None:
    """Write in one step: until it is whole, the previous checkpoint stays."""
    save_tensors(path, {"format": FORMAT.number, "version": autoseg.__version__, **content})


def load_checkpoint(path: Path) -> dict[str, Any]:
    """Read a checkpoint onto the CPU; nothing in it can run code.

    Raises:
        TrainingError: It is damaged, or of another format.
    """
    try:
        content: dict[str, Any] = read_tensors(path)
    except StorageError as error:
        raise TrainingError(f"{error}; start anew with `overwrite=True`") from error
    require_format(content, FORMAT, path)
    warn_if_newer(path, content)
    return content


def recipe_changes(path: Path, content: Mapping[str, Any], now: RecipeRecord) -> list[str]:
    """What changed in the recipe since a checkpoint, in words.

    Raises:
        TrainingError: What the checkpoint holds of the recipe is damaged.
    """
    if "recipe" not in content:
        log.warning(
            "%s: autoseg %s did not write down its recipe; nobody can tell whether the trainer is what it was",
            path,
            content.get("version"),
        )
        return []
    try:
        return differences(decode(RecipeRecord, content["recipe"], "recipe"), now)
    except StorageError as error:
        raise TrainingError(f"{path}: {error}; start anew with `overwrite=True`") from error


def require_same(
    path: Path, content: Mapping[str, Any], expected: Mapping[str, Any], *, others: Sequence[str] = ()
) -> None:
    """Refuse to continue a training under other conditions than it began with.

    Args:
        expected: Conditions by name, as they are now.
        others: What else changed, in words.

    Raises:
        TrainingError: Naming what differs.
    """
    changed = [
        f"{HASHED[name]} changed" if name in HASHED else f"{name} was {content.get(name)!r}, now {value!r}"
        for name, value in expected.items()
        if content.get(name) != value
    ]
    if changed or others:
        raise TrainingError(
            f"{path}: this training began under other conditions: {'; '.join([*changed, *others])}; "
            "continue it with the same, or start anew with `overwrite=True`"
        )
