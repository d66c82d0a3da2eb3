"""What a step prints as the next one is a whole command that runs as it is printed, from a folder of images to an archive."""

from __future__ import annotations

import re
import shlex
import shutil
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from autoseg.commands import train
from autoseg.commands.handed_on import training_options
from autoseg.commands.running import build_parser
from autoseg.commands.umbrella import main
from autoseg.files.layout import LOCK_FILE
from autoseg.files.locking import hold_lock
from autoseg.files.model_folder import FoldFolder, ModelKey
from autoseg.files.storage import read_json, write_json
from autoseg.jobs.next_training import after_planning, after_training
from autoseg.paths import Workspace
from autoseg.plans import (
    find_plans,
    load_plans,
)
from autoseg.terminal.starting import STEP_OF_RUN
from autoseg.training.fold.run_record import RunRecord, Session, begin_run, now

SHORT = shlex.split(
    "--epochs 1 --iterations_per_epoch 1 --batch_size 2 --seed 1 --num_workers 0 -device cpu --precision fp32"
)
TASK = "Task500_my_scans"

Step = Callable[..., list[str]]
"""Runs a command line and returns those that it prints as the next ones."""


@pytest.fixture
def place(make_task: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with spaces in its name, in which images and labels of equal names lie, and two new images."""
    place = tmp_path / "my place"
    task = make_task("Task001_Balls", parent=place, cases=5, test_cases=2, shape=(12, 16, 14))
    for source, target in (("imagesTr", "my scans/images"), ("labelsTr", "my scans/labels"), ("imagesTs", "new scans")):
        shutil.copytree(task / source, place / target)
    monkeypatch.chdir(place)
    monkeypatch.delenv(STEP_OF_RUN, raising=False)
    return place


@pytest.fixture
def step(capsys: pytest.CaptureFixture[str]) -> Step:
    def run(command: str | Sequence[str], *options: str, **values: str) -> list[str]:
        words = [values.get(word, word) for word in (shlex.split(command) if isinstance(command, str) else command)]
        capsys.readouterr()
        code = main([*words, *options])
        told = capsys.readouterr()
        assert code == 0, told.err
        lines = told.out.splitlines()
        found = [line.partition(": ")[2] for line in lines if re.match(r"(next|or)[a-z ]*: autoseg_", line)]
        assert [line.partition(": ")[2] for line in lines[len(lines) - len(found) :]] == found, "they stand at the end"
        return found

    return run


def test_every_printed_command_runs_from_a_folder_of_images_to_an_installed_model(place: Path, step: Step) -> None:
    home = "--home 'my data'"
    verify = step(("autoseg_convert_dataset", "-i", "my scans", "--home", "my data"))
    assert verify == [f"autoseg_verify_dataset -t {TASK} {home}"]
    draw, plan = step(verify[0])
    assert draw == f"autoseg_plot_task -t {TASK} -o pictures {home}"
    assert step(draw, "--workers", "1") == [plan] == [f"autoseg_plan_and_preprocess -t {TASK} {home}"]
    train, train_2d = step(plan, "-tf", "1")
    assert step(draw, "--workers", "1") == [], "it is planned already"
    assert train == f"autoseg_train 3d_fullres Trainer {TASK} 0 {home}"
    assert train_2d == f"autoseg_train 2d Trainer {TASK} 0 {home}"

    two_folds(place / "my data" / "preprocessed" / TASK)
    following, predict = step(train, *SHORT)
    assert following == f"autoseg_train 3d_fullres Trainer {TASK} 1 {' '.join(SHORT)} {home}"
    assert predict == f"autoseg_predict -i INPUT_FOLDER -o OUTPUT_FOLDER -t {TASK} -m 3d_fullres {home}"
    choose, predict = step(following)
    assert choose == f"autoseg_find_best_configuration -t {TASK} {home}"
    best, pack = step(choose)
    assert best == f"autoseg_predict -i INPUT_FOLDER -o OUTPUT_FOLDER -t {TASK} --best {home}"

    (install,) = step(pack)
    assert install == f"autoseg_install_model {TASK}.zip"
    assert step(install, "--home", "elsewhere") == [best.replace("'my data'", "elsewhere")]
    (score,) = step(predict, INPUT_FOLDER="new scans", OUTPUT_FOLDER="found new")
    assert score == f"autoseg_evaluate_folder -pred 'found new' -ref TRUE_LABELS -t {TASK} {home}"
    assert step(score, TRUE_LABELS=mirrored("found new")) == []

    draw, score = step(best, INPUT_FOLDER=f"my data/raw_data/{TASK}/imagesTr", OUTPUT_FOLDER="found again")
    assert draw == f"autoseg_plot_task -t {TASK} -o 'found again_pictures' -pred 'found again' {home}"
    assert score == f"autoseg_evaluate_folder -pred 'found again' -t {TASK} --common {home}"
    assert step(draw, "--workers", "1") == []
    assert step(score) == [draw]


def two_folds(preprocessed: Path) -> None:
    cases = [f"case_{number:03d}" for number in range(5)]
    write_json(
        preprocessed / "splits_final.json",
        [{"train": cases[1:], "val": cases[:1]}, {"train": cases[:1] + cases[2:], "val": cases[1:2]}],
    )


def mirrored(folder: str) -> str:
    """The same predictions in a folder of another name, to score them against."""
    shutil.copytree(folder, "truth", ignore=shutil.ignore_patterns("*.json"))
    return "truth"


@pytest.fixture(scope="module")
def planned(make_task: Any, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A task with a plan of all four configurations, of which nothing is prepared."""
    home = tmp_path_factory.mktemp("planned")
    make_task("Task001_Balls", parent=home / "raw_data", shape=(16, 16, 16))
    assert main(["plan_and_preprocess", "-t", "1", "--force_lowres", "-no_pp", "-tf", "1", "--home", str(home)]) == 0
    return home


@pytest.fixture
def task(planned: Path, tmp_path: Path) -> Task:
    shutil.copytree(planned, tmp_path / "home")
    return Task(Workspace.from_environment({}, home=tmp_path / "home"))


def key(configuration: str, trainer: str, plans: str = "autoseg") -> ModelKey:
    return ModelKey.named("Task001_Balls", configuration, trainer, plans)


@dataclass(frozen=True)
class Task:
    """A task of which folds can be made to look trained."""

    workspace: Workspace

    def fold(self, configuration: str, fold: str, trainer: str = "Trainer", plans: str = "autoseg") -> Path:
        return self.workspace.model(key(configuration, trainer, plans)).fold(fold).folder

    def trained(self, configuration: str, *folds: str, npz: bool = False, **names: str) -> None:
        for fold in folds:
            folder = self.fold(configuration, fold, **names) / "validation_raw"
            files = ["summary.json", "case.nii.gz", "../weights_final.pt", "../../plans.pkl", *(["case.npz"] * npz)]
            for file in files:
                folder.mkdir(parents=True, exist_ok=True)
                (folder / file).touch()

    def following(
        self, configuration: str, fold: str, trainer: str = "Trainer", **options: tuple[str, ...]
    ) -> list[str]:
        return list(map(shlex.join, after_training(key(configuration, trainer), fold, self.workspace, options)))

    def planned(self, **weights: Path) -> list[str]:
        files = [find_plans(self.workspace.task("Task001_Balls"), name) for name in ("3d_fullres", "2d")]
        plans = [load_plans(path) for path in files]
        return list(map(shlex.join, after_planning("Task001_Balls", plans, self.workspace, weights)))


EPOCHS, NPZ = ("--epochs", "9"), ("--npz",)
FOLDS = ("0", "1", "2", "3", "4")


def test_the_next_fold_is_the_first_that_is_not_done_and_gets_the_same_options(task: Task) -> None:
    task.trained("2d", "0", "2")

    training, predict = task.following("2d", "2", epochs=EPOCHS, npz=NPZ)

    assert training == "autoseg_train 2d Trainer Task001_Balls 1 --epochs 9 --npz"
    assert predict == "autoseg_predict -i INPUT_FOLDER -o OUTPUT_FOLDER -t Task001_Balls -m 2d"


def test_a_fold_that_began_is_continued_and_one_that_lacks_its_scores_validated_with_what_they_had(task: Task) -> None:
    task.trained("2d", "0", "1")
    (task.fold("2d", "1") / "validation_raw" / "summary.json").unlink()
    assert task.following("2d", "0", epochs=EPOCHS, npz=NPZ)[0] == "autoseg_train 2d Trainer Task001_Balls 1 -val --npz"

    (task.fold("2d", "1") / "weights_final.pt").rename(task.fold("2d", "1") / "checkpoint.pt")
    assert task.following("2d", "0", epochs=EPOCHS)[0] == "autoseg_train 2d Trainer Task001_Balls 1 -c"


def test_a_fold_that_another_process_trains_is_left_to_it(task: Task) -> None:
    task.trained("2d", "0")
    with hold_lock(task.fold("2d", "1") / LOCK_FILE, "training"):
        assert task.following("2d", "0")[0] == "autoseg_train 2d Trainer Task001_Balls 2"


def test_behind_the_last_fold_comes_the_choice_among_all_without_pairs_where_probabilities_are_missing(
    task: Task,
) -> None:
    choose = "autoseg_find_best_configuration -t Task001_Balls"
    task.trained("2d", *FOLDS)
    assert task.following("2d", "4")[0] == choose
    task.trained("3d_fullres", *FOLDS, npz=True)
    assert task.following("3d_fullres", "4")[0] == f"{choose} --disable_ensembling"
    task.trained("2d", *FOLDS, npz=True)
    assert task.following("3d_fullres", "4")[0] == choose


def test_a_cascade_follows_on_the_last_fold_of_what_it_refines(task: Task) -> None:
    task.trained("3d_lowres", *FOLDS[:4])
    assert task.following("3d_lowres", "3")[0] == "autoseg_train 3d_lowres Trainer Task001_Balls 4"
    assert not [command for command in task.planned() if "cascade" in command]

    task.trained("3d_lowres", "4")
    assert task.following("3d_lowres", "4", epochs=EPOCHS)[0] == (
        "autoseg_train 3d_cascade_fullres Trainer Task001_Balls 0 --epochs 9"
    )
    assert "autoseg_train 3d_cascade_fullres Trainer Task001_Balls 0" in task.planned()


def test_the_fold_all_predicts(task: Task) -> None:
    assert task.following("2d", "all", "my own.py:Mine") == [
        "autoseg_predict -i INPUT_FOLDER -o OUTPUT_FOLDER -t Task001_Balls -m 2d -tr 'my own.py:Mine' -f all"
    ]


def test_a_trainer_of_ones_own_keeps_its_file(task: Task) -> None:
    task.trained("2d", *FOLDS, trainer="Mine")
    assert task.following("2d", "4", "my.py:Mine") == [
        "autoseg_find_best_configuration -t Task001_Balls -tr my.py:Mine",
        "autoseg_predict -i INPUT_FOLDER -o OUTPUT_FOLDER -t Task001_Balls -m 2d -tr my.py:Mine",
    ]


def test_planning_names_a_training_for_each_configuration_with_the_weights_that_its_plans_come_from(task: Task) -> None:
    assert task.planned(**{"2d": Path("w 2.pt")}) == [
        "autoseg_train 3d_fullres Trainer Task001_Balls 0",
        "autoseg_train 2d Trainer Task001_Balls 0 -pretrained_weights 'w 2.pt'",
        "autoseg_train 3d_lowres Trainer Task001_Balls 0",
    ]


def test_of_too_few_cases_for_folds_all_are_trained_on(task: Task) -> None:
    path = task.workspace.task("Task001_Balls").raw / "dataset.json"
    content = read_json(path)
    write_json(path, {**content, "training": content["training"][:3], "numTraining": 3})

    assert task.planned()[0] == "autoseg_train 3d_fullres Trainer Task001_Balls all"
    task.trained("3d_fullres", "all")
    assert task.planned()[:1] == ["autoseg_train 2d Trainer Task001_Balls all"]


def test_plans_without_cases_and_edited_plans_are_prepared_as_they_are(task: Task, step: Step) -> None:
    home = str(task.workspace.raw_data.parent)
    prepare = f"autoseg_plan_and_preprocess -t Task001_Balls -pl3d None -pl2d None --home {home}"
    view = find_plans(task.workspace.task("Task001_Balls"), "2d").with_suffix(".json")

    assert step(("plan_from_json", str(view), "--home", home)) == [prepare]
    assert step(("plan_and_preprocess", "-t", "1", "-no_pp", "-pl3d", "None", "-tf", "1", "--home", home)) == [prepare]
    assert step(("plan_from_json", str(view), "--home", "elsewhere")) == []


def test_a_step_of_a_run_says_nothing_of_what_comes_next(
    task: Task, step: Step, monkeypatch: pytest.MonkeyPatch
) -> None:
    verify = ("verify_dataset", "-t", "1", "--workers", "1", "--home", str(task.workspace.raw_data.parent))
    assert len(step(verify)) == 2
    monkeypatch.setenv(STEP_OF_RUN, "1")
    assert step(verify) == []


def test_a_fold_that_went_on_hands_over_what_it_began_with(tmp_path: Path) -> None:
    parser = build_parser(train.COMMAND, "autoseg_train")
    now = parser.parse_args(["2d", "Trainer", "1", "0", "-c", "--epochs", "3", "--home", "x"])
    fold = FoldFolder(folder=tmp_path)

    def handed(*began: str) -> dict[str, tuple[str, ...]]:
        begin_run(fold, a_record(began), continued=False)
        return {name: words for name, words in training_options(parser, now, fold).items() if words}

    began = ("autoseg_train", "2d", "Trainer", "1", "0", "--epochs", "2", "--batch_size", "4", "--npz", "-p", "mine")
    assert handed(*began) == {"epochs": ("--epochs", "3"), "batch_size": ("--batch_size", "4"), "npz": ("--npz",)}
    assert handed("autoseg", *began) == handed("autoseg", "train", *began[1:]) == handed(*began)
    assert handed() == handed("autoseg_train", "2d", "--of_another_version") == {"epochs": ("--epochs", "3")}


def a_record(command: tuple[str, ...]) -> RunRecord:
    """Of a training that a command began."""
    session = Session(
        command=command,
        started=now(),
        epoch=0,
        iteration=0,
        versions={},
        device="cpu",
        precision="fp32",
        deterministic=False,
        threads=1,
        interpolation=3,
        augmentation="workers",
    )
    return RunRecord(
        trainer="Trainer",
        configuration="2d",
        seed=0,
        epochs=2,
        iterations_per_epoch=1,
        batch_size=4,
        training=(),
        validation=(),
        plan="",
        data="",
        previous=None,
        sessions=(session,),
    )
