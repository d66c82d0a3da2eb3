"""`autoseg_compare_recipes`: recipes and what is tried, trained in the steps of a run, compared, and gone on with."""

from __future__ import annotations

import csv
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch
from spoiling import TASK, shrink

from autoseg.commands import compare_recipes, plan_and_preprocess
from autoseg.files.locking import hold_lock
from autoseg.inference.model import load_weights
from autoseg.jobs.journal import Journal

LENGTH = "--epochs 4 --iterations_per_epoch 1 --num_workers 0 -device cpu --precision fp32".split()
SEARCH = {"base": "TrainerDice", "learning_rate": {"try": [0.01, 0.0001]}}


@pytest.fixture(scope="module")
def home(make_task, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A task of two labels whose small network is planned and prepared, and a file of values to try."""
    home = tmp_path_factory.mktemp("compared")
    make_task(TASK, parent=home / "raw_data", shape=(8, 12, 12), labels=("background", "large", "small"))
    planning = ["-t", "1", "-tf", "1", "--home", str(home)]
    assert plan_and_preprocess.main([*planning, "-no_pp"]) == 0
    shrink(home)
    assert plan_and_preprocess.main([*planning, "-pl3d", "None", "-pl2d", "None"]) == 0
    (home / "search.json").write_text(json.dumps(SEARCH))
    return home


def words(home: Path, *recipes: str) -> list[str]:
    return ["-t", "1", "--folds", "0", *LENGTH, "--home", str(home), "--recipes", *recipes]


def compared(home: Path, *recipes: str) -> int:
    return compare_recipes.main(words(home, *recipes))


def told(home: Path, capsys: pytest.CaptureFixture[str], *recipes: str) -> list[str]:
    """What a dry run says, without the home folder's name and the command lines."""
    capsys.readouterr()
    assert compared(home, *recipes, "--dry_run") == 0
    said = capsys.readouterr().out.replace(str(home), "HOME").splitlines()
    return [line for line in said if not line.startswith(" ")]


def test_what_is_missing_is_trained_the_worse_half_stops_and_all_end_in_one_table(
    home: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    options = ["--csv", str(home / "table.csv")]
    assert compared(home, "Trainer", str(home / "search.json"), *options) == 0
    said = capsys.readouterr().out.splitlines()

    tried = [f"search-learning_rate_{rate}" for rate in ("0.01", "0.0001")]
    assert [line.partition("  (")[0] for line in said if line.startswith("step") and "(done" in line] == [
        f"step 1/4  train 3d_fullres__{tried[0]}__autoseg fold 0 to epoch 1",
        f"step 2/4  train 3d_fullres__{tried[1]}__autoseg fold 0 to epoch 1",
        "step 3/4  train 3d_fullres__Trainer__autoseg fold 0",
        next(line.partition("  (")[0] for line in said if line.startswith("step 4/4") and "(done" in line),
    ]
    assert said[0] == (
        "2 combinations are tried, first for 1 of 4 epochs; the better 1 by the Dice of validation patches is then trained to "
        "the end, and so is 1 other recipe"
    )
    stopped = next(line for line in said if line.startswith("stopped after epoch 1: "))
    kept, left = sorted(tried, key=lambda name: f" {name}," in stopped)
    assert f"1 combination goes no further, of 2: {left}" in said
    table = said[said.index("2 recipes on 1 case of fold 0: Dice, the mean over cases, and its 95 % interval") + 1 :]
    assert table[0].split()[:4] == ["recipe", "large", "small", "mean"]
    assert {line.split()[0] for line in table[1:3]} == {"Trainer", kept}
    assert "one patient cannot tell whether that is more than noise" in table[3]
    lines = (home / "table.csv").read_text().splitlines()
    assert lines[0] == "recipe,what,dice,std,n,low,high,seconds,memory,parameters,p" and len(lines) == 1 + 6 + 1

    folders = {name: home / "results" / "3d_fullres" / TASK / f"{name}__autoseg" / "fold_0" for name in tried}
    epochs = {name: len(json.loads((at / "history.json").read_text())["epochs"]) for name, at in folders.items()}
    assert epochs == {kept: 4, left: 1}
    assert not (folders[left] / "weights_final.pt").exists() and (folders[left] / "checkpoint.pt").exists()
    records = Journal(home / "results" / "runs" / TASK / "journal.json").read()
    assert {record.state for record in records.values()} == {"done"} and len(records) == 4
    assert {word for record in records.values() for word in record.argv} >= {"--seed", "--pause_after"}

    assert compared(home, "Trainer", str(home / "search.json")) == 0
    again = capsys.readouterr().out.splitlines()
    assert sum("(done before" in line for line in again) == 4 and not any(line.startswith("epoch ") for line in again)
    assert again[-6:-1] == [*said[said.index(table[0]) - 1 :][:5]]


WAITING = """
import time
from pathlib import Path
from torch import nn

class Waiting(nn.CrossEntropyLoss):
    batches = 0

    def forward(self, logits, target):
        self.batches += 1
        here = Path(__file__).parent
        while self.batches > 2 and (here / "wait").exists():
            (here / "waits").touch()
            time.sleep(0.02)
        return super().forward(logits, target)

def waiting():
    return Waiting()
"""


def table(path: Path) -> list[dict[str, str]]:
    """Of a CSV, without what the training took."""
    with path.open() as file:
        return [
            {key: value for key, value in row.items() if key not in ("seconds", "memory")}
            for row in csv.DictReader(file)
        ]


def test_one_that_is_killed_within_a_training_ends_in_the_same_table(
    home: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    (home / "waiting.py").write_text(WAITING)
    (home / "waiting.json").write_text(json.dumps({"loss": ["dice", "waiting.py:waiting"], "deep_supervision": False}))
    killed = Path(shutil.copytree(home, tmp_path / "killed"))
    assert compared(home, "Trainer", str(home / "waiting.json"), "--csv", str(home / "whole.csv")) == 0

    (killed / "wait").touch()
    command = [
        sys.executable,
        "-m",
        "autoseg",
        "compare_recipes",
        *words(killed, "Trainer", str(killed / "waiting.json")),
    ]
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    end = time.monotonic() + 120
    while not (killed / "waits").exists():
        assert process.poll() is None and time.monotonic() < end
        time.sleep(0.02)
    journal = Journal(killed / "results" / "runs" / TASK / "journal.json")
    training = journal.read()["train 3d_fullres__waiting__autoseg fold 0"].process
    process.kill()
    process.wait()
    assert training is not None
    os.kill(training.pid, signal.SIGKILL)
    (killed / "wait").unlink()
    capfd.readouterr()

    assert compared(killed, "Trainer", str(killed / "waiting.json"), "--csv", str(killed / "killed.csv")) == 0
    said = capfd.readouterr().out
    assert "step 2/2  train 3d_fullres__waiting__autoseg fold 0  (was cut off)\n" in said
    assert re.search(r"^continuing in epoch [23] after", said, re.MULTILINE)
    assert table(killed / "killed.csv") == table(home / "whole.csv")
    weights = Path("results", "3d_fullres", TASK, "waiting__autoseg", "fold_0", "weights_final.pt")
    found, expected = (load_weights(place / weights).weights for place in (killed, home))
    assert all(torch.equal(found[name], tensor) for name, tensor in expected.items())


def test_a_dry_run_says_what_would_be_trained_and_trains_nothing(
    home: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (home / "wide.json").write_text(json.dumps({"learning_rate": {"try": [0.01, 0.003, 0.001]}}))
    before = sorted((home / "results").rglob("*.pt"))

    said = told(home, capsys, "TrainerDA5", str(home / "wide.json"))
    assert said[0].startswith("3 combinations are tried, first for 1 of 4 epochs; the better 2 by the Dice")
    assert said[1:] == [
        *(
            f"step {number}/6  train 3d_fullres__wide-learning_rate_{rate}__autoseg fold 0 to epoch 1  (to run: not run yet)"
            for number, rate in enumerate(("0.01", "0.003", "0.001"), 1)
        ),
        "step 4/6  train 3d_fullres__TrainerDA5__autoseg fold 0  (to run: not run yet)",
        "0 of 6 steps are done",
    ]
    assert sorted((home / "results").rglob("*.pt")) == before


def test_of_a_recipe_that_was_edited_or_of_other_settings_nothing_is_gone_on_with(
    home: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    """Else a training would begin by one schedule and end by another."""
    search = str(home / "search.json")
    assert compared(home, "Trainer", search) == 0
    assert told(home, capfd, "Trainer", search)[-1] == "4 of 4 steps are done"

    (home / "search.json").write_text(json.dumps(SEARCH | {"gradient_clip": 3.0}))
    said = told(home, capfd, "Trainer", search)
    assert said[1:3] == [
        f"step {number}/4  train 3d_fullres__search-learning_rate_{rate}__autoseg fold 0 to epoch 1  (to run: changed: the "
        f"recipe HOME/results/runs/{TASK}/tried/search-learning_rate_{rate}.json; what is there is kept aside)"
        for number, rate in enumerate(("0.01", "0.0001"), 1)
    ]
    (home / "search.json").write_text(json.dumps(SEARCH))
    assert told(home, capfd, "Trainer", search)[-1] == "4 of 4 steps are done"

    place = Path(shutil.copytree(home, tmp_path / "home"))
    longer = ["Trainer", str(place / "search.json"), "--epochs", "8"]
    said = told(place, capfd, *longer)
    others = [line.partition("  (")[2] for line in said[1:-1]]
    assert others == ["to run: changed: settings; what is there is kept aside)"] * 3
    trained = place / "results" / "3d_fullres" / TASK
    assert list(trained.glob("search-*/fold_0/weights_final.pt"))
    logs = place / "results" / "runs" / TASK / "logs"
    shutil.rmtree(logs)
    logs.touch()  # no step can begin
    assert compared(place, *longer) == 1
    assert {one.parent.name for one in trained.glob("*/fold_0")} <= {"waiting__autoseg"}, (
        "though the beginnings are of another length, and other steps"
    )
    assert capfd.readouterr().out.count("what was made before is kept in") == 3


def test_two_at_once_are_refused_but_for_a_dry_run(home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with hold_lock(home / "results" / "runs" / TASK / "lock.json", "x"):
        assert compared(home, "Trainer", "TrainerDA5") == 1
        said = capsys.readouterr().err
        assert (
            f"autoseg_run or autoseg_compare_recipes of {TASK} is already being done by process {os.getpid()} " in said
        )
        assert told(home, capsys, "Trainer", "TrainerDA5")
        assert compared(home, "Trainer", str(home / "search.json"), "--dry_run") == 1
        assert "work in this folder is already being done by process" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("recipes", "message"),
    [
        (("Trainer",), f"{TASK}: one recipe alone cannot be compared; name another, or list values to try in it"),
        (
            ("Trainer", "Trainer"),
            f"{TASK}: one recipe alone cannot be compared; name another, or list values to try in it",
        ),
        (
            ("a/same.json", "b/same.json"),
            "two recipes are called same; their models would share a folder, so rename one file",
        ),
        (("Trainer", "empty.json"), "empty.json: epochs.try: expected a list of values, found []"),
        (("Trainer", "odd.json"), "odd.json: with epochs_x: epochs: expected int, found 'x'"),
    ],
)
def test_what_cannot_be_compared_is_refused_before_anything_is_trained(
    home: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    recipes: tuple[str, ...],
    message: str,
) -> None:
    monkeypatch.chdir(home)
    for name in ("a/same.json", "b/same.json"):
        (home / name).parent.mkdir(exist_ok=True)
        (home / name).write_text("{}")
    (home / "empty.json").write_text('{"epochs": {"try": []}}')
    (home / "odd.json").write_text('{"epochs": {"try": [1, "x"]}}')

    assert compared(home, *recipes) == 1
    said = capsys.readouterr()
    assert said.err == f"autoseg_compare_recipes: {message}\n"
    assert "step" not in said.out


def test_a_configuration_that_is_not_planned_is_refused(home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    words = ["-t", "1", "-m", "3d_lowres", "--recipes", "Trainer", "TrainerDice", "--home", str(home)]
    assert compare_recipes.main(words) == 1
    assert "3d_lowres" in capsys.readouterr().err
