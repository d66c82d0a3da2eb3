"""`autoseg_convert_dataset` as a user runs it."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from autoseg.commands import convert_dataset, verify_dataset
from autoseg.dataset import read_dataset
from autoseg.geometry import Geometry
from autoseg.images import read_image, write_image

GRID = Geometry(spacing=(1.0, 1.0, 1.0))


def write(path: Path, data: np.ndarray) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    write_image(path, data, GRID)


def test_a_task_by_its_path_is_brought_home(make_task, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    source = make_task("Task009_Balls", cases=2, test_cases=1)

    assert convert_dataset.main(["-i", str(source), "--link", "--home", str(tmp_path)]) == 0

    target = tmp_path / "raw_data" / "Task009_Balls"
    assert capsys.readouterr().out == (
        f"{source}: the layout of autoseg and of nnU-Net's first generation (TaskXXX_Name)\n"
        "  channels  0 MRI\n"
        "  labels    0 background, 1 ball\n"
        "  cases     2 with labels, 1 without\n"
        "  files     5 .nii.gz\n"
        f"written: {target}\n"
        f"next: autoseg_verify_dataset -t Task009_Balls --home {tmp_path}\n"
    )
    assert (target / "labelsTr" / "case_000.nii.gz").readlink() == source / "labelsTr" / "case_000.nii.gz"
    assert verify_dataset.main(["-t", "9", "--home", str(tmp_path)]) == 0


def test_plain_folders_get_a_free_number_a_name_channels_and_labels(tmp_path: Path, capsys) -> None:
    for case in ("a", "b"):
        write(tmp_path / "scans" / "images" / f"{case}.nii.gz", np.arange(24, dtype=np.int16).reshape(2, 3, 4))
        write(tmp_path / "scans" / "labels" / f"{case}.nii.gz", np.resize([0, 255], (2, 3, 4)).astype(np.uint8))
    (tmp_path / "results" / "2d" / "Task500_Installed").mkdir(parents=True)
    command = ["-i", str(tmp_path / "scans"), "--channels", "CT", "--name", "Liver", "--home", str(tmp_path)]

    assert convert_dataset.main(command) == 1
    assert "add --remap_labels to have them renumbered in the copies (0 to 0, 255 to 1)" in capsys.readouterr().err
    assert not (tmp_path / "raw_data").exists()

    assert convert_dataset.main([*command, "--remap_labels", "--label_names", "liver", "tumour"]) == 1
    assert "2 labels named (liver, tumour), but the files hold 1 (label_255)" in capsys.readouterr().err
    assert not (tmp_path / "raw_data").exists()

    named = ["--remap_labels", "--label_names", "liver", "--workers", "1"]
    assert convert_dataset.main([*command, *named]) == 0
    told = capsys.readouterr().out
    assert "  note      label values renumbered: 0 to 0, 255 to 1\n" in told
    assert "--channels CT" not in told
    assert "named by their values" not in told
    dataset = read_dataset(tmp_path / "raw_data" / "Task501_Liver")
    assert (dataset.channels, dataset.target.outputs) == (("CT",), ("background", "liver"))
    found = read_image(dataset.folder / "labelsTr" / "b.nii.gz").data
    np.testing.assert_array_equal(found, np.resize([0, 1], (2, 3, 4)))


def test_a_number_that_is_taken(make_task, tmp_path: Path, capsys) -> None:
    source = make_task("Task009_Balls", cases=1, test_cases=0)
    (tmp_path / "results" / "2d" / "Task009_Cubes").mkdir(parents=True)

    assert convert_dataset.main(["-i", str(source), "--home", str(tmp_path)]) == 1
    assert capsys.readouterr().err == (
        "autoseg_convert_dataset: the number 9 is that of Task009_Cubes; choose another one with -output_task_id\n"
    )
    assert convert_dataset.main(["-i", str(source), "-output_task_id", "10", "--home", str(tmp_path)]) == 0
    assert json.loads((tmp_path / "raw_data" / "Task010_Balls" / "dataset.json").read_text())["numTraining"] == 1


@pytest.mark.parametrize(("home", "inside"), [("images/home", "images"), ("labels", "labels"), ("link/x", "images")])
def test_a_task_does_not_lie_among_what_it_is_made_from(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], home: str, inside: str
) -> None:
    """Neither by its own name nor through a link; beside the images, below the dataset's folder, it may."""
    source = tmp_path / "scans"
    for number in range(4):
        write(source / "images" / f"c{number}.nii.gz", np.ones((4, 5, 6), np.float32))
        write(source / "labels" / f"c{number}.nii.gz", np.eye(5, 6, dtype=np.uint8)[None].repeat(4, 0))
    (source / "link").symlink_to("images")
    before = sorted(source.rglob("*"))

    assert convert_dataset.main(["-i", str(source), "--home", str(source / home)]) == 1
    said = capsys.readouterr().err
    assert f"raw_data/Task500_scans: is in {source / inside}, which holds files that are converted and stays" in said
    assert sorted(source.rglob("*")) == before
    assert convert_dataset.main(["-i", str(source), "--home", str(source / "home")]) == 0
