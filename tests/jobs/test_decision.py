"""When a step is done, and why it runs otherwise."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from autoseg.jobs.decision import StepDecision, decide
from autoseg.jobs.journal import Record
from autoseg.jobs.steps import Step, require_order


@pytest.fixture
def step(tmp_path: Path) -> Step:
    """A step whose product and folder are there."""
    (tmp_path / "fold").mkdir()
    (tmp_path / "fold" / "weights").write_text("w")
    return Step(
        name="train",
        argv=("train", "--epochs", "2", "-device", "cpu"),
        settings=("train", "--epochs", "2"),
        products=(tmp_path / "fold" / "weights",),
        replaces=tmp_path / "fold",
    )


@pytest.fixture
def done(step: Step) -> Record:
    """Its record when it ended well, having read plan A."""
    return Record(
        state="done",
        argv=step.argv,
        settings=step.settings_hash,
        inputs={"plan": "A"},
        started="s",
        finished="noon",
    )


def test_done_when_settings_inputs_and_products_are_the_same(step: Step, done: Record) -> None:
    assert decide(step, done, {"plan": "A"}) == StepDecision(done=True, reason="done noon")


def test_a_device_is_no_setting_and_epochs_are(step: Step, done: Record) -> None:
    assert decide(replace(step, argv=("train", "-device", "cuda")), done, {"plan": "A"}).done
    assert decide(replace(step, settings=("train", "--epochs", "3")), done, {"plan": "A"}) == StepDecision(
        done=False, anew=True, reason="changed: settings"
    )
    without = replace(step, settings=None)
    assert not decide(without, replace(done, settings=step.settings_hash), {"plan": "A"}).done
    assert decide(without, replace(done, settings=without.settings_hash), {"plan": "A"}).done


def test_changed_inputs_are_named(step: Step, done: Record) -> None:
    record = replace(done, inputs={"plan": "A", "cases": "1", "split": "s"})

    assert decide(step, record, {"plan": "B", "cases": "2", "split": "s"}) == StepDecision(
        done=False, anew=True, reason="changed: plan, cases"
    )


def test_what_was_not_there_at_the_start_the_step_made_and_what_is_gone_is_not_judged(step: Step, done: Record) -> None:
    assert decide(step, replace(done, inputs={"plan": None}), {"plan": "A"}).done
    assert decide(step, done, {"plan": None}).done
    assert decide(step, replace(done, inputs={}), {"plan": "A"}).done


def test_missing_or_empty_products_are_made_again_without_starting_anew(
    step: Step, done: Record, tmp_path: Path
) -> None:
    weights = tmp_path / "fold" / "weights"
    weights.write_text("")
    assert decide(step, done, {}) == StepDecision(done=False, reason=f"missing: {weights}")

    weights.write_text("w")
    recorded = replace(done, products=(str(tmp_path / "a"), str(tmp_path / "b"), str(weights)))
    assert decide(step, recorded, {}) == StepDecision(done=False, reason=f"missing: {tmp_path / 'a'} and 1 more")


@pytest.mark.parametrize(
    ("state", "reason"),
    [("running", "was cut off"), ("failed", "failed the last time"), ("interrupted", "was stopped")],
)
def test_an_attempt_that_did_not_end_well_is_continued(step: Step, done: Record, state: str, reason: str) -> None:
    assert decide(step, replace(done, state=state), {"plan": "A"}) == StepDecision(done=False, reason=reason)


def test_without_a_record(step: Step, tmp_path: Path) -> None:
    found = "something is there that no run made; continued"
    assert decide(step, None, {}) == StepDecision(done=False, reason=found)
    assert decide(replace(step, replaces=tmp_path / "no"), None, {}) == StepDecision(done=False, reason="not run yet")


def test_steps_stand_behind_what_they_need() -> None:
    a, b = Step(name="a", argv=()), Step(name="b", argv=(), needs=("a",))

    require_order([a, b])
    with pytest.raises(ValueError, match="'b' needs a, which does not stand before it"):
        require_order([b, a])
    with pytest.raises(ValueError, match="two steps are called 'a'"):
        require_order([a, a])
