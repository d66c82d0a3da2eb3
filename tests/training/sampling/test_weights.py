from __future__ import annotations

from collections import Counter
from pathlib import Path

import numpy as np
import pytest

from autoseg.dataset.facts import Facts
from autoseg.errors import TrainingError
from autoseg.preprocessing.store import PreparedCases
from autoseg.training.augmentation.default import build_validation_augmentation
from autoseg.training.sampling.batches import Stream
from autoseg.training.sampling.weights import case_weights, shares_of

CASES = ("a", "b", "c", "d")


def store(folder: Path, **columns: str) -> PreparedCases:
    """Facts of four cases, a word each."""
    words = {column: text.split() for column, text in columns.items()}
    facts = {
        case: Facts(known=tuple((column, given[number]) for column, given in words.items() if given[number] != "n/a"))
        for number, case in enumerate(CASES)
    }
    return PreparedCases(folder, facts)


def test_weights_are_those_of_the_column_and_none_where_all_are_alike(tmp_path: Path) -> None:
    assert case_weights(store(tmp_path, weight="1 0.33 n/a 2"), CASES, None) == (1, 0.33, 1, 2)
    assert case_weights(store(tmp_path, weight="0.5 0.5 0.5 0.5"), CASES, None) == ()
    assert case_weights(store(tmp_path, site="x y y y"), CASES, None) == ()


def test_a_balanced_column_gives_each_of_its_values_the_same_share(tmp_path: Path) -> None:
    weights = case_weights(store(tmp_path, site="x y y n/a"), CASES, "site")
    assert weights == pytest.approx((1 / 3, 1 / 6, 1 / 6, 1 / 3))
    assert case_weights(store(tmp_path, site="x y y n/a", weight="1 1 2 1"), CASES, "site")[2] == pytest.approx(1 / 3)


def test_labels_are_balanced_by_all_that_each_case_holds() -> None:
    """Drawn so, each label is drawn with equal chance and then a case of it."""
    kinds = {"a": ("1",), "b": ("1", "2"), "c": ("1",), "d": ("1",)}
    assert shares_of(kinds, CASES) == pytest.approx([1 / 8, 1 / 8 + 1 / 2, 1 / 8, 1 / 8])
    assert sum(shares_of(kinds, CASES)) == pytest.approx(1)


@pytest.mark.parametrize("weight", ["0", "-1", "heavy", "nan"])
def test_a_weight_that_is_none_is_refused(tmp_path: Path, weight: str) -> None:
    with pytest.raises(TrainingError, match=f"weight of case b: expected a number above 0, found {weight}"):
        case_weights(store(tmp_path, weight=f"1 {weight} 1 1"), CASES, None)


def test_a_column_of_which_nothing_is_known_is_refused(tmp_path: Path) -> None:
    with pytest.raises(TrainingError, match="balance: of no case that trains anything is known in a column 'sight'"):
        case_weights(store(tmp_path, site="x y y x"), CASES, "sight")


def test_cases_are_drawn_as_often_as_they_weigh() -> None:
    stream = Stream(cases=CASES, augmentation=build_validation_augmentation(), weights=(1.0, 2.0, 0.5, 4.5))
    generator = np.random.default_rng(0)
    drawn = Counter(stream.draw(generator) for _ in range(8000))
    assert [drawn[case] / 1000 for case in CASES] == pytest.approx([1, 2, 0.5, 4.5], abs=0.15)
    alike = Stream(cases=CASES, augmentation=build_validation_augmentation())
    same = np.random.default_rng(3)
    assert [alike.draw(np.random.default_rng(3))] == [CASES[same.integers(4)]]
