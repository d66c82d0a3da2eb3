from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from autoseg.dataset.facts import NOTHING
from autoseg.networks.activations import SOFTMAX
from autoseg.training.sampling.batches import Batch, BatchKey
from autoseg.training.sampling.samples import TRAINING, VALIDATION
from autoseg.training.state import (
    EpochSums,
    FiniteLosses,
    NotFiniteError,
    TrainingState,
    count_voxels,
    start_momentum,
    step_seed,
)
from autoseg.training.steps import sent_to


def test_voxels_are_counted_for_each_label() -> None:
    predicted = torch.tensor([[[0, 1, 1, 1], [2, 2, 0, 0]]])
    target = torch.tensor([[[0, 1, 2, 0], [2, 1, 1, 0]]])
    logits = F.one_hot(predicted, 3).movedim(-1, 1).float()

    assert count_voxels(SOFTMAX, logits, target).tolist() == [[1, 1], [2, 1], [2, 1]]


def test_dice_of_the_counts() -> None:
    sums = EpochSums.empty(3, torch.device("cpu"))
    sums.counts += torch.tensor([[4, 0, 0], [2, 3, 0], [2, 0, 0]])

    assert sums.dice_per_class() == [pytest.approx(8 / 12), 0.0, None]


def batch(number: int, stream: int = TRAINING) -> Batch:
    cases = (f"case_{number}", "b")
    return Batch(key=BatchKey(stream, 4, number), cases=cases, facts=(NOTHING,) * 2, data=torch.zeros(1), targets=())


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


# ------------------------------------------------------------------------------- fp16


@pytest.fixture
def spoilt_memory() -> Iterator[None]:
    """New memory holds NaN, as torch fills it on demand; usually it is whatever lay there."""
    torch.use_deterministic_algorithms(True)
    yield
    torch.use_deterministic_algorithms(False)


def scaled_steps(overflows: set[int], *, fused: bool) -> list[float]:
    """Weights after five steps of which some overflow, as a GPU takes them in fp16."""
    weights = nn.Parameter(torch.ones(3))
    optimizer = torch.optim.SGD([weights], lr=0.1, momentum=0.9, nesterov=True, fused=fused or None)
    scaler = torch.amp.GradScaler("cpu", init_scale=4.0)
    if fused:
        start_momentum(optimizer)
    for step in range(5):
        optimizer.zero_grad()
        loss = (weights * torch.tensor([1.0, 2.0, 3.0])).sum() * (torch.inf if step in overflows else 1.0)
        scaler.scale(loss).backward()
        scaler.unscale_(optimizer)
        scaler.step(optimizer)
        scaler.update()
    return weights.tolist()


@pytest.mark.usefixtures("spoilt_memory")
@pytest.mark.parametrize("overflows", [set(), {0}, {0, 1}, {2}, {0, 3}])
def test_an_overflow_in_the_first_step_leaves_no_garbage_in_the_momentum(overflows: set[int]) -> None:
    assert scaled_steps(overflows, fused=True) == pytest.approx(scaled_steps(overflows, fused=False), rel=1e-6)


def tiny_state(*, scaled: bool) -> TrainingState:
    network = nn.Linear(2, 2)
    return TrainingState(
        network=network,
        optimizer=torch.optim.SGD(network.parameters(), lr=0.1, momentum=0.9),
        scaler=torch.amp.GradScaler("cpu", enabled=scaled, init_scale=8.0),
        sums=EpochSums.empty(1, torch.device("cpu")),
    )


@pytest.mark.parametrize(("before", "after"), [(False, True), (True, False), (True, True), (False, False)])
def test_a_training_goes_on_in_another_precision(before: bool, after: bool) -> None:
    earlier = tiny_state(scaled=before)
    earlier.epoch = 3
    later = tiny_state(scaled=after)

    later.restore(earlier.to_checkpoint())

    assert later.epoch == 3
    assert later.scaler.get_scale() == (8.0 if after else 1.0)
    assert torch.equal(later.network.get_parameter("weight"), earlier.network.get_parameter("weight"))


def test_of_an_epoch_that_an_older_autoseg_began_nothing_is_known_of_the_overlap() -> None:
    earlier, later = tiny_state(scaled=False), tiny_state(scaled=False)
    earlier.sums.loss += 2
    content = earlier.to_checkpoint()
    del content["sums"]["overlap"], content["sums"]["validation_overlap"]

    later.restore(content)

    assert later.sums.loss == 2 and later.sums.overlap.isnan().all() and later.sums.validation_overlap.isnan().all()


class Sent:
    """Stands in for a tensor on its way to a device that is not here."""

    def to(self, device: torch.device, **how: Any) -> tuple[str, dict[str, Any]]:
        return device.type, how


@pytest.mark.parametrize(("device", "beside"), [("cuda", True), ("mps", False), ("cpu", False)])
def test_only_cuda_copies_beside_other_work(device: str, beside: bool) -> None:
    assert sent_to(torch.device(device), Sent()) == (device, {"non_blocking": beside})  # type: ignore[arg-type]
