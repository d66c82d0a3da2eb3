"""`autoseg_train --find_lr`, as a user runs it."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from autoseg.commands import plan_and_preprocess, train
from autoseg.files.layout import LOCK_FILE
from autoseg.files.locking import hold_lock


def test_a_rate_is_suggested_and_nothing_is_trained(
    tmp_path: Path, make_task, capsys: pytest.CaptureFixture[str]
) -> None:
    task = make_task(parent=tmp_path / "raw_data")
    home = ["--home", str(tmp_path)]
    assert plan_and_preprocess.main(["-t", "1", "-pl2d", "None", "-tf", "1", *home]) == 0
    capsys.readouterr()
    short = ["--epochs", "1", "--iterations_per_epoch", "8", "--batch_size", "1", "--num_workers", "0", "--seed", "1"]

    assert train.main(["3d_fullres", "TrainerDiceFocal", "1", "0", "--find_lr", "-device", "cpu", *short, *home]) == 0

    fold = tmp_path / "results" / "3d_fullres" / task.name / "TrainerDiceFocal__autoseg" / "fold_0"
    assert [path.name for path in fold.iterdir()] == ["lr_finder.png"]
    told = capsys.readouterr().out
    suggested = re.search(r"suggested: --learning_rate (\S+); lr_finder.png shows the loss at every rate", told)
    assert suggested is not None and 1e-7 <= float(suggested[1]) <= 1
    train_with_it = (
        rf"next: autoseg_train 3d_fullres TrainerDiceFocal {task.name} 0 .* --learning_rate {suggested[1]} --home \S+\n"
    )
    assert re.search(rf"written: {fold}\n{train_with_it}$", told)

    with hold_lock(fold / LOCK_FILE, "training"):
        words = ["3d_fullres", "TrainerDiceFocal", "1", "0", "--find_lr", "-device", "cpu", *short, *home]
        assert train.main(words) == 1
    assert "training or validation of this fold is already being done by process" in capsys.readouterr().err
