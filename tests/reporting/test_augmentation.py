"""Pictures of what an augmentation does."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from matplotlib.image import imread

from autoseg.dataset.folds import Split
from autoseg.errors import WorkspaceError
from autoseg.reporting.augmentation import named_steps, plot_augmentation
from autoseg.training import find_trainer
from autoseg.training.fold.data import FoldData
from autoseg.training.settings import TrainingSettings
from autoseg.training.trainer import Trainer
from autoseg.training.trial import save_trial_cases, trial_plan, trial_plans


def made(folder: Path, name: str) -> Trainer:
    store = save_trial_cases(folder / "prepared", (16, 20, 20), number=3)
    data = FoldData(
        plans=trial_plans(trial_plan((12, 16, 16), levels=2, features=4)),
        configuration="3d_fullres",
        cases=store,
        split=Split(training=store.identifiers()[:2], validation=store.identifiers()[2:]),
        output=folder / "fold_0",
        references=folder,
    )
    return find_trainer(name).build(data, settings=TrainingSettings(workers=0), device="cpu")


@pytest.mark.parametrize(("name", "steps"), [("Trainer", 9), ("TrainerDA3", 10), ("TrainerDA5", 15)])
def test_each_step_that_draws_is_sure_to_happen(name: str, steps: int, tmp_path: Path) -> None:
    named = named_steps(made(tmp_path, name).training_augmentation())

    assert len(named) == steps
    assert "gamma, inverted" in named and "mirroring" in named
    if name == "TrainerDA5":
        assert {"median filter or gaussian blur", "contrast", "gamma, inverted (2)", "low resolution"} < named.keys()


def test_a_picture_shows_every_step_before_and_after(tmp_path: Path) -> None:
    steps = plot_augmentation(made(tmp_path, "Trainer"), tmp_path / "steps.png", samples=1)

    assert steps[:2] == ("rotation, scale", "noise")
    pixels = imread(tmp_path / "steps.png")
    assert pixels.shape[0] > 5 * pixels.shape[1] / 2
    before, after = np.split(pixels[..., :3], [pixels.shape[1] // 2], axis=1)
    assert before.std() > 0.1 and after.std() > 0.1
    with pytest.raises(WorkspaceError, match="TrainerNoAugmentation: its recipe varies nothing"):
        plot_augmentation(made(tmp_path / "none", "TrainerNoAugmentation"), tmp_path / "none.png")
