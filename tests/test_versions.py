"""Files that a newer autoseg made: used with a warning as long as they can be read, else refused with both versions."""

from __future__ import annotations

import json
import logging
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from small_plans import unet_plan

import autoseg
from autoseg.ensembling.selection import load_selection
from autoseg.errors import DatasetError, ModelError, PlanError
from autoseg.inference.model import load_weights
from autoseg.planning.fingerprint import DatasetFingerprint, load_fingerprint, save_fingerprint
from autoseg.plans import Plans, load_plans, load_plans_json, save_plans
from autoseg.training.fold.checkpoint import load_checkpoint
from autoseg.versions import is_newer

HERE = autoseg.__version__
PLANS = Plans(
    format=2,
    version="99.1",
    identifier="autoseg",
    planner="Planner2D",
    dataset="Task001_T",
    channels=("MRI",),
    labels=("background", "ball"),
    transpose_forward=(0, 1, 2),
    transpose_backward=(0, 1, 2),
    intensities=None,
    configurations={
        "2d": unet_plan(
            name="2d",
            spacing=(1.0, 1.0, 1.0),
            median_shape=(8, 8, 8),
            patch_size=(8, 8),
            batch_size=2,
            poolings=((2, 2),),
            kernels=((3, 3), (3, 3)),
            in_plane=False,
            normalisation=("nonCT",),
            masked=(False,),
            batch_dice=True,
            previous=None,
            network="unet",
            features=4,
            max_features=8,
            convs_per_stage=1,
        )
    },
)


@pytest.mark.parametrize(
    ("version", "newer"),
    [(HERE, False), ("0.0.9", False), ("99", True), ("0.99.0", True), (f"{HERE}.0", False), (f"{HERE}+local", False)]
    + [(nothing, False) for nothing in ("", "unknown", None, 3, [])],
)
def test_which_versions_are_newer(version: object, newer: bool) -> None:
    assert is_newer(version) is newer


def plans(folder: Path) -> Path:
    save_plans(PLANS, folder / "p.pkl")
    return folder / "p.pkl"


def plans_view(folder: Path) -> Path:
    return plans(folder).with_suffix(".json")


def weights(folder: Path) -> Path:
    content = {"trainer": "T", "custom_network": False, "mirror_axes": [], "epoch": 1, "weights": {"a": torch.zeros(1)}}
    torch.save({"format": 1, "version": "99.1", **content}, folder / "w.pt")
    return folder / "w.pt"


def checkpoint(folder: Path) -> Path:
    torch.save({"format": 2, "version": "99.1"}, folder / "c.pt")
    return folder / "c.pt"


def fingerprint(folder: Path) -> Path:
    measured = DatasetFingerprint(
        channels=("MRI",),
        labels=("background", "ball"),
        cases=("a",),
        spacings=((1.0, 1.0, 1.0),),
        shapes=((8, 8, 8),),
        kept_fractions=(1.0,),
        intensities=(None,),
    )
    return changed_json(save(measured, folder / "fingerprint.json"), version="99.1")


def save(measured: DatasetFingerprint, path: Path) -> Path:
    save_fingerprint(measured, path)
    return path


def changed_json(path: Path, **changes: object) -> Path:
    path.write_text(json.dumps(json.loads(path.read_text()) | changes))
    return path


LOADERS: list[tuple[Callable[[Path], Path], Callable[[Path], object]]] = [
    (plans, load_plans),
    (plans_view, load_plans_json),
    (weights, load_weights),
    (checkpoint, load_checkpoint),
    (fingerprint, load_fingerprint),
]


@pytest.mark.parametrize(("make", "load"), LOADERS, ids=lambda function: function.__name__)
def test_a_file_of_a_newer_version_is_read_with_one_warning(
    make: Callable[[Path], Path], load: Callable[[Path], object], tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    path = make(tmp_path)
    with caplog.at_level(logging.WARNING, "autoseg"):
        load(path)
        load(path)

    assert caplog.messages == [
        f"{path}: autoseg 99.1 made it, and this is autoseg {HERE}: a newer one may mean something else by it; "
        "install 99.1 or newer"
    ]


def test_a_selection_of_a_newer_version_is_read_with_a_warning(
    select: Callable[..., Path], tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    path = select(tmp_path, "2d", version="99.1")
    with caplog.at_level(logging.WARNING, "autoseg"):
        load_selection(path)
    assert f"autoseg 99.1 made it, and this is autoseg {HERE}" in caplog.text

    with pytest.raises(ModelError, match=f"unknown regions; autoseg 99.1 made it, and this is autoseg {HERE}; install"):
        load_selection(changed_json(path, regions=[]))


@pytest.mark.parametrize("version", [HERE, "0.0.1"])
def test_of_this_version_and_those_before_nothing_is_said(
    version: str, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    save_plans(replace(PLANS, version=version), tmp_path / "p.pkl")
    with caplog.at_level(logging.WARNING, "autoseg"):
        load_plans(tmp_path / "p.pkl")

    assert caplog.messages == []


def test_what_only_a_newer_version_understands_is_refused_with_both_versions(tmp_path: Path) -> None:
    said = f"autoseg 99.1 made it, and this is autoseg {HERE}; install 99.1 or newer"
    with pytest.raises(PlanError, match=f"unknown regions\n.*{said}"):
        load_plans_json(changed_json(plans_view(tmp_path), regions=[]))
    with pytest.raises(DatasetError, match=f"unknown regions; {said}"):
        load_fingerprint(changed_json(fingerprint(tmp_path), regions=[]))


def test_a_fingerprint_of_the_version_before_is_read_as_ever(tmp_path: Path) -> None:
    path = fingerprint(tmp_path)
    content = json.loads(path.read_text())
    expected = load_fingerprint(path)
    path.write_text(json.dumps({name: value for name, value in content.items() if name != "version"}))

    assert load_fingerprint(path) == expected
