from __future__ import annotations

import json
from pathlib import Path

import pytest

from autoseg.commands.make_splits import COMMAND as MAKE_SPLITS
from autoseg.conversion.phantom import make_phantom_task
from autoseg.files.task_folder import TaskFolder


def test_folds_are_written_once_and_their_proportions_printed(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    raw = make_phantom_task(tmp_path / "raw_data", "Task001_Phantom", cases=6, test_cases=0)
    lines = [f"phantom_{number:03d}\t{'ab'[number % 2]}\n" for number in range(6)]
    (raw / "metadata.tsv").write_text("".join(["case\tsite\n", *lines]))
    words = ["-t", "1", "--home", str(tmp_path), "--folds", "3", "--balance", "site"]

    assert MAKE_SPLITS(words) == 0
    _, *table = capsys.readouterr().out.splitlines()
    assert [line.split() for line in table[:4]] == [
        ["all", "fold", "0", "fold", "1", "fold", "2"],
        ["cases", "6", "2", "2", "2"],
        ["site", "a", *["50", "%"] * 4],
        ["site", "b", *["50", "%"] * 4],
    ]
    path = TaskFolder(
        name="Task001_Phantom", raw=raw, preprocessed=tmp_path / "preprocessed/Task001_Phantom", results=raw
    ).splits
    assert len(json.loads(path.read_text())) == 3

    assert MAKE_SPLITS(words) == 0
    assert MAKE_SPLITS([*words, "--test_on", "site=b"]) == 1
    assert "3 folds other than what is asked for" in capsys.readouterr().err
    assert (
        MAKE_SPLITS(["-t", "1", "--home", str(tmp_path), "--folds", "3", "--test_on", "site=b", "--overwrite_existing"])
        == 0
    )
    assert len(json.loads(path.read_text())) == 4
