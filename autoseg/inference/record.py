"""With what segmentations were predicted: `prediction.json` of a folder, and in the header of every file its origin.

A case is finished when its file says that it was made by this model from these images; being there is not enough.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import autoseg
from autoseg.errors import ModelError
from autoseg.files.layout import PREDICTION_FILE
from autoseg.files.locking import create_json
from autoseg.files.records import is_record
from autoseg.files.storage import content_hash, encode, read_json, write_json
from autoseg.inference.model import load_weights, weights_sha256
from autoseg.inference.predictor import Predictor
from autoseg.inference.scorers.halo import NO_HALO
from autoseg.inference.settings import Computation
from autoseg.outputs import is_there, read_origin, require_own_file
from autoseg.plans import plan_signature
from autoseg.postprocessing.rules import Rule

log = logging.getLogger(__name__)

FORMAT = 1

INCIDENTAL = ("version", "device", "precision", "lowres_segmentations")
"""What may change between a prediction and its continuation: where and how it is computed, not what."""

HASHES = ("plan", "weights")
"""Kept as hashes, which tell nobody anything."""


def require_record(path: Path, predictor: Predictor, rules: Sequence[Rule], *, fresh: bool) -> None:
    """Refuse a folder whose record says something else, or where nothing was predicted yet, one that is none of ours.

    Raises:
        ModelError: Naming what differs.
        WorkspaceError: Nothing was predicted there, and the file is another's.
        StorageError: The record is damaged.
    """
    if not fresh:
        require_same_record(path, predictor, rules)
    else:
        require_own_file(path, is_prediction_record)


def claim_record(
    path: Path, predictor: Predictor, rules: Sequence[Rule], previous: Path | None = None, *, fresh: bool
) -> None:
    """Write down with what a folder is predicted; of processes that share one the first decides for all.

    Args:
        fresh: Nothing in the folder is to stay, so that no earlier record of it holds.

    Raises:
        ModelError: Something else is written down there; what differs is named.
        StorageError: The record is damaged.
    """
    if not fresh and not create_json(path, _record(predictor, rules, previous)):
        require_same_record(path, predictor, rules)
    save_record(path, predictor, rules, previous)


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
    facts = _decisive(_facts(predictor, rules))
    changed = [name for name, value in facts.items() if found.get(name) != value]
    if changed:
        named = [f"{name} was {found.get(name)}, now {facts[name]}" for name in changed if name not in HASHES]
        told = named or [f"other {name} under the same name" for name in changed]
        raise ModelError(
            f"{path.parent}: holds predictions made with something else ({'; '.join(told)}); "
            "name another folder, or predict all of them again with `overwrite`"
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
    record = predictions[0].parent / PREDICTION_FILE if predictions else None
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


def is_prediction_record(path: Path) -> bool:
    """Whether a file is a `prediction.json` that autoseg wrote, of any version."""
    return is_record(path, *HASHES)


def _decisive(facts: Mapping[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in facts.items() if name not in INCIDENTAL}


def _record(predictor: Predictor, rules: Sequence[Rule], previous: Path | None) -> dict[str, Any]:
    refined = {} if previous is None else {"lowres_segmentations": str(previous)}
    return {**_facts(predictor, rules), **refined}


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
        "step_size": predictor.computation.step_size,
        "mirror_axes": list(predictor.mirror_axes),
        "mode": predictor.computation.mode,
        "device": str(predictor.device),
        "precision": predictor.precision.name,
        "postprocessing": encode(tuple(rules)),
        **_unusual(predictor.computation),
        **({} if model.fusion is None else {"fusion": encode(model.fusion)}),
    }


def _unusual(computation: Computation) -> dict[str, Any]:
    """What records do not hold where it is as it usually is."""
    halo = {"halo": encode(computation.halo)} if computation.halo != NO_HALO else {}
    samples = computation.dropout_samples
    return halo | ({"dropout_samples": samples} if samples else {})
