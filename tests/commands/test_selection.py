"""From the predictions that a cross-validation left to a selection, its postprocessing, its files and its commands."""

from __future__ import annotations

import json
import shlex
import shutil
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from small_plans import unet_plan

import autoseg
from autoseg.commands import apply_postprocessing, determine_postprocessing, ensemble, find_best_configuration
from autoseg.commands.running import DONE, USAGE, USER_CAN_FIX
from autoseg.dataset import Exclusive
from autoseg.ensembling.selection import Member, load_selection
from autoseg.ensembling.validation import changed_since
from autoseg.files.model_folder import ModelKey
from autoseg.files.storage import write_json
from autoseg.geometry import Geometry
from autoseg.images import read_image, write_image
from autoseg.inference.model import WeightsFile, save_weights
from autoseg.inference.probabilities import Packer, save_probabilities
from autoseg.paths import Workspace
from autoseg.plans import FORMAT, Plans, save_plans
from autoseg.postprocessing.evidence import load_choice
from autoseg.postprocessing.rules import Rule, load_rules, save_rules
from autoseg.training.fold.run_record import RunRecord, begin_run
from autoseg.training.trial import untouched

TASK = "Task004_Balls"
SHAPE = (6, 10, 10)
GEOMETRY = Geometry(spacing=(2.0, 1.0, 1.0))
FOLDS = ("0", "1", "2", "3", "4")
CASES_A_FOLD = 2
LARGEST = Rule(kind="keep_largest", labels=(1,))

Draw = Callable[[int, int], np.ndarray]
"""From fold and number within the fold to the probability of the label, `(Z, Y, X)`."""


def truth() -> np.ndarray:
    label = np.zeros(SHAPE, np.uint8)
    label[1:4, 2:7, 2:7] = 1
    return label


def perfect(_fold: int, _number: int) -> np.ndarray:
    return truth() * 0.8


def too_small(fold: int, number: int) -> np.ndarray:
    """Misses a part, more of it in some cases, and is unsure of what it misses."""
    probability = truth() * 0.9
    probability[3, 2:7, 2 : 4 + (fold + number) % 3] = 0.45
    return probability


def shifted(fold: int, number: int) -> np.ndarray:
    """Sure of all that is there, and half sure of some that is not."""
    probability = truth() * 0.9
    probability[1:4, 7, 2 : 4 + (fold + number) % 2] = 0.55
    return probability


def with_island(fold: int, number: int) -> np.ndarray:
    probability = too_small(fold, number)
    probability[5, 9, 6 + number % 2 :] = 0.9
    return probability


def names(fold: str) -> list[str]:
    return [f"case_{fold}{number}" for number in range(CASES_A_FOLD)]


@pytest.fixture
def workspace(tmp_path: Path) -> Workspace:
    """The splits and references of ten cases, and no model yet."""
    workspace = Workspace.from_environment({}, home=tmp_path)
    everything = [name for fold in FOLDS for name in names(fold)]
    for name in everything:
        write_image(workspace.task(TASK).references / f"{name}.nii.gz", truth(), GEOMETRY)
    splits = [{"train": sorted(set(everything) - set(names(fold))), "val": names(fold)} for fold in FOLDS]
    workspace.task(TASK).splits.write_text(json.dumps(splits))
    return workspace


def key(configuration: str, trainer: str = "Trainer") -> ModelKey:
    return ModelKey(task=TASK, configuration=configuration, trainer=trainer)


def validate(
    workspace: Workspace,
    configuration: str,
    draw: Draw,
    *,
    folds: Sequence[str] = FOLDS,
    trainer: str = "Trainer",
    npz: bool = True,
    labels: tuple[str, ...] = ("background", "ball"),
) -> Path:
    """Write a model's folder as its validation leaves it."""
    folder = workspace.model(key(configuration, trainer)).folder
    folder.mkdir(parents=True, exist_ok=True)
    save_plans(plans(configuration, labels), folder / "plans.pkl")
    for fold in folds:
        (folder / f"fold_{fold}" / "validation_raw").mkdir(parents=True)
        (folder / f"fold_{fold}" / "weights_final.pt").touch()
        for number, name in enumerate(names(fold)):
            probability = draw(int(fold), number)
            path = folder / f"fold_{fold}" / "validation_raw" / f"{name}.nii.gz"
            write_image(path, (probability > 0.5).astype(np.uint8), GEOMETRY)
            if npz:
                write_probabilities(path.with_name(f"{name}.npz"), probability)
    return folder


def write_probabilities(path: Path, probability: np.ndarray) -> None:
    properties = untouched("case", SHAPE, GEOMETRY)
    packer = Packer(properties, Exclusive.numbered(2))
    for plane in probability.astype(np.float32):
        packer.add_array(np.stack([1 - plane, plane]))
    save_probabilities(path, packer.finish())


def plans(configuration: str, labels: tuple[str, ...]) -> Plans:
    previous = "3d_lowres" if configuration == "3d_cascade_fullres" else None
    return Plans(
        format=FORMAT,
        version=autoseg.__version__,
        identifier="autoseg",
        planner="Planner3D",
        dataset=TASK,
        channels=("MRI",),
        labels=labels,
        transpose_forward=(0, 1, 2),
        transpose_backward=(0, 1, 2),
        intensities=None,
        configurations={
            name: unet_plan(
                name=name,
                spacing=(1.0, 1.0, 1.0),
                median_shape=SHAPE,
                patch_size=(8,) * (2 if name == "2d" else 3),
                batch_size=2,
                poolings=((2,) * (2 if name == "2d" else 3),),
                kernels=((3,) * (2 if name == "2d" else 3),) * 2,
                in_plane=False,
                normalisation=("nonCT",),
                masked=(False,),
                batch_dice=False,
                previous=previous if name == configuration else None,
                network="unet",
                features=2,
                max_features=4,
                convs_per_stage=1,
            )
            for name in filter(None, (configuration, previous))
        },
    )


def find_best(workspace: Workspace, *words: str) -> int:
    return find_best_configuration.main(["--home", str(workspace.results.parent), "--workers", "1", *words])


def dice(probability: np.ndarray) -> float:
    predicted, true = probability > 0.5, truth() == 1
    return 2 * (predicted & true).sum() / (predicted.sum() + true.sum())


def mean_dice(draw: Draw) -> float:
    return float(np.mean([dice(draw(fold, number)) for fold in range(5) for number in range(CASES_A_FOLD)]))


# ------------------------------------------------------------------ selection


def test_the_pair_that_is_better_than_its_members_is_selected(
    workspace: Workspace, capsys: pytest.CaptureFixture[str]
) -> None:
    """One misses what the other finds, and the other's inventions are no longer probable in the mean."""
    validate(workspace, "2d", too_small)
    validate(workspace, "3d_fullres", shifted)

    assert find_best(workspace) == DONE

    selection = load_selection(workspace.task(TASK).selection)
    assert selection.name == "2d+3d_fullres"
    assert selection.members == (
        Member(configuration="2d", trainer="Trainer", plans="autoseg", folds=FOLDS),
        Member(configuration="3d_fullres", trainer="Trainer", plans="autoseg", folds=FOLDS),
    )
    assert (selection.rules, selection.expected_dice, selection.interval) == ((), 1, (1, 1))
    assert selection.scores == {
        "2d+3d_fullres": 1,
        "2d": pytest.approx(mean_dice(too_small), abs=1e-12),
        "3d_fullres": pytest.approx(mean_dice(shifted), abs=1e-12),
    }
    assert selection.lead is not None
    assert selection.lead.more_than_noise
    assert selection.lead.difference == pytest.approx(1 - max(mean_dice(too_small), mean_dice(shifted)), abs=1e-12)
    assert (selection.folds, selection.cases, selection.incomplete) == (FOLDS, 10, ())
    folder = workspace.task(TASK).selection_folder / "2d__Trainer__autoseg--3d_fullres__Trainer__autoseg"
    np.testing.assert_array_equal(read_image(folder / "fold_3" / "case_31.nii.gz").data, truth())
    assert load_choice(folder / "postprocessing.json") is not None
    printed = capsys.readouterr().out
    assert "selected: 2d+3d_fullres; it leads" in printed
    assert "which is more than noise" in printed


def test_candidates_are_compared_as_they_would_be_shipped(workspace: Workspace) -> None:
    """With its false islands removed the 2d model is the better one; before that it is the worse."""
    folder = validate(workspace, "2d", with_island)

    def smaller(fold: int, number: int) -> np.ndarray:
        probability = too_small(fold, number)
        probability[1, 2, 2:4] = 0.1
        return probability

    validate(workspace, "3d_fullres", smaller)
    raw = mean_dice(with_island), mean_dice(smaller)
    assert raw[0] < raw[1] < mean_dice(too_small)

    assert find_best(workspace, "--disable_ensembling") == DONE

    selection = load_selection(workspace.task(TASK).selection)
    assert (selection.name, selection.rules) == ("2d", (LARGEST,))
    assert selection.expected_dice == pytest.approx(mean_dice(too_small), abs=1e-12)
    assert load_rules(folder / "postprocessing.json") == (LARGEST,)
    table = pd.read_csv(workspace.task(TASK).selection_folder / "summary.csv")
    assert table["raw_mean"].tolist() == pytest.approx([raw[0]] * 2 + [raw[1]] * 2, abs=1e-12)

    assert find_best(workspace, "--disable_ensembling", "--disable_postprocessing") == DONE

    selection = load_selection(workspace.task(TASK).selection)
    assert (selection.name, selection.rules) == ("3d_fullres", ())
    assert "--disable_postprocessing" in (workspace.task(TASK).selection_folder / "prediction_commands.txt").read_text()


def test_the_table_holds_the_statistics_of_every_candidate(workspace: Workspace) -> None:
    validate(workspace, "2d", too_small)
    validate(workspace, "3d_lowres", shifted)

    assert find_best(workspace) == DONE

    table = pd.read_csv(workspace.task(TASK).selection_folder / "summary.csv")
    assert table["candidate"].tolist() == [name for name in ("2d+3d_lowres", "3d_lowres", "2d") for _ in range(2)]
    assert table["rank"].tolist() == [1, 1, 2, 2, 3, 3]
    assert table["name"].tolist() == ["ball", "mean"] * 3
    values = [dice(too_small(fold, number)) for fold in range(5) for number in range(CASES_A_FOLD)]
    row = table[(table["candidate"] == "2d") & (table["name"] == "ball")].iloc[0]
    assert row[["mean", "std", "min", "max", "n"]].tolist() == pytest.approx(
        [np.mean(values), np.std(values, ddof=1), min(values), max(values), 10]
    )
    assert min(values) < row["low"] < np.mean(values) < row["high"] < max(values)


def test_equal_candidates_the_cheaper_is_selected(workspace: Workspace, capsys: pytest.CaptureFixture[str]) -> None:
    for configuration in ("3d_fullres", "3d_lowres", "2d"):
        validate(workspace, configuration, perfect)

    assert find_best(workspace) == DONE

    assert list(load_selection(workspace.task(TASK).selection).scores) == [
        "2d",
        "3d_lowres",
        "3d_fullres",
        "2d+3d_lowres",
        "2d+3d_fullres",
        "3d_fullres+3d_lowres",
    ]
    assert "selected: 2d; it is as good as 3d_lowres, and costs less" in capsys.readouterr().out


def test_a_lead_in_one_case_is_said_to_be_noise(workspace: Workspace, capsys: pytest.CaptureFixture[str]) -> None:
    def once_better(fold: int, number: int) -> np.ndarray:
        return perfect(fold, number) if (fold, number) == (1, 1) else too_small(fold, number)

    validate(workspace, "2d", too_small)
    validate(workspace, "3d_fullres", once_better)

    assert find_best(workspace, "--disable_ensembling") == DONE

    selection = load_selection(workspace.task(TASK).selection)
    assert selection.lead is not None
    assert (selection.name, selection.lead.runner_up, selection.lead.more_than_noise) == ("3d_fullres", "2d", False)
    assert selection.lead.difference == pytest.approx((1 - dice(too_small(1, 1))) / 10, abs=1e-12)
    assert "which is not more than noise, so the next one may be as good" in capsys.readouterr().out


def test_a_label_without_a_score_does_not_stop_the_choice(workspace: Workspace) -> None:
    validate(workspace, "2d", too_small, labels=("background", "ball", "nowhere"))
    validate(workspace, "3d_fullres", perfect, labels=("background", "ball", "nowhere"))

    assert find_best(workspace, "--disable_ensembling") == DONE

    assert load_selection(workspace.task(TASK).selection).expected_dice == 1
    table = pd.read_csv(workspace.task(TASK).selection_folder / "summary.csv")
    nowhere = table[table["name"] == "nowhere"]
    assert nowhere["n"].tolist() == [0, 0]
    assert nowhere["mean"].isna().all()


def test_cases_of_a_patient_are_drawn_together(workspace: Workspace) -> None:
    validate(workspace, "2d", too_small)
    validate(workspace, "3d_fullres", shifted)
    assert find_best(workspace, "--disable_ensembling") == DONE
    apart = load_selection(workspace.task(TASK).selection).interval
    workspace.task(TASK).patients.parent.mkdir(parents=True)
    workspace.task(TASK).patients.write_text(json.dumps({name: "same" for fold in FOLDS for name in names(fold)}))

    assert find_best(workspace, "--disable_ensembling") == DONE

    assert apart is not None
    assert load_selection(workspace.task(TASK).selection).interval is None


# -------------------------------------------------------------- incompleteness


def test_folds_need_not_be_contiguous_and_what_is_missing_is_said(
    workspace: Workspace, capsys: pytest.CaptureFixture[str]
) -> None:
    validate(workspace, "2d", too_small, folds=("1", "3", "4"))
    folder = validate(workspace, "3d_fullres", perfect, folds=("1", "3"))
    (folder / "fold_3" / "validation_raw" / "case_31.nii.gz").unlink()

    assert find_best(workspace) == DONE

    selection = load_selection(workspace.task(TASK).selection)
    assert (selection.name, selection.folds, selection.cases) == ("3d_fullres", ("1", "3"), 3)
    assert selection.members[0].folds == ("1", "3")
    assert selection.incomplete == (
        "2d__Trainer__autoseg fold 0: no predictions; autoseg_train 2d Trainer Task004_Balls 0 --npz",
        "2d__Trainer__autoseg fold 2: no predictions; autoseg_train 2d Trainer Task004_Balls 2 --npz",
        "3d_fullres__Trainer__autoseg fold 0: no predictions; autoseg_train 3d_fullres Trainer Task004_Balls 0 --npz",
        "3d_fullres__Trainer__autoseg fold 2: no predictions; autoseg_train 3d_fullres Trainer Task004_Balls 2 --npz",
        "3d_fullres__Trainer__autoseg fold 3: 1 of 2 predictions; "
        "autoseg_train 3d_fullres Trainer Task004_Balls 3 -val --npz",
        "3d_fullres__Trainer__autoseg fold 4: no predictions; autoseg_train 3d_fullres Trainer Task004_Balls 4 --npz",
    )
    assert "a partial result, for the cross-validation is not complete" in capsys.readouterr().out

    assert find_best(workspace, "--strict") == USER_CAN_FIX
    error = capsys.readouterr().err
    assert "Task004_Balls: the cross-validation is not complete" in error
    assert "autoseg_train 2d Trainer Task004_Balls 2 --npz" in error
    assert find_best(workspace, "-f", "1", "--strict") == DONE
    assert load_selection(workspace.task(TASK).selection).folds == ("1",)


def test_missing_probabilities_are_an_error_that_names_the_command(
    workspace: Workspace, capsys: pytest.CaptureFixture[str]
) -> None:
    validate(workspace, "2d", too_small)
    folder = validate(workspace, "3d_fullres", perfect, trainer="MyTrainer")
    (folder / "fold_2" / "validation_raw" / "case_20.npz").unlink()
    words = ("-tr", "Trainer", "recipes/mine.py:MyTrainer")

    assert find_best(workspace, *words) == USER_CAN_FIX

    error = capsys.readouterr().err
    assert "\n  autoseg_train 3d_fullres recipes/mine.py:MyTrainer Task004_Balls 2 -val --npz\n" in error
    assert error.count("autoseg_train") == 1
    assert "leave ensembles out with --disable_ensembling" in error
    assert find_best(workspace, *words, "--disable_ensembling") == DONE
    assert load_selection(workspace.task(TASK).selection).name == "3d_fullres__MyTrainer__autoseg"


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("-m", "2d", "3d_lowres"), "no 3d_lowres by Trainer with plans autoseg is trained"),
        (("-tr", "Other"), "by Other with plans autoseg is trained"),
        (("-p", "mine"), "autoseg_train 2d Trainer Task004_Balls 0 --npz -p mine"),
    ],
)
def test_a_model_that_was_never_trained_is_named(
    workspace: Workspace, capsys: pytest.CaptureFixture[str], words: tuple[str, ...], message: str
) -> None:
    validate(workspace, "2d", perfect)

    assert find_best(workspace, *words) == USER_CAN_FIX

    assert message in capsys.readouterr().err


def test_models_that_cannot_be_compared_are_refused(workspace: Workspace, capsys: pytest.CaptureFixture[str]) -> None:
    validate(workspace, "2d", perfect, folds=("0",))
    validate(workspace, "3d_fullres", perfect, folds=("1",))
    assert find_best(workspace) == USER_CAN_FIX
    assert "no case was predicted by all candidates" in capsys.readouterr().err

    validate(workspace, "3d_lowres", perfect, labels=("background", "box"))
    assert find_best(workspace, "-m", "2d", "3d_lowres") == USER_CAN_FIX
    assert "has the labels background, ball, but" in capsys.readouterr().err
    assert not workspace.task(TASK).selection.exists()


def test_a_fold_with_no_cross_validation_is_no_fold(workspace: Workspace, capsys: pytest.CaptureFixture[str]) -> None:
    validate(workspace, "2d", perfect)

    assert find_best(workspace, "-f", "all") == USAGE
    assert "expected a whole number from 0, found 'all'" in capsys.readouterr().err


def test_a_reference_that_is_missing_is_named(workspace: Workspace, capsys: pytest.CaptureFixture[str]) -> None:
    validate(workspace, "2d", perfect)
    (workspace.task(TASK).references / "case_20.nii.gz").unlink()

    assert find_best(workspace) == USER_CAN_FIX
    assert "case_20.nii.gz: no reference for" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("content", "message"),
    [("[1]", "patients.json: expected an object such as"), ("{", "patients.json: not valid JSON")],
)
def test_patients_that_do_not_fit_are_refused(
    workspace: Workspace, capsys: pytest.CaptureFixture[str], content: str, message: str
) -> None:
    validate(workspace, "2d", perfect)
    workspace.task(TASK).patients.parent.mkdir(parents=True)
    workspace.task(TASK).patients.write_text(content)

    assert find_best(workspace) == USER_CAN_FIX
    assert message in capsys.readouterr().err


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ({}, "expected a list of objects such as"),
        ([{"train": []}], "fold 0: train is empty"),
        ([{"val": ["case_0"]}], "fold 0: expected an object such as"),
        ([{"train": ["case_0"], "val": ["case_0"]}], "fold 0: in training and validation at once: case_0"),
    ],
)
def test_splits_that_do_not_fit_are_refused_as_in_training(
    workspace: Workspace, capsys: pytest.CaptureFixture[str], content: object, message: str
) -> None:
    validate(workspace, "2d", perfect)
    workspace.task(TASK).splits.write_text(json.dumps(content))

    assert find_best(workspace) == USER_CAN_FIX
    assert f"splits_final.json: {message}" in capsys.readouterr().err


def test_predictions_of_cases_that_the_fold_no_longer_has_do_not_count(workspace: Workspace) -> None:
    validate(workspace, "2d", perfect)
    splits = json.loads(workspace.task(TASK).splits.read_text())
    splits[0]["val"].remove("case_00")
    workspace.task(TASK).splits.write_text(json.dumps(splits))

    assert find_best(workspace, "--strict") == DONE

    assert load_selection(workspace.task(TASK).selection).cases == 9


def trained(workspace: Workspace, configuration: str, fold: str, *cases: str) -> None:
    """Leave a record of a training on these cases."""
    record = RunRecord(
        trainer="Trainer",
        configuration=configuration,
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
    begin_run(workspace.model(key(configuration)).fold(fold), record, continued=False)


def test_folds_that_saw_their_present_cases_are_not_compared(
    workspace: Workspace, capsys: pytest.CaptureFixture[str]
) -> None:
    """As after new folds were made, of which only one configuration was trained anew."""
    for configuration in ("2d", "3d_fullres"):
        validate(workspace, configuration, perfect)
    trained(workspace, "2d", "1", *names("0"), names("1")[0])
    line = (
        f"2d__Trainer__autoseg fold 1: was trained on {names('1')[0]}, which splits_final.json now has among its validation "
        f"cases, so it cannot be compared; autoseg_train 2d Trainer {TASK} 1 --overwrite --npz"
    )

    assert find_best(workspace, "--strict") == USER_CAN_FIX
    assert f"the cross-validation is not complete\n  {line}\n" in capsys.readouterr().err
    assert find_best(workspace) == DONE
    assert line in capsys.readouterr().out
    selection = load_selection(workspace.task(TASK).selection)
    assert (selection.cases, selection.incomplete) == (CASES_A_FOLD * (len(FOLDS) - 1), (line,))


def test_folds_of_other_cases_are_compared_but_not_in_silence(
    workspace: Workspace, capsys: pytest.CaptureFixture[str]
) -> None:
    validate(workspace, "2d", perfect)
    splits = json.loads(workspace.task(TASK).splits.read_text())
    splits[0]["train"] = [*names("1"), "more"]
    workspace.task(TASK).splits.write_text(json.dumps(splits))
    trained(workspace, "2d", "0", *names("1"), "less")

    assert find_best(workspace, "--strict") == DONE

    assert "2d__Trainer__autoseg fold 0: was trained on other cases than splits_final.json has now: less, more\n" in (
        capsys.readouterr().err
    )


# -------------------------------------------------------------------- currency


def test_what_is_current_is_not_made_again(workspace: Workspace) -> None:
    validate(workspace, "2d", with_island)
    folder = validate(workspace, "3d_fullres", shifted)
    assert find_best(workspace) == DONE
    before = {path: path.stat().st_mtime_ns for path in workspace.results.rglob("*") if path.is_file()}
    first = load_selection(workspace.task(TASK).selection)

    assert find_best(workspace) == DONE

    after = {path: path.stat().st_mtime_ns for path in workspace.results.rglob("*") if path.is_file()}
    changed = {path.name for path in after if after[path] != before[path]}
    assert changed == {"selection.json", "summary.csv", "prediction_commands.txt"}
    assert load_selection(workspace.task(TASK).selection) == first

    path = folder / "fold_2" / "validation_raw" / "case_20"
    write_probabilities(path.with_suffix(".npz"), truth() * 0.0)
    write_image(path.with_name("case_20.nii.gz"), truth() * 0, GEOMETRY)
    assert find_best(workspace) == DONE

    second = load_selection(workspace.task(TASK).selection)
    assert second.scores["3d_fullres"] != first.scores["3d_fullres"]
    assert second.sources["2d"] == first.sources["2d"]
    assert second.sources["2d+3d_fullres"] != first.sources["2d+3d_fullres"]


def test_what_earlier_weights_predicted_is_missing(workspace: Workspace) -> None:
    folder = validate(workspace, "2d", perfect)
    weights = WeightsFile(trainer="Trainer", custom_network=False, mirror_axes=(), epoch=1, weights={})
    save_weights(folder / "fold_1" / "weights_final.pt", weights)
    write_json(folder / "fold_1" / "validation_raw" / "prediction.json", {"format": 1, "weights": ["earlier"]})

    assert find_best(workspace) == DONE

    selection = load_selection(workspace.task(TASK).selection)
    assert (selection.folds, selection.cases) == (("0", "2", "3", "4"), 8)
    assert selection.incomplete == (
        "2d__Trainer__autoseg fold 1: no predictions by the weights that are there; "
        "autoseg_train 2d Trainer Task004_Balls 1 -val --npz",
    )


def test_a_selection_by_what_has_changed_since_is_noticed(workspace: Workspace) -> None:
    for configuration, draw in (("2d", too_small), ("3d_fullres", shifted)):
        validate(workspace, configuration, draw)
    assert find_best(workspace) == DONE
    selection = load_selection(workspace.task(TASK).selection)
    assert selection.name == "2d+3d_fullres"
    assert changed_since(selection, workspace, workers=1) == []

    folder = workspace.model(key("3d_fullres")).folder
    path = folder / "fold_2" / "validation_raw" / "case_20.nii.gz"
    write_image(path, truth(), GEOMETRY)
    assert changed_since(selection, workspace, workers=1) == ["3d_fullres__Trainer__autoseg"]
    (workspace.task(TASK).references / "case_11.nii.gz").unlink()
    assert changed_since(selection, workspace, workers=1) == ["2d__Trainer__autoseg", "3d_fullres__Trainer__autoseg"]

    shutil.rmtree(folder)
    assert changed_since(selection, workspace, workers=1) == ["2d__Trainer__autoseg"]
    assert changed_since(replace(selection, version="0.0"), workspace, workers=1) == []


def test_rules_of_the_user_stay_and_count(workspace: Workspace) -> None:
    folder = validate(workspace, "2d", with_island)
    own = '{"format": 1, "rules": [{"kind": "remove_small", "labels": [1], "minimum_mm3": 500}]}'
    (folder / "postprocessing.json").write_text(own)

    assert find_best(workspace) == DONE

    selection = load_selection(workspace.task(TASK).selection)
    assert selection.rules == (Rule(kind="remove_small", labels=(1,), minimum_mm3=500),)
    assert selection.expected_dice == 0
    assert (folder / "postprocessing.json").read_text() == own


# -------------------------------------------------------------------- commands


def commands(workspace: Workspace) -> list[list[str]]:
    lines = (workspace.task(TASK).selection_folder / "prediction_commands.txt").read_text().splitlines()
    parsed = [shlex.split(line) for line in lines if line and not line.startswith("#")]
    home = str(workspace.results.parent)
    assert all(words[-2:] == ["--home", home] for words in parsed)
    return [words[:-2] for words in parsed]


def test_the_commands_of_a_single_model(workspace: Workspace, capsys: pytest.CaptureFixture[str]) -> None:
    validate(workspace, "3d_fullres", perfect, folds=("0", "3"))

    assert find_best(workspace) == DONE

    best, *steps = commands(workspace)
    assert best == "autoseg_predict -i INPUT_FOLDER -o OUTPUT_FOLDER -t Task004_Balls --best".split()
    assert steps == ["autoseg_predict -i INPUT_FOLDER -o OUTPUT_FOLDER -t Task004_Balls -m 3d_fullres -f 0 3".split()]
    assert (
        workspace.task(TASK).selection_folder / "prediction_commands.txt"
    ).read_text().strip() in capsys.readouterr().out


def test_the_commands_of_a_cascade_begin_with_the_low_resolution(workspace: Workspace) -> None:
    validate(workspace, "3d_lowres", too_small, trainer="Mine")
    validate(workspace, "3d_cascade_fullres", perfect, trainer="Mine")

    assert find_best(workspace, "-tr", "my.py:Mine", "--disable_ensembling") == DONE

    lowres = "OUTPUT_FOLDER_3d_lowres_Mine"
    model = ["-tr", "my.py:Mine", "-f", *FOLDS]
    assert commands(workspace)[1:] == [
        ["autoseg_predict", "-i", "INPUT_FOLDER", "-o", lowres, "-t", TASK, "-m", "3d_lowres", *model]
        + ["--disable_postprocessing"],
        ["autoseg_predict", "-i", "INPUT_FOLDER", "-o", "OUTPUT_FOLDER", "-t", TASK, "-m", "3d_cascade_fullres", *model]
        + ["-l", lowres],
    ]


def test_the_commands_of_a_pair_predict_the_low_resolution_once(workspace: Workspace) -> None:
    def misses(fold: int, number: int) -> np.ndarray:
        probability = too_small(fold, number)
        probability[0, 0, :2] = 0.95  # an island, which the mean keeps
        return probability

    def invents(fold: int, number: int) -> np.ndarray:
        probability = shifted(fold, number)
        probability[0, 0, :2] = 0.95
        return probability

    validate(workspace, "3d_lowres", misses)
    validate(workspace, "3d_cascade_fullres", invents)

    assert find_best(workspace) == DONE

    assert load_selection(workspace.task(TASK).selection).rules == (LARGEST,)
    rules = workspace.task(TASK).selection_folder / (
        "3d_lowres__Trainer__autoseg--3d_cascade_fullres__Trainer__autoseg/postprocessing.json"
    )
    lowres, cascade = "OUTPUT_FOLDER_3d_lowres", "OUTPUT_FOLDER_3d_cascade_fullres"
    probabilities = ["--save_npz", "--disable_postprocessing"]
    model = ["-t", TASK, "-m"]
    folds = ["-f", *FOLDS]
    assert commands(workspace)[1:] == [
        ["autoseg_predict", "-i", "INPUT_FOLDER", "-o", lowres, *model, "3d_lowres", *folds, *probabilities],
        ["autoseg_predict", "-i", "INPUT_FOLDER", "-o", cascade, *model, "3d_cascade_fullres", *folds, "-l", lowres]
        + probabilities,
        ["autoseg_ensemble", "-f", lowres, cascade, "-o", "OUTPUT_FOLDER", "-pp", str(rules)],
    ]
    assert load_rules(rules) == (LARGEST,)


# -------------------------------------------------------------- postprocessing


def determine(workspace: Workspace, *words: str) -> int:
    return determine_postprocessing.main(["--home", str(workspace.results.parent), "--workers", "1", *words])


def test_postprocessing_is_determined_with_its_evidence(
    workspace: Workspace, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = validate(workspace, "2d", with_island, folds=("0", "2", "4"), npz=False)

    assert determine(workspace, "-t", "4") == DONE

    choice = load_choice(folder / "postprocessing.json")
    assert choice is not None
    assert choice.rules == (LARGEST,)
    assert choice.evidence.judged[0].chosen_without == ("0", "2", "4")
    printed = capsys.readouterr().out
    assert "6 cases, judged by fold 0, fold 2, fold 4" in printed
    before, after = (np.mean([dice(d(f, n)) for f in (0, 2, 4) for n in (0, 1)]) for d in (with_island, too_small))
    assert f"kept      keep_largest of 1: 1 ball {before:.4f} -> {after:.4f}" in printed
    assert "missing: 2d__Trainer__autoseg fold 1: no predictions" in printed


def test_rules_of_the_user_are_judged_as_candidates(workspace: Workspace, tmp_path: Path) -> None:
    folder = validate(workspace, "2d", with_island)
    tiny, huge = (Rule(kind="remove_small", labels=(1,), minimum_mm3=size) for size in (10, 500))
    save_rules([huge, tiny], tmp_path / "mine.json")

    assert determine(workspace, "--rules", str(tmp_path / "mine.json")) == DONE

    choice = load_choice(folder / "postprocessing.json")
    assert choice is not None
    assert (choice.rules, choice.evidence.candidates) == ((tiny,), (huge, tiny))
    assert find_best(workspace) == DONE  # keeps to the candidates the user chose from
    assert load_rules(folder / "postprocessing.json") == (tiny,)
    assert determine(workspace) == DONE
    assert load_rules(folder / "postprocessing.json") == (LARGEST,)


def test_a_file_of_the_user_is_replaced_only_on_request(
    workspace: Workspace, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = validate(workspace, "2d", with_island)
    (folder / "postprocessing.json").write_text('{"format": 1, "rules": []}')

    assert determine(workspace) == USER_CAN_FIX
    assert "holds rules without evidence, so somebody wrote them" in capsys.readouterr().err
    assert determine(workspace, "--overwrite") == DONE
    assert load_rules(folder / "postprocessing.json") == (LARGEST,)


def test_a_file_of_the_user_stays_where_nothing_can_be_chosen_in_its_place(workspace: Workspace) -> None:
    folder = validate(workspace, "2d", with_island)
    own = folder / "postprocessing.json"
    own.write_text('{"format": 1, "rules": []}')
    damaged = min(folder.glob("fold_*/validation_raw/*.nii.gz"))
    damaged.write_bytes(damaged.read_bytes()[:-20])

    assert determine(workspace, "--overwrite") == USER_CAN_FIX
    assert own.read_text() == '{"format": 1, "rules": []}'


def test_with_nothing_validated_there_is_nothing_to_choose_on(
    workspace: Workspace, capsys: pytest.CaptureFixture[str]
) -> None:
    validate(workspace, "2d", perfect, folds=())

    assert determine(workspace, "-t", TASK) == USER_CAN_FIX
    assert "nothing to choose on\n2d__Trainer__autoseg fold 0: no predictions" in capsys.readouterr().err
    assert find_best(workspace, "-t", TASK) == USER_CAN_FIX
    assert "the cross-validation is not complete" in capsys.readouterr().err


def test_rules_are_applied_to_a_folder(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    segmentation = (with_island(0, 0) > 0.5).astype(np.uint8)
    write_image(tmp_path / "in" / "a.nii.gz", segmentation, GEOMETRY)
    write_image(tmp_path / "in" / "b.nii", segmentation.astype(np.float32), GEOMETRY)
    save_rules([LARGEST], tmp_path / "mine.json")
    words = ["-i", str(tmp_path / "in"), "-o", str(tmp_path / "out"), "-pp", str(tmp_path / "mine.json")]

    assert apply_postprocessing.main([*words, "--workers", "1"]) == DONE

    for name in ("a", "b"):
        written = read_image(tmp_path / "out" / f"{name}.nii.gz")
        np.testing.assert_array_equal(written.data, too_small(0, 0) > 0.5)
        assert written.geometry.differences(GEOMETRY) == ()
    assert load_rules(tmp_path / "out" / "mine.json") == (LARGEST,)
    assert "keep_largest of 1\nwritten: 2 segmentations" in capsys.readouterr().out


@pytest.mark.parametrize(("folder", "message"), [("none", "none: no such folder"), ("empty", "empty: no segmentation")])
def test_a_folder_without_segmentations_is_refused(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], folder: str, message: str
) -> None:
    (tmp_path / "empty").mkdir()
    save_rules([LARGEST], tmp_path / "mine.json")
    words = ["-i", str(tmp_path / folder), "-o", str(tmp_path / "out"), "-pp", str(tmp_path / "mine.json")]

    assert apply_postprocessing.main(words) == USER_CAN_FIX
    assert message in capsys.readouterr().err


# ------------------------------------------------------------------- ensembles


def test_folders_of_probabilities_are_averaged(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for folder, draw in (("one", too_small), ("two", shifted)):
        write_probabilities(tmp_path / folder / "a.npz", draw(0, 0))
    save_rules([LARGEST], tmp_path / "mine.json")
    folders = ["-f", str(tmp_path / "one"), str(tmp_path / "two")]
    words = [*folders, "-o", str(tmp_path / "out"), "-pp", str(tmp_path / "mine.json"), "--npz", "--workers", "1"]

    assert ensemble.main(words) == DONE

    np.testing.assert_array_equal(read_image(tmp_path / "out" / "a.nii.gz").data, truth())
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == ["a.nii.gz", "a.npz", "mine.json"]
    assert "written: 1 segmentation" in capsys.readouterr().out
