"""What is shown and written while a training runs: a bar in a terminal, a log, pictures, TensorBoard."""

from __future__ import annotations

import logging
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from torch import Tensor

from autoseg.errors import AutosegError
from autoseg.files.model_folder import FoldFolder
from autoseg.machine.progress import progress
from autoseg.training.fold.curves import draw_progress
from autoseg.training.fold.history import (
    EpochRecord,
    epoch_line,
    seconds_left,
    write_history,
)
from autoseg.training.tracking import Guarded
from autoseg.words import rough_time

log = logging.getLogger(__name__)

SECONDS_BETWEEN_LOSSES = 1.0
SECONDS_BETWEEN_PICTURES = 10.0


class Display:
    """Shows a training's progress.

    Args:
        fold: Where history and picture go.
        labels: Names of the labels above background.
        batches: In an epoch, training and validation together.
        most_seconds: After which the training ends; None: after its epochs.
        trackers: That get the numbers, too; they have begun.
    """

    def __init__(
        self,
        fold: FoldFolder,
        *,
        labels: Sequence[str],
        epochs: int,
        batches: int,
        most_seconds: float | None = None,
        trackers: Sequence[Guarded] = (),
    ) -> None:
        self.fold = fold
        self.labels = labels
        self.epochs = epochs
        self.batches = batches
        self.most_seconds = most_seconds
        self.undrawn: Sequence[EpochRecord] = ()
        self.bar: Any = None
        self.trackers = trackers
        self.loss_shown = self.picture_drawn = -float("inf")
        self.epoch_begun = time.time()

    def batch_done(self, iteration: int, loss: Tensor, records: Sequence[EpochRecord]) -> None:
        """Move the bar; the loss is fetched from the device once a second, and only where it is shown."""
        if self.bar is None:
            name = f"epoch {len(records) + 1}/{self.epochs}"
            self.bar = progress(self.batches, name, unit="batch", since=self.epoch_begun)
            self.bar.initial = self.bar.n = self.bar.last_print_n = (
                iteration - 1
            )  # what an earlier process did, of no time here
        self.bar.update()
        if not self.bar.disable and time.monotonic() - self.loss_shown > SECONDS_BETWEEN_LOSSES:
            self.loss_shown = time.monotonic()
            shown = {"loss": f"{loss.item():.3f}"}
            if records and records[-1].dice is not None:
                shown["Dice"] = f"{records[-1].dice:.3f}"
            if records:
                shown["left"] = rough_time(self._seconds_left(records))
            self.bar.set_postfix(shown)

    def epoch_done(self, records: Sequence[EpochRecord]) -> None:
        """Log a line, write the history, draw the picture unless that was just done, which the end makes up for."""
        self._close_bar()
        record = records[-1]
        log.info("%s", epoch_line(record, self.epochs, self._seconds_left(records)))
        write_history(self.fold, records)
        self.undrawn = records
        if time.monotonic() - self.picture_drawn > SECONDS_BETWEEN_PICTURES or len(records) == self.epochs:
            self._draw()
        for tracker in self.trackers:
            tracker.call("epoch", record.epoch + 1, numbers_of(record, self.labels))
        self.epoch_begun = time.time()

    def close(self) -> None:
        """Leave the terminal and the picture in order."""
        self._close_bar()
        self._draw()

    def _seconds_left(self, records: Sequence[EpochRecord]) -> float:
        left = seconds_left(records, self.epochs)
        if self.most_seconds is None:
            return left
        return max(0.0, min(left, self.most_seconds - sum(record.seconds for record in records)))

    def _draw(self) -> None:
        if self.undrawn:
            draw_progress(self.fold.progress, self.undrawn, self.labels)
            self.undrawn, self.picture_drawn = (), time.monotonic()

    def _close_bar(self) -> None:
        if self.bar is not None:
            self.bar.close()
            self.bar = None


@contextmanager
def remembering() -> Iterator[None]:
    """Keep for the next `training_log` what is said while none is open: before a training may begin, and after it."""
    logger, memory = logging.getLogger("autoseg"), _Memory()
    logger.addHandler(memory)
    try:
        yield
    finally:
        logger.removeHandler(memory)


@contextmanager
def training_log(path: Path) -> Iterator[None]:
    """Add everything autoseg logs meanwhile to a file, each line with its time, and the error that ends it."""
    path.parent.mkdir(parents=True, exist_ok=True)
    logger = logging.getLogger("autoseg")
    handler = _LogFile(path, encoding="utf-8")
    handler.setFormatter(logging.Formatter("%(asctime)s %(message)s"))
    memories = [one for one in logger.handlers if isinstance(one, _Memory)]
    for record in [record for memory in memories for record in memory.records]:
        handler.handle(record)
    level = logger.level
    logger.addHandler(handler)
    if not logger.isEnabledFor(logging.INFO):
        logger.setLevel(logging.INFO)
    try:
        yield
    except Exception as error:
        what = str(error) if isinstance(error, AutosegError) else f"{type(error).__name__}: {error}"
        handler.handle(logging.makeLogRecord({"msg": what}))
        raise
    finally:
        logger.setLevel(level)
        logger.removeHandler(handler)
        for memory in memories:
            memory.records.clear()
        with suppress(OSError):
            handler.close()


class _Memory(logging.Handler):
    def __init__(self) -> None:
        super().__init__()
        self.records: list[logging.LogRecord] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.records.append(record)


class _LogFile(logging.FileHandler):
    """On a full disk it says nothing: the next file that matters will, in one line instead of one for each remark."""

    def handleError(self, record: logging.LogRecord) -> None:  # noqa: ARG002, N802
        return


def numbers_of(record: EpochRecord, labels: Sequence[str]) -> dict[str, float]:
    """An epoch's numbers by name, as far as there are any."""
    values: dict[str, float | None] = {
        "loss/training": record.loss,
        "loss/validation": record.validation_loss,
        "learning_rate": record.learning_rate,
        "seconds": record.seconds,
        "dice/mean": record.dice,
        "dice/average": record.dice_average,
        "foreground": record.foreground,
        "recall": record.recall,
    }
    of_labels = {
        "dice": record.dice_per_class,
        "overlap_training": record.overlap_per_class or (),
        "overlap_validation": record.validation_overlap_per_class or (),
    }
    for kind, found in of_labels.items():
        values |= {f"{kind}/{name}": value for name, value in zip(labels, found, strict=False)}
    return {name: value for name, value in values.items() if value is not None}
