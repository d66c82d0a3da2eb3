"""Converting, verifying and drawing a task as a user does."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from autoseg.commands import convert_decathlon_task, plot_task, verify_dataset


def test_a_decathlon_task_is_converted_verified_and_drawn(
    tmp_path: Path, make_task, capsys: pytest.CaptureFixture[str]
) -> None:
    home = tmp_path / "home"
    source = make_task("Task07_Balls", parent=tmp_path, cases=5)
    for image in [*source.glob("images*/*_0000.nii.gz")]:
        image.rename(image.with_name(image.name.replace("_0000", "")))

    assert convert_decathlon_task.main(["-i", str(source), "-output_task_id", "17", "--home", str(home)]) == 0
    next_step = f"next: autoseg_verify_dataset -t Task017_Balls --home {home}\n"
    assert capsys.readouterr().out.endswith(f"written: {home}/raw_data/Task017_Balls\n{next_step}")
    assert verify_dataset.main(["-t", "17", "--home", str(home), "--workers", "1"]) == 0
    assert "Task017_Balls: 5 training cases, 1 test case: nothing wrong" in capsys.readouterr().out
    assert plot_task.main(["-t", "17", "-o", str(tmp_path / "p"), "--home", str(home), "--workers", "1"]) == 0
    next_step = f"next: autoseg_plan_and_preprocess -t Task017_Balls --home {home}\n"
    assert capsys.readouterr().out == f"written: 5 pictures in {tmp_path}/p\n{next_step}"
    assert sorted(path.name for path in (tmp_path / "p").iterdir()) == [f"case_00{n}.png" for n in range(5)]


def test_a_faulty_task_is_code_1_with_its_report_on_stdout(
    tmp_path: Path, make_task, capsys: pytest.CaptureFixture[str]
) -> None:
    task = make_task(parent=tmp_path / "raw_data", cases=3)
    (task / "labelsTr" / "case_001.nii.gz").write_bytes(b"nothing")

    assert verify_dataset.main(["-t", "1", "--home", str(tmp_path), "--workers", "1"]) == 1

    told = capsys.readouterr()
    assert "case_001" in told.out
    assert told.err == (
        "autoseg_verify_dataset: errors in Task001_Balls (1); put right what the report names and verify again\n"
    )


def test_predictions_are_drawn_beside_the_truth(tmp_path: Path, make_task, capsys: pytest.CaptureFixture[str]) -> None:
    task = make_task(parent=tmp_path / "raw_data", cases=3)
    (tmp_path / "pred").mkdir()
    shutil.copy(task / "labelsTr" / "case_002.nii.gz", tmp_path / "pred")
    common = ["-t", "1", "--home", str(tmp_path), "--workers", "1", "-o", str(tmp_path / "out")]

    assert plot_task.main([*common, "-pred", str(tmp_path / "pred")]) == 0
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["case_002.png"]

    assert plot_task.main([*common, "-pred", str(tmp_path / "absent")]) == 1
    assert "absent: no such folder; name one with predictions <case>.nii.gz" in capsys.readouterr().err
    assert plot_task.main([*common, "-pred", str(tmp_path / "raw_data")]) == 1
    assert "raw_data: holds no prediction <case>.nii.gz of any case of Task001_Balls" in capsys.readouterr().err
    assert plot_task.main([*common, "-channel", "1"]) == 1
    assert "Task001_Balls: has channels 0 to 0 (MRI), not 1" in capsys.readouterr().err
