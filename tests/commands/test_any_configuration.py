"""A configuration of a name that is none of ours, planned by a user's file, goes the whole way."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from autoseg.commands import (
    export_model,
    find_best_configuration,
    install_model,
    plan_and_preprocess,
    predict,
    train,
)
from autoseg.conversion.phantom import make_phantom_task
from autoseg.ensembling.selection import load_selection
from autoseg.files.storage import write_json
from autoseg.images import read_image
from autoseg.paths import Workspace
from autoseg.plans import find_plans, load_plans

TASK = "Task001_Phantom"
PLANNER = """
from autoseg.planning import Planner3D


class Small(Planner3D):
    features = 4

    def stages(self):
        full, *_ = super().stages().values()
        coarse = self.plan_stage(tuple(2 * side for side in full.spacing))
        return {"3d_small": coarse, "3d_finer": full}

    def previous(self, configuration):
        return "3d_small" if configuration == "3d_finer" else None
"""


def test_it_is_planned_trained_selected_ensembled_exported_installed_and_predicts(tmp_path: Path) -> None:
    home = ["--home", str(tmp_path / "home")]
    workspace = Workspace.from_environment({}, home=tmp_path / "home")
    make_phantom_task(workspace.raw_data, TASK, cases=6, test_cases=2)
    (tmp_path / "small.py").write_text(PLANNER)

    planning = ["-t", "1", "-pl3d", f"{tmp_path / 'small.py'}:Small", "-pl2d", "None", "-p", "small", *home]
    assert plan_and_preprocess.main(planning) == 0
    plans = load_plans(find_plans(workspace.task(TASK), "3d_small", "small"))
    assert {name: (one.previous, one.prepared_as, one.cost) for name, one in plans.configurations.items()} == {
        "3d_small": (None, "3d_small", 2),
        "3d_finer": ("3d_small", "3d_finer", 2),
    }

    short = "--epochs 1 --iterations_per_epoch 2 --batch_size 2 --num_workers 1 -device cpu --npz -p small".split()
    cases = [f"phantom_{number:03d}" for number in range(6)]
    folds = [{"train": cases[:3], "val": cases[3:]}, {"train": cases[3:], "val": cases[:3]}]
    write_json(workspace.task(TASK).splits, folds)
    for configuration in ("3d_small", "3d_finer"):
        for fold in "01":
            assert train.main([configuration, "Trainer", "1", fold, *short, *home]) == 0
    choosing = ["-t", "1", "-m", "3d_small", "3d_finer", "-p", "small", "-f", "0", "1", *home]
    assert find_best_configuration.main(choosing) == 0
    selection = load_selection(workspace.task(TASK).selection)
    assert set(selection.scores) == {"3d_small", "3d_finer", "3d_finer+3d_small"}

    images, archive = workspace.task(TASK).raw / "imagesTs", tmp_path / "model.zip"
    exporting = ["-t", "1", "-m", "3d_finer", "-p", "small", "-o", str(archive), *home]
    assert export_model.main(exporting) == 0
    there = ["--home", str(tmp_path / "there")]
    assert install_model.main([str(archive), *there]) == 0
    for number, place in enumerate((home, there)):
        words = ["-i", str(images), "-o", str(tmp_path / f"out_{number}"), "-t", "1", "-m", "3d_finer", "-p", "small"]
        assert predict.main([*words, "-f", "0", "1", "-device", "cpu", "--engine", "torch", *place]) == 0
    for path in sorted((tmp_path / "out_0").glob("*.nii.gz")):
        here, installed = (read_image(tmp_path / f"out_{number}" / path.name).data for number in (0, 1))
        np.testing.assert_array_equal(here, installed)
