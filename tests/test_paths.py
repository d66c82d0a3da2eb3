"""The folders, their precedence, and the names of artefacts."""

from __future__ import annotations

from pathlib import Path

import pytest

from autoseg.errors import WorkspaceError
from autoseg.files.model_folder import ModelKey
from autoseg.paths import Workspace
from autoseg.plans import find_plans


def folders(workspace: Workspace) -> tuple[str, str, str]:
    return str(workspace.raw_data), str(workspace.preprocessed), str(workspace.results)


@pytest.mark.parametrize(
    ("environment", "home", "expected", "unnamed"),
    [
        (
            {},
            None,
            ("autoseg_data/raw_data", "autoseg_data/preprocessed", "autoseg_data/results"),
            ("raw_data", "preprocessed", "results"),
        ),
        ({"AUTOSEG_HOME": "/h"}, None, ("/h/raw_data", "/h/preprocessed", "/h/results"), ()),
        ({"AUTOSEG_HOME": "/h", "AUTOSEG_RESULTS": "/r"}, None, ("/h/raw_data", "/h/preprocessed", "/r"), ()),
        (
            {"AUTOSEG_RAW_DATA": "/raw"},
            None,
            ("/raw", "autoseg_data/preprocessed", "autoseg_data/results"),
            ("preprocessed", "results"),
        ),
        (
            {"AUTOSEG_HOME": "/h", "AUTOSEG_RAW_DATA": "/raw"},
            Path("/mine"),
            ("/mine/raw_data", "/mine/preprocessed", "/mine/results"),
            (),
        ),
        ({"AUTOSEG_HOME": ' "/quoted" '}, None, ("/quoted/raw_data", "/quoted/preprocessed", "/quoted/results"), ()),
        (
            {"AUTOSEG_HOME": ""},
            None,
            ("autoseg_data/raw_data", "autoseg_data/preprocessed", "autoseg_data/results"),
            ("raw_data", "preprocessed", "results"),
        ),
    ],
)
def test_the_nearest_name_of_a_folder_wins(
    environment: dict[str, str], home: Path | None, expected: tuple[str, str, str], unnamed: tuple[str, ...]
) -> None:
    workspace = Workspace.from_environment(environment, home=home)

    assert folders(workspace) == expected
    assert workspace.unnamed == unnamed


@pytest.fixture
def workspace(tmp_path: Path) -> Workspace:
    workspace = Workspace.from_environment({}, home=tmp_path)
    for folder in (
        workspace.raw_data / "Task004_Hippocampus",
        workspace.raw_data / "Task1004_Other",
        workspace.raw_data / "notes",
        workspace.preprocessed / "Task005_Prostate",
        workspace.results / "2d" / "Task006_Lung" / "Trainer__autoseg" / "fold_0",
        workspace.results / "2d" / "Task007_Empty" / "Trainer__autoseg" / "fold_0",
        workspace.results / "runs" / "Task008_NoModel",
    ):
        folder.mkdir(parents=True)
    (workspace.results / "2d" / "Task006_Lung" / "Trainer__autoseg" / "fold_0" / "weights_best.pt").touch()
    return workspace


@pytest.mark.parametrize(
    ("given", "found"),
    [
        ("4", "Task004_Hippocampus"),
        ("004", "Task004_Hippocampus"),
        ("Task004", "Task004_Hippocampus"),
        ("Task004_Hippocampus", "Task004_Hippocampus"),
        ("1004", "Task1004_Other"),
        ("5", "Task005_Prostate"),
        ("Task006", "Task006_Lung"),
    ],
)
def test_a_task_is_found_by_number_or_name_in_any_folder(workspace: Workspace, given: str, found: str) -> None:
    assert workspace.find_task(given) == found


@pytest.mark.parametrize("given", ["9", "Task04", "Hippocampus", "Task004_hippocampus", ""])
def test_an_unknown_task_is_refused_with_the_known_ones(workspace: Workspace, given: str) -> None:
    with pytest.raises(WorkspaceError) as caught:
        workspace.find_task(given)

    message = str(caught.value)
    assert message.startswith(f"{given!r}: no task of that name in {workspace.raw_data}, ")
    assert "known: Task004_Hippocampus, Task005_Prostate, Task006_Lung, Task007_Empty, Task1004_Other." in message
    assert message.endswith("Name it as 4, Task004 or Task004_Name, and check AUTOSEG_HOME or `home`.")


def test_two_tasks_of_one_number_are_both_named(workspace: Workspace) -> None:
    (workspace.raw_data / "Task005_Heart").mkdir()

    with pytest.raises(WorkspaceError, match=r"'5': 2 tasks \(Task005_Heart, Task005_Prostate\) of that name in "):
        workspace.find_task("5")
    assert workspace.find_task("Task005_Heart") == "Task005_Heart"


def test_only_tasks_with_weights_count_as_having_models(workspace: Workspace) -> None:
    assert workspace.tasks_with_models() == ("Task006_Lung",)


def test_artefacts_lie_where_users_of_the_field_look_for_them() -> None:
    workspace = Workspace.from_environment({"AUTOSEG_HOME": "/h"})
    task = "Task004_Hippocampus"

    assert [
        str(path)
        for path in (
            workspace.task(task).raw,
            workspace.task(task).fingerprint,
            workspace.task(task).splits,
            workspace.task(task).patients,
            find_plans(workspace.task(task), "2d"),
            find_plans(workspace.task(task), "3d_cascade_fullres", "mine"),
            workspace.model(ModelKey(task=task, configuration="3d_fullres")).fold("0").folder,
            workspace.model(ModelKey.named(task, "2d", "my.py:MyTrainer", "mine")).fold("all").folder,
            workspace.task(task).prepared("3d_lowres"),
            workspace.task(task).references,
            workspace.task(task).selection,
            workspace.task(task).run_folder,
        )
    ] == [
        "/h/raw_data/Task004_Hippocampus",
        "/h/preprocessed/Task004_Hippocampus/fingerprint.json",
        "/h/preprocessed/Task004_Hippocampus/splits_final.json",
        "/h/raw_data/Task004_Hippocampus/patients.json",
        "/h/preprocessed/Task004_Hippocampus/autoseg_plans_2D.pkl",
        "/h/preprocessed/Task004_Hippocampus/mine_plans_3D.pkl",
        "/h/results/3d_fullres/Task004_Hippocampus/Trainer__autoseg/fold_0",
        "/h/results/2d/Task004_Hippocampus/MyTrainer__mine/all",
        "/h/preprocessed/Task004_Hippocampus/autoseg_3d_lowres",
        "/h/preprocessed/Task004_Hippocampus/gt_segmentations",
        "/h/results/selections/Task004_Hippocampus/selection.json",
        "/h/results/runs/Task004_Hippocampus",
    ]
