"""Cases that come, go, or turn out to be one patient's after the folds were made: every command says so, none compares across."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from autoseg.commands import (
    determine_postprocessing,
    find_best_configuration,
    plan_and_preprocess,
    run,
    train,
    verify_dataset,
)
from autoseg.files.locking import hold_lock
from autoseg.files.model_folder import ModelKey
from autoseg.paths import Workspace
from autoseg.plans import find_plans
from autoseg.preprocessing.store import PreparedCases
from autoseg.training.fold.run_record import RunRecord, begin_run

TASK = "Task001_Balls"
MODEL = ModelKey(task=TASK, configuration="2d")
CASES = [f"case_00{number}" for number in range(7)]
PREPARE = ("-tf", "1", "-pl3d", "None")
NEW = "move that file away and autoseg_train makes new folds, for which every fold has to be trained anew"

Told = pytest.CaptureFixture[str]


@pytest.fixture(scope="module")
def made(make_task: Any, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Seven cases, prepared for 2d, with folds."""
    home = tmp_path_factory.mktemp("home")
    make_task(TASK, parent=home / "raw_data", cases=7, test_cases=0, shape=(6, 12, 12))
    assert plan_and_preprocess.main(["-t", "1", *PREPARE, "--home", str(home)]) == 0
    assert (
        train.main(["2d", "Trainer", "1", "0", "-val", "--home", str(home)]) == 1
    )  # folds are made, nothing is trained
    return home


@pytest.fixture
def home(made: Path, tmp_path: Path) -> Path:
    shutil.copytree(made, tmp_path / "home")
    return tmp_path / "home"


@pytest.fixture
def said(home: Path, capsys: Told) -> Iterator[Callable[..., str]]:
    """What a command says, all of it."""
    capsys.readouterr()

    def call(command: Any, *words: str, code: int = 0) -> str:
        assert command.main([*words, "--home", str(home)]) == code
        told = capsys.readouterr()
        return told.out + told.err

    yield call


def workspace(home: Path) -> Workspace:
    return Workspace.from_environment({}, home=home)


def lists(home: Path, *cases: str) -> None:
    path = home / "raw_data" / TASK / "dataset.json"
    content = json.loads(path.read_text())
    training = [{"image": f"./imagesTr/{case}.nii.gz", "label": f"./labelsTr/{case}.nii.gz"} for case in cases]
    path.write_text(json.dumps(content | {"training": training, "numTraining": len(cases)}))


def with_a_new_case(home: Path) -> str:
    """One more case, in every respect another; returns what is to be said of it."""
    raw = home / "raw_data" / TASK
    shutil.copy(raw / "imagesTr/case_000_0000.nii.gz", raw / "imagesTr/new_0000.nii.gz")
    shutil.copy(raw / "labelsTr/case_000.nii.gz", raw / "labelsTr/new.nii.gz")
    lists(home, *CASES, "new")
    path = workspace(home).task(TASK).splits
    return f"{path}: 1 case in no fold, so it is neither trained on nor validated: new; {NEW}"


def trained(home: Path, fold: str, *cases: str) -> Path:
    """The record of a training on these cases."""
    trained = workspace(home).model(MODEL).fold(fold)
    trained.folder.mkdir(parents=True, exist_ok=True)
    record = RunRecord(
        trainer="Trainer",
        configuration="2d",
        seed=0,
        epochs=1,
        iterations_per_epoch=1,
        batch_size=2,
        training=cases,
        validation=(),
        plan="",
        data="",
        previous=None,
        sessions=(),
    )
    begin_run(trained, record, continued=False)
    return trained.folder


def test_a_case_added_since_is_told_by_every_command(home: Path, said: Callable[..., str]) -> None:
    told = with_a_new_case(home)

    assert f"{told}\n" in said(plan_and_preprocess, "-t", "1", *PREPARE)
    assert told.partition(": ")[2] in said(verify_dataset, "-t", "1", "--workers", "1", code=1)  # a copy, too
    assert f"{told}\n" in said(train, "2d", "Trainer", "1", "3", "-val", code=1)
    trained(home, "0")
    shutil.copy(find_plans(workspace(home).task(TASK), "2d"), workspace(home).model(MODEL).plans_file)
    assert f"{told}\n" in said(find_best_configuration, "-t", "1", code=1)
    assert f"{told}\n" in said(determine_postprocessing, "-t", "1", "-m", "2d", code=1)
    assert f"{told}\n" in said(run, "-t", "1", "-m", "2d", "-pl3d", "None", "--dry_run")
    assert told not in said(train, "2d", "Trainer", "1", "all", "-val", code=1)


def test_patients_declared_late_are_told(home: Path, said: Callable[..., str]) -> None:
    (home / "raw_data" / TASK / "patients.json").write_text(
        json.dumps({case: f"patient {number // 2}" for number, case in enumerate(CASES)})
    )

    both = "trained on and validated with images of the same patient"
    assert f"folds 0, 1, 2, 3, 4: {both}" in said(verify_dataset, "-t", "1", "--workers", "1")
    assert f"fold 2: {both}" in said(train, "2d", "Trainer", "1", "2", "-val", code=1)
    assert f"folds 0, 1, 2, 3, 4: {both}" in said(run, "-t", "1", "-m", "2d", "-pl3d", "None", "--dry_run")


def test_patients_declared_late_in_a_table_are_told(home: Path, said: Callable[..., str]) -> None:
    lines = [f"{case}\tpatient {number // 2}\n" for number, case in enumerate(CASES)]
    (home / "raw_data" / TASK / "metadata.tsv").write_text("".join(["case\tpatient\n", *lines]))

    both = "trained on and validated with images of the same patient"
    assert f"folds 0, 1, 2, 3, 4: {both}" in said(verify_dataset, "-t", "1", "--workers", "1")
    assert f"fold 2: {both}" in said(train, "2d", "Trainer", "1", "2", "-val", code=1)
    assert f"folds 0, 1, 2, 3, 4: {both}" in said(plan_and_preprocess, "-t", "1", *PREPARE)


def test_a_case_without_a_line_in_the_table_is_told_once_by_each_command(home: Path, said: Callable[..., str]) -> None:
    lines = [f"{case}\tunf\n" for case in CASES[1:]]
    (home / "raw_data" / TASK / "metadata.tsv").write_text("".join(["case\tsite\n", *lines]))
    told = "metadata.tsv: no line for 1 case, so nothing is known of it: case_000\n"

    for command, words, code in (
        (verify_dataset, ("-t", "1", "--workers", "1"), 0),
        (plan_and_preprocess, ("-t", "1", *PREPARE), 0),
        (train, ("2d", "Trainer", "1", "2", "-val"), 1),
        (train, ("2d", "Trainer", "1", "all", "-val"), 1),
        (run, ("-t", "1", "-m", "2d", "-pl3d", "None", "--dry_run"), 0),
    ):
        assert said(command, *words, code=code).count(told) == 1


def test_a_fold_is_not_scored_on_cases_that_it_was_trained_on(home: Path, said: Callable[..., str]) -> None:
    validated = json.loads(workspace(home).task(TASK).splits.read_text())[0]["val"]
    folder = trained(home, "0", *CASES)

    assert (
        f"autoseg_train: {folder}: was trained on {', '.join(validated)}, which splits_final.json now has among its "
        "validation cases, so its scores would be too good; train it anew with --overwrite, or put the file back that it was "
        "trained by\n"
    ) in said(train, "2d", "Trainer", "1", "0", "-val", code=1)


def test_what_is_prepared_of_cases_taken_off_the_list_is_removed(home: Path, said: Callable[..., str]) -> None:
    workspace(home).task(TASK).splits.unlink()
    lists(home, *CASES[:5])
    store = PreparedCases(workspace(home).task(TASK).prepared("2d"))

    told = said(plan_and_preprocess, "-t", "1", *PREPARE)

    assert f"{TASK}: removed 2 prepared cases that dataset.json no longer lists: case_005, case_006\n" in told
    assert store.identifiers() == tuple(CASES[:5])
    assert sorted(path.name for path in workspace(home).task(TASK).references.iterdir()) == [
        f"{case}.nii.gz" for case in CASES[:5]
    ]
    assert "removed" not in said(plan_and_preprocess, "-t", "1", *PREPARE)


def test_nothing_is_removed_while_another_process_trains(home: Path, said: Callable[..., str]) -> None:
    lists(home, *CASES[:6])
    store = PreparedCases(workspace(home).task(TASK).prepared("2d"))

    with hold_lock(home / "results" / "3d_fullres" / TASK / "Trainer__autoseg" / "fold_0" / "lock.json", "training"):
        told = said(plan_and_preprocess, "-t", "1", *PREPARE)

    assert f"{TASK}: kept 1 prepared case that dataset.json no longer lists: case_006; " in told
    assert f"is already being done by process {os.getpid()} on " in told
    assert store.identifiers() == tuple(CASES)


def test_three_cases_are_too_few_before_anything_is_done(home: Path, said: Callable[..., str]) -> None:
    workspace(home).task(TASK).splits.unlink()
    lists(home, *CASES[:3])
    few = f"{TASK}: 3 cases are too few for 5 folds; train fold `all`, or write splits_final.json yourself"

    assert said(plan_and_preprocess, "-t", "1", *PREPARE).count(few) == 1
    assert said(run, "-t", "1", code=1) == (
        f'autoseg_run: {few}, one entry {{"train": [...], "val": [...]}} for each fold\n'
    )


def test_patients_are_not_written_beside_a_table_that_has_them(home: Path, said: Callable[..., str]) -> None:
    raw = home / "raw_data" / TASK
    (raw / "metadata.tsv").write_text("".join(["case\tpatient\n", *(f"{case}\t{case[-1]}\n" for case in CASES)]))

    words = ("-t", "1", "--workers", "1", "--patients", "[0-9]$")
    assert said(verify_dataset, *words).startswith(f"{raw}/metadata.tsv: 7 cases of 7 patients, as it was\n")
    assert not (raw / "patients.json").exists()


def test_patients_are_written_once_and_never_overwritten(home: Path, said: Callable[..., str]) -> None:
    path = home / "raw_data" / TASK / "patients.json"
    words = ("-t", "1", "--workers", "1", "--patients")

    assert said(verify_dataset, *words, "case_00[0-2]|0*([0-9])$", code=1).startswith(
        "autoseg_verify_dataset: the pattern"
    )
    assert not path.exists()
    assert said(verify_dataset, *words, "[0-9]$").startswith(f"written: {path}: 7 cases of 7 patients\n")
    assert json.loads(path.read_text()) == {case: case[-1] for case in CASES}
    assert said(plan_and_preprocess, "-t", "1", *PREPARE, "--patients", "0*([0-9])$").startswith(
        f"{path}: 7 cases of 7 patients, as it was\n"
    )
    assert said(verify_dataset, *words, "case_0*", code=1) == (
        f"autoseg_verify_dataset: {path}: is there already and says otherwise of {', '.join(CASES)}; it is not overwritten, "
        "move it away to have it written anew, or leave --patients out\n"
    )
    assert json.loads(path.read_text()) == {case: case[-1] for case in CASES}
