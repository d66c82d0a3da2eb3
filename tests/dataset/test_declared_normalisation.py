from __future__ import annotations

from pathlib import Path

import pytest

from autoseg.dataset.declared_normalisation import declared_normalisation
from autoseg.dataset.notes import Notes
from autoseg.extensions import digest_of_code


def declared(said: object, folder: Path = Path()) -> tuple[tuple[str, ...], tuple[str, ...]]:
    notes = Notes()
    return declared_normalisation({"normalisation": said}, ("T1", "T2"), folder, notes), tuple(notes.problems)


@pytest.mark.parametrize(
    ("said", "rules"),
    [
        ("robust", ("robust", "robust")),
        ({"1": "rgb"}, ("", "rgb")),
        ({"0": "MRI", "1": {"name": "percentile", "low": 1, "high": 99}}, ("nonCT", "percentile(low=1, high=99)")),
        ({"name": "robust", "background": [0, -1000]}, ("robust(background=0)", "robust(background=-1000)")),
        ({"name": "robust", "background": "1%"}, ("robust(background=1%)", "robust(background=1%)")),
        (None, ()),
    ],
)
def test_what_dataset_json_may_say(said: object, rules: tuple[str, ...]) -> None:
    assert declared(said) == (rules, ())


@pytest.mark.parametrize(
    ("said", "problem"),
    [
        (3, 'expected a name, or names by channel, such as "percentile", {"0": "robust"}'),
        ({"0": 3}, "expected a name, or names by channel"),
        ({"0": {"low": 1}}, "expected a name, or names by channel"),
        ({"0": {"name": "robust", "background": [1, 2, 3], "mask": True}}, "expected a name, or names by channel"),
        ({"2": "rgb"}, "normalisation: 2: no channel has this number; they are numbered as modality"),
        ("percentil", "normalisation: unknown normalisation percentil; did you mean percentile?"),
    ],
)
def test_what_cannot_be_understood_is_noted(said: object, problem: str) -> None:
    assert problem in declared(said)[1][0]


def test_a_file_of_ones_own_is_looked_for_in_the_tasks_folder(tmp_path: Path) -> None:
    (tmp_path / "mine.py").write_text("")
    digest = digest_of_code(tmp_path / "mine.py")
    assert declared("mine.py:halved", tmp_path)[0] == (f"{tmp_path}/mine.py:halved@{digest}",) * 2
    assert declared("absent.py:halved", tmp_path)[0] == ("absent.py:halved",) * 2
