"""Values to try: which recipes come of them, what they are called, and what is refused."""

from __future__ import annotations

import json
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest

from autoseg.errors import ExtensionError, StorageError
from autoseg.training.recipes.file import read_recipe
from autoseg.training.recipes.tries import combinations, has_tries, write_tried

SEARCH = {
    "base": "TrainerDA5",
    "learning_rate": {"try": [0.01, 0.001]},
    "loss": [{"name": "focal_tversky", "gamma": {"try": [1.0, 2.0, 3.0]}}, "cross_entropy"],
}


def test_every_combination_is_a_recipe_of_its_own() -> None:
    tried = combinations(SEARCH)

    assert [(one.content["learning_rate"], one.content["loss"][0]["gamma"]) for one in tried] == [
        (rate, gamma) for rate in (0.01, 0.001) for gamma in (1.0, 2.0, 3.0)
    ]
    assert [one.name for one in tried][:2] == ["learning_rate_0.01-loss_gamma_1.0", "learning_rate_0.01-loss_gamma_2.0"]
    assert all(one.content["loss"][1] == "cross_entropy" and one.content["base"] == "TrainerDA5" for one in tried)


def test_more_that_are_drawn_hold_those_of_fewer() -> None:
    names = [{one.name for one in combinations(SEARCH, number=number)} for number in range(1, 8)]

    assert [len(one) for one in names] == [1, 2, 3, 4, 5, 6, 6]
    assert all(fewer <= more for fewer, more in pairwise(names))


@pytest.mark.parametrize(
    ("values", "names"),
    [
        (["SGD", {"name": "AdamW", "weight_decay": 0.1}], ["optimiser_SGD", "optimiser_AdamW_weight_decay_0.1"]),
        ([None, True], ["optimiser_none", "optimiser_true"]),
        (["my file.py:part", "../x__y"], ["optimiser_my_file.py_part", "optimiser_.._x_y"]),
    ],
)
def test_names_say_what_was_chosen_and_can_be_folders(values: list[Any], names: list[str]) -> None:
    assert [one.name for one in combinations({"optimiser": {"try": values}})] == names


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ({"epochs": {"try": []}}, "epochs.try: expected a list of values, found []"),
        ({"epochs": {"try": 5}}, "epochs.try: expected a list of values, found 5"),
        ({"loss": [{"try": ["dice"], "name": "x"}]}, "loss[0]: 'try' stands alone in its object, found try, name"),
    ],
)
def test_lists_that_are_none_are_refused(content: dict[str, Any], message: str) -> None:
    with pytest.raises(StorageError) as caught:
        combinations(content)
    assert str(caught.value) == message


def test_too_many_combinations_are_refused_unless_some_are_drawn() -> None:
    many = {name: {"try": list(range(1, 12))} for name in ("epochs", "batch_size", "validation_batches")}

    with pytest.raises(ExtensionError, match=r"^1331 combinations of what is to be tried, each a training; list fewer"):
        combinations(many)
    assert len(combinations(many, number=5)) == 5


def test_files_are_complete_lie_anywhere_and_are_written_once(tmp_path: Path) -> None:
    (tmp_path / "part.py").write_text(
        "from torch import nn\ndef mine(weight: float = 1.0): return nn.CrossEntropyLoss()\n"
    )
    search = tmp_path / "search.json"
    search.write_text(json.dumps({"loss": "part.py:mine", "epochs": {"try": [2, 3]}, "base": "TrainerDA5"}))

    chosen = write_tried(search, tmp_path / "run" / "tried")
    files = list(chosen)

    assert has_tries(search) and not has_tries(files[0]) and not has_tries(tmp_path / "nothing.json")
    assert [file.name for file in files] == ["search-epochs_2.json", "search-epochs_3.json"]
    recipes = [read_recipe(file) for file in files]
    assert [one.epochs for one in recipes] == [2, 3] and recipes[0].augmentation.name == "DA5"
    assert recipes[0].loss[0].own_file == tmp_path / "part.py"
    before = [file.stat().st_mtime_ns for file in files]
    assert write_tried(search, tmp_path / "run" / "tried") == chosen
    assert list(chosen.values()) == ["epochs_2", "epochs_3"]
    assert [file.stat().st_mtime_ns for file in files] == before


def test_long_names_are_numbered(tmp_path: Path) -> None:
    search = tmp_path / "search.json"
    losses = [[{"name": "tversky", "alpha": 0.123456789 + place, "beta": 0.1, "smooth": 2.0}] for place in range(2)]
    search.write_text(
        json.dumps({"loss": {"try": losses}, "stopping": {"name": "early", "patience": {"try": [11, 12]}}})
    )

    chosen = write_tried(search, tmp_path)
    assert [file.stem for file in chosen] == ["search-1", "search-2", "search-3", "search-4"]
    assert [words.rpartition("-")[2] for words in chosen.values()] == [
        "stopping_patience_11",
        "stopping_patience_12",
    ] * 2
    for number in (1, 2, 3):  # whatever others are drawn
        assert write_tried(search, tmp_path, number=number).items() <= chosen.items()


def test_of_a_combination_that_is_no_recipe_nothing_is_written(tmp_path: Path) -> None:
    search = tmp_path / "search.json"
    search.write_text(json.dumps({"learning_rate": {"try": [0.1, -1.0]}}))

    with pytest.raises(ExtensionError) as caught:
        write_tried(search, tmp_path / "tried")
    assert str(caught.value) == (
        f"{search}: with learning_rate_-1.0: learning_rate: between 0 and 10, found -1.0; the usual value is 0.01"
    )
    assert not (tmp_path / "tried").exists()
