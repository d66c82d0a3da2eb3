"""What happened in each epoch, as records and as files."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from autoseg.files.model_folder import FoldFolder
from autoseg.files.records import RecordFormat, read_record, write_record
from autoseg.files.storage import LATER, atomic_path, encode, with_absent
from autoseg.words import rough_time

EMA_WEIGHT = 0.9
"""Of the past in the moving average of the Dice that chooses the best weights (Isensee et al. 2021)."""


ABSENT_BEFORE = {"waited": None}
"""What records lack that an older autoseg wrote."""


def _completed(content: dict[str, Any]) -> dict[str, Any]:
    epochs = content.get("epochs")
    return (
        {**content, "epochs": [with_absent(one, ABSENT_BEFORE) for one in epochs]}
        if isinstance(epochs, list)
        else content
    )


FORMAT = RecordFormat(number=1, completed=_completed)


@dataclass(frozen=True, slots=True, kw_only=True)
class EpochRecord:
    """One epoch.

    Attributes:
        epoch: From 0.
        dice_per_class: Of each label above background over all validation patches together; None where it was absent.
        dice: Their mean; None where every label was absent.
        dice_average: Exponential moving average of `dice` up to this epoch; None until there is a first one.
        best: Whether the weights after this epoch were the best so far.
        seconds: Wall time.
        waited: Share of that time in which the network had no batch; None where an older autoseg trained.
        overlap_per_class, validation_overlap_per_class: What the loss itself says of each label, its mean over the
            batches: Dice of probabilities, or a Tversky index; None for a label that no loss looks at, or for all.
        foreground, recall: Where the one follows the other: the share of training batches that had to hold foreground; and
            the share of a label's voxels that was found in the validation patches, its mean over the labels that were there.
    """

    epoch: int
    learning_rate: float
    loss: float
    validation_loss: float
    dice_per_class: tuple[float | None, ...]
    dice: float | None
    dice_average: float | None
    best: bool
    seconds: float
    waited: float | None = None
    overlap_per_class: tuple[float | None, ...] | None = field(default=None, metadata=LATER)
    validation_overlap_per_class: tuple[float | None, ...] | None = field(default=None, metadata=LATER)
    foreground: float | None = field(default=None, metadata=LATER)
    recall: float | None = field(default=None, metadata=LATER)


@dataclass(frozen=True, slots=True, kw_only=True)
class History:
    """What history.json holds."""

    epochs: tuple[EpochRecord, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class MeasuredEpoch:
    """What was measured in one epoch; see `EpochRecord`."""

    learning_rate: float
    loss: float
    validation_loss: float
    dice_per_class: tuple[float | None, ...]
    seconds: float
    waited: float | None = None
    overlap_per_class: tuple[float | None, ...] | None = None
    validation_overlap_per_class: tuple[float | None, ...] | None = None
    foreground: float | None = None
    recall: float | None = None


def next_record(records: Sequence[EpochRecord], measured: MeasuredEpoch) -> EpochRecord:
    """The record that follows `records`; the first epoch counts as the best so far."""
    known = [value for value in measured.dice_per_class if value is not None]
    dice = sum(known) / len(known) if known else None
    average = moving_average(records[-1].dice_average if records else None, dice)
    earlier = [record.dice_average for record in records if record.dice_average is not None]
    improved = average is not None and average > max(earlier, default=-math.inf)
    return EpochRecord(
        epoch=len(records),
        learning_rate=measured.learning_rate,
        loss=measured.loss,
        validation_loss=measured.validation_loss,
        dice_per_class=measured.dice_per_class,
        dice=dice,
        dice_average=average,
        best=improved or not records,
        seconds=measured.seconds,
        waited=measured.waited,
        overlap_per_class=measured.overlap_per_class,
        validation_overlap_per_class=measured.validation_overlap_per_class,
        foreground=measured.foreground,
        recall=measured.recall,
    )


def means(sums: Sequence[float], batches: int) -> tuple[float | None, ...] | None:
    """Of sums over batches the means, None where there is none; None for all where nothing is known."""
    found = tuple(None if math.isnan(value) else value / batches for value in sums)
    return found if any(value is not None for value in found) else None


def moving_average(average: float | None, value: float | None) -> float | None:
    """The average with one more value; a missing value leaves it as it was."""
    if average is None or value is None:
        return average if value is None else value
    return EMA_WEIGHT * average + (1 - EMA_WEIGHT) * value


def pseudo_dice(true_positive: int, false_positive: int, false_negative: int) -> float | None:
    """Dice of one label over all validation patches together; None where neither side has it."""
    total = 2 * true_positive + false_positive + false_negative
    return 2 * true_positive / total if total else None


def mean_recall(columns: Sequence[tuple[int, int, int]]) -> float | None:
    """The share of a label's voxels that was found, its mean over labels; None where none was there.

    Args:
        columns: Of each label, the voxels truly positive, falsely positive and falsely negative.
    """
    found = [right / (right + missed) for right, _, missed in columns if right + missed]
    return sum(found) / len(found) if found else None


def epoch_line(record: EpochRecord, epochs: int, seconds_left: float) -> str:
    """One line for the log."""
    classes = " ".join(_number(value) for value in record.dice_per_class)
    return (
        f"epoch {record.epoch + 1}/{epochs}  lr {record.learning_rate:.4g}  loss {record.loss:.4f}  "
        f"validation loss {record.validation_loss:.4f}  Dice {_number(record.dice)} [{classes}]  "
        f"{_foreground(record)}{record.seconds:.0f} s{_waited(record)}  left {rough_time(seconds_left)}"
    )


def seconds_left(records: Sequence[EpochRecord], epochs: int) -> float:
    """What the remaining epochs will take, judged by the last few."""
    recent = [record.seconds for record in records[-5:]]
    return (epochs - len(records)) * sum(recent) / max(1, len(recent))


def read_history(fold: FoldFolder) -> tuple[EpochRecord, ...]:
    """Every epoch so far; none where none is done.

    Raises:
        StorageError: The file is damaged.
    """
    if not fold.history.is_file():
        return ()
    return read_record(fold.history, History, FORMAT).epochs


def write_history(fold: FoldFolder, records: Sequence[EpochRecord]) -> None:
    """`history.json`, and `history.csv` with a column for each label's Dice."""
    import pandas as pd

    write_record(fold.history, History(epochs=tuple(records)), FORMAT)
    rows = []
    for record in records:
        row = encode(record)
        per_class = {
            name: row.pop(f"{name}_per_class", None) or () for name in ("dice", "overlap", "validation_overlap")
        }
        columns = {
            f"{name}_{label}": value
            for name, values in per_class.items()
            for label, value in enumerate(values, start=1)
        }
        rows.append(row | columns)
    with atomic_path(fold.history_table) as temporary:
        pd.DataFrame(rows).to_csv(temporary, index=False)


def _waited(record: EpochRecord) -> str:
    return "" if record.waited is None else f", {100 * record.waited:.0f} % waiting"


def _foreground(record: EpochRecord) -> str:
    share = record.foreground
    return "" if share is None else f"recall {_number(record.recall)} with foreground in {100 * share:.0f} %  "


def _number(value: float | None) -> str:
    return "absent" if value is None else f"{value:.4f}"
