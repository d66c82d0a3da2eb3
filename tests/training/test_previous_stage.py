from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from autoseg.dataset import Exclusive
from autoseg.dataset.folds import Split
from autoseg.errors import TrainingError
from autoseg.files.model_folder import FoldFolder, ModelFolder, ModelKey
from autoseg.files.storage import write_json
from autoseg.inference.model import WeightsFile, save_weights
from autoseg.preprocessing.previous import PreviousMaps
from autoseg.preprocessing.store import PreparedCases
from autoseg.training.fold.run_record import RunRecord, begin_run
from autoseg.training.previous_stage import PreviousStage, find_predictions

CASES = ("a", "b", "c", "d", "e", "f")
TARGET = Exclusive.numbered(2)
SPLITS = (
    Split(training=("c", "d", "e", "f"), validation=("a", "b")),
    Split(training=("a", "b", "e", "f"), validation=("c", "d")),
    Split(training=("a", "b", "c", "d"), validation=("e", "f")),
)


def record(training: tuple[str, ...]) -> RunRecord:
    return RunRecord(
        trainer="Trainer",
        configuration="3d_lowres",
        seed=0,
        epochs=1,
        iterations_per_epoch=1,
        batch_size=2,
        training=training,
        validation=(),
        plan="hash",
        data="hash",
        previous=None,
        sessions=(),
    )


@pytest.fixture
def model(tmp_path: Path) -> ModelFolder:
    """Three folds of 3d_lowres, each with the predictions of its validation cases."""
    for number, split in enumerate(SPLITS):
        fold = tmp_path / f"fold_{number}"
        (fold / "validation_raw").mkdir(parents=True)
        for name in ("weights_final.pt", "checkpoint.pt"):
            (fold / name).write_bytes(b"weights")
        begin_run(FoldFolder(folder=fold), record(split.training), continued=False)
        for case in split.validation:
            (fold / "validation_raw" / f"{case}.nii.gz").write_bytes(b"labels")
    return ModelFolder(key=ModelKey(task="Task004_Hippocampus", configuration="3d_lowres"), folder=tmp_path)


def test_each_case_is_taken_from_the_fold_that_left_it_out(model: ModelFolder) -> None:
    found = find_predictions(model, SPLITS, CASES, TARGET)

    assert {case: path.relative_to(model.folder).parts[0] for case, path in found.items()} == {
        "a": "fold_0", "b": "fold_0", "c": "fold_1", "d": "fold_1", "e": "fold_2", "f": "fold_2"
    }  # fmt: skip
    assert all(path == path.parent / f"{case}.nii.gz" for case, path in found.items())


def test_where_folds_share_validation_cases_any_that_predicted_them_will_do(model: ModelFolder) -> None:
    shared = (replace(SPLITS[0], validation=("a", "b", "e")), *SPLITS[1:])

    assert find_predictions(model, shared, CASES, TARGET)["e"].parts[-3] == "fold_2"


def test_what_earlier_weights_predicted_is_missing(model: ModelFolder) -> None:
    weights = WeightsFile(trainer="Trainer", custom_network=False, mirror_axes=(), epoch=1, weights={})
    save_weights(model.folder / "fold_1" / "weights_final.pt", weights)
    write_json(model.folder / "fold_1" / "validation_raw" / "prediction.json", {"format": 1, "weights": ["earlier"]})

    with pytest.raises(
        TrainingError, match=r"missing for 2 of 6 cases\n  fold 1 \(c, d\): run autoseg_train .* 1 -val"
    ):
        find_predictions(model, SPLITS, CASES, TARGET)


def test_a_missing_fold_is_named_with_the_command_that_makes_it(model: ModelFolder) -> None:
    for path in (model.folder / "fold_2" / "validation_raw").iterdir():
        path.unlink()
    for name in ("weights_final.pt", "checkpoint.pt"):
        (model.folder / "fold_2" / name).unlink()

    with pytest.raises(TrainingError) as error:
        find_predictions(model, SPLITS, CASES, TARGET)

    assert str(error.value) == (
        f"{model.folder}: a cascade learns from what 3d_lowres predicted for every case while that case was left out of "
        "training; this is missing for 2 of 6 cases\n"
        "  fold 2 (e, f): run autoseg_train 3d_lowres Trainer Task004_Hippocampus 2"
    )


def test_the_command_goes_on_from_where_the_fold_is(model: ModelFolder) -> None:
    for case, fold in (("a", 0), ("c", 1)):
        (model.folder / f"fold_{fold}" / "validation_raw" / f"{case}.nii.gz").unlink()
    (model.folder / "fold_1" / "weights_final.pt").unlink()
    mine = replace(model, key=ModelKey.named("Task004_Hippocampus", "3d_lowres", "my.py:Mine", "small"))

    with pytest.raises(TrainingError) as error:
        find_predictions(mine, SPLITS, CASES, TARGET)

    _, first, second = str(error.value).splitlines()
    assert first == "  fold 0 (a): run autoseg_train 3d_lowres my.py:Mine Task004_Hippocampus 0 -val -p small"
    assert second == "  fold 1 (c): run autoseg_train 3d_lowres my.py:Mine Task004_Hippocampus 1 -c -p small"


def test_fold_all_cannot_feed_a_cascade_and_the_error_says_why(model: ModelFolder, tmp_path: Path) -> None:
    only_all = replace(model, folder=tmp_path / "other")
    (only_all.folder / "all" / "validation_raw").mkdir(parents=True)
    for case in CASES:
        (only_all.folder / "all" / "validation_raw" / f"{case}.nii.gz").write_bytes(b"labels")

    with pytest.raises(TrainingError) as error:
        find_predictions(only_all, SPLITS, CASES + CASES, TARGET)

    assert "missing for 6 of 6 cases" in str(error.value)
    assert str(error.value).endswith(
        "Fold all of 3d_lowres cannot stand in: it was trained on the very cases it predicts, so its predictions of them "
        "are better than those of new images, and the cascade would learn to trust them too much."
    )


def test_cases_that_no_fold_leaves_out_are_named(model: ModelFolder) -> None:
    with pytest.raises(
        TrainingError, match=r"  e, f: in no fold's validation cases; add them to `val` of a fold in sp"
    ):
        find_predictions(model, SPLITS[:2], CASES, TARGET)


def test_predictions_by_a_fold_that_was_trained_on_the_case_are_refused(model: ModelFolder) -> None:
    """As when splits_final.json was edited after the first stage was trained."""
    begin_run(model.fold("1"), record(("a", "d", "e")), continued=False)

    with pytest.raises(TrainingError, match=r"fold_1: was trained on d, which .*autoseg_train .* 1 --overwrite"):
        find_predictions(model, SPLITS, CASES, TARGET)


def test_gathering_asks_for_every_case(tmp_path: Path) -> None:
    stage = PreviousStage(predictions={"a": tmp_path / "a.nii.gz"}, maps=PreviousMaps(tmp_path / "maps"))

    with pytest.raises(
        TrainingError, match="no prediction by the previous stage is given for b, c; give one for every"
    ):
        stage.gather(("a", "b", "c"), PreparedCases(tmp_path), target=Exclusive.numbered(2))
