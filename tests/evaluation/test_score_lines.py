from __future__ import annotations

import csv
from pathlib import Path

import pytest

from autoseg.dataset.facts import Facts
from autoseg.errors import DatasetError
from autoseg.evaluation.score_lines import are_score_lines, save_score_lines
from autoseg.evaluation.summary import CaseScores, Summary
from autoseg.reporting.scores import table_by


def summary(*cases: tuple[str, dict[str, str], float | None]) -> Summary:
    scored = tuple(
        CaseScores(
            test=f"/p/{name}.nii.gz",
            reference="r",
            scores={1: {"Dice": dice}, 2: {"Dice": 0.5}},
            facts=Facts(known=tuple(known.items())),
        )
        for name, known, dice in cases
    )
    return Summary(name="x", task="", timestamp="", labels=(1, 2), cases=scored)


SUMMARY = summary(("a", {"site": "unf", "age": "30"}, 0.8), ("b", {"site": "mni"}, 0.6), ("c", {"site": "unf"}, None))


def test_each_label_of_each_case_has_a_line_with_all_that_is_known_of_it(tmp_path: Path) -> None:
    path = tmp_path / "summary.csv"
    save_score_lines(SUMMARY, path, ("background", "liver", "spleen, right"))

    with path.open(newline="") as file:
        lines = list(csv.DictReader(file))
    assert lines[0] == {"case": "a", "site": "unf", "age": "30", "label": "liver", "Dice": "0.8"}
    assert lines[3] == {"case": "b", "site": "mni", "age": "", "label": "spleen, right", "Dice": "0.5"}
    assert (lines[4]["case"], lines[4]["Dice"]) == ("c", "") and len(lines) == 6
    assert are_score_lines(path)
    path.write_text("case,age\n")
    assert not are_score_lines(path)


def test_a_table_tells_the_scores_of_each_value_of_a_column() -> None:
    lines = [line.split() for line in table_by(SUMMARY, "site", ("background", "liver", "spleen")).splitlines()]

    assert lines == [
        ["site", "n", "1", "liver", "2", "spleen", "mean"],
        ["mni", "1", "0.6000", "0.5000", "0.5500"],
        ["unf", "2", "0.8000", "0.5000", "0.6500"],
    ]
    assert table_by(SUMMARY, "age").splitlines()[-1].split()[:2] == ["n/a", "2"]
    with pytest.raises(DatasetError, match="scanner: in no case anything stands in such a column"):
        table_by(SUMMARY, "scanner")
