"""The range test: its rates, its smoothing, where it stops and what it suggests."""

from __future__ import annotations

import itertools
import math
from pathlib import Path

import pytest
import torch

from autoseg.errors import TrainingError
from autoseg.plans import Plans
from autoseg.preprocessing.store import PreparedCases
from autoseg.training import Split, Trainer, TrainingSettings
from autoseg.training.fold.data import FoldData
from autoseg.training.learning_rate_finder import find_learning_rate, range_test, rate
from autoseg.training.losses import DeepSupervision
from autoseg.training.previous_stage import Gathered
from autoseg.training.sampling.source import open_batches
from autoseg.training.start import new_state

CASES = tuple(f"ball_{number}" for number in range(6))


def test_rates_grow_by_one_factor_from_the_lowest_to_the_highest() -> None:
    assert [rate(step, 8) for step in range(8)] == pytest.approx([10.0**power for power in range(-6, 2)], rel=1e-9)


def test_losses_are_smoothed_without_a_start_at_zero() -> None:
    result = range_test([1.0, 2.0, 0.0], steps=3)

    weights = [0.98**2, 0.98, 1.0]
    assert result.losses == pytest.approx(
        [1.0, (0.98 * 1 + 2) / 1.98, (weights[0] * 1 + weights[1] * 2) / sum(weights)], rel=1e-9
    )
    assert result.rates == pytest.approx([1e-6, math.sqrt(1e-5), 10], rel=1e-9)


def test_it_stops_where_the_loss_is_four_times_the_best_above_a_perfect_dice() -> None:
    """Smoothed 0 lies 1 above the lowest loss of all, so anything above 3 ends the test; then 200 is never asked for."""
    asked = []

    def losses():  # type: ignore[no-untyped-def]
        for loss in itertools.chain([0.0] * 50, [100.0, 200.0]):
            asked.append(loss)
            yield loss

    # 50 zeros, then 100 with a weight of 1 in 33: 3.2
    result = range_test(losses(), steps=1000)

    assert asked == [0.0] * 50 + [100.0]
    assert len(result.losses) == 50


def test_a_loss_below_zero_may_go_on_falling() -> None:
    result = range_test([-0.5 - 0.001 * step for step in range(200)], steps=200)

    assert len(result.losses) == 200
    assert result.suggestion == pytest.approx(1.0, rel=1e-9)


def test_the_suggestion_is_a_tenth_of_the_rate_of_the_lowest_loss() -> None:
    falling, rising = [1 - 0.01 * step for step in range(100)], [0.02 * step for step in range(100)]
    result = range_test(falling + rising, steps=701)

    lowest = result.losses.index(min(result.losses))
    assert 100 < lowest < 140
    assert result.suggestion == pytest.approx(10 ** (-6 + 7 * lowest / 700) / 10, rel=1e-9)


def test_a_loss_that_is_not_finite_ends_it() -> None:
    assert len(range_test([1.0, 0.9, math.nan, 0.1], steps=9).losses) == 2
    with pytest.raises(TrainingError) as caught:
        range_test([math.nan], steps=9)
    assert str(caught.value) == (
        "the first loss is not finite, so there is no learning rate to find; look at the images"
    )


def test_a_trainer_is_tested_and_only_a_picture_is_left(
    store: PreparedCases, references: Path, tmp_path: Path, plans: Plans
) -> None:
    trainer = Trainer(
        FoldData(
            plans=plans,
            configuration="3d_fullres",
            cases=store,
            split=Split(training=CASES[:4], validation=CASES[4:]),
            output=tmp_path / "model" / "fold_0",
            references=references,
        ),
        settings=TrainingSettings(seed=8, workers=0, precision="fp32", epochs=3, iterations_per_epoch=10),
        device="cpu",
    )
    before = torch.get_rng_state()
    result = find_learning_rate(trainer)
    assert torch.equal(torch.get_rng_state(), before)

    state = new_state(trainer, 8)
    batches, _ = open_batches(trainer, 8, state, Gathered())
    first = trainer.training_step(state, next(batches), DeepSupervision(trainer.build_loss()))
    assert result.losses[0] == pytest.approx(first.item(), rel=1e-6)
    assert result.rates == pytest.approx([rate(step, 30) for step in range(len(result.rates))], rel=1e-12)
    assert [path.name for path in trainer.output.iterdir()] == ["lr_finder.png"]
    assert (trainer.output / "lr_finder.png").read_bytes().startswith(b"\x89PNG")
    assert find_learning_rate(trainer) == result
