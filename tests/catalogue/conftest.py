"""The sound workspace that every entry of the catalogue spoils in its own way."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from spoiling import TASK, Place, copy_of, shrink

TRAINING = "--epochs 1 --iterations_per_epoch 1 --seed 1 --num_workers 0 -device cpu --precision fp32".split()


@pytest.fixture(scope="session")
def sound(make_task: Any, select: Any, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a home of one small task, planned, prepared, with a fold of 2d trained, and an archive of it.

    3d_fullres has two folds with the weights they began with, and a selection names both configurations.
    """
    from autoseg.commands import export_model, plan_and_preprocess, train
    from autoseg.inference.model import WeightsFile, load_weights, save_weights
    from autoseg.networks import build_network
    from autoseg.plans import load_plans, save_plans

    outer = tmp_path_factory.mktemp("sound")
    place = Place(outer)
    home = ("--home", str(place.home))
    make_task(TASK, parent=place.home / "raw_data", shape=(8, 12, 12))
    assert plan_and_preprocess.main(["-t", "1", "-tf", "1", "-no_pp", *home]) == 0
    shrink(place.home)
    assert plan_and_preprocess.main(["-t", "1", "-tf", "1", "-pl3d", "None", "-pl2d", "None", *home]) == 0
    assert train.main(["2d", "Trainer", "1", "0", *TRAINING, *home]) == 0
    plans = load_plans(place.plans("3d_fullres"))
    save_plans(plans, place.model("3d_fullres") / "plans.pkl")
    network = build_network(plans.configuration("3d_fullres"), 1, 2)
    template = load_weights(place.weights("2d"))
    file: WeightsFile = replace(template, mirror_axes=(0, 1, 2), weights=dict(network.state_dict()))
    for fold in ("fold_0", "fold_1"):
        save_weights(place.weights("3d_fullres", fold), file)
    assert export_model.main(["-t", "1", "-o", str(place.archive), "-m", "2d", *home]) == 0
    select(place.home, "2d", expected_dice=0.5, interval=(0.4, 0.6), scores={"2d": 0.5}, sources={"2d": "0"})
    return outer


@pytest.fixture
def place(sound: Path, tmp_path: Path) -> Place:
    return copy_of(sound, tmp_path / "outer")
