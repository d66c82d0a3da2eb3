"""What stands in a real terminal while something is under way: bars that say what is known, and rates that are so."""

from __future__ import annotations

import fcntl
import os
import pty
import re
import struct
import termios
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, redirect_stderr, suppress
from pathlib import Path

import torch

from autoseg.files.model_folder import FoldFolder
from autoseg.inference.progress import TileProgress
from autoseg.machine.progress import progress
from autoseg.training.fold.display import Display

ROWS, COLUMNS = 40, 110

Seen = Callable[[], list[str]]


@contextmanager
def terminal() -> Iterator[Seen]:
    """stderr is a terminal; gives everything that stood in its lines so far."""
    ours, theirs = pty.openpty()
    fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", ROWS, COLUMNS, 0, 0))
    os.set_blocking(ours, False)
    written: list[bytes] = []

    def read() -> list[str]:
        with suppress(BlockingIOError):
            while block := os.read(ours, 65536):
                written.append(block)
        return [line.rstrip() for line in re.split(r"[\r\n]+", b"".join(written).decode()) if line.strip()]

    with os.fdopen(theirs, "w", buffering=1) as stream, redirect_stderr(stream):
        yield read
    os.close(ours)


def rates(lines: list[str], unit: str) -> list[float]:
    """Items a second, of every rate that was shown."""
    fast = [float(number) for line in lines for number in re.findall(rf"([\d.]+){unit}/s", line)]
    return fast + [1 / float(number) for line in lines for number in re.findall(rf"([\d.]+)s/{unit}", line)]


def test_the_first_rate_counts_the_time_of_the_first_batch(tmp_path: Path) -> None:
    with terminal() as seen:
        shown = Display(FoldFolder(folder=tmp_path), labels=("liver",), epochs=2, batches=10)
        for batch in (1, 2):
            time.sleep(0.3)
            shown.batch_done(batch, torch.tensor(0.5), [])
        lines = seen()
        shown.close()

        assert [line for line in lines if line.startswith("epoch 1/2:")]
        assert rates(lines, "batch") and all(1 < rate < 5 for rate in rates(lines, "batch")), lines


def test_batches_of_an_earlier_process_count_as_done_but_take_no_time(tmp_path: Path) -> None:
    with terminal() as seen:
        shown = Display(FoldFolder(folder=tmp_path), labels=("liver",), epochs=2, batches=10)
        time.sleep(0.3)
        shown.batch_done(8, torch.tensor(0.5), [])
        lines = seen()
        shown.close()

        assert any("8/10" in line for line in lines)
        assert rates(lines, "batch") and all(1 < rate < 5 for rate in rates(lines, "batch")), lines


def test_a_prediction_shows_no_count_before_its_tiles_are_known() -> None:
    with terminal() as seen:
        with TileProgress(2) as shown:
            for case in ("a", "b"):
                show = shown.start(case)
                show(0, 4)
                time.sleep(0.2)
                show(2, 4)
                show(4, 4)
            lines = seen()

        assert "predicting a (1 of 2)" in lines and "predicting b (2 of 2)" in lines
        assert any(line.startswith("predicting b (2 of 2): ") and "2/4" in line for line in lines)
        assert not [line for line in lines if re.search(r"(?<![\d.])0tile", line) or "/0 " in line]
        assert all(2 < rate < 30 for rate in rates(lines, "tile")), lines


def test_bytes_are_told_in_units_that_are_read() -> None:
    with terminal() as seen:
        with progress(20_000_000, "downloading", unit="B") as bar:
            time.sleep(0.2)
            bar.update(10_000_000)
            lines = seen()

        assert any("10.0M/20.0M" in line for line in lines), lines
