"""With what segmentations were predicted: `prediction.json` of a folder, and in the header of every file its origin.

A case is finished when its file says that it was made by this model from these images; being there is not enough.
"""

from __future__ import annotations

import logging
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import autoseg
from autoseg.errors import ModelError, counted
from autoseg.imageio import read_description
from autoseg.inference.model import load_weights, weights_sha256
from autoseg.inference.predictor import Predictor
from autoseg.plans import plan_signature
from autoseg.postprocessing.rules import Rule
from autoseg.storage import content_hash, encode, file_hash, read_json, write_json

log = logging.getLogger(__name__)

FORMAT = 1
RECORD_FILE = "prediction.json"

INCIDENTAL = ("version", "device", "precision", "lowres_segmentations")
"""What may change between a prediction and its continuation: where and how it is computed, not what."""

HASHES = ("plan", "weights")
"""Kept as hashes, which tell nobody anything."""

ORIGIN = re.compile("autoseg ([0-9a-f]{32}) ([0-9a-f]{32})")
FILES_SHOWN = 5


@dataclass(frozen=True, slots=True, kw_only=True)
class Origin:
    """What a segmentation was made from, as its file's header says.

    Attributes:
        model: Hash of the weights, the plan and all settings that decide the result.
        inputs: Hash of the files that were predicted.
    """

    model: str
    inputs: str

    def __str__(self) -> str:
        return f"autoseg {self.model} {self.inputs}"


def read_origin(path: Path) -> Origin | None:
    """What a segmentation says it was made from; None where it is not there, or does not say so."""
    found = ORIGIN.fullmatch(read_description(path))
    return None if found is None else Origin(model=found[1], inputs=found[2])


def hash_files(*paths: Path) -> str:
    """Of the content of files.

    Raises:
        StorageError: One cannot be read.
    """
    return content_hash([file_hash(path) for path in paths])


def is_there(path: Path) -> bool:
    """Whether there is a file that is not empty."""
    return path.is_file() and path.stat().st_size > 0


def require_known_origin(outputs: Sequence[Path], model: str) -> list[Path]:
    """Of a user's files those of which nothing is known, so that they may be the user's own; they are said to be kept.

    Raises:
        ModelError: Some were made by another model, or with other settings.
    """
    there = {path: read_origin(path) for path in outputs if is_there(path)}
    others = [path for path, origin in there.items() if origin is not None and origin.model != model]
    if others:
        raise ModelError(
            f"{_listed(others)}: predicted with other weights or settings; "
            "name another output, or predict all of them again with --overwrite_existing"
        )
    unknown = [path for path, origin in there.items() if origin is None]
    if unknown:
        log.warning(
            "%s: there already and kept, though nothing says what made it (--overwrite_existing predicts it)",
            _listed(unknown),
        )
    return unknown


def save_record(path: Path, predictor: Predictor, rules: Sequence[Rule], previous: Path | None = None) -> None:
    """Write down model, folds, settings, version, and for a cascade the folder of what it refined."""
    refined = {} if previous is None else {"lowres_segmentations": str(previous)}
    write_json(path, {**_facts(predictor, rules), **refined})


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
    facts = _decisive(_facts(predictor, rules))
    changed = [name for name, value in facts.items() if found.get(name) != value]
    if changed:
        named = [f"{name} was {found.get(name)}, now {facts[name]}" for name in changed if name not in HASHES]
        told = named or [f"other {name} under the same name" for name in changed]
        raise ModelError(
            f"{path.parent}: holds predictions made with something else ({'; '.join(told)}); "
            "name another folder, or predict all of them again with --overwrite_existing"
        )


def predicted_with(predictions: Sequence[Path], weights: Path) -> Sequence[Path]:
    """Of a fold's validation predictions those that its weights made, as they are now.

    All of them where the folder has no record, so that nothing is known, or the fold no weights.

    Args:
        predictions: Files of one folder.

    Raises:
        ModelError: The weights are damaged.
        StorageError: The record is damaged.
    """
    record = predictions[0].parent / RECORD_FILE if predictions else None
    if record is None or not record.is_file() or not is_there(weights):
        return predictions
    content = read_json(record)
    facts = content if isinstance(content, dict) else {}
    if facts.get("weights") != [weights_sha256(load_weights(weights).weights)]:
        return ()
    model = content_hash(_decisive(facts))
    origins = {path: read_origin(path) for path in predictions}
    return [path for path, origin in origins.items() if origin is not None and origin.model == model]


def model_hash(predictor: Predictor, rules: Sequence[Rule]) -> str:
    """Equal as long as the same images are predicted alike."""
    return content_hash(_decisive(_facts(predictor, rules)))


def _decisive(facts: Mapping[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in facts.items() if name not in INCIDENTAL}


def _facts(predictor: Predictor, rules: Sequence[Rule]) -> dict[str, Any]:
    model = predictor.model
    return {
        "format": FORMAT,
        "version": autoseg.__version__,
        "dataset": model.plans.dataset,
        "plans": model.plans.identifier,
        "configuration": model.configuration,
        "trainer": model.trainer,
        "folds": list(model.folds),
        "checkpoint": model.checkpoint,
        "plan": plan_signature(model.plans, model.configuration),
        "weights": list(predictor.weights),
        "step_size": predictor.step_size,
        "mirror_axes": list(model.mirror_axes) if predictor.mirror else [],
        "mode": predictor.mode,
        "device": str(predictor.device),
        "precision": predictor.precision.name,
        "postprocessing": encode(tuple(rules)),
    }


def _listed(paths: Sequence[Path]) -> str:
    """The first few files of one folder, and how many there are more."""
    more = f" and {counted(len(paths) - FILES_SHOWN, 'more file')}" if len(paths) > FILES_SHOWN else ""
    return f"{paths[0].parent}: {', '.join(path.name for path in paths[:FILES_SHOWN])}{more}"
