"""`debug.json`: every number and part of the recipe as it was, to see what a class of one's own or a setting changed."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

from torch import nn

from autoseg.files.model_folder import FoldFolder
from autoseg.files.records import RecordFormat, write_record
from autoseg.training.parts import Parts

FORMAT = RecordFormat(number=1)
ELSEWHERE = {
    "plans",
    "plan",
    "target",
    "output_activation",
    "cases",
    "split",
    "output",
    "fold",
    "references",
    "data",
    "in_channels",
    "steps",
    "bookkeeping",
    "augmentation",
    "runs",
    "settings",
    "device_name",
    "varies_on_device",
    "name",
    "bounds",
    "batch_steps",
    "together",
    "turns",
    "trainers",
    "recipe",
}
"""Attributes that are files of their own, or stand in `run.json` or under `settings`."""


def write_debug(fold: FoldFolder, recipe: Parts, network: nn.Module) -> None:
    """Write the file: plain values as they are, everything else as Python shows it."""
    kind = type(recipe)
    write_record(
        fold.debug,
        {
            "trainer": f"{kind.__module__}.{kind.__qualname__}",
            "name": recipe.name,
            "settings": {name: _plain(value) for name, value in asdict(recipe.settings).items()},
            "recipe": {name: _plain(value) for name, value in _attributes(recipe).items()},
            "network": type(network).__name__,
            "loss": str(recipe.build_loss()),
            "optimizer": str(recipe.build_optimizer(network)),
        },
        FORMAT,
    )


def _attributes(recipe: Parts) -> dict[str, Any]:
    """All that is public and no method, of the object and of its classes."""
    names = [name for name in dir(recipe) if not name.startswith("_") and name not in ELSEWHERE]
    return {name: value for name in names if not callable(value := getattr(recipe, name))}


def _plain(value: Any) -> Any:
    return value if value is None or isinstance(value, (bool, int, float, str)) else str(value)
