from __future__ import annotations

from pathlib import Path

import pytest

from autoseg.commands.run import COMMAND as RUN
from autoseg.conversion.layouts import Conversion
from autoseg.conversion.phantom import make_phantom_task
from autoseg.conversion.settings import ConversionSettings
from autoseg.conversion.taken_in import take_in
from autoseg.paths import Workspace


@pytest.fixture
def source(tmp_path: Path) -> Path:
    """A dataset of plain folders, outside of the workspace."""
    raw = make_phantom_task(tmp_path, "Task001_Phantom", cases=5, test_cases=0)
    folder = tmp_path / "my_data"
    (folder / "images").mkdir(parents=True)
    for path in (raw / "imagesTr").iterdir():
        path.rename(folder / "images" / path.name)
    (raw / "labelsTr").rename(folder / "labels")
    return folder


def workspace(tmp_path: Path) -> Workspace:
    return Workspace.from_environment({}, home=tmp_path / "home")


def test_a_dataset_becomes_a_task_of_links_once_and_is_found_again(source: Path, tmp_path: Path) -> None:
    here, told = workspace(tmp_path), list[Conversion]()
    first = take_in(source, here, ConversionSettings(), told.append)

    assert first.name == "Task500_my_data" and first.is_there
    image = next((here.task(first.name).raw / "imagesTr").iterdir())
    assert image.is_symlink() and image.resolve().parent == source / "images"
    assert take_in(source, here, ConversionSettings(), told.append) == first
    assert take_in(here.task(first.name).raw, here, ConversionSettings(), told.append) == first
    assert len(told) == 1  # what was understood is said once
    other = take_in(source, here, ConversionSettings(channels=("CT",), name="Other"), told.append)
    assert other.name == "Task501_Other"


def test_what_would_be_done_is_said_and_nothing_is_written(
    source: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert RUN([str(source), "--dry_run", "--home", str(tmp_path / "home")]) == 0
    told = capsys.readouterr().out
    assert told.startswith(f"{source}: plain folders of images and labels with equal names\n")
    assert told.endswith(f"would become: {tmp_path / 'home/raw_data/Task500_my_data'}\n")
    assert not (tmp_path / "home").exists()
    assert RUN(["--home", str(tmp_path / "home")]) == 2
    assert "one of the arguments FOLDER -t is required" in capsys.readouterr().err
