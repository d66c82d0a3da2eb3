"""The steps of a run: command lines, order, what depends on what."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest

from autoseg.files.model_folder import ModelFolder, ModelKey
from autoseg.jobs.steps import require_order
from autoseg.jobs.workflow import Configuration, StepOptions, Work, all_steps, preparation_steps, training_name


@pytest.fixture
def work(tmp_path: Path) -> Work:
    """Two folds with settings of every kind."""
    return Work(
        task="Task004_X",
        trainer="Trainer",
        plans="autoseg",
        launcher=("python", "-m", "autoseg"),
        everywhere=("--home", "/h"),
        raw=tmp_path / "raw",
        splits=tmp_path / "splits.json",
        folds=("0", "1"),
        selection=tmp_path / "selection.json",
        archive=tmp_path / "x.zip",
        planning=StepOptions(decisive=("--force_lowres",), incidental=("-tf", "2")),
        training=StepOptions(decisive=("--epochs", "2"), incidental=("-device", "cpu")),
    )


def configuration(
    name: str, folder: Path, folds: tuple[str, ...] = ("0", "1"), previous: str | None = None, candidate: bool = True
) -> Configuration:
    return Configuration(
        name=name,
        folds=folds,
        previous=previous,
        plans_file=folder / "plans.pkl",
        prepared=folder / f"prepared_{name}",
        model=ModelFolder(key=ModelKey(task="Task004_X", configuration=name), folder=folder / name),
        is_candidate=candidate,
    )


def test_every_step_is_a_command_line_of_ours(work: Work, tmp_path: Path) -> None:
    steps = all_steps(work, [configuration("2d", tmp_path)])

    assert [" ".join(step.argv) for step in steps] == [
        "python -m autoseg verify_dataset -t Task004_X --home /h",
        "python -m autoseg plan_and_preprocess -t Task004_X -p autoseg --force_lowres -tf 2 --home /h",
        "python -m autoseg train 2d Trainer Task004_X 0 -p autoseg --npz --epochs 2 -c --own_settings -device cpu --home /h",
        "python -m autoseg train 2d Trainer Task004_X 1 -p autoseg --npz --epochs 2 -c --own_settings -device cpu --home /h",
        "python -m autoseg find_best_configuration -t Task004_X -m 2d -tr Trainer -p autoseg -f 0 1 --home /h",
        f"python -m autoseg export_model -t Task004_X -o {tmp_path}/x.zip --best --home /h",
    ]
    assert [step.name for step in steps] == [
        "verify_dataset",
        "plan_and_preprocess",
        "train 2d fold 0",
        "train 2d fold 1",
        "find_best_configuration",
        "export_model",
    ]
    assert [step.argv for step in preparation_steps(work)] == [step.argv for step in steps[:2]]
    assert steps[2].products == (
        tmp_path / "2d" / "fold_0" / "weights_final.pt",
        tmp_path / "2d" / "fold_0" / "validation_raw" / "summary.json",
    )
    validation = tmp_path / "2d" / "fold_0" / "validation_raw"
    validation.mkdir(parents=True)
    for name in ("b.nii.gz", "a.nii.gz", "a.npz", ".writing-1-c.nii.gz", "summary.json"):
        (validation / name).touch()
    assert [path.name for path in steps[2].find_products()] == ["a.nii.gz", "b.nii.gz", "a.npz"]
    assert steps[2].replaces == tmp_path / "2d" / "fold_0"
    assert steps[4].products == (work.selection, tmp_path / "summary.csv", tmp_path / "prediction_commands.txt")
    assert steps[5].products == (work.archive,)


def test_how_fast_and_where_is_no_setting(work: Work, tmp_path: Path) -> None:
    def hashes(work: Work) -> list[str]:
        return [step.settings_hash for step in all_steps(work, [configuration("2d", tmp_path)])]

    before = hashes(work)
    other_machine = replace(
        work,
        launcher=("/other/python", "-m", "autoseg"),
        everywhere=(),
        planning=replace(work.planning, incidental=()),
        training=replace(work.training, incidental=("-device", "cuda")),
    )
    assert hashes(other_machine) == before
    longer = hashes(replace(work, training=StepOptions(decisive=("--epochs", "3"))))
    assert [one == other for one, other in zip(before, longer, strict=True)] == [True, True, False, False, True, True]


def test_a_cascade_waits_for_every_fold_of_the_low_resolution(work: Work, tmp_path: Path) -> None:
    lowres = configuration("3d_lowres", tmp_path, ("0", "1", "2"), candidate=False)
    cascade = configuration("3d_cascade_fullres", tmp_path, previous="3d_lowres")

    steps = all_steps(work, [configuration("2d", tmp_path), lowres, cascade])

    require_order(steps)
    by_name = {step.name: step for step in steps}
    low = tuple(f"train 3d_lowres fold {fold}" for fold in "012")
    assert by_name["train 2d fold 0"].needs == ("plan_and_preprocess",)
    assert by_name["train 3d_cascade_fullres fold 1"].needs == ("plan_and_preprocess", *low)
    assert [name for name in by_name["train 3d_cascade_fullres fold 1"].inputs if "scores" in name] == [
        f"scores of 3d_lowres fold {fold}" for fold in "012"
    ]
    choice = by_name["find_best_configuration"]
    assert "-m 2d 3d_cascade_fullres -tr" in " ".join(choice.argv)
    assert set(choice.needs) == {name for name in by_name if name.startswith("train")} | {"plan_and_preprocess"}
    assert len([name for name in choice.inputs if "3d_lowres" in name]) == 0
    assert by_name["export_model"].needs == ("find_best_configuration",)


def test_what_the_steps_read(work: Work, tmp_path: Path) -> None:
    code = tmp_path / "mine.py"
    code.write_text("x = 1")
    (work.raw / "imagesTr").mkdir(parents=True)
    own = replace(work, trainer=f"{code}:Mine", planners=(f"{code}:Fine", "Planner2D"))
    steps = {step.name: step for step in all_steps(own, [configuration("2d", tmp_path)])}
    train = steps["train 2d fold 1"]
    before = {name: steps[name].measure_inputs() for name in steps}
    assert list(before["train 2d fold 1"]) == [
        "the plan",
        "prepared cases",
        "the split of fold 1",
        f"the code in {code}",
    ]

    code.write_text("x = 2")
    work.splits.write_text(json.dumps([{"val": ["a"]}, {"val": ["b"]}]))
    (work.raw / "imagesTs").mkdir()
    (work.raw / "imagesTs" / "t_0000.nii.gz").write_text("t")

    changed = {
        name: [key for key, value in steps[name].measure_inputs().items() if value != before[name][key]]
        for name in steps
    }
    assert changed == {
        "verify_dataset": ["raw data"],
        "plan_and_preprocess": [f"the code in {code}"],
        "train 2d fold 0": ["the split of fold 0", f"the code in {code}"],
        "train 2d fold 1": ["the split of fold 1", f"the code in {code}"],
        "find_best_configuration": [],
        "export_model": [],
    }
    assert train.kind == "2d"


@pytest.mark.parametrize(
    ("key", "name"),
    [
        (ModelKey(task="Task004_X", configuration="2d"), "train 2d fold 0"),
        (ModelKey(task="Task004_X", configuration="2d", trainer="Mine"), "train 2d by Mine__autoseg fold 0"),
        (ModelKey(task="Task004_X", configuration="2d", plans="fine"), "train 2d by Trainer__fine fold 0"),
    ],
)
def test_models_of_two_trainers_or_plans_are_two_steps(key: ModelKey, name: str) -> None:
    """Else whoever runs one, another and the first again would have the first set aside as outdated."""
    assert training_name(key, "0") == name
