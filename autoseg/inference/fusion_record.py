"""`fusion.json`: a fusion, and what it is worth on cases that it was not fitted to."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from autoseg.dataset.target import Target
from autoseg.errors import ModelError
from autoseg.files.records import RecordFormat, read_record, write_record
from autoseg.files.storage import LATER
from autoseg.inference.fusion import Fusion
from autoseg.plans import Views

log = logging.getLogger(__name__)

Networks = Mapping[str, str]
"""Of each fold the SHA-256 of its network's weights, as `weights_sha256` gives it."""

FORMAT = RecordFormat(
    number=1,
    what="a fusion",
    error=ModelError,
    another="install a matching version or run autoseg_train_fusion again",
    damaged="run autoseg_train_fusion again, or delete it so that all views count alike",
)


FUSED, MEAN = "fused", "mean"
"""What is judged beside each source, and the folders of it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class FusionRecord:
    """What the file holds.

    Attributes:
        version: Of the autoseg that wrote it.
        fusion: Fitted to all cases.
        folds: Whose cases it was fitted to; for the scores below each was left out in turn, or of one fold a part.
        cases: How many.
        outputs: Names of what is scored.
        dice: Mean Dice of each of these outputs, of "fused", "mean" and each source; null where none has a score.
        used: Whether it holds up: predictions are fused then, and the mean of all sources otherwise.
        networks: Whose views it was fitted to; empty where several models were fused, and where an earlier version did not
            say.
    """

    version: str
    fusion: Fusion
    folds: tuple[str, ...]
    cases: int
    outputs: tuple[str, ...]
    dice: Mapping[str, tuple[float | None, ...]]
    used: bool
    networks: Networks = field(default_factory=dict, metadata=LATER)

    def replaced(self, networks: Networks) -> tuple[str, ...]:
        """The folds whose networks are others now than those that it was fitted to, of `networks` that are there."""
        return tuple(fold for fold, weights in networks.items() if self.networks.get(fold, weights) != weights)


def load_fusion(path: Path) -> FusionRecord:
    """Read it.

    Raises:
        ModelError: It is damaged or of another version.
    """
    return read_record(path, FusionRecord, FORMAT)


def save_fusion(record: FusionRecord, path: Path) -> None:
    """Write it."""
    write_record(path, record, FORMAT)


def load_used_fusion(path: Path, views: Views, target: Target, networks: Callable[[], Networks]) -> Fusion | None:
    """The fusion that a model of several views predicts with; None where there is none, or it did not hold up.

    One that was fitted to networks that were trained anew since is left out, and so said.

    Args:
        networks: Gives those that are there now.

    Raises:
        ModelError: It is damaged, or of other views or outputs.
    """
    record = load_fusion(path) if path.is_file() else None
    if record is None:
        return None
    if record.fusion.sources != source_names(views) or len(record.fusion.bias) != len(target.outputs):
        raise ModelError(
            f"{path}: fitted to other views or outputs than the model has; run autoseg_train_fusion again, or delete it"
        )
    return record.fusion if is_in_force(record, path, networks()) else None


def is_in_force(record: FusionRecord, path: Path, networks: Networks) -> bool:
    """Whether predictions are fused by it: it holds up, and is of the networks that are there; else that is said."""
    folds = record.replaced(networks) if record.used else ()
    if folds:
        log.warning(
            "%s: not used, as it was fitted to other networks of %s than those that are there; run autoseg_train_fusion again, "
            "until then all views count alike",
            path,
            ", ".join(f"fold {fold}" for fold in folds),
        )
    return record.used and not folds


def source_names(views: Views) -> tuple[str, ...]:
    """What the views of a model are called in its fusion: by their vectors (z, y, x)."""
    return tuple(f"({z:.3f}, {y:.3f}, {x:.3f})" for z, y, x in views.directions)
