"""documentation/your_data.md: the folders that it shows convert, and its commands up to planning run as they stand there."""

from __future__ import annotations

import json
import re
import shlex
from pathlib import Path

import numpy as np
import pytest

from autoseg.commands.running import run_command
from autoseg.commands.umbrella import find_command
from autoseg.dataset import read_dataset
from autoseg.dataset.facts import read_facts
from autoseg.dataset.splits import open_splits
from autoseg.geometry import Geometry
from autoseg.images import write_image

DOCUMENTATION = Path(__file__).resolve().parents[1] / "documentation"
PAGE = (DOCUMENTATION / "your_data.md").read_text()
GRID = Geometry(spacing=(2.0, 1.0, 1.0))
SCANS = ("p01_ED", "p01_ES", "p02_ED", "p03_ED", "p04_ED", "p05_ED")
ONE_PROCESS = {"autoseg_plan_and_preprocess": ["-tl", "1", "-tf", "1"]}


def commands_of(step: str) -> list[list[str]]:
    """The command lines in the blocks of a step, as words."""
    section = re.split(rf"^## {step}\n", PAGE, flags=re.MULTILINE)[1].partition("\n## ")[0]
    blocks = re.findall(r"^```\n(.*?)^```$", section, re.MULTILINE | re.DOTALL)
    return [shlex.split(line) for block in blocks for line in block.splitlines() if line.startswith("autoseg_")]


def run(step: str, capsys: pytest.CaptureFixture[str]) -> str:
    """What the commands of a step print; each must end well."""
    for name, *words in commands_of(step):
        command = find_command(name.removeprefix("autoseg_"))
        assert run_command(command, [*words, *ONE_PROCESS.get(name, ["--workers", "1"])]) == 0, capsys.readouterr().err
    return capsys.readouterr().out


def json_block(page: str, key: str) -> dict[str, object]:
    blocks = re.findall(r"^```json\n(.*?)^```$", page, re.MULTILINE | re.DOTALL)
    (found,) = [parsed for parsed in map(json.loads, blocks) if key in parsed]
    return dict(found)


@pytest.fixture
def folders(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The two folders of step 2, in the folder that commands run in."""
    random = np.random.default_rng(0)

    def write(name: str, channels: list[str], folder: str) -> None:
        label = np.zeros((10, 16, 16), np.uint8)
        label[3:7, 4:9, 4:9], label[3:7, 9:12, 9:12] = 1, 2
        write_image(tmp_path / folder / "labels" / f"{name}.nii.gz", label, GRID)
        for ending in channels:
            image = (random.normal(100, 10, label.shape) + 100 * label).astype(np.float32)
            write_image(tmp_path / folder / "images" / f"{name}{ending}.nii.gz", image, GRID)

    for folder in ("liver_ct", "heart_mri"):
        for part in ("images", "labels"):
            (tmp_path / folder / part).mkdir(parents=True)
    for number in range(1, 6):
        write(f"patient_{number:02d}", [""], "liver_ct")
    for scan in SCANS:
        write(scan, ["_0000", "_0001"], "heart_mri")
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_the_page_leads_from_two_folders_to_plans(folders: Path, capsys: pytest.CaptureFixture[str]) -> None:
    raw = folders / "autoseg_data" / "raw_data"

    run("3. Convert", capsys)
    liver, heart = read_dataset(raw / "Task500_liver_ct"), read_dataset(raw / "Task501_heart_mri")
    assert (liver.channels, liver.target.outputs) == (("CT",), ("background", "liver", "tumour"))
    assert (heart.channels, heart.target.outputs) == (("cine", "T2"), ("background", "LV", "RV"))
    assert [len(case.images) for case in (*liver.training, *heart.training)] == [1] * 5 + [2] * 6

    run("4. Patients scanned more than once", capsys)
    patients = json.loads((raw / "Task501_heart_mri" / "patients.json").read_text())
    assert patients == {scan: scan.partition("_")[0] for scan in SCANS}
    assert json_block(PAGE, "p01_ED").items() <= patients.items()

    assert "nothing wrong" in run("5. Verify and look", capsys)
    assert len(list((folders / "pictures").glob("*.png"))) == 5
    assert "normalisation of channel 0 (CT): CT" in run("6. Plan and prepare", capsys)


def test_patients_as_the_page_writes_them_stay_together(tmp_path: Path) -> None:
    shown = json_block(PAGE, "p01_ED")
    patients = shown | {scan: scan.partition("_")[0] for scan in SCANS if scan not in shown}
    (tmp_path / "patients.json").write_text(json.dumps(patients))

    splits = open_splits(tmp_path / "splits_final.json", SCANS, facts=read_facts(tmp_path))

    assert shown["p01_ED"] == shown["p01_ES"]
    assert [{"p01_ED", "p01_ES"} <= set(split.training) for split in splits].count(False) == 1
    assert [{"p01_ED", "p01_ES"} <= set(split.validation) for split in splits].count(True) == 1


@pytest.mark.parametrize("page", ["your_data.md", "data_format.md"])
def test_a_dataset_json_as_the_pages_show_it_is_read(page: str, tmp_path: Path) -> None:
    shown = json_block((DOCUMENTATION / page).read_text(), "modality")
    (tmp_path / "dataset.json").write_text(json.dumps(shown))

    dataset = read_dataset(tmp_path)

    assert len(dataset.training) == 1
    assert len(dataset.target.outputs) == 3
