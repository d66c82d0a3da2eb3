"""The plans of a configuration: found in either file, and what is said where it is in neither."""

from __future__ import annotations

from pathlib import Path

import pytest
from small_plans import unet_plan

from autoseg.errors import PlanError
from autoseg.files.layout import plans_in
from autoseg.files.model_folder import ModelKey
from autoseg.paths import Workspace
from autoseg.planning.planned import load_planned
from autoseg.plans import save_plans
from autoseg.training.trial import trial_plans

TASK = "Task001_Balls"


@pytest.fixture
def workspace(tmp_path: Path) -> Workspace:
    """With a file of slices and one of volumes."""
    workspace = Workspace.from_environment({}, home=tmp_path)
    slices, volumes = unet_plan("2d", patch_size=(16, 16)), unet_plan("3d_fullres", patch_size=(16, 16, 16))
    for dimensions, plan in ((2, slices), (3, volumes)):
        save_plans(trial_plans(plan), plans_in(workspace.task(TASK).preprocessed, dimensions, "autoseg"))
    return workspace


@pytest.mark.parametrize("configuration", ["2d", "3d_fullres"])
def test_either_file_is_looked_into(workspace: Workspace, configuration: str) -> None:
    plans = load_planned(ModelKey(task=TASK, configuration=configuration), workspace)

    assert list(plans.configurations) == [configuration]


def test_what_is_planned_is_named_of_both_files(workspace: Workspace) -> None:
    with pytest.raises(PlanError) as caught:
        load_planned(ModelKey(task=TASK, configuration="3d_lowres"), workspace)

    assert str(caught.value) == (
        f"{TASK}: 3d_lowres is not planned; planned are 2d, 3d_fullres; train one of these, or plan again: "
        "autoseg_plan_and_preprocess says why it was left out"
    )


@pytest.mark.parametrize("configuration", ["multiplanar", "multiplanar_3d"])
def test_what_looks_along_directions_has_to_be_asked_for(workspace: Workspace, configuration: str) -> None:
    plans_in(workspace.task(TASK).preprocessed, 3, "autoseg").unlink()
    with pytest.raises(PlanError) as caught:
        load_planned(ModelKey(task=TASK, configuration=configuration), workspace)

    assert str(caught.value) == (
        f"{TASK}: {configuration} is not planned; planned are 2d; train one of these, or plan again with `{configuration}`"
    )


def test_a_damaged_file_of_others_stops_nobody(workspace: Workspace) -> None:
    plans_in(workspace.task(TASK).preprocessed, 2, "autoseg").write_bytes(b"")

    assert load_planned(ModelKey(task=TASK, configuration="3d_fullres"), workspace).configurations
