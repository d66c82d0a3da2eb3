from __future__ import annotations

import json
from pathlib import Path

import pytest

from autoseg.commands.convert_dataset import COMMAND as CONVERT
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


def test_folds_become_folders_of_links(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Each is a split that can be taken in again, and no case is in two of its folders."""
    raw = make_phantom_task(tmp_path / "raw_data", "Task001_Phantom", cases=5, test_cases=0)
    (raw / "metadata.tsv").write_text("case\tsplit\nphantom_004\taug\n")
    links, words = tmp_path / "links", ["-t", "1", "--home", str(tmp_path), "--folds", "2"]

    assert MAKE_SPLITS([*words, "--links", str(links)]) == 0

    assert f"written: {links}: 20 links" in capsys.readouterr().out
    for fold in ("fold_0", "fold_1"):
        found = {
            part: {path.name for path in (links / fold / part / "labels").iterdir()} for part in ("train", "val", "aug")
        }
        assert found["aug"] == {"phantom_004.nii.gz"}
        assert found["train"] | found["val"] == {f"phantom_{number:03d}.nii.gz" for number in range(4)}
        assert not found["train"] & found["val"] and all(found.values())
        one = sorted((links / fold / "val" / "images").iterdir())[0]
        assert one.is_symlink() and one.resolve() == (raw / "imagesTr" / one.name).resolve()
    assert CONVERT(["-i", str(links / "fold_0"), "-output_task_id", "2", "--home", str(tmp_path)]) == 0
    assert "the split stays as it is" in capsys.readouterr().out

    assert MAKE_SPLITS([*words, "--links", str(links)]) == 1
    assert "something is there already; name a new folder for the links" in capsys.readouterr().err
