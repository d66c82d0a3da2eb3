"""Overviews of scores: every number of a small folder of a model, known beforehand."""

from __future__ import annotations

from pathlib import Path

import pytest

from autoseg.errors import WorkspaceError
from autoseg.evaluation.overview import Line, overview_of_folder, overview_of_selection, pooled, save_overview
from autoseg.evaluation.summary import CaseScores, Summary, save_summary
from autoseg.reporting.overview import overview_table


def summary(*dice: tuple[float | None, float | None]) -> Summary:
    return Summary(
        name="x",
        task="Task001_X",
        timestamp="now",
        labels=(1, 2),
        cases=tuple(
            CaseScores(
                test=f"{number}.nii.gz",
                reference=f"ref/{number}.nii.gz",
                scores={1: {"Dice": one}, 2: {"Dice": two}},
            )
            for number, (one, two) in enumerate(dice)
        ),
    )


def test_lines_of_a_folder(tmp_path: Path) -> None:
    save_summary(summary((0.5, 1.0), (0.75, None), (1.0, 0.5)), tmp_path / "summary.json")
    first, second, overall = overview_of_folder(tmp_path, ("background", "front"))

    assert first == Line(part="", label="front", mean=0.75, std=0.25, minimum=0.5, maximum=1.0, n=3)
    assert (second.label, second.mean, second.n) == ("2", 0.75, 2)
    assert (overall.label, overall.mean, overall.n) == ("mean of labels", 0.75, 3)
    assert overall.std == 0 and (overall.minimum, overall.maximum) == (0.75, 0.75)


def test_the_table_aligns_and_the_csv_holds_the_same(tmp_path: Path) -> None:
    save_summary(pooled([summary((0.5, None)), summary((1.0, None))]), tmp_path / "summary.json")
    lines = overview_of_folder(tmp_path)
    save_overview(lines, tmp_path / "table.csv")

    assert overview_table(lines).splitlines()[1:] == [
        "      1               0.7500  0.3536  0.5000  1.0000  2",
        "      2                    -       -       -       -  0",
        "      mean of labels  0.7500  0.3536  0.5000  1.0000  2",
    ]
    rows = (tmp_path / "table.csv").read_text().splitlines()
    assert rows[0] == "part,label,mean,std,min,max,n" and rows[2] == ",2,,,,,0" and len(rows) == 4


def test_a_folder_without_scores_is_named(tmp_path: Path) -> None:
    with pytest.raises(WorkspaceError, match=r"no summary\.json here; score it with autoseg_evaluate_folder"):
        overview_of_folder(tmp_path)


def test_lines_of_a_selection_are_its_candidates(tmp_path: Path) -> None:
    (tmp_path / "summary.csv").write_text(
        "rank,candidate,label,name,mean,std,min,max,n,low,high,raw_mean\n"
        "1,2d+3d,1,front,0.75,0.25,0.5,1.0,3,,,0.7\n1,2d+3d,2,back,,,,,0,,,\n1,2d+3d,,mean,0.75,,,,,,,0.7\n"
    )
    front, back, overall = overview_of_selection(tmp_path)

    assert front == Line(part="2d+3d", label="front", mean=0.75, std=0.25, minimum=0.5, maximum=1.0, n=3)
    assert (back.mean, back.n) == (None, 0)
    assert (overall.label, overall.mean, overall.std, overall.n) == ("mean of labels", 0.75, None, 3)
    with pytest.raises(
        WorkspaceError, match=r"no summary\.csv beside the selection; run autoseg_find_best_configuration"
    ):
        overview_of_selection(tmp_path / "none")
