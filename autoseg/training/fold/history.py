"""What happened in each epoch, as records, as files and as a picture."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from autoseg.files.model_folder import FoldFolder
from autoseg.files.records import RecordFormat, write_record
from autoseg.files.storage import atomic_path, encode
from autoseg.words import rough_time

BESIDE: Any = {"loc": "upper left", "bbox_to_anchor": (1, 1)}
"""Of a legend, so that it hides no curve."""

EMA_WEIGHT = 0.9
"""Of the past in the moving average of the Dice that chooses the best weights (Isensee et al. 2021)."""


FORMAT = RecordFormat(number=1)
ABSENT_BEFORE = {"waited": None}
"""What records lack that an older autoseg wrote."""


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


@dataclass(frozen=True, slots=True, kw_only=True)
class MeasuredEpoch:
    """What was measured in one epoch; see `EpochRecord`."""

    learning_rate: float
    loss: float
    validation_loss: float
    dice_per_class: tuple[float | None, ...]
    seconds: float
    waited: float | None = None


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
    )


def moving_average(average: float | None, value: float | None) -> float | None:
    """The average with one more value; a missing value leaves it as it was."""
    if average is None or value is None:
        return average if value is None else value
    return EMA_WEIGHT * average + (1 - EMA_WEIGHT) * value


def pseudo_dice(true_positive: int, false_positive: int, false_negative: int) -> float | None:
    """Dice of one label over all validation patches together; None where neither side has it."""
    total = 2 * true_positive + false_positive + false_negative
    return 2 * true_positive / total if total else None


def epoch_line(record: EpochRecord, epochs: int, seconds_left: float) -> str:
    """One line for the log."""
    classes = " ".join(_number(value) for value in record.dice_per_class)
    return (
        f"epoch {record.epoch + 1}/{epochs}  lr {record.learning_rate:.4g}  loss {record.loss:.4f}  "
        f"validation loss {record.validation_loss:.4f}  Dice {_number(record.dice)} [{classes}]  "
        f"{record.seconds:.0f} s{_waited(record)}  left {rough_time(seconds_left)}"
    )


def seconds_left(records: Sequence[EpochRecord], epochs: int) -> float:
    """What the remaining epochs will take, judged by the last few."""
    recent = [record.seconds for record in records[-5:]]
    return (epochs - len(records)) * sum(recent) / max(1, len(recent))


def write_history(fold: FoldFolder, records: Sequence[EpochRecord]) -> None:
    """`history.json`, and `history.csv` with a column for each label's Dice."""
    import pandas as pd

    write_record(fold.history, {"epochs": list(records)}, FORMAT)
    rows = []
    for record in records:
        row = encode(record)
        classes = row.pop("dice_per_class")
        rows.append(row | {f"dice_{label}": value for label, value in enumerate(classes, start=1)})
    with atomic_path(fold.history_table) as temporary:
        pd.DataFrame(rows).to_csv(temporary, index=False)


def draw_progress(path: Path, records: Sequence[EpochRecord], labels: Sequence[str]) -> None:
    """A picture of losses, Dice and learning rate over the epochs.

    Args:
        labels: Names of the labels above background.
    """
    from matplotlib.figure import Figure
    from matplotlib.ticker import MaxNLocator

    figure = Figure(figsize=(9, 7), layout="constrained")
    losses, dice = figure.subplots(2, 1, sharex=True)
    epochs = [record.epoch + 1 for record in records]
    marker = "." if len(records) < 50 else ""
    losses.plot(epochs, [record.loss for record in records], marker=marker, label="training")
    losses.plot(epochs, [record.validation_loss for record in records], marker=marker, label="validation")
    losses.set_ylabel("loss")
    losses.legend(**BESIDE)
    if len(labels) <= 10:
        for number, name in enumerate(labels):
            values = [_or_nan(record.dice_per_class[number]) for record in records]
            dice.plot(epochs, values, marker=marker, alpha=0.5, label=name)
    averages = [_or_nan(record.dice_average) for record in records]
    dice.plot(epochs, averages, marker=marker, color="black", label="mean, moving average")
    dice.set_ylabel("Dice on validation patches")
    dice.set_xlabel("epoch")
    dice.set_ylim(-0.02, 1.02)  # curves at either end are seen
    dice.xaxis.set_major_locator(MaxNLocator(integer=True, min_n_ticks=1))
    dice.legend(**BESIDE)
    figure.suptitle(f"epoch {len(records)}, learning rate {records[-1].learning_rate:.4g}")
    with atomic_path(path) as temporary:
        figure.savefig(temporary, dpi=90)


def _waited(record: EpochRecord) -> str:
    return "" if record.waited is None else f", {100 * record.waited:.0f} % waiting"


def _number(value: float | None) -> str:
    return "absent" if value is None else f"{value:.4f}"


def _or_nan(value: float | None) -> float:
    return math.nan if value is None else value
