from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from autoseg.errors import TrainingError
from autoseg.networks.activations import Sigmoid
from autoseg.training.losses import (
    CrossEntropy,
    DeepSupervision,
    DiceLoss,
    Sum,
    answer_weights,
    deep_supervision_weights,
)

# Two samples of four voxels, three classes; probabilities written out, logits are their logarithms.
PROBABILITIES = torch.tensor(
    [
        [[0.7, 0.1, 0.2, 0.6], [0.2, 0.8, 0.3, 0.3], [0.1, 0.1, 0.5, 0.1]],
        [[0.5, 0.9, 0.1, 0.2], [0.25, 0.05, 0.1, 0.7], [0.25, 0.05, 0.8, 0.1]],
    ]
)
TARGET = torch.tensor([[0, 1, 2, 1], [0, 0, 2, 2]])
LOGITS = PROBABILITIES.log()


def test_dice_of_each_sample_as_computed_by_hand() -> None:
    """2 x overlap / (sum of probabilities + voxels), classes 1 and 2 of both samples."""
    sample_one = (2 * 1.1 / (1.6 + 2), 2 * 0.5 / (0.8 + 1))
    sample_two = (1e-5 / (1.1 + 1e-5), 2 * 0.9 / (1.2 + 2))
    expected = -sum(sample_one + sample_two) / 4

    assert DiceLoss(per_batch=False)(LOGITS, TARGET).item() == pytest.approx(expected, abs=2e-5)


def test_dice_of_the_batch_as_computed_by_hand() -> None:
    expected = -(2 * 1.1 / (2.7 + 2) + 2 * 1.4 / (2.0 + 3)) / 2

    assert DiceLoss(per_batch=True)(LOGITS, TARGET).item() == pytest.approx(expected, abs=1e-5)


def test_a_class_absent_from_prediction_and_truth_counts_as_found() -> None:
    logits = torch.tensor([[[50.0, -50.0], [-50.0, 50.0], [-50.0, -50.0]]])

    assert DiceLoss(per_batch=False)(logits, torch.tensor([[0, 1]])).item() == pytest.approx(-1, abs=1e-3)


def test_without_smoothing_nothing_is_divided_by_zero() -> None:
    logits = torch.tensor([[[500.0, -500.0], [-500.0, 500.0], [-500.0, -500.0]]])

    assert DiceLoss(per_batch=False, smooth=0)(logits, torch.tensor([[0, 1]])).item() == pytest.approx(-0.5)


def test_cross_entropy_is_the_mean_over_voxels() -> None:
    chosen = [0.7, 0.8, 0.5, 0.3, 0.5, 0.9, 0.8, 0.1]

    expected = -sum(math.log(value) for value in chosen) / len(chosen)
    assert CrossEntropy()(LOGITS, TARGET).item() == pytest.approx(expected, rel=1e-5)


def test_sum_adds_losses() -> None:
    dice, entropy = DiceLoss(per_batch=True), CrossEntropy()

    total = Sum(dice, entropy)(LOGITS, TARGET)

    assert total.item() == pytest.approx((dice(LOGITS, TARGET) + entropy(LOGITS, TARGET)).item())


@pytest.mark.parametrize(
    ("levels", "expected"),
    [(1, (1.0,)), (2, (1.0, 0.0)), (3, (2 / 3, 1 / 3, 0.0)), (5, (0.53333, 0.26667, 0.13333, 0.06667, 0.0))],
)
def test_weights_of_deep_supervision(levels: int, expected: tuple[float, ...]) -> None:
    assert deep_supervision_weights(levels) == pytest.approx(expected, abs=5e-6)


class MeanDifference(nn.Module):
    def forward(self, logits: Tensor, target: Tensor) -> Tensor:
        return (logits.mean(1) - target).abs().mean()


def test_deep_supervision_weighs_the_levels_and_ignores_the_coarsest() -> None:
    outputs = [torch.full((1, 2, side), value) for side, value in ((4, 1.0), (2, 3.0), (1, float("nan")))]
    targets = [torch.zeros(1, side, dtype=torch.long) for side in (4, 2, 1)]

    loss = DeepSupervision(MeanDifference())(outputs, targets)

    assert loss.item() == pytest.approx(2 / 3 * 1 + 1 / 3 * 3)


def test_answers_of_one_size_weigh_the_same() -> None:
    outputs = [torch.full((1, 2, side), value) for side, value in ((4, 1.0), (4, 3.0), (2, 6.0), (1, float("nan")))]
    targets = [torch.zeros(1, side, dtype=torch.long) for side in (4, 2, 1)]

    loss = DeepSupervision(MeanDifference())(outputs, targets)

    assert loss.item() == pytest.approx((2 * 1 + 2 * 3 + 1 * 6) / 5)
    assert answer_weights([(4, 4), (4, 4)]) == (0.5, 0.5)
    assert answer_weights([(4, 4), (2, 4), (2, 2), (1, 1)]) == pytest.approx(deep_supervision_weights(4))


def test_what_a_network_gives_for_each_sample_is_added_as_a_penalty() -> None:
    outputs = [torch.ones(3, 2, 4), torch.tensor([1.0, 2.0, 6.0])]

    loss = DeepSupervision(MeanDifference())(outputs, [torch.zeros(3, 4, dtype=torch.long)])

    assert loss.item() == pytest.approx(1 + 3)


def test_an_answer_of_another_size_than_the_labels_is_refused() -> None:
    with pytest.raises(TrainingError) as caught:
        DeepSupervision(MeanDifference())([torch.ones(1, 2, 4, 4), torch.ones(1, 2, 3, 3)], [torch.zeros(1, 4, 4)])
    assert str(caught.value) == (
        "the network answers with maps of 3x3, and there are labels of 4x4; its answers must have sizes of the plan's levels"
    )


def test_the_gradient_of_the_dice_moves_towards_the_truth() -> None:
    logits = LOGITS.clone().requires_grad_()
    Sum(DiceLoss(per_batch=False), CrossEntropy())(logits, TARGET).backward()
    assert logits.grad is not None

    truth = F.one_hot(TARGET, 3).movedim(-1, 1).bool()
    assert (logits.grad[truth] < 0).all()


@pytest.mark.parametrize("parts", [True, False])
def test_dice_of_regions_counts_what_none_has_to_itself(parts: bool) -> None:
    probabilities = torch.tensor([[[0.9, 0.8, 0.5, 0.25], [0.1, 0.5, 0.75, 0.25]]])
    loss = DiceLoss(per_batch=False, parts=parts, activation=Sigmoid(members=((1, 2), (2,))))

    found = loss(probabilities.logit(), torch.tensor([[1, 1, 2, 0]])).item()

    whole, core = 2 * 2.2 / (2.45 + 3), 2 * 0.75 / (1.6 + 1)
    rest = 2 * (0.81 + 0.4) / (0.81 + 0.4 + 0.125 + 0.1875 + 2)
    of_outputs = [whole, core]
    assert found == pytest.approx(-sum([*of_outputs, rest] if parts else of_outputs) / (3 if parts else 2), abs=1e-4)
    assert loss.overlap is not None
    torch.testing.assert_close(loss.overlap, torch.tensor([of_outputs]), rtol=0, atol=1e-4)
    assert repr(loss) == ("DiceLoss(parts)" if parts else "DiceLoss()")
