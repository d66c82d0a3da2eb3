"""From a folder of colour pictures to predictions that are pictures, by the commands."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from autoseg.commands import (
    convert_dataset,
    evaluate_folder,
    plan_and_preprocess,
    plot_task,
    predict,
    train,
    verify_dataset,
)
from autoseg.images import read_label
from autoseg.images.segments import read_segments
from autoseg.plans import load_plans


def draw(folder: Path, number: int, *, alpha: bool) -> None:
    """A red disc on noise, 24 pixels high and 40 wide."""
    random = np.random.default_rng(number)
    rows, columns = np.ogrid[:24, :40]
    disc = (rows - 12) ** 2 + (columns - random.integers(12, 28)) ** 2 < 49
    colours = random.integers(0, 60, (24, 40, 3), np.uint8)
    colours[disc, 0] += 150
    if alpha:
        colours = np.dstack([colours, np.full((24, 40), 255, np.uint8)])
    for name, values in (("images", colours), ("labels", disc.astype(np.uint8))):
        (folder / name).mkdir(parents=True, exist_ok=True)
        Image.fromarray(values).save(folder / name / f"disc_{number}.png")


def test_pictures_in_pictures_out(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for number in range(5):
        draw(tmp_path / "discs", number, alpha=number == 2)
    home = ["--home", str(tmp_path / "home")]
    source = ["-i", str(tmp_path / "discs"), "-output_task_id", "1", "--channels", "red", "green", "blue"]
    assert convert_dataset.main([*source, "--label_names", "disc", *home]) == 0
    raw = tmp_path / "home" / "raw_data" / "Task001_discs"
    described = json.loads((raw / "dataset.json").read_text())
    (raw / "dataset.json").write_text(json.dumps({**described, "normalisation": "rgb", "spacing": [0.5, 0.25]}))
    assert len(list((raw / "imagesTr").iterdir())) == 5

    assert verify_dataset.main(["-t", "1", "--workers", "1", *home]) == 0
    assert "case disc_2, imagesTr/disc_2_0000.png: its alpha channel is left out" in capsys.readouterr().out
    assert plan_and_preprocess.main(["-t", "1", "-tl", "1", "-tf", "1", *home]) == 0
    prepared = tmp_path / "home" / "preprocessed" / "Task001_discs"
    plans = load_plans(prepared / "autoseg_plans_2D.pkl")
    assert [rule.name for rule in plans.configuration("2d").intensities] == ["rgb"] * 3
    assert plans.configuration("2d").grid.spacing == (0.5, 0.5, 0.25)

    short = ["--epochs", "1", "--iterations_per_epoch", "2", "-device", "cpu"]
    assert train.main(["2d", "Trainer", "1", "0", *short, *home]) == 0
    out = tmp_path / "out"
    asked = ["-t", "1", "-m", "2d", "-device", "cpu", "--engine", "torch", "--disable_tta", *home]
    assert predict.main(["-i", str(raw / "imagesTr"), "-o", str(out), *asked]) == 0
    assert sorted(path.name for path in out.glob("disc*")) == [f"disc_{number}.png" for number in range(5)]
    picture = Image.open(out / "disc_1.png")
    assert (picture.mode, picture.size) == ("L", (40, 24))
    assert read_label(out / "disc_1.png").geometry.spacing == (0.5, 0.5, 0.25)
    assert '    1   214   39   40        1  1  1    "disc"' in (out / "labels_itksnap.txt").read_text()
    assert "1,disc,214,39,40,255" in (out / "labels_slicer.csv").read_text()
    assert evaluate_folder.main(["-pred", str(out), "-ref", str(raw / "labelsTr"), "-t", "1", *home]) == 0
    assert plot_task.main(["-t", "1", "-o", str(tmp_path / "plots"), "-pred", str(out), *home]) == 0

    assert predict.main(["-i", str(raw / "imagesTr"), "-o", str(out), "--output_format", "tif", *asked]) == 1
    assert "disc_0.png: was predicted already, and disc_0.tif would lie beside it" in capsys.readouterr().err
    other = tmp_path / "other"
    image = str(raw / "imagesTr" / "disc_1_0000.png")
    assert predict.main(["-i", image, "-o", str(other / "disc.seg.nrrd"), *asked]) == 0
    np.testing.assert_array_equal(read_label(other / "disc.seg.nrrd").data, read_label(out / "disc_1.png").data)
    assert [(one.name, one.value) for one in read_segments(other / "disc.seg.nrrd")] == [("disc", 1)]
    assert predict.main(["-i", str(raw / "imagesTr"), "-o", str(out), "--output_format", "jpg", *asked]) == 1
    assert "--output_format: nothing is written as 'jpg'; name one of nii.gz, nii, seg.nrrd" in capsys.readouterr().err
