"""`prediction.json`: with what the segmentations in a folder were predicted."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import autoseg
from autoseg.errors import ModelError
from autoseg.inference.predictor import Predictor
from autoseg.postprocessing.rules import Rule
from autoseg.storage import encode, read_json, write_json

FORMAT = 1

INCIDENTAL = ("version", "device", "precision", "lowres_segmentations")
"""What may change between a prediction and its continuation: where and how it is computed, not what."""


def save_record(path: Path, predictor: Predictor, rules: Sequence[Rule], previous: Path | None = None) -> None:
    """Write down model, folds, settings, version, and for a cascade the folder of what it refined."""
    write_json(path, _record(predictor, rules, previous))


def require_same_record(path: Path, predictor: Predictor, rules: Sequence[Rule]) -> None:
    """Refuse to fill up a folder whose segmentations were predicted with something else; without a record nothing is known.

    Raises:
        ModelError: Naming what differs.
        StorageError: The record is damaged.
    """
    if not path.is_file():
        return
    content = read_json(path)
    found = content if isinstance(content, dict) else {}
    changed = [
        f"{name} was {found.get(name)}, now {value}"
        for name, value in _record(predictor, rules, None).items()
        if name not in INCIDENTAL and found.get(name) != value
    ]
    if changed:
        raise ModelError(
            f"{path.parent}: holds predictions made with something else ({'; '.join(changed)}); "
            "name another folder, or predict all of them again with --overwrite_existing"
        )


def _record(predictor: Predictor, rules: Sequence[Rule], previous: Path | None) -> dict[str, Any]:
    model = predictor.model
    refined = {} if previous is None else {"lowres_segmentations": str(previous)}
    return {
        "format": FORMAT,
        "version": autoseg.__version__,
        "dataset": model.plans.dataset,
        "plans": model.plans.identifier,
        "configuration": model.configuration,
        "trainer": model.trainer,
        "folds": list(model.folds),
        "checkpoint": model.checkpoint,
        "step_size": predictor.step_size,
        "mirror_axes": list(model.mirror_axes) if predictor.mirror else [],
        "mode": predictor.mode,
        "device": str(predictor.device),
        "precision": predictor.precision.name,
        "postprocessing": encode(tuple(rules)),
        **refined,
    }
