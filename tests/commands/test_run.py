"""`autoseg_run`: what it is going to do, what it leaves alone, how it refuses and ends."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
import time
import zipfile
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from autoseg.commands import plan_and_preprocess, run
from autoseg.commands.handed_on import passed_on, words_of
from autoseg.commands.running import build_parser
from autoseg.files.locking import hold_lock
from autoseg.files.model_folder import FoldFolder
from autoseg.jobs.carrying_out import say_what_is_trained, set_aside_what_changed
from autoseg.jobs.configurations import planned_configurations
from autoseg.jobs.runner import Runner
from autoseg.jobs.workflow import all_steps
from autoseg.paths import Workspace
from autoseg.plans import (
    find_plans,
    load_plans,
    save_plans,
)
from autoseg.training import find_trainer
from autoseg.training.fold.run_record import RunRecord, begin_run

TASK = "Task001_Balls"


@pytest.fixture(scope="session")
def planned_home(tmp_path_factory: pytest.TempPathFactory, make_task) -> Path:
    """A task of five cases, planned with all four configurations and prepared."""
    home = tmp_path_factory.mktemp("planned")
    make_task(TASK, parent=home / "raw_data", shape=(16, 16, 16))
    assert plan_and_preprocess.main(["-t", "1", "--home", str(home), "--force_lowres", "-tf", "1"]) == 0
    return home


@pytest.fixture
def home(planned_home: Path, tmp_path: Path) -> Path:
    """A copy of it."""
    return Path(shutil.copytree(planned_home, tmp_path / "home"))


def dry_run(home: Path, capsys: pytest.CaptureFixture[str], *options: str) -> list[str]:
    """The lines of a dry run, without the home folder's name."""
    capsys.readouterr()
    assert run.main(["-t", "1", "--home", str(home), "--dry_run", *options]) == 0
    return capsys.readouterr().out.replace(str(home), "HOME").splitlines()


def headers(lines: list[str]) -> list[str]:
    return [re.sub(r"^step (\S+)  ", "", line) for line in lines if line.startswith("step")]


def test_a_dry_run_lists_every_step_in_its_order(home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    lines = dry_run(home, capsys, "--force_lowres", "--folds", "0", "1", "--epochs", "2", "-device", "cpu")

    folds = {"2d": "01", "3d_fullres": "01", "3d_lowres": "01234", "3d_cascade_fullres": "01"}
    names = [f"train {name} fold {fold}" for name, numbers in folds.items() for fold in numbers]
    everything = ["verify_dataset", "plan_and_preprocess", *names, "find_best_configuration", "export_model"]
    assert headers(lines) == [f"{name}  (to run: not run yet)" for name in everything]
    assert lines[0] == "step 1/15  verify_dataset  (to run: not run yet)"
    assert lines[1] == f"    autoseg verify_dataset -t {TASK} --home HOME"
    assert lines[3] == f"    autoseg plan_and_preprocess -t {TASK} -p autoseg --force_lowres --home HOME"
    assert (
        lines[5]
        == f"    autoseg train 2d Trainer {TASK} 0 -p autoseg --npz --epochs 2 -c --own_settings -device cpu --home HOME"
    )
    assert "-m 2d 3d_fullres 3d_lowres 3d_cascade_fullres -tr Trainer -p autoseg -f 0 1" in lines[-4]
    assert f"export_model -t {TASK} -o HOME/results/runs/{TASK}/{TASK}.zip --best" in lines[-2]
    assert lines[-1] == "0 of 15 steps are done"
    assert not (home / "results").exists(), "a dry run writes nothing"


def test_a_cascade_alone_brings_the_low_resolution_with_it_but_not_as_a_candidate(
    home: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    lines = dry_run(home, capsys, "-m", "3d_cascade_fullres", "--folds", "2")

    trained = [line.partition("  (")[0] for line in headers(lines) if line.startswith("train")]
    assert trained == [*(f"train 3d_lowres fold {fold}" for fold in range(5)), "train 3d_cascade_fullres fold 2"]
    assert f"find_best_configuration -t {TASK} -m 3d_cascade_fullres -tr Trainer -p autoseg -f 2" in "\n".join(lines)


def test_before_planning_a_dry_run_says_what_it_knows(
    tmp_path: Path, make_task, capsys: pytest.CaptureFixture[str]
) -> None:
    make_task(TASK, parent=tmp_path / "raw_data")

    lines = dry_run(tmp_path, capsys)
    assert [line for line in lines if not line.startswith("  ")] == [
        "step 1  verify_dataset  (to run: not run yet)",
        "step 2  plan_and_preprocess  (to run: not run yet)",
        "0 of 2 steps are done",
        "then everything that the plans hold is trained, the best is chosen and packed",
    ]
    lines = dry_run(tmp_path, capsys, "-m", "2d", "3d_cascade_fullres", "--folds", "0")
    assert [line.partition("  (")[0] for line in headers(lines)[2:-2]] == [
        "train 2d fold 0",
        *(f"train 3d_lowres fold {fold}" for fold in range(5)),
        "train 3d_cascade_fullres fold 0",
    ]


def test_the_users_own_folds_are_the_folds(home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    cases = [f"case_{number:03d}" for number in range(5)]
    splits = [{"train": cases[:3], "val": cases[3:]}, {"train": cases[3:], "val": cases[:3]}]
    (home / "preprocessed" / TASK / "splits_final.json").write_text(json.dumps(splits))

    lines = headers(dry_run(home, capsys, "-m", "2d"))

    assert [line.partition("  (")[0] for line in lines if "train" in line] == ["train 2d fold 0", "train 2d fold 1"]


@pytest.mark.parametrize(
    ("options", "identifier"),
    [
        ((), "autoseg"),
        (("-p", "mine"), "mine"),
        (("-pl3d", "{}/mine.py:Fine"), "Fine"),
        (("-pl2d", "{}/mine.py:Flat", "-pl3d", "None"), "Flat"),
        (("-pl3d", "{}/mine.py:Fine", "-p", "other"), "other"),
        (("--plans_from", "1"), "from_Task001"),
    ],
)
def test_one_name_for_all_plans_of_a_run(home: Path, options: tuple[str, ...], identifier: str) -> None:
    (home / "mine.py").write_text(
        "from autoseg.planning import Planner2D, Planner3D\nclass Fine(Planner3D): pass\nclass Flat(Planner2D): pass\n"
    )
    words = ["-t", "1", "--home", str(home), *(option.format(home) for option in options)]
    arguments = build_parser(run.COMMAND, "autoseg_run").parse_args(words)

    assert run.make_work(arguments, Workspace.from_environment({}, home=home)).plans == identifier


def test_it_is_decided_for_every_option_of_the_steps_whether_a_run_has_it() -> None:
    """An option that is new in a step's command: is it the user's, or set by the run (`SET_BY_THE_RUN`)?"""
    assert {action.option_strings[0] for action in passed_on("train")} == set(
        "-pretrained_weights --epochs --iterations_per_epoch --batch_size --learning_rate --seed --deterministic "
        "--num_workers --no_compile --checkpoint_minutes -device --precision --trackers --histograms".split()
    )
    assert {action.option_strings[0] for action in passed_on("plan_and_preprocess")} == set(
        "-pl3d -pl2d -gpu_memory_target --force_lowres --multiplanar --multiplanar_3d --views --plans_from -tl -tf".split()
    )


def test_every_option_of_a_training_is_passed_on() -> None:
    words = "--epochs 3 --iterations_per_epoch 4 --batch_size 5 --learning_rate 0.5 --seed 0 -pretrained_weights w.pt"
    fast = "-device cuda:1 --precision bf16 --num_workers 0 --checkpoint_minutes 2.5"
    arguments = build_parser(run.COMMAND, "autoseg_run").parse_args(["-t", "1", *words.split(), *fast.split()])

    training = words_of("train", arguments)

    def pairs(text: str | tuple[str, ...]) -> set[tuple[str, str]]:
        parts = text.split() if isinstance(text, str) else text
        return set(zip(parts[::2], parts[1::2], strict=True))

    assert pairs(training.decisive) == pairs(words)
    assert pairs(training.incidental) == pairs(fast)


def test_a_deterministic_run_trains_deterministically() -> None:
    arguments = build_parser(run.COMMAND, "autoseg_run").parse_args(["-t", "1", "--deterministic"])

    assert words_of("train", arguments).decisive == ("--deterministic",)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (
            ["-m", "runs"],
            "argument -m: expected a name of letters, digits, ., - and _, such as 3d_fullres, found 'runs'",
        ),
        (["--folds", "all"], "argument --folds: expected a whole number from 0, found 'all'"),
        (["--epoch", "3"], "unknown option --epoch; did you mean --epochs?"),
        (["--overwrite"], "unknown option --overwrite"),
        (["-c"], "unknown option -c"),
    ],
)
def test_usage_errors(options: list[str], message: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert run.main(["-t", "1", *options]) == 2
    assert message in capsys.readouterr().err


def test_what_cannot_be_begun_is_refused_at_once(home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    common = ["--home", str(home)]
    assert run.main(["-t", "9", *common]) == 1
    assert "'9': no task of that name in " in capsys.readouterr().err
    assert run.main(["-t", "1", *common, "-o", "model.tar"]) == 1
    assert "model.tar: an archive's name ends in .zip; name it model.tar.zip" in capsys.readouterr().err
    assert run.main(["-t", "1", *common, "-pl3d", "Best"]) == 1
    assert "0 Planner3D classes are called 'Best'" in capsys.readouterr().err
    assert not (home / "results").exists()


def test_a_second_run_of_the_same_task_is_refused(home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with hold_lock(home / "results" / "runs" / TASK / "lock.json", "x"):
        assert run.main(["-t", "1", "--home", str(home)]) == 1
        said = capsys.readouterr().err
        assert (
            f"autoseg_run or autoseg_compare_recipes of {TASK} is already being done by process {os.getpid()} " in said
        )
        assert dry_run(home, capsys, "-m", "2d")


# ------------------------------------------------------------------------------- the real thing

SETTINGS = "-m 2d --folds 0 1 --epochs 2 --iterations_per_epoch 15 --batch_size 2 --num_workers 0 -device cpu --seed 1"


def journal(home: Path) -> dict[str, dict[str, Any]]:
    path = home / "results" / "runs" / TASK / "journal.json"
    return dict(json.loads(path.read_text())["steps"]) if path.exists() else {}


def kill_once(home: Path, reached: Callable[[], bool]) -> None:
    """Start a run and kill it when something is reached."""
    process = subprocess.Popen(
        [sys.executable, "-m", "autoseg", "run", "-t", "1", "--home", str(home), *SETTINGS.split()],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    end = time.monotonic() + 120
    while not reached():
        assert process.poll() is None and time.monotonic() < end
        time.sleep(0.02)
    process.kill()
    process.wait()


def test_from_a_raw_task_to_an_archive_killed_on_the_way(
    tmp_path: Path, make_task, capfd: pytest.CaptureFixture[str]
) -> None:
    """The slow one: two real trainings, the run killed between two epochs of the second."""
    task = make_task(TASK, parent=tmp_path / "raw_data", shape=(16, 16, 16))
    models = tmp_path / "results" / "2d" / TASK / "Trainer__autoseg"
    kill_once(tmp_path, (models / "fold_1" / "checkpoint.pt").exists)
    before = journal(tmp_path)
    assert [record["state"] for record in before.values()] == ["done"] * 3 + ["running"]

    words = ["-t", "1", "--home", str(tmp_path), *SETTINGS.split()]
    assert run.main(words) == 0

    told = capfd.readouterr().out
    assert "step 3/6  train 2d fold 0  (done before, in " in told
    assert "trainings follow" not in told, "one is left"
    assert "step 4/6  train 2d fold 1  (was cut off)\n" in told
    assert re.search(r"continuing in epoch 2 after \d+ batch", told)
    after = journal(tmp_path)
    assert {name: record for name, record in after.items() if name in list(before)[:3]} == dict(
        list(before.items())[:3]
    )
    assert [record["state"] for record in after.values()] == ["done"] * 6
    selection = json.loads((tmp_path / "results" / "selections" / TASK / "selection.json").read_text())
    assert selection["members"][0]["configuration"] == "2d"
    with zipfile.ZipFile(tmp_path / "results" / "runs" / TASK / f"{TASK}.zip") as archive:
        weights = sorted(name for name in archive.namelist() if name.endswith("weights_final.pt"))
        assert [Path(name).parent.name for name in weights] == ["fold_0", "fold_1"]

    assert run.main(words) == 0
    told = capfd.readouterr().out
    assert told.count("  (done before, in ") == 6
    assert journal(tmp_path) == after

    shutil.copy(task / "imagesTr" / "case_000_0000.nii.gz", task / "imagesTr" / "case_001_0000.nii.gz")
    (models / "fold_0" / "weights_final.pt").unlink()
    lines = headers(dry_run(tmp_path, capfd, *SETTINGS.split()))
    assert [line.partition("  (")[2].partition(" ")[0] for line in lines] == ["to", "to", "to", "done", "done", "done"]
    assert lines[0] == "verify_dataset  (to run: changed: raw data)"
    assert lines[2].startswith("train 2d fold 0  (to run: missing: HOME/results/2d/")
    assert lines[3].endswith("; again if what it reads changes before)")

    lines = headers(dry_run(tmp_path, capfd, *SETTINGS.replace("--epochs 2", "--epochs 3").split()))
    assert lines[3] == "train 2d fold 1  (to run: changed: settings; what is there is kept aside)"


def test_other_plans_set_the_whole_model_aside(home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    words = ["-t", "1", "--home", str(home), "--force_lowres", "-m", "2d", "3d_fullres"]
    work = run.make_work(
        build_parser(run.COMMAND, "autoseg_run").parse_args(words), Workspace.from_environment({}, home=home)
    )
    workspace = Workspace.from_environment({}, home=home)
    for name in ("2d", "3d_fullres"):
        model = home / "results" / name / TASK / "Trainer__autoseg"
        (model / "fold_0").mkdir(parents=True)
        shutil.copy(find_plans(workspace.task(TASK), name), model / "plans.pkl")
    plans = load_plans(find_plans(workspace.task(TASK), "3d_fullres"))
    changed = replace(plans.configuration("3d_fullres"), batch_size=7)
    save_plans(
        replace(plans, configurations={**plans.configurations, "3d_fullres": changed}),
        find_plans(workspace.task(TASK), "3d_fullres"),
    )

    set_aside_what_changed(work, workspace, planned_configurations(work, workspace, ["2d", "3d_fullres"]), sys.stdout)

    assert (home / "results" / "2d" / TASK / "Trainer__autoseg" / "fold_0").is_dir()
    assert list((home / "results" / "3d_fullres" / TASK).iterdir()) == []
    (kept,) = (home / "results" / "runs" / TASK / "replaced").iterdir()
    assert load_plans(kept / "Trainer__autoseg" / "plans.pkl") == plans
    assert f"3d_fullres: planned otherwise than what is trained, which is kept in {kept}" in capsys.readouterr().out


def test_before_many_trainings_it_says_how_many(home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    workspace = Workspace.from_environment({}, home=home)
    words = ["-t", "1", "--home", str(home), "-m", "2d", "3d_fullres", "--folds", "0", "1"]
    work = run.make_work(build_parser(run.COMMAND, "autoseg_run").parse_args(words), workspace)
    configurations = planned_configurations(work, workspace, ["2d", "3d_fullres"])

    say_what_is_trained(work, configurations, all_steps(work, configurations), Runner(home / "run", sys.stdout))
    assert "Task001_Balls: 4 trainings follow, one after the other; where one takes long" in capsys.readouterr().out


def test_other_code_of_the_users_sets_the_whole_model_aside(home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Each fold alone would be refused for the others, which were trained with the code as it was."""
    own = home / "mine.py"
    own.write_text("from autoseg.training import Trainer\n\nclass Mine(Trainer):\n    gradient_clip = 3.0\n")
    trained = RunRecord(
        trainer="Mine",
        configuration="2d",
        seed=0,
        epochs=1,
        iterations_per_epoch=1,
        batch_size=2,
        training=(),
        validation=(),
        plan="",
        data="",
        previous=None,
        sessions=(),
        recipe=find_trainer(f"{own}:Mine").record,
    )
    model = home / "results" / "2d" / TASK / "Mine__autoseg"
    begin_run(FoldFolder(folder=model / "fold_1"), trained, continued=False)
    words = ["-t", "1", "--home", str(home), "-m", "2d", "-tr", f"{own}:Mine"]
    workspace = Workspace.from_environment({}, home=home)
    work = run.make_work(build_parser(run.COMMAND, "autoseg_run").parse_args(words), workspace)
    set_aside_what_changed(work, workspace, planned_configurations(work, workspace, ["2d"]), sys.stdout)
    assert (model / "fold_1").is_dir()

    own.write_text(own.read_text().replace("3.0", "4.0"))
    set_aside_what_changed(work, workspace, planned_configurations(work, workspace, ["2d"]), sys.stdout)

    assert not model.exists()
    assert f"2d: the code in {own} changed since what is there was trained, which is kept in" in capsys.readouterr().out


def test_a_configuration_that_is_not_planned_is_refused_before_anything_is_trained(
    tmp_path: Path, make_task, capfd: pytest.CaptureFixture[str]
) -> None:
    make_task(TASK, parent=tmp_path / "raw_data")

    assert run.main(["-t", "1", "--home", str(tmp_path), "-m", "2d", "3d_lowres", "-tf", "1"]) == 1

    assert (
        f"{TASK}: 3d_lowres not planned, planned are 2d, 3d_fullres; leave it away from -m, or let it be planned with "
        "--force_lowres\n"
    ) in capfd.readouterr().err
    assert list(journal(tmp_path)) == ["verify_dataset", "plan_and_preprocess"]


def test_a_fault_in_the_data_ends_with_a_table_and_exit_code_1(
    tmp_path: Path, make_task, capfd: pytest.CaptureFixture[str]
) -> None:
    task = make_task(TASK, parent=tmp_path / "raw_data")
    (task / "labelsTr" / "case_000.nii.gz").unlink()

    assert run.main(["-t", "1", "--home", str(tmp_path), "-m", "2d", "--folds", "0"]) == 1

    told = capfd.readouterr()
    table = [line.split()[:2] for line in told.out.splitlines() if line.startswith(("failed", "skipped"))]
    assert table == [["failed", "verify_dataset"]] + [
        ["skipped", name] for name in ("plan_and_preprocess", "train", "find_best_configuration", "export_model")
    ]
    assert f"autoseg verify_dataset: errors in {TASK} (1); put right what the report names" in told.out
    assert told.err.endswith(
        f"autoseg_run: {TASK}: 5 of 5 steps are not done; put right what is named above and run the same command again, "
        "what is done is kept\n"
    )
    assert not (tmp_path / "results" / "runs" / TASK / "lock.json").exists()
