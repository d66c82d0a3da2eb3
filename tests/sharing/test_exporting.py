"""An archive holds what prediction needs, the same bytes each time, and nothing that names the machine."""

from __future__ import annotations

import hashlib
import json
import zipfile
from dataclasses import replace
from pathlib import Path

import pytest

from autoseg.dataset.target import Exclusive, Masks, Regions, Target, stored_target
from autoseg.errors import ModelError, PlanError, StorageError
from autoseg.paths import find_models
from autoseg.plans import IntensityRule, load_plans, save_plans
from autoseg.sharing.card import AboutData, ModelEntry, card_text, load_card, make_card, save_card
from autoseg.sharing.exporting import Sources, export_models

FULLRES = "results/3d_fullres/Task004_Balls/Trainer__autoseg"


def test_an_archive_holds_the_models_their_scores_a_card_and_a_manifest(archive: Path) -> None:
    with zipfile.ZipFile(archive) as opened:
        names = opened.namelist()
        manifest = json.loads(opened.read("manifest.json"))
        sums = {name: hashlib.sha256(opened.read(name)).hexdigest() for name in names if name != "manifest.json"}
        sizes = {info.filename: info.file_size for info in opened.infolist() if info.filename != "manifest.json"}

    fullres = [name.removeprefix(FULLRES + "/") for name in names if name.startswith(FULLRES)]
    assert names[:2] == ["model_card.md", "model_card.json"]
    assert names[-1] == "manifest.json"
    assert fullres == [
        "fingerprint.json",
        "fold_0/validation_raw/summary.json",
        "fold_0/weights_final.pt",
        "fold_1/validation_raw/summary.json",
        "fold_1/weights_final.pt",
        "plans.json",
        "plans.pkl",
        "postprocessing.json",
    ]
    assert "results/selections/Task004_Balls/selection.json" in names
    assert len(names) == 2 + len(fullres) + 6 + 1 + 1
    assert (manifest["format"], manifest["version"]) == (1, "0.1.0")
    assert manifest["files"] == {name: {"sha256": sums[name], "bytes": sizes[name]} for name in sums}


def test_the_same_models_give_the_same_bytes(tmp_path: Path, train_model, fingerprint_file: Path) -> None:
    train_model(tmp_path, folds=("0", "1"))
    models, sources = find_models(tmp_path), Sources(fingerprint=fingerprint_file)

    export_models(models, tmp_path / "one.zip", sources)
    export_models(models, tmp_path / "two.zip", sources)

    assert (tmp_path / "one.zip").read_bytes() == (tmp_path / "two.zip").read_bytes()


def test_scores_name_cases_but_not_the_folders_of_the_machine(archive: Path) -> None:
    with zipfile.ZipFile(archive) as opened:
        everything = b"".join(opened.read(name) for name in opened.namelist())
        summary = json.loads(opened.read(f"{FULLRES}/fold_1/validation_raw/summary.json"))

    assert b"/home/someone" not in everything
    assert [case["test"] for case in summary["results"]["all"]] == ["case_001.nii.gz"]
    assert summary["results"]["mean"]["1"]["Dice"] == 0.6


def test_the_best_weights_are_packed_on_request(tmp_path: Path, train_model) -> None:
    train_model(tmp_path, checkpoints=("final", "best"))

    export_models(find_models(tmp_path), tmp_path / "both.zip", Sources(), checkpoints=("final", "best"))
    export_models(find_models(tmp_path), tmp_path / "best.zip", Sources(), checkpoints=("best",))

    def weights(name: str) -> list[str]:
        with zipfile.ZipFile(tmp_path / name) as opened:
            return [Path(member).name for member in opened.namelist() if member.endswith(".pt")]

    assert weights("both.zip") == ["weights_best.pt", "weights_final.pt"]
    assert weights("best.zip") == ["weights_best.pt"]


def test_folds_that_are_not_trained_are_named_with_their_commands(tmp_path: Path, train_model) -> None:
    folder = train_model(tmp_path, folds=("0", "2"))

    with pytest.raises(ModelError) as error:
        export_models(find_models(tmp_path), tmp_path / "x.zip", Sources(), folds=("0", "1", "3"))

    assert str(error.value) == (
        f"{folder}: no weights_final.pt of fold 1, 3; train with\n"
        "  autoseg_train 3d_fullres Trainer Task004_Balls 1\n"
        "  autoseg_train 3d_fullres Trainer Task004_Balls 3"
    )
    assert not (tmp_path / "x.zip").exists()


def test_a_model_without_weights_names_the_command_that_trains_it(tmp_path: Path, train_model) -> None:
    folder = train_model(tmp_path, folds=())

    with pytest.raises(
        ModelError, match=r"no weights_best\.pt of any fold; train with\n  autoseg_train 3d_fullres "
    ) as e:
        export_models(find_models(tmp_path), tmp_path / "x.zip", Sources(), checkpoints=("best",))

    assert str(e.value).startswith(str(folder))


def test_a_cascade_without_the_stage_before_it_is_not_packed(tmp_path: Path, train_model) -> None:
    train_model(tmp_path, "3d_cascade_fullres", previous="3d_lowres")

    with pytest.raises(ModelError, match="takes the predictions of 3d_lowres, which is missing"):
        export_models(find_models(tmp_path), tmp_path / "x.zip", Sources())

    train_model(tmp_path, "3d_lowres")
    card = export_models(find_models(tmp_path), tmp_path / "x.zip", Sources())
    assert [model.configuration for model in card.models] == ["3d_lowres", "3d_cascade_fullres"]


def test_damaged_plans_and_a_failed_export_leave_the_old_archive(tmp_path: Path, train_model) -> None:
    folder = train_model(tmp_path)
    export_models(find_models(tmp_path), tmp_path / "x.zip", Sources())
    before = (tmp_path / "x.zip").read_bytes()
    (folder / "plans.pkl").write_bytes(b"\x80\x04N.")

    with pytest.raises(PlanError, match="plans of format None"):
        export_models(find_models(tmp_path), tmp_path / "x.zip", Sources())

    assert (tmp_path / "x.zip").read_bytes() == before
    assert sorted(path.name for path in tmp_path.iterdir()) == ["3d_fullres", "x.zip"]


def test_the_target_must_be_a_zip(tmp_path: Path, train_model) -> None:
    train_model(tmp_path)

    with pytest.raises(StorageError, match=r"models: an archive's name ends in \.zip; name it models\.zip"):
        export_models(find_models(tmp_path), tmp_path / "models", Sources())


def test_the_card_says_what_was_trained_on_what_and_how_well(archive: Path) -> None:
    with zipfile.ZipFile(archive) as opened:
        text = opened.read("model_card.md").decode()
        card = json.loads(opened.read("model_card.json"))

    assert "- Data: Balls\n" in text
    assert "- Licence of the data: CC0 1.0\n" in text
    assert "- Reference: not stated\n" in text
    assert "- Training cases: 4\n" in text
    assert "- Labels: 0 background, 1 ball\n" in text
    assert "- Folds: 0 (10 epochs), 1 (10 epochs)\n" in text
    assert "- Voxel size: 1 x 1.5 x 2 mm (z, y, x)\n- Patch: 8x8x8 voxels\n" in text
    # Dice 0.5 and 0.6: mean 0.55, sample deviation 0.1 / sqrt(2)
    assert (
        "Cross-validated Dice, 2 folds (0, 1):\n\n| label | mean | std | cases |\n|---|---|---|---|\n"
        "| 1 ball | 0.5500 | 0.0707 | 2 |\n"
    ) in text
    assert card["models"][1]["dice"] == [
        {"label": 1, "name": "ball", "mean": pytest.approx(0.55), "std": pytest.approx(0.0707107), "number": 2}
    ]
    assert card["task"] == "Task004_Balls"


@pytest.mark.parametrize(
    ("target", "line"),
    [
        (Exclusive(names=("background", "a"), ignore=255), "- Labels: 0 background, 1 a; 255 where nobody knows\n"),
        (Exclusive(names=("background", "a"), soft=True), "- Labels: 0 background, 1 a (fractions)\n"),
        (
            Regions(names=("whole", "core"), members=((1, 2), (2,)), order=(1, 2)),
            "- Regions (of labels): 1 whole (1, 2), 2 core (2)\n",
        ),
        (Masks(names=("a", "b")), "- Masks (a file each): 1 a, 2 b\n"),
    ],
)
def test_the_card_says_what_is_predicted(target: Target, line: str, tmp_path: Path, train_model) -> None:
    plans = load_plans(train_model(tmp_path, "2d") / "plans.pkl")
    plans = replace(plans, labels=target.labels, target_kind=stored_target(target))
    entry = ModelEntry(
        configuration="2d",
        trainer="Trainer",
        plans="autoseg",
        folds=("0",),
        epochs=(1,),
        custom_network=False,
        previous=None,
        spacing=(1.0, 1.0, 1.0),
        patch_size=(8, 8),
        scored_folds=(),
        dice=(),
    )
    card = make_card(plans, AboutData(), [entry], training_cases=None, selection=False)

    save_card(card, tmp_path / "model_card.json")
    assert load_card(tmp_path / "model_card.json") == card
    assert line in card_text(card)
    content = json.loads((tmp_path / "model_card.json").read_text())
    content["labels"] = ["background", "a", "a"]
    (tmp_path / "model_card.json").write_text(json.dumps(content))
    with pytest.raises(ModelError, match=r"model_card\.json: target_kind: "):
        load_card(tmp_path / "model_card.json")


def test_fold_all_is_packed_but_its_scores_are_not(tmp_path: Path, train_model) -> None:
    train_model(tmp_path, folds=("all",))

    card = export_models(find_models(tmp_path), tmp_path / "x.zip", Sources(about=AboutData(name="Balls")))

    assert card.models[0].folds == ("all",)
    assert card.models[0].dice == ()
    with zipfile.ZipFile(tmp_path / "x.zip") as opened:
        assert not any("summary" in name for name in opened.namelist())
        assert "No cross-validated scores." in opened.read("model_card.md").decode()


def test_a_network_of_the_users_own_is_said_to_need_its_file(tmp_path: Path, train_model) -> None:
    train_model(tmp_path, trainer="MyTrainer")

    export_models(find_models(tmp_path), tmp_path / "x.zip", Sources())

    with zipfile.ZipFile(tmp_path / "x.zip") as opened:
        text = opened.read("model_card.md").decode()
    assert "Needs the file of its trainer to predict: -tr path/to/file.py:MyTrainer" in text


def test_code_of_ones_own_that_scales_a_channel_is_named(tmp_path: Path, train_model) -> None:
    folder = train_model(tmp_path, "2d")
    plans = load_plans(folder / "plans.pkl")
    own = IntensityRule(name="/somewhere/mine.py:halved@01ab")
    chosen = replace(plans.configuration("2d"), intensities=(own,) * len(plans.channels))
    save_plans(replace(plans, configurations={**plans.configurations, "2d": chosen}), folder / "plans.pkl")

    card = export_models(find_models(tmp_path), tmp_path / "x.zip", Sources())

    assert "- Scales a channel by code that is not in the archive: mine.py:halved@01ab\n" in card_text(card)
