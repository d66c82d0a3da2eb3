"""What is done to whole batches: mixed samples and soft labels, by exact values and by what always holds."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from scipy import ndimage
from torch import Tensor

from autoseg.catalogue import Part
from autoseg.dataset.coding import IGNORED
from autoseg.errors import TrainingError
from autoseg.networks.activations import SOFTMAX, Sigmoid
from autoseg.training.batch_steps import (
    BATCH_STEPS,
    Learned,
    Mixup,
    as_shares,
    blurred,
    build_batch_steps,
    with_rings,
)

SIDES = (6, 7, 8)


def labels_of(seed: int = 0, outputs: int = 3) -> Tensor:
    return torch.from_numpy(np.random.default_rng(seed).integers(0, outputs, (4, *SIDES)))


def batch(labels: Tensor, drawn: Tensor | None = None) -> Learned:
    data = torch.arange(4.0).reshape(4, 1, 1, 1, 1).expand(4, 2, *SIDES)
    return Learned(data=data, shares=as_shares(SOFTMAX, labels, 3), drawn=drawn)


def generator(seed: int = 5) -> np.random.Generator:
    return np.random.default_rng(seed)


def test_labels_become_shares_of_every_output_and_stay_unknown_where_nobody_knows() -> None:
    shares = as_shares(SOFTMAX, torch.tensor([[[0, 2], [1, IGNORED]]]), 3)
    regions = as_shares(Sigmoid(members=((1, 2), (2,)), order=(1, 2)), torch.tensor([[[0, 2], [1, IGNORED]]]), 2)

    assert shares[0, :, 0, 1].tolist() == [0, 0, 1]
    assert shares[0, :, 1, 1].tolist() == [IGNORED] * 3
    assert regions[0].tolist() == [[[0, 1], [1, IGNORED]], [[0, 1], [0, IGNORED]]]


def test_each_sample_is_mixed_with_another_by_one_larger_share() -> None:
    mixed = Mixup(alpha=1.0).build()(batch(labels := labels_of()), random := generator())
    again = generator()
    share = again.beta(1.0, 1.0)
    share, others = max(share, 1 - share), again.permutation(4)
    truth = as_shares(SOFTMAX, labels, 3)

    assert 0.5 <= share < 1
    assert others.tolist() != list(range(4))
    assert mixed.data[:, 0, 0, 0, 0].tolist() == pytest.approx(share * np.arange(4) + (1 - share) * others)
    torch.testing.assert_close(mixed.shares, share * truth + (1 - share) * truth[torch.from_numpy(others)])
    torch.testing.assert_close(mixed.shares.sum(1), torch.ones(4, *SIDES))
    assert random.random() == again.random()


@pytest.mark.parametrize("alpha", [0.1, 0.4, 1.0])
def test_the_larger_share_follows_the_beta_distribution(alpha: float) -> None:
    mix, random = Mixup(alpha=alpha).build(), generator()
    one = Learned(data=torch.tensor([0.0, 1.0]).reshape(2, 1, 1, 1), shares=torch.ones(2, 1, 1, 1))
    found = [float(mix(one, random).data.max()) for _ in range(2000)]
    drawn = np.random.default_rng(0).beta(alpha, alpha, 20000)

    assert np.mean([value for value in found if value < 1]) == pytest.approx(
        np.maximum(drawn, 1 - drawn).mean(), abs=0.02
    )


def test_what_is_unknown_in_either_is_unknown_in_both_and_other_outputs_are_not_mixed() -> None:
    labels = labels_of()
    labels[0, 0, 0, 0] = IGNORED
    others = (again := generator()).beta(0.4, 0.4), again.permutation(4)
    drawn = torch.tensor([[True, True, True], [True, True, False], [True, True, True], [True, True, False]])
    mixed, apart = Mixup().build()(batch(labels), generator()), Mixup().build()(batch(labels, drawn), generator())
    truth = as_shares(SOFTMAX, labels, 3)

    for place, other in enumerate(others[1]):
        assert (mixed.shares[place, 0, 0, 0, 0] == IGNORED) == (0 in (place, other))
        alike = bool((drawn[place] == drawn[other]).all())
        assert torch.equal(apart.shares[place], truth[place]) or alike
        assert float(apart.data[place].max()) == place or alike


def test_blurred_borders_are_those_of_scipy_and_what_is_unknown_takes_no_part() -> None:
    step = build_batch_steps((Part(name="blurred_labels", settings={"sigma": 1.5}),), SOFTMAX)[0]
    truth = as_shares(SOFTMAX, labels := labels_of(), 3)
    shares = step(batch(labels), generator()).shares
    expected = ndimage.gaussian_filter(truth[1, 2].numpy().astype(float), 1.5, mode="nearest", radius=5)
    labels[1, 2:] = IGNORED
    half = step(batch(labels), generator()).shares

    np.testing.assert_allclose(shares[1, 2].numpy(), expected, atol=1e-5)
    torch.testing.assert_close(shares.sum(1), torch.ones(4, *SIDES))
    assert bool((half[1, :, 2:] == IGNORED).all())
    torch.testing.assert_close(half[1, :, :2].sum(0), torch.ones(2, *SIDES[1:]))


def test_one_slice_and_one_voxel_are_blurred_alike() -> None:
    torch.testing.assert_close(blurred(torch.full((2, 1, 1, 9), 0.25), 2.0), torch.full((2, 1, 1, 9), 0.25))


def test_rings_are_as_many_as_the_root_of_an_object_says() -> None:
    """Nine voxels and a factor of 0.7 make two rings of 2/3 and 1/3; of one voxel there is one ring of 1/2."""
    inside = np.zeros((11, 20), dtype=bool)
    inside[4:7, 4:7] = True
    inside[5, 16] = True
    shares = with_rings(inside, 0.7)

    assert shares[5, :10] == pytest.approx([0, 0, 1 / 3, 2 / 3, 1, 1, 1, 2 / 3, 1 / 3, 0])
    assert shares[5, 13:20] == pytest.approx([0, 0, 0.5, 1, 0.5, 0, 0])
    assert shares[3, 3] == pytest.approx(1 / 3)  # a corner is two faces away
    assert with_rings(inside, 0.1).tolist() == inside.astype(float).tolist()


def test_rings_take_from_the_background_alone() -> None:
    labels = torch.zeros((1, 9, 9), dtype=torch.int64)
    labels[0, 2:5, 2:5], labels[0, 2:5, 5:8] = 1, 2
    labels[0, 8, 8] = IGNORED
    (step,) = build_batch_steps((Part(name="dilated_labels", settings={"factor": 0.7}),), SOFTMAX)
    data = torch.zeros(1, 1, 9, 9)
    soft = step(Learned(data=data, shares=as_shares(SOFTMAX, labels, 3)), generator()).shares[0]

    assert soft[:, 8, 8].tolist() == [IGNORED] * 3
    known = soft[0] >= 0
    torch.testing.assert_close(soft.sum(0)[known], torch.ones(80))
    assert soft[1][labels[0] == 1].tolist() == [1] * 9
    assert soft[2][labels[0] == 2].tolist() == [1] * 9
    assert soft[:, 5, 3].tolist() == pytest.approx([1 / 3, 2 / 3, 0])
    assert soft[:, 5, 4].tolist() == pytest.approx([0, 2 / 3, 1 / 3])


@pytest.mark.parametrize(
    ("name", "settings", "message"),
    [
        ("mixup", {"alpha": 0.0}, "alpha: above 0 and below 100, found 0.0"),
        ("blurred_labels", {"sigma": 50.0}, "sigma: above 0 and at most 20 voxels, found 50.0"),
        ("dilated_labels", {"factor": -1.0}, "factor: above 0 and at most 10, found -1.0"),
    ],
)
def test_numbers_out_of_range_are_refused(name: str, settings: dict[str, float], message: str) -> None:
    with pytest.raises(TrainingError, match=message):
        build_batch_steps((BATCH_STEPS.part(name, **settings),), SOFTMAX)
