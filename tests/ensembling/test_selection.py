"""The selection's file: it comes back as it was, and says what does not fit."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from autoseg.ensembling.selection import Lead, Member, Selection, load_selection, save_selection
from autoseg.errors import ModelError
from autoseg.postprocessing.rules import Rule

FOLDS = ("0", "1", "2", "3", "4")
SELECTION = Selection(
    version="0.1.0",
    task="Task004_Hippocampus",
    name="2d+3d_fullres",
    members=(
        Member(configuration="2d", trainer="Trainer", plans="autoseg", folds=FOLDS),
        Member(configuration="3d_fullres", trainer="Trainer", plans="autoseg", folds=("0", "2")),
    ),
    rules=(
        Rule(kind="keep_largest", labels=(1, 2)),
        Rule(kind="remove_small", labels=(2,), minimum_mm3=3.5),
    ),
    expected_dice=0.875,
    interval=(0.85, 0.9),
    lead=Lead(runner_up="2d", difference=0.01, low=-0.001, high=0.02, more_than_noise=False),
    scores={"2d+3d_fullres": 0.875, "2d": 0.865, "3d_fullres": None},
    folds=("0", "2"),
    cases=80,
    incomplete=("3d_fullres: folds 1, 3, 4",),
    sources={"2d": "ab", "3d_fullres": "cd"},
)


@pytest.mark.parametrize(
    "selection", [SELECTION, replace(SELECTION, expected_dice=None, interval=None, lead=None, rules=(), incomplete=())]
)
def test_a_selection_comes_back_as_it_was_saved(tmp_path: Path, selection: Selection) -> None:
    save_selection(selection, tmp_path / "selection.json")

    assert load_selection(tmp_path / "selection.json") == selection


def test_the_file_names_members_folds_rules_and_what_to_expect(tmp_path: Path) -> None:
    save_selection(SELECTION, tmp_path / "selection.json")

    content = json.loads((tmp_path / "selection.json").read_text())
    assert content["members"][1] == {
        "configuration": "3d_fullres",
        "trainer": "Trainer",
        "plans": "autoseg",
        "folds": ["0", "2"],
    }
    assert content["rules"][1] == {"kind": "remove_small", "labels": [2], "minimum_mm3": 3.5}
    assert (content["format"], content["expected_dice"], content["interval"]) == (1, 0.875, [0.85, 0.9])


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"format": 2}, r"a selection of format 2 \(autoseg 0\.1\.0\), but this is autoseg .*, which reads format 1"),
        ({"rules": [{"kind": "shave", "labels": [1], "minimum_mm3": None}]}, "the rule 'shave' is not known"),
        ({"members": []}, "a selection needs at least one model, each with at least one fold"),
        (
            {"cases": "80"},
            r"selection\.json\.cases: expected int, found '80'; run autoseg_find_best_configuration again",
        ),
        ({"extra": 1}, "wrong fields: unknown extra; run autoseg_find_best_configuration again"),
    ],
)
def test_a_file_that_does_not_fit_is_refused(tmp_path: Path, change: dict[str, Any], message: str) -> None:
    path = tmp_path / "selection.json"
    save_selection(SELECTION, path)
    path.write_text(json.dumps({**json.loads(path.read_text()), **change}))

    with pytest.raises(ModelError, match=message):
        load_selection(path)


def test_a_missing_file_tells_how_to_make_it(tmp_path: Path) -> None:
    with pytest.raises(
        ModelError, match=r"selection\.json: nothing is selected yet; run autoseg_find_best_configuration"
    ):
        load_selection(tmp_path / "selection.json")
