"""`fusion.json`: a fusion, and what it is worth on cases that it was not fitted to."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from autoseg.dataset.target import Target
from autoseg.errors import ModelError
from autoseg.files.records import RecordFormat, read_record, write_record
from autoseg.inference.fusion import Fusion
from autoseg.plans import Views

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
        folds: Whose cases it was fitted to; for the scores below each was left out in turn.
        cases: How many.
        outputs: Names of what is scored.
        dice: Mean Dice of each of these outputs, of "fused", "mean" and each source; null where none has a score.
        used: Whether it holds up: predictions are fused then, and the mean of all sources otherwise.
    """

    version: str
    fusion: Fusion
    folds: tuple[str, ...]
    cases: int
    outputs: tuple[str, ...]
    dice: Mapping[str, tuple[float | None, ...]]
    used: bool


def load_fusion(path: Path) -> FusionRecord:
    """Read it.

    Raises:
        ModelError: It is damaged or of another version.
    """
    return read_record(path, FusionRecord, FORMAT)


def save_fusion(record: FusionRecord, path: Path) -> None:
    """Write it."""
    write_record(path, record, FORMAT)


def load_used_fusion(path: Path, views: Views, target: Target) -> Fusion | None:
    """The fusion that a model of several views predicts with; None where there is none, or it did not hold up.

    Raises:
        ModelError: It is damaged, or of other views or outputs.
    """
    if not path.is_file():
        return None
    record = load_fusion(path)
    if record.fusion.sources != source_names(views) or len(record.fusion.bias) != len(target.outputs):
        raise ModelError(
            f"{path}: fitted to other views or outputs than the model has; run autoseg_train_fusion again, or delete it"
        )
    return record.fusion if record.used else None


def source_names(views: Views) -> tuple[str, ...]:
    """What the views of a model are called in its fusion: by their vectors (z, y, x)."""
    return tuple(f"({z:.3f}, {y:.3f}, {x:.3f})" for z, y, x in views.directions)
