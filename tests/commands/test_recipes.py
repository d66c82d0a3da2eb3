"""A recipe file from the command line: made, trained, predicted with, selected and refused."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from autoseg.commands import find_best_configuration, list_networks, make_recipe, predict, train
from autoseg.commands import plan_and_preprocess as preparing
from autoseg.images import read_image

TASK = "Task001_Balls"
SHORT = (
    "--epochs 1 --iterations_per_epoch 1 --batch_size 2 --seed 1 --num_workers 0 -device cpu --precision fp32".split()
)
OWN_LOSS = """
import torch


class absolute(torch.nn.Module):
    def forward(self, logits, labels):
        there = torch.nn.functional.one_hot(labels.long(), logits.shape[1]).movedim(-1, 1)
        return (torch.softmax(logits, dim=1) - there).abs().mean()
"""
Told = pytest.CaptureFixture[str]


def test_a_recipe_is_made_trained_selected_and_predicted_with(make_task: Any, tmp_path: Path, capsys: Told) -> None:
    make_task(TASK, parent=tmp_path / "raw_data", cases=5, test_cases=1, seed=5)
    home = ["--home", str(tmp_path)]
    assert preparing.main(["-t", "1", "-pl3d", "None", *home]) == 0
    recipe = tmp_path / "mine.json"
    assert make_recipe.main(["-o", str(recipe), "--base", "TrainerDice"]) == 0
    told = capsys.readouterr().out
    assert "optimiser.momentum" in told and "Share of the earlier steps" in told
    content = json.loads(recipe.read_text())
    assert content["loss"] == [{"name": "dice", "smooth": 1e-05, "parts": True}]
    part = tmp_path / "own.py"
    part.write_text(OWN_LOSS)
    changes = {
        "schedule": "cosine",
        "optimiser": "AdamW",
        "loss": ["cross_entropy", "own.py:absolute"],
        "network": {"name": "planned", "normalisation": "batch"},
    }
    recipe.write_text(json.dumps(content | changes))

    for fold in map(str, range(5)):
        assert train.main(["2d", str(recipe), "1", fold, *SHORT, *home]) == 0
        if fold == "0":
            assert f"next: autoseg_train 2d {recipe} {TASK} 1 " in capsys.readouterr().out
    assert (tmp_path / "results" / "2d" / TASK / "mine__autoseg" / "fold_4" / "weights_final.pt").is_file()
    assert find_best_configuration.main(["-t", "1", "-tr", "mine", *home]) == 0
    images = str(tmp_path / "raw_data" / TASK / "imagesTs")
    computing = ["-device", "cpu", "--precision", "fp32", "--disable_tta", "--engine", "torch"]
    for trainer in ("mine", str(recipe)):
        out = tmp_path / f"out_{Path(trainer).suffix}"
        words = ["-i", images, "-o", str(out), "-t", "1", "-m", "2d", "-tr", trainer, *computing, *home]
        assert predict.main(words) == 0
    written = {read_image(tmp_path / f"out_{ending}" / "test_005.nii.gz").data.tobytes() for ending in ("", ".json")}
    assert len(written) == 1

    part.write_text(OWN_LOSS.replace(".abs()", ".square()"))
    capsys.readouterr()
    assert train.main(["2d", str(recipe), "1", "0", "-c", *SHORT, *home]) == 1
    assert "own.py changed" in capsys.readouterr().err
    part.write_text(OWN_LOSS)
    recipe.write_text(json.dumps(content | changes | {"schedule": "poly"}))
    assert train.main(["2d", str(recipe), "1", "0", "-c", *SHORT, *home]) == 1
    assert (
        "schedule was cosine(warm_up=0), now poly(exponent=0.9); continue it with the same" in capsys.readouterr().err
    )


def test_networks_are_listed_without_a_task(tmp_path: Path, capsys: Told) -> None:
    assert list_networks.main(["--home", str(tmp_path)]) == 0
    assert "vnet               Milletari et al. 2016 (arXiv 1606.04797)\n" in capsys.readouterr().out
    assert list_networks.main(["-t", "4", "--home", str(tmp_path)]) == 1
    assert "no task" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ("-o {0}/mine.txt", "mine.txt: a recipe file's name ends in .json"),
        ("-o {0}/there.json", "there.json: there already; choose another name, or remove it"),
        ("-o {0}/Trainer.json", "Trainer.json: a recipe that ships is called so; give the file another name"),
        ("-o {0}/mine.json --base Trainr", "no recipe is called 'Trainr'; known: Trainer, "),
    ],
)
def test_what_cannot_be_written_is_said(tmp_path: Path, capsys: Told, words: str, message: str) -> None:
    (tmp_path / "there.json").write_text("{}")
    assert make_recipe.main(words.format(tmp_path).split()) == 1
    assert message in capsys.readouterr().err
    assert [path.name for path in tmp_path.iterdir()] == ["there.json"]


def test_a_recipe_that_holds_none_ends_before_anything_is_written(make_task: Any, tmp_path: Path, capsys: Told) -> None:
    recipe = tmp_path / "mine.json"
    recipe.write_text('{"epoch": 3}')
    make_task(TASK, parent=tmp_path / "raw_data", cases=5, test_cases=1, seed=5)
    assert train.main(["2d", str(recipe), "1", "0", "--home", str(tmp_path)]) == 1
    assert f"{recipe}: there is no key 'epoch'; known: epochs, " in capsys.readouterr().err
    assert not (tmp_path / "results").exists()
