"""What becomes of many answers for a voxel: the mean, and whatever else averages of each answer say."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from autoseg.dataset.raw_cases import RawCase
from autoseg.geometry import Geometry
from autoseg.inference.predictor import Predictor
from autoseg.inference.reduction import MEAN, Reduction
from autoseg.inference.settings import Computation

CPU = Computation(device="cpu", precision="fp32")


class MeanAndVariance:
    """Of each output, over all answers."""

    def channels(self, outputs: int) -> int:
        return 2 * outputs

    def moments(self, probabilities: Tensor) -> Tensor:
        return torch.cat([probabilities, probabilities.square()], dim=1)

    def scores(self, averages: Tensor) -> Tensor:
        mean, square = averages.chunk(2)
        return torch.cat([mean, square - mean.square()])


class MeanAndEntropies:
    """Behind the mean its entropy, and the mean of the answers' own."""

    def channels(self, outputs: int) -> int:
        return outputs + 1

    def moments(self, probabilities: Tensor) -> Tensor:
        return torch.cat([probabilities, torch.special.entr(probabilities).sum(dim=1, keepdim=True)], dim=1)

    def scores(self, averages: Tensor) -> Tensor:
        entropy = torch.special.entr(averages[:-1]).sum(dim=0, keepdim=True)
        return torch.cat([averages[:-1], entropy, averages[-1:]])


def test_the_mean_is_what_is_averaged() -> None:
    answers = torch.rand(2, 3, 4, 5, 6)
    assert MEAN.channels(3) == 3
    assert MEAN.moments(answers) is answers
    assert MEAN.scores(answers[0]).data_ptr() == answers.data_ptr()


def fields() -> list[Tensor]:
    return [torch.randn(2, 8, 8, 8, generator=torch.Generator().manual_seed(seed)) for seed in range(3)]


def scores_of(make: Any, reduction: Reduction, shape: tuple[int, int, int] = (8, 8, 8)) -> Tensor:
    """Of a case of three folds and two flips of each."""
    model = make.model(make.plans(), *map(make.constant, fields()), mirror_axes=(1,))
    predictor = Predictor(model, CPU, reduction=reduction)
    case = RawCase(
        identifier="a", data=np.ones((1, *shape), np.float32), segmentation=None, geometry=Geometry(spacing=(1, 1, 1))
    )
    slabs = list(predictor.scores(predictor.prepare(case)))
    assert all(slab.row == 0 for slab in slabs)
    return torch.cat([slab.scores for slab in slabs], dim=1)


def answers() -> Tensor:
    """All six, `(6, 2, 8, 8, 8)` in double precision."""
    plain = [field.double().softmax(0) for field in fields()]
    return torch.stack([*plain, *(field.flip(2) for field in plain)])


def test_a_variance_stands_behind_the_mean(make: Any) -> None:
    mean, variance = scores_of(make, MeanAndVariance()).double().chunk(2)

    torch.testing.assert_close(mean, answers().mean(dim=0), rtol=0, atol=1e-6)
    torch.testing.assert_close(variance, answers().var(dim=0, correction=0), rtol=0, atol=1e-6)
    assert variance.max() > 0.05


def test_entropies_stand_behind_the_mean(make: Any) -> None:
    scores = scores_of(make, MeanAndEntropies()).double()

    each = torch.special.entr(answers()).sum(dim=1)
    torch.testing.assert_close(scores[2], torch.special.entr(answers().mean(dim=0)).sum(dim=0), rtol=0, atol=1e-6)
    torch.testing.assert_close(scores[3], each.mean(dim=0), rtol=0, atol=1e-6)
    assert (scores[2] >= scores[3] - 1e-6).all()


@pytest.mark.parametrize("reduction", [MEAN, MeanAndVariance(), MeanAndEntropies()])
def test_whatever_stands_behind_it_the_mean_is_the_same_where_tiles_overlap(make: Any, reduction: Reduction) -> None:
    torch.testing.assert_close(
        scores_of(make, reduction, (12, 8, 8))[:2], scores_of(make, MEAN, (12, 8, 8)), rtol=0, atol=0
    )
