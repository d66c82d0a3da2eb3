"""Headers, times and the table."""

from __future__ import annotations

from pathlib import Path

from autoseg.jobs.steps import Step
from autoseg.jobs.telling import StepOutcome, header, remaining_seconds, summary_table


def test_headers() -> None:
    assert header(7, 23, "train 3d_fullres fold 2", "done in 3 min 12 s") == (
        "step 7/23  train 3d_fullres fold 2  (done in 3 min 12 s)"
    )
    assert header(1, None, "verify_dataset") == "step 1  verify_dataset"


def test_the_time_left_is_the_mean_of_each_kind_and_of_all_for_the_others() -> None:
    waiting = [Step(name=str(number), argv=(), kind=kind) for number, kind in enumerate(("2d", "2d", "3d", ""))]

    assert remaining_seconds(waiting, {"2d": [10, 20]}) == 2 * 15 + 15
    assert remaining_seconds(waiting, {"2d": [10, 20], "3d": [100], "": [1e9]}) == 2 * 15 + 100
    assert remaining_seconds(waiting, {"2d": [10], "lowres": [30]}) == 2 * 10 + 20
    assert remaining_seconds(waiting, {"": [5]}) is None
    assert remaining_seconds(waiting[3:], {"2d": [10]}) is None


def test_the_table_names_every_step_and_why_it_is_not_done() -> None:
    steps = [Step(name=name, argv=()) for name in "abcde"]
    outcomes = {
        "a": StepOutcome(state="done before", seconds=5),
        "b": StepOutcome(state="done", seconds=70),
        "c": StepOutcome(state="failed", message="autoseg train: no\n  more", log=Path("logs/c.log")),
        "d": StepOutcome(state="skipped", message="needs c"),
    }
    lines = summary_table(steps, outcomes).splitlines()

    assert [line.split() for line in lines] == [
        ["done", "before", "a", "5", "s"],
        ["done", "b", "1", "min", "10", "s"],
        ["failed", "c"],
        ["autoseg", "train:", "no"],
        ["more"],
        ["all", "it", "said:", "logs/c.log"],
        ["skipped", "d", "needs", "c"],
        ["skipped", "e", "the", "run", "was", "stopped", "before"],
    ]
    assert {line.index(" a ") for line in lines[:1]} == {lines[1].index(" b ")}
