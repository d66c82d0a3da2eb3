"""`autoseg_compare_recipes`: recipes and what is tried, trained in the steps of a run, compared, and gone on with."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from spoiling import TASK, shrink

from autoseg.commands import compare_recipes, plan_and_preprocess
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


def compared(home: Path, *recipes: str) -> int:
    return compare_recipes.main(["-t", "1", "--recipes", *recipes, "--folds", "0", *LENGTH, "--home", str(home)])


def test_what_is_missing_is_trained_the_worse_half_stops_and_all_end_in_one_table(
    home: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    options = ["--csv", str(home / "table.csv")]
    assert compared(home, "Trainer", str(home / "search.json"), *options) == 0
    said = capsys.readouterr().out.splitlines()

    tried = [f"search-learning_rate_{rate}" for rate in ("0.01", "0.0001")]
    assert [line.partition("  (")[0] for line in said if line.startswith("step") and "(done" in line] == [
        f"step 1  train 3d_fullres__{tried[0]}__autoseg fold 0 to epoch 1",
        f"step 2  train 3d_fullres__{tried[1]}__autoseg fold 0 to epoch 1",
        "step 3/4  train 3d_fullres__Trainer__autoseg fold 0",
        next(line.partition("  (")[0] for line in said if line.startswith("step 4/4") and "(done" in line),
    ]
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
