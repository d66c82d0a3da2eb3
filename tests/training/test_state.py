from __future__ import annotations

import pytest
import torch
from torch.nn import functional as F

from autoseg.training.loader import Batch, BatchKey
from autoseg.training.samples import TRAINING, VALIDATION
from autoseg.training.state import EpochSums, FiniteLosses, NotFiniteError, count_voxels, step_seed


def test_voxels_are_counted_for_each_label() -> None:
    predicted = torch.tensor([[[0, 1, 1, 1], [2, 2, 0, 0]]])
    target = torch.tensor([[[0, 1, 2, 0], [2, 1, 1, 0]]])
    logits = F.one_hot(predicted, 3).movedim(-1, 1).float()

    assert count_voxels(logits, target).tolist() == [[1, 1], [2, 1], [2, 1]]


def test_dice_of_the_counts() -> None:
    sums = EpochSums.empty(3, torch.device("cpu"))
    sums.counts += torch.tensor([[4, 0, 0], [2, 3, 0], [2, 0, 0]])

    assert sums.dice_per_class() == [pytest.approx(8 / 12), 0.0, None]


def batch(number: int, stream: int = TRAINING) -> Batch:
    return Batch(key=BatchKey(stream, 4, number), cases=(f"case_{number}", "b"), data=torch.zeros(1), targets=())


def test_losses_are_looked_at_rarely_on_a_gpu_and_the_first_bad_batch_is_named() -> None:
    losses = FiniteLosses(torch.device("cuda"))
    for number in range(FiniteLosses.LOOK_EVERY - 1):
        losses.add(batch(number), torch.tensor(float("inf") if number in (7, 9) else 1.0))

    with pytest.raises(NotFiniteError) as caught:
        losses.add(batch(99), torch.tensor(1.0))
    assert (
        str(caught.value) == "epoch 5, batch 8: the loss or its gradient is not finite; cases of the batch: b, case_7"
    )


def test_losses_not_looked_at_yet_are_looked_at_on_demand() -> None:
    losses = FiniteLosses(torch.device("cuda"))
    losses.add(batch(0, VALIDATION), torch.tensor(float("nan")))
    with pytest.raises(NotFiniteError, match="epoch 5, validation batch 1: "):
        losses.require()
    losses.require()


def test_seeds_of_steps_differ_and_fit_torchs_generator() -> None:
    seeds = {step_seed(seed, 0, epoch, number) for seed in range(3) for epoch in range(10) for number in range(10)}

    assert len(seeds) == 300
    assert all(0 <= seed < 2**63 for seed in seeds)
