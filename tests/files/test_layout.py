"""Names of files and folders, and what is read from them."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from autoseg.command_words import training_command
from autoseg.errors import WorkspaceError
from autoseg.files.layout import has_plans, parse_fold, parse_plans, plans_in, task_number
from autoseg.files.model_folder import FoldFolder, ModelFolder, ModelKey, parse_model

KEY = ModelKey(task="Task004_Balls", configuration="2d")
WORDS = st.from_regex(r"[A-Za-z]\w{0,9}", fullmatch=True).filter(lambda word: "__" not in word and word[-1] != "_")


def test_every_file_of_a_fold_has_the_name_that_users_know() -> None:
    fold = ModelFolder.below(Path("results"), KEY).fold("0")
    folder = Path("results/2d/Task004_Balls/Trainer__autoseg/fold_0")

    assert [str(path.relative_to(folder)) for path in (*fold.training_files, *fold.training_folders)] == [
        "checkpoint.pt",
        "weights_final.pt",
        "weights_best.pt",
        "history.json",
        "history.csv",
        "progress.png",
        "patch.png",
        "patch.gif",
        "training.log",
        "run.json",
        "debug.json",
        "architecture.txt",
        "architecture.png",
        "validation_raw",
        "validation_raw_best",
        "validation_views",
        "tensorboard",
    ]
    assert fold.summary() == folder / "validation_raw" / "summary.json"
    assert fold.model_plans == folder.parent / "plans.pkl" == ModelFolder.below(Path("results"), KEY).plans_file


@given(task=st.integers(0, 999), configuration=WORDS, trainer=WORDS, plans=WORDS, fold=st.integers(0, 999))
def test_what_a_folder_is_called_says_which_model_it_is(
    task: int, configuration: str, trainer: str, plans: str, fold: int
) -> None:
    key = ModelKey(task=f"Task{task:03d}_X", configuration=configuration, trainer=trainer, plans=plans)
    model = ModelFolder.below(Path("results"), key)

    assert parse_model(model.folder) == model
    assert [parse_fold(model.fold(name).folder) for name in (str(fold), "all")] == [str(fold), "all"]
    assert str(model.folder) == f"results/{key.place}" and task_number(key.task) == task


@pytest.mark.parametrize("name", ["fold_", "fold_a", "fold_1000", "0", "ALL", "fold_all", "previous_stage"])
def test_a_folder_of_another_name_is_no_folds(name: str) -> None:
    assert parse_fold(Path("results") / name) is None
    assert FoldFolder(folder=Path("results") / name).fold == name


def test_a_name_without_trainer_or_plans_is_no_models() -> None:
    assert [parse_model(Path("2d/Task004_X") / name) for name in ("Trainer", "Trainer__", "__plans", "")] == [None] * 4
    key = ModelKey(task="Task004_X", configuration="2d", trainer="A", plans="b__c")
    assert parse_model(Path("2d/Task004_X/A__b__c")) == ModelFolder(key=key, folder=Path("2d/Task004_X/A__b__c"))


def test_a_users_own_file_makes_no_other_model() -> None:
    named = ModelKey.named("Task004_Balls", "2d", "my recipes.py:Trainer")

    assert named == KEY and hash(named) == hash(KEY)
    assert training_command(named, "0", "-c") == "autoseg_train 2d 'my recipes.py:Trainer' Task004_Balls 0 -c"
    assert training_command(named.of("3d_lowres"), "1").startswith("autoseg_train 3d_lowres 'my recipes.py:Trainer'")
    assert named.choice == "`configuration=2d, trainer=Trainer, plans=autoseg`"


def test_other_plans_are_named_on_the_command_line() -> None:
    key = ModelKey(task="Task004_Balls", configuration="2d", plans="mine")

    assert training_command(key, "all", "--npz") == "autoseg_train 2d Trainer Task004_Balls all --npz -p mine"


def test_folds_are_found_by_their_weights_in_the_order_of_their_numbers(tmp_path: Path) -> None:
    model = ModelFolder(key=KEY, folder=tmp_path)
    for fold in ("all", "10", "2"):
        model.fold(fold).folder.mkdir()
        model.fold(fold).weights("best").touch()
    model.fold("10").weights().touch()
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "weights_best.pt").touch()

    assert model.folds("best") == ("2", "10", "all") and model.folds() == ("10",)
    assert [fold.fold for fold in model.fold("2").neighbours() if fold.is_started] == ["10"]
    assert [path.parent.name for path in model.all_weights()] == ["all", "fold_10", "fold_10", "fold_2", "other"]


def test_what_is_written_just_now_is_no_validated_case(tmp_path: Path) -> None:
    model = ModelFolder(key=KEY, folder=tmp_path)
    for fold, name in (
        ("1", "b.nii.gz"),
        ("0", "c.nii.gz"),
        ("0", ".writing-a.nii.gz"),
        ("0", "c.npz"),
        ("all", "a.nii.gz"),
    ):
        model.fold(fold).validation().mkdir(parents=True, exist_ok=True)
        (model.fold(fold).validation() / name).touch()

    assert [path.name for path in model.validated_cases()] == ["c.nii.gz", "b.nii.gz"]
    assert [path.name for path in model.fold("all").validated_cases()] == ["a.nii.gz"]


def test_plans_say_in_their_files_name_what_they_are_filed_under(tmp_path: Path) -> None:
    assert [plans_in(Path("x"), dimensions, "mine").name for dimensions in (2, 3)] == [
        "mine_plans_2D.pkl",
        "mine_plans_3D.pkl",
    ]
    assert [parse_plans(plans_in(Path("x"), 2, name)) for name in ("autoseg", "a_plans_3D")] == [
        "autoseg",
        "a_plans_3D",
    ]
    assert parse_plans(Path("mine_plans_3D.json")) == "mine" and parse_plans(Path("other.json")) == "other"
    assert not has_plans(tmp_path)
    plans_in(tmp_path, 2, "mine").touch()
    assert has_plans(tmp_path)


def test_a_folder_of_another_name_is_no_tasks() -> None:
    with pytest.raises(WorkspaceError, match="Dataset004_X: a task folder is called TaskXXX_Name, for example"):
        task_number("Dataset004_X")
