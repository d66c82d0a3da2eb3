"""Weights files and model folders: what comes back, what is chosen, and what is refused with which words."""

from __future__ import annotations

import hashlib
import json
import os
import re
import shutil
import struct
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

import autoseg
from autoseg.errors import ModelError, PlanError, StorageError
from autoseg.inference.model import (
    WeightsFile,
    input_channels,
    load_model,
    load_weights,
    save_weights,
    weights_sha256,
)
from autoseg.networks import build_network
from autoseg.plans import Plans, plan_signature, save_plans
from autoseg.postprocessing.rules import Rule, save_rules


def trained(plans: Plans, seed: int = 0, **changes: Any) -> WeightsFile:
    torch.manual_seed(seed)
    network = build_network(plans.configuration("3d_fullres"), 1, 2)
    file = WeightsFile(
        trainer="Trainer", custom_network=False, mirror_axes=(0, 1, 2), epoch=5, weights=dict(network.state_dict())
    )
    return replace(file, **changes)


@pytest.fixture
def folder(tmp_path: Path, make: Any) -> Path:
    """A model of folds 0 and 10 (final), 2 (best) and all (both)."""
    plans = make.plans()
    save_plans(plans, tmp_path / "plans.pkl")
    for seed, name in enumerate(["fold_10/weights_final", "fold_0/weights_final", "fold_2/weights_best"]):
        save_weights(tmp_path / f"{name}.pt", trained(plans, seed))
    for name in ("final", "best"):
        save_weights(tmp_path / "all" / f"weights_{name}.pt", trained(plans, 7))
    return tmp_path


def test_saved_weights_load_as_they_were(tmp_path: Path, make: Any) -> None:
    file = trained(make.plans(), mirror_axes=(0, 2), custom_network=True)

    save_weights(tmp_path / "weights.pt", file)
    loaded = load_weights(tmp_path / "weights.pt")

    assert replace(loaded, weights={}) == replace(file, weights={})
    assert loaded.weights.keys() == file.weights.keys()
    assert all(torch.equal(loaded.weights[name], file.weights[name]) for name in file.weights)


def test_every_fold_with_the_checkpoint_is_taken_when_none_is_named(folder: Path) -> None:
    model = load_model(folder, "3d_fullres")

    assert model.folds == ("0", "10")
    assert load_model(folder, "3d_fullres", checkpoint="best").folds == ("2",)
    assert (model.checkpoint, model.trainer, model.mirror_axes, model.rules) == ("final", "Trainer", (0, 1, 2), ())
    assert model.plan == model.plans.configuration("3d_fullres")


def test_all_is_taken_only_when_it_is_alone_or_named(folder: Path) -> None:
    assert load_model(folder, "3d_fullres", folds=["all"]).folds == ("all",)
    for path in folder.glob("fold_*/*.pt"):
        path.unlink()

    assert load_model(folder, "3d_fullres").folds == ("all",)


def test_the_networks_hold_their_folds_weights_and_are_ready_to_predict(folder: Path, make: Any) -> None:
    model = load_model(folder, "3d_fullres", folds=["10", "0"])
    tile = torch.randn(1, 1, 8, 8, 8, generator=torch.Generator().manual_seed(0))

    for network, seed in zip(model.networks, (0, 1), strict=True):
        expected = build_network(model.plan, 1, 2)
        expected.load_state_dict(trained(make.plans(), seed).weights)
        assert not network.training
        torch.testing.assert_close(network(tile), expected.eval()(tile)[0])


def test_the_models_rules_come_with_it(folder: Path) -> None:
    rule = Rule(kind="keep_largest", labels=(1,))
    save_rules([rule], folder / "postprocessing.json")

    assert load_model(folder, "3d_fullres").rules == (rule,)


def test_a_trainer_with_a_network_of_its_own_needs_its_builder(folder: Path, make: Any) -> None:
    network = nn.Conv3d(1, 2, 1)
    file = trained(make.plans(), custom_network=True, trainer="Mine", weights=dict(network.state_dict()))
    save_weights(folder / "fold_3" / "weights_final.pt", file)

    with pytest.raises(
        ModelError,
        match=r"Mine built a network of its own.*`trainer=path/to/file\.py:Mine` or path/to/Mine\.json \(.*=Mine\.build_network",
    ):
        load_model(folder, "3d_fullres", folds=["3"])
    model = load_model(
        folder, "3d_fullres", folds=["3"], build_network=lambda _, channels, classes: nn.Conv3d(channels, classes, 1)
    )
    assert torch.equal(model.networks[0].weight, network.weight)


def test_a_cascade_sees_a_channel_for_each_label_above_background(make: Any) -> None:
    plans = make.plans(channels=("T1", "T2"), labels=("background", "a", "b", "c"))
    (plan,) = plans.configurations.values()
    low = replace(plan, name="3d_lowres")
    cascade = replace(plan, name="3d_cascade_fullres", previous="3d_lowres")
    plans = replace(plans, configurations={p.name: p for p in (plan, low, cascade)})

    assert input_channels(plans, "3d_fullres") == 2
    assert input_channels(plans, "3d_cascade_fullres") == 5


def test_a_missing_fold_names_the_command_that_trains_it(folder: Path) -> None:
    expected = (
        f"{folder / 'fold_4' / 'weights_final.pt'}: no weights of fold 4 here; "
        "train it with: autoseg_train 3d_fullres Trainer Task001_Balls 4"
    )

    with pytest.raises(ModelError, match=f"^{re.escape(expected)}$"):
        load_model(folder, "3d_fullres", folds=["0", "4"])
    with pytest.raises(ModelError, match=r"no weights of fold 3, 4 here; train it with: .* 3; .* 4$"):
        load_model(folder, "3d_fullres", folds=["3", "0", "4"])


def test_a_folder_without_trained_folds_names_the_command_that_trains(tmp_path: Path, make: Any) -> None:
    save_plans(make.plans(), tmp_path / "plans.pkl")
    expected = (
        f"{tmp_path}: no fold here has weights_best.pt; train it with: autoseg_train 3d_fullres Trainer Task001_Balls 0"
    )

    with pytest.raises(ModelError, match=f"^{re.escape(expected)}$"):
        load_model(tmp_path, "3d_fullres", checkpoint="best")


def test_missing_plans_and_configurations_are_named(tmp_path: Path, folder: Path) -> None:
    with pytest.raises(PlanError, match=r"plans\.pkl: no plans here"):
        load_model(tmp_path / "nothing", "3d_fullres")
    with pytest.raises(PlanError, match="Task001_Balls: 2d is not planned; planned are 3d_fullres"):
        load_model(folder, "2d")


@pytest.fixture
def several(make: Any) -> Plans:
    """Plans of full and low resolution, as one planner makes them."""
    plans = make.plans()
    (plan,) = plans.configurations.values()
    both = {"3d_fullres": plan, "3d_lowres": replace(plan, name="3d_lowres")}
    return replace(plans, configurations=both)


def test_the_configuration_is_the_only_one_or_that_of_the_folders_place(folder: Path, several: Plans) -> None:
    assert load_model(folder).configuration == "3d_fullres"

    placed = folder / "results" / "3d_lowres" / "Task001_Balls" / "Trainer__autoseg"
    save_plans(several, placed / "plans.pkl")
    save_weights(placed / "fold_0" / "weights_final.pt", trained(several))
    link = folder / "my_model"
    link.symlink_to(placed)

    assert load_model(placed).configuration == "3d_lowres"
    assert load_model(link).configuration == "3d_lowres"
    assert load_model(placed, "3d_fullres").configuration == "3d_fullres"


def test_a_configuration_that_cannot_be_told_is_asked_for(folder: Path, several: Plans) -> None:
    save_plans(several, folder / "plans.pkl")

    with pytest.raises(ModelError) as error:
        load_model(folder)

    assert str(error.value) == (
        f"{folder}: its plans are for 3d_fullres, 3d_lowres, and it does not lie in results/<configuration>/<Task>, "
        "which would tell which of them was trained here; give the configuration"
    )


def test_a_newer_file_is_refused_with_both_versions_named(tmp_path: Path) -> None:
    path = tmp_path / "weights_final.pt"
    torch.save({"format": 2, "version": "9.1.0"}, path)

    with pytest.raises(ModelError) as error:
        load_weights(path)

    assert str(error.value) == (
        f"{path}: weights of format 2 (autoseg 9.1.0), but this is autoseg {autoseg.__version__}, "
        "which reads format 1; install a matching version or train again"
    )


class Payload:
    """Runs a command when it is unpickled the careless way."""

    def __init__(self, command: str) -> None:
        self.command = command

    def __reduce__(self) -> tuple[Any, tuple[str]]:
        return os.system, (self.command,)


def test_a_file_that_would_run_code_is_refused_and_runs_none(tmp_path: Path) -> None:
    path = tmp_path / "weights_final.pt"
    torch.save({"format": 1, "weights": Payload(f"touch {tmp_path / 'ran'}")}, path)

    with pytest.raises(ModelError, match=r"weights_final\.pt: refused: .*Do not trust this file"):
        load_weights(path)

    assert not (tmp_path / "ran").exists()


def test_damaged_and_missing_files_are_named(tmp_path: Path, make: Any) -> None:
    path = tmp_path / "weights_final.pt"
    with pytest.raises(ModelError, match=r"weights_final\.pt: no weights here; train this fold with autoseg_train"):
        load_weights(path)
    save_weights(path, trained(make.plans()))
    whole = path.read_bytes()
    for content in (whole[: len(whole) // 2], b"", b"not weights"):
        path.write_bytes(content)
        with pytest.raises(ModelError, match=r"weights_final\.pt: refused: it is cut short, or no file of tensors"):
            load_weights(path)
    torch.save({"format": 1, "version": "0.1.0", "trainer": "Trainer", "extra": 1}, path)
    with pytest.raises(
        ModelError, match="wrong fields: missing custom_network, epoch, mirror_axes, weights; unknown extra"
    ):
        load_weights(path)


def test_a_field_of_another_type_is_named(tmp_path: Path) -> None:
    path = tmp_path / "weights_final.pt"
    content = {"trainer": "Trainer", "custom_network": False, "mirror_axes": ["0"], "epoch": 1, "weights": {}}
    torch.save({"format": 1, "version": "0.1.0", **content}, path)

    with pytest.raises(ModelError, match=r"weights_final\.pt\.mirror_axes\[0\]: expected int, found '0'; get the file"):
        load_weights(path)


def test_weights_of_another_network_are_refused(folder: Path) -> None:
    with pytest.raises(ModelError, match=r"(?s)fold_0.*weights are of another network than the plans.*size mismatch"):
        load_model(folder, "3d_fullres", folds=["0"], build_network=lambda plan, *_: build_network(plan, 2, 2))


def test_folds_of_different_training_are_not_averaged(folder: Path, make: Any) -> None:
    save_weights(folder / "fold_1" / "weights_final.pt", trained(make.plans(), mirror_axes=()))

    with pytest.raises(ModelError) as error:
        load_model(folder, "3d_fullres")

    assert str(error.value) == (
        f"{folder / 'fold_1' / 'weights_final.pt'}: trained by Trainer with mirrored axes (), but "
        f"{folder / 'fold_0' / 'weights_final.pt'} by Trainer with (0, 1, 2); predict with folds of one training only (`folds`)"
    )


def test_the_hash_of_weights_is_that_of_their_names_types_shapes_and_values() -> None:
    weights = {"b": torch.tensor([[1.0, -2.0]]), "a": torch.tensor(3)}
    said = b'["a", "int64", []]\n' + struct.pack("<q", 3) + b'["b", "float32", [1, 2]]\n' + struct.pack("<2f", 1, -2)

    assert weights_sha256(weights) == hashlib.sha256(said).hexdigest()
    assert weights_sha256({"b": weights["b"].T.clone().T, "a": weights["a"]}) == weights_sha256(weights)
    assert weights_sha256({**weights, "a": torch.tensor(4)}) != weights_sha256(weights)


# ---------------------------------------------------------------------- plans and weights that belong together


def test_the_command_that_trains_names_the_folders_trainer(folder: Path, tmp_path: Path) -> None:
    mine = shutil.copytree(folder, tmp_path / "models" / "TrainerDice__own", ignore=shutil.ignore_patterns("models"))
    with pytest.raises(ModelError, match="train it with: autoseg_train 3d_fullres TrainerDice Task001_Balls 4"):
        load_model(mine, "3d_fullres", folds=["0", "4"])
    for path in mine.glob("*/*.pt"):
        path.unlink()
    with pytest.raises(ModelError, match="train it with: autoseg_train 3d_fullres TrainerDice Task001_Balls 0"):
        load_model(mine, "3d_fullres")


def test_a_fold_that_was_trained_with_other_plans_is_not_averaged(folder: Path, make: Any) -> None:
    """Networks of equal layers, so that nothing but the record of the training tells."""
    now, before = (plan_signature(make.plans(spacing=(side, 1.0, 1.0)), "3d_fullres") for side in (1.0, 2.0))
    for fold, signature in (("fold_0", now), ("fold_10", before)):
        (folder / fold / "run.json").write_text(json.dumps({"format": 1, "plan": signature}))

    with pytest.raises(ModelError) as error:
        load_model(folder, "3d_fullres")
    assert str(error.value) == (
        f"{folder / 'plans.pkl'}: fold_10 trained with other plans than these, so the images would be prepared otherwise "
        "than the weights expect; predict with other folds (`folds`), or train anew with `overwrite=True`"
    )
    assert load_model(folder, "3d_fullres", folds=["0"]).folds == ("0",)
    record = {"format": 1, "plan": before, "weights_sha256": "0" * 64}
    (folder / "fold_10" / "run.json").write_text(json.dumps(record))
    assert load_model(folder, "3d_fullres").folds == ("0", "10"), "the record is of other weights"
    record["weights_sha256"] = weights_sha256(load_weights(folder / "fold_10" / "weights_final.pt").weights)
    (folder / "fold_10" / "run.json").write_text(json.dumps(record))
    with pytest.raises(ModelError, match="fold_10 trained with other plans than these"):
        load_model(folder, "3d_fullres")
    (folder / "fold_10" / "run.json").unlink()
    assert load_model(folder, "3d_fullres").folds == ("0", "10"), "of an installed fold nothing is known"
    (folder / "fold_10" / "run.json").write_text("{")
    with pytest.raises(StorageError, match=r"run\.json: not valid JSON: .*; delete it there, it is only a record"):
        load_model(folder, "3d_fullres")
