from __future__ import annotations

import json
import math
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from matplotlib.figure import Figure

from autoseg.files.model_folder import FoldFolder
from autoseg.training.fold.curves import draw_progress
from autoseg.training.fold.history import (
    EpochRecord,
    MeasuredEpoch,
    epoch_line,
    means,
    moving_average,
    next_record,
    pseudo_dice,
    seconds_left,
    write_history,
)


def records(*dice: float | None, seconds: float = 60.0) -> list[EpochRecord]:
    made: list[EpochRecord] = []
    for value in dice:
        numbers: dict[str, Any] = {"learning_rate": 0.01, "loss": -0.5, "validation_loss": -0.25, "seconds": seconds}
        made.append(next_record(made, MeasuredEpoch(dice_per_class=(value, None), **numbers)))
    return made


def test_pseudo_dice() -> None:
    assert pseudo_dice(30, 10, 20) == pytest.approx(60 / 90)
    assert pseudo_dice(0, 0, 5) == 0
    assert pseudo_dice(0, 0, 0) is None


def test_the_average_moves_by_a_tenth_and_ignores_what_is_missing() -> None:
    assert moving_average(None, 0.5) == 0.5
    assert moving_average(0.5, 1.0) == pytest.approx(0.55)
    assert moving_average(0.5, None) == 0.5
    assert moving_average(None, None) is None


def test_the_best_epoch_is_the_first_or_one_that_raises_the_average() -> None:
    made = records(0.5, 0.4, 0.9, None, 0.52)

    assert [record.dice_average for record in made] == pytest.approx([0.5, 0.49, 0.531, 0.531, 0.5299])
    assert [record.best for record in made] == [True, False, True, False, False]
    assert [record.epoch for record in made] == [0, 1, 2, 3, 4]


def test_without_any_foreground_there_is_no_dice_until_there_is() -> None:
    made = records(None, None, 0.3, 0.2)

    assert [record.dice for record in made] == [None, None, 0.3, 0.2]
    assert [record.best for record in made] == [True, False, True, False]


def test_the_mean_is_over_the_labels_that_were_there() -> None:
    measured = MeasuredEpoch(learning_rate=0.1, loss=0, validation_loss=0, dice_per_class=(0.25, None, 0.75), seconds=1)

    assert next_record([], measured).dice == 0.5


def test_the_line_of_an_epoch() -> None:
    made = records(0.5, 0.8)

    assert epoch_line(made[-1], 10, seconds_left(made, 10)) == (
        "epoch 2/10  lr 0.01  loss -0.5000  validation loss -0.2500  Dice 0.8000 [0.8000 absent]  60 s  left 8 min"
    )
    assert "  60 s, 26 % waiting  left " in epoch_line(replace(made[-1], waited=0.256), 10, 480)


def test_time_left_follows_the_last_epochs() -> None:
    made = records(*[0.5] * 3, seconds=100) + records(*[0.5] * 5, seconds=10)

    assert seconds_left(made, 12) == pytest.approx(40)


def test_history_is_written_as_json_and_as_a_table(tmp_path: Path) -> None:
    write_history(FoldFolder(folder=tmp_path), records(0.5, None))

    epochs = json.loads((tmp_path / "history.json").read_text())["epochs"]
    assert [epoch["dice_per_class"] for epoch in epochs] == [[0.5, None], [None, None]]
    assert epochs[0]["learning_rate"] == 0.01 and epochs[1]["dice_average"] == 0.5
    lines = (tmp_path / "history.csv").read_text().splitlines()
    assert lines[0] == "epoch,learning_rate,loss,validation_loss,dice,dice_average,best,seconds,waited,dice_1,dice_2"
    assert lines[1] == "0,0.01,-0.5,-0.25,0.5,0.5,True,60.0,,0.5,"


def test_what_a_loss_says_of_each_label_is_kept_as_means() -> None:
    assert means([3.0, math.nan], 4) == (0.75, None)
    assert means([math.nan, math.nan], 4) is None


def test_what_a_loss_says_of_each_label_has_columns_of_its_own(tmp_path: Path) -> None:
    made = [replace(record, overlap_per_class=(0.25, None)) for record in records(0.5, None)]
    write_history(FoldFolder(folder=tmp_path), made)

    header, first, _ = (tmp_path / "history.csv").read_text().splitlines()
    assert header.endswith(",dice_1,dice_2,overlap_1,overlap_2") and first.endswith(",0.5,,0.25,")
    assert json.loads((tmp_path / "history.json").read_text())["epochs"][0]["overlap_per_class"] == [0.25, None]


@pytest.mark.parametrize("labels", [1, 10, 33])
def test_every_label_has_a_curve_that_is_told_from_the_others(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, labels: int
) -> None:
    drawn: list[Figure] = []
    monkeypatch.setattr(Figure, "savefig", lambda figure, path, **_: (drawn.append(figure), Path(path).touch()))
    measured: dict[str, Any] = {"learning_rate": 0.1, "loss": 0, "validation_loss": 0, "seconds": 1}
    made = [
        next_record([], MeasuredEpoch(dice_per_class=(0.5,) * labels, overlap_per_class=(0.25,) * labels, **measured))
    ]

    draw_progress(tmp_path / "progress.png", made, [f"label {number}" for number in range(labels)])

    _, dice, overlap = drawn[0].axes
    for panel, value in ((dice, 0.5), (overlap, 0.25)):
        curves = [line for line in panel.lines if str(line.get_label()).startswith("label ")]
        assert len({(line.get_color(), line.get_linestyle()) for line in curves}) == labels
        assert {float(line.get_ydata()[0]) for line in curves} == {value}
    assert len(dice.get_legend().get_texts()) == labels + 1


def test_the_picture_is_drawn_with_missing_values_too(tmp_path: Path) -> None:
    draw_progress(tmp_path / "progress.png", records(None, 0.5, None), ["a", "b"])

    assert (tmp_path / "progress.png").read_bytes().startswith(b"\x89PNG")


@pytest.mark.parametrize("epochs", [1, 2, 6, 1000])
def test_in_the_picture_epochs_are_whole_and_no_legend_hides_a_curve(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, epochs: int
) -> None:
    drawn: list[Figure] = []
    save = Figure.savefig

    def save_and_keep(figure: Figure, path: Path, **settings: Any) -> None:
        drawn.append(figure)
        save(figure, path, **settings)

    monkeypatch.setattr(Figure, "savefig", save_and_keep)

    draw_progress(tmp_path / "progress.png", records(*[0.9] * epochs), ["liver", "tumour"])

    (figure,) = drawn
    figure.canvas.draw()
    for axes in figure.axes:
        ticks = axes.get_xticks()
        assert list(ticks) == [round(tick) for tick in ticks]
        legend, curves = axes.get_legend(), axes.get_window_extent()
        assert legend is not None and not legend.get_window_extent().overlaps(curves)
        assert legend.get_window_extent().x1 <= figure.bbox.x1
