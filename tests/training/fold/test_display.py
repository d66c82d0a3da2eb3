from __future__ import annotations

import io
import logging
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

from autoseg.files.model_folder import FoldFolder
from autoseg.training.fold.display import Display, training_log
from autoseg.training.fold.history import EpochRecord, MeasuredEpoch, next_record
from autoseg.training.tracking import Guarded


def records(number: int = 1) -> list[EpochRecord]:
    made: list[EpochRecord] = []
    for _ in range(number):
        numbers: dict[str, Any] = {"learning_rate": 0.01, "loss": -0.5, "validation_loss": -0.25, "seconds": 60.0}
        made.append(next_record(made, MeasuredEpoch(dice_per_class=(0.75, None), **numbers)))
    return made


def display(folder: Path, epochs: int = 3) -> Display:
    return Display(FoldFolder(folder=folder), labels=("liver", "tumour"), epochs=epochs, batches=4)


def test_without_a_terminal_an_epoch_is_one_line(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, capsys: pytest.CaptureFixture[str]
) -> None:
    shown = display(tmp_path)
    shown.batch_done(1, torch.tensor(0.5), [])
    with caplog.at_level(logging.INFO, logger="autoseg"):
        shown.epoch_done(records())
    shown.close()

    assert caplog.messages == [
        "epoch 1/3  lr 0.01  loss -0.5000  validation loss -0.2500  Dice 0.7500 [0.7500 absent]  60 s  left 2 min"
    ]
    assert capsys.readouterr().err == ""


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def test_in_a_terminal_a_bar_shows_loss_dice_and_time_left(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stderr", Terminal())
    shown = display(tmp_path)
    shown.batch_done(3, torch.tensor(-0.123), records())
    text = sys.stderr.getvalue()  # type: ignore[attr-defined]
    shown.close()

    assert "epoch 2/3" in text and "3/4" in text
    assert "loss=-0.123" in text and "Dice=0.750" in text and "left=2 min" in text


def test_history_is_written_each_epoch_and_the_picture_when_it_is_due(tmp_path: Path) -> None:
    shown = display(tmp_path)
    shown.epoch_done(records(1))
    (tmp_path / "progress.png").unlink()
    shown.epoch_done(records(2))
    assert not (tmp_path / "progress.png").exists()
    assert len((tmp_path / "history.csv").read_text().splitlines()) == 3

    shown.epoch_done(records(3))
    assert (tmp_path / "progress.png").is_file()
    shown.close()


def test_the_log_file_holds_what_is_logged_meanwhile_and_nothing_else(tmp_path: Path) -> None:
    logger = logging.getLogger("autoseg.training")
    before = logging.getLogger("autoseg").level, list(logging.getLogger("autoseg").handlers)
    with training_log(tmp_path / "fold" / "training.log"):
        logger.info("inside")
    logger.warning("after")
    with training_log(tmp_path / "fold" / "training.log"):
        logger.info("again")

    lines = (tmp_path / "fold" / "training.log").read_text().splitlines()
    assert [line.split(" ", 2)[2] for line in lines] == ["inside", "again"]
    assert (logging.getLogger("autoseg").level, logging.getLogger("autoseg").handlers) == before


def test_trackers_get_every_value_that_there_is(tmp_path: Path) -> None:
    got: dict[int, Any] = {}

    class Mine:
        def start(self, about: Any) -> None:
            got[0] = about

        def epoch(self, number: int, values: Any) -> None:
            got[number] = values

    tracker = Guarded("mine", Mine)
    tracker.start({"seed": 3})
    shown = Display(FoldFolder(folder=tmp_path), labels=("liver", "tumour"), epochs=3, batches=4, trackers=[tracker])
    shown.epoch_done([replace(record, overlap_per_class=(0.5, None)) for record in records(2)])
    shown.close()

    assert got == {
        0: {"seed": 3},
        2: {
            "loss/training": -0.5,
            "loss/validation": -0.25,
            "learning_rate": 0.01,
            "seconds": 60.0,
            "dice/mean": 0.75,
            "dice/average": 0.75,
            "dice/liver": 0.75,
            "overlap_training/liver": 0.5,
        },
    }
    assert sorted(path.name for path in tmp_path.iterdir()) == ["history.csv", "history.json", "progress.png"]
