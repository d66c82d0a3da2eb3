"""Labels are found by number or by name, and one that is not there is refused with those that are."""

from __future__ import annotations

import pytest

from autoseg.dataset.target import Exclusive
from autoseg.errors import WorkspaceError
from autoseg.evaluation.labels import label_numbers


def test_names_that_differ_in_case_only_are_told_apart_by_it() -> None:
    target = Exclusive(names=("background", "lv", "LV", "rv"))
    assert label_numbers(["LV", "RV", "lv"], target) == [2, 3, 1]
    with pytest.raises(
        WorkspaceError, match=r"`scoring\.labels=Lv`: the task has no such label; it has 0 background, 1 lv, 2 LV"
    ):
        label_numbers(["Lv"], target)


def test_what_is_scored_is_the_default_and_names_need_a_task() -> None:
    target = Exclusive(names=("background", "liver"))
    assert (label_numbers(None, target), label_numbers([0], target), label_numbers([7], None)) == ([1], [0], [7])
    with pytest.raises(
        WorkspaceError, match=r"`scoring\.labels=liver`: names are known of a task only; name it \(`task`\)"
    ):
        label_numbers([1, "liver"], None)
    with pytest.raises(WorkspaceError, match=r"which labels\? Name their numbers \(`scoring\.labels`\), or the task"):
        label_numbers(None, None)
