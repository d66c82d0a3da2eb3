"""`multiplanar` from plans to predictions: planned with two views, trained on two folds, fused, scored, and stale once trained anew."""

from __future__ import annotations

import csv
import json
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from autoseg.commands import model_info, plan_and_preprocess, predict, summary, train, train_fusion
from autoseg.images import read_image

TASK = "Task001_Balls"
SHORT = "--iterations_per_epoch 1 --batch_size 2 --num_workers 0 -device cpu --precision fp32".split()
COMPUTING = ("-device", "cpu", "--precision", "fp32", "--engine", "torch")
Told = pytest.CaptureFixture[str]


def run(main: Any, home: Path, *words: str) -> int:
    code: int = main([*words, "--home", str(home)])
    return code


@pytest.fixture(scope="module")
def home(make_task: Any, tmp_path_factory: pytest.TempPathFactory) -> Path:
    home = tmp_path_factory.mktemp("home")
    make_task(TASK, parent=home / "raw_data", cases=5, test_cases=1)
    (home / "views.json").write_text("[[1, 0, 0], [0, 1, 1]]")
    views = ("--multiplanar", "--views", str(home / "views.json"), "-pl3d", "None", "-tf", "1")
    assert run(plan_and_preprocess.main, home, "-t", "1", *views) == 0
    for fold, kept in (("0", "--npz"), ("1", "--no_compile")):
        words = ("multiplanar", "TrainerNoMirroring", "1", fold, "--epochs", "1", "--seed", "1", *SHORT, kept)
        assert run(train.main, home, *words) == 0
    return home


def test_views_are_drawn_fused_summed_up_and_left_out_once_stale(home: Path, tmp_path: Path, capsys: Told) -> None:
    model = home / "results" / "multiplanar" / TASK / "TrainerNoMirroring__autoseg"
    chosen = ("-t", "1", "-m", "multiplanar", "-tr", "TrainerNoMirroring")
    assert (home / "preprocessed" / TASK / "views.png").stat().st_size > 10_000

    kept = {path: path.stat().st_mtime_ns for path in model.glob("fold_*/validation_*/**/*.n*") if path.is_file()}
    views = [f"fold_0/validation_views/view_{number}" for number in range(2)]
    assert {str(path.parent.relative_to(model)) for path in kept} == {
        *views,
        "fold_0/validation_raw",
        "fold_1/validation_raw",
    }
    assert run(train_fusion.main, home, *chosen, "-device", "cpu", "--workers", "1") == 0
    assert all(path.stat().st_mtime_ns == time for path, time in kept.items() if "fold_0" in str(path)), "asked once"
    assert len([*model.glob("fold_1/validation_views/view_*/*.npz")]) == 2 * len(
        [*model.glob("fold_1/validation_raw/*.gz")]
    )
    record = json.loads((model / "fusion.json").read_text())
    assert record["folds"] == ["0", "1"] and set(record["networks"]) == {"0", "1"}
    assert record["fusion"]["sources"] == ["(1.000, 0.000, 0.000)", "(0.000, 0.707, 0.707)"]

    capsys.readouterr()
    table = tmp_path / "table.csv"
    assert run(summary.main, home, *chosen, "--csv", str(table)) == 0
    said = capsys.readouterr().out
    assert "all folds" in said and "view (0.000, 0.707, 0.707)" in said
    used = "used" if record["used"] else "not used"
    fused = f"fused ({used})  ball  {record['dice']['fused'][0]:.4f}  -  -  -  2"
    assert re.sub(r" {2,}", "  ", said.splitlines()[-2]) == fused
    with table.open() as file:
        last = list(csv.DictReader(file))[-1]
    assert last["part"].endswith(f"fused ({used})") and float(last["mean"]) == record["dice"]["fused"][0]

    (model / "fusion.json").write_text(json.dumps({**record, "used": True}))
    assert run(model_info.main, home, "-t", "1") == 0
    dice = record["dice"]["fused"][0]
    assert f"views fused; their Dice on cases that this was not fitted to: ball {dice:.4f}." in capsys.readouterr().out
    image = next((home / "raw_data" / TASK / "imagesTs").iterdir())
    fused, words = tmp_path / "fused.nii.gz", ("-i", str(image), *chosen, *COMPUTING)
    assert run(predict.main, home, *words, "-o", str(fused)) == 0
    assert "fusion.json: not used" not in capsys.readouterr().err
    assert read_image(fused).data.shape == read_image(image).data.shape
    assert set(np.unique(read_image(fused).data)) <= {0, 1}

    again = ("multiplanar", "TrainerNoMirroring", "1", "1", "--overwrite", "--epochs", "1", "--seed", "2", *SHORT)
    assert run(train.main, home, *again) == 0
    capsys.readouterr()
    assert run(predict.main, home, *words, "-o", str(tmp_path / "mean.nii.gz")) == 0
    assert "fusion.json: not used, as it was fitted to other networks of fold 1" in capsys.readouterr().err
    assert run(summary.main, home, *chosen) == 0
    assert "fused" not in capsys.readouterr().out, "it is worth something for other networks"
