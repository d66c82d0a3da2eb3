"""`autoseg_demo`: the whole walk, shortened, and that it goes on where it was."""

from __future__ import annotations

import json
import os
import re
import signal
import threading
import time
from pathlib import Path

import pytest

from autoseg.commands import demo

STEPS = (
    "make a task: 20 labelled volumes of two organs, and 4 held out",
    "plan and prepare  (autoseg_plan_and_preprocess)",
    "train fold 0 for 1 short epoch, then validate  (autoseg_train)",
    "predict the held-out cases  (autoseg_predict)",
    "score them against the truth  (autoseg_evaluate_folder)",
    "draw them  (autoseg_plot_task)",
)
Told = pytest.CaptureFixture[str]


def test_the_whole_walk_can_be_stopped_and_goes_on(tmp_path: Path, capsys: Told) -> None:
    threading.Thread(target=stop_in_training, args=(tmp_path,)).start()
    assert demo.main(["--home", str(tmp_path), "--epochs", "1"]) == 75
    told = capsys.readouterr()
    assert told.err.endswith("autoseg_demo: stopped, and the state is saved; run autoseg_demo again to go on\n")
    assert "[4/6]" not in told.out

    assert demo.main(["--home", str(tmp_path), "--epochs", "1"]) == 0
    told = capsys.readouterr()
    assert re.findall(r"\[\d/6\] (.*)", told.out) == list(STEPS)
    assert "0 cases prepared, 20 skipped as nothing changed" in told.err
    assert "continuing in epoch 1 after " in told.err

    fold = tmp_path / "results" / "3d_fullres" / "Task900_Phantom" / "Trainer__small" / "fold_0"
    assert len(json.loads((fold / "history.json").read_text())["epochs"]) == 1
    predictions = sorted(path.name for path in (tmp_path / "predictions").glob("*.nii.gz"))
    assert predictions == [f"phantom_02{number}.nii.gz" for number in range(4)]
    dice = json.loads((tmp_path / "predictions" / "summary.json").read_text())["results"]["mean"]["1"]["Dice"]
    assert f"1 large organ      4   {dice:.4f}   " in told.out
    assert dice > 0.3
    pictures = sorted((tmp_path / "pictures").glob("*.png"))
    assert len(pictures) == 4
    assert f"Look at\n  {tmp_path / 'pictures'}/*.png\n  {fold / 'progress.png'}\n" in told.out
    assert (fold / "progress.png").is_file()


def stop_in_training(home: Path) -> None:
    log = home / "results" / "3d_fullres" / "Task900_Phantom" / "Trainer__small" / "fold_0" / "training.log"
    deadline = time.monotonic() + 60
    while not (log.is_file() and "batches, up to" in log.read_text()) and time.monotonic() < deadline:
        time.sleep(0.02)
    os.kill(os.getpid(), signal.SIGTERM)


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ("--epochs 0", "argument --epochs: expected a whole number from 1, found '0'"),
        ("--epoch 1", "unknown option --epoch; did you mean --epochs?"),
        ("here", "unrecognized arguments: here"),
    ],
)
def test_a_mistyped_command_line_is_code_2(capsys: Told, words: str, message: str) -> None:
    assert demo.main(words.split()) == 2
    assert f"autoseg_demo: error: {message}\n" in capsys.readouterr().err
