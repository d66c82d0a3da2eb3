"""Regions from dataset.json to the mean of two models: trained for a second, their probabilities kept and averaged."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np

from autoseg.commands import ensemble, plan_and_preprocess, predict, train
from autoseg.images import read_image
from autoseg.inference.probabilities import load_probabilities

TASK = "Task001_Balls"
SHORT = (
    "--epochs 1 --iterations_per_epoch 1 --batch_size 2 --seed 1 --num_workers 0 -device cpu --precision fp32".split()
)
COMPUTING = ("-device", "cpu", "--precision", "fp32", "--disable_tta")


def run(main: Any, home: Path, *words: str) -> None:
    assert main([*words, "--home", str(home)]) == 0


def test_two_models_of_regions_are_averaged_and_predict_as_a_selected_pair(
    make_task: Any, tmp_path: Path, select: Any
) -> None:
    home = tmp_path / "home"
    task = make_task(TASK, parent=home / "raw_data", cases=5, test_cases=1, labels=("background", "shell", "core"))
    described = json.loads((task / "dataset.json").read_text())
    described |= {"labels": {"background": 0, "whole": [1, 2], "core": 2}, "regions_class_order": [1, 2]}
    (task / "dataset.json").write_text(json.dumps(described))
    run(plan_and_preprocess.main, home, "-t", "1")
    for configuration in ("2d", "3d_fullres"):
        run(train.main, home, configuration, "Trainer", "1", "0", *SHORT)

    words = ("-t", "1", "-i", str(home / "raw_data" / TASK / "imagesTs"), "--save_npz", *COMPUTING)
    folders = [tmp_path / configuration for configuration in ("2d", "3d_fullres")]
    for folder in folders:
        run(predict.main, home, *words, "-m", folder.name, "-o", str(folder))
    run(ensemble.main, home, "-f", *map(str, folders), "-o", str(tmp_path / "mean"), "--npz")
    select(home, "2d", "3d_fullres")
    run(predict.main, home, "--best", *words, "-o", str(tmp_path / "best"))

    (case,) = (tmp_path / "mean").glob("*.npz")
    kept = [load_probabilities(folder / case.name) for folder in folders]
    mean = sum(kept) / 2
    expected = np.where(mean[1] > 0.5, 2, np.where(mean[0] > 0.5, 1, 0))
    clear = (np.abs(mean - 0.5) > 1e-5).all(axis=0)
    assert kept[0].shape == kept[1].shape == (2, 12, 16, 14) and clear.mean() > 0.99
    for folder in ("mean", "best"):
        found = read_image(tmp_path / folder / case.name.replace(".npz", ".nii.gz")).data
        np.testing.assert_array_equal(found[clear], expected[clear])
        np.testing.assert_allclose(load_probabilities(tmp_path / folder / case.name), mean, atol=1e-5)
    assert len(np.unique(expected)) > 1, "or nothing would be decided"
