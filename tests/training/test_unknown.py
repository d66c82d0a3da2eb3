"""What nobody labelled, or drew in a case, teaches nothing; all else as if it had not been there."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn

from autoseg.dataset.target import IGNORED, Exclusive, Masks, Regions
from autoseg.networks.activations import Activation, activation_of
from autoseg.training.losses import LOSSES, CrossEntropy, DeepSupervision, DiceLoss, Sum
from autoseg.training.state import count_voxels
from autoseg.training.unknown import LeaveOut, leaving_out

EXCLUSIVE = Exclusive(names=("background", "a", "b", "c"))
REGIONS = Regions(names=("whole", "core"), members=((1, 2), (2,)), order=(1, 2))
MASKS = Masks(names=("axon", "myelin", "vessel"))
SPACE = (6, 5)


def scores(channels: int, samples: int = 2) -> Tensor:
    torch.manual_seed(3)
    return torch.randn(samples, channels, *SPACE, requires_grad=True)


def labels_of(target: Exclusive | Regions | Masks, samples: int = 2) -> Tensor:
    generator = torch.Generator().manual_seed(4)
    if isinstance(target, Masks):
        planes = torch.randint(0, 2, (samples, len(target.names), *SPACE), generator=generator) * 250
        return activation_of(target).learned(planes, dimensions=2)
    return torch.randint(0, len(target.values), (samples, *SPACE), generator=generator)


def all_losses(activation: Activation) -> list[nn.Module]:
    parts = [LOSSES.part(name) for name in LOSSES.entries if name not in ("boundary", "focal")]
    return [
        LOSSES.build(part, activation=activation, per_batch=per_batch) for part in parts for per_batch in (False, True)
    ]


@pytest.mark.parametrize("target", [EXCLUSIVE, REGIONS, MASKS], ids=["exclusive", "regions", "masks"])
def test_no_loss_learns_anything_from_voxels_that_nobody_labelled(target: Exclusive | Regions | Masks) -> None:
    activation = activation_of(target)
    logits, labels = scores(len(target.outputs)), labels_of(target)
    unknown = torch.zeros(2, *SPACE, dtype=torch.bool)
    unknown[0, 2:], unknown[1, :, :2] = True, True
    where = unknown if labels.ndim == 3 else unknown[:, None].expand_as(labels)
    labels = labels.masked_fill(where, IGNORED)

    for loss in all_losses(activation):
        (gradient,) = torch.autograd.grad(LeaveOut(loss, activation, always=True)(logits, labels), logits)
        assert gradient.isfinite().all(), loss
        assert not gradient.movedim(1, -1)[unknown].any(), loss
        assert gradient.movedim(1, -1)[~unknown].any(), loss


@pytest.mark.parametrize("target", [EXCLUSIVE, REGIONS, MASKS], ids=["exclusive", "regions", "masks"])
def test_what_is_known_counts_as_if_the_rest_had_not_been_there(target: Exclusive | Regions | Masks) -> None:
    activation = activation_of(target)
    logits, labels = scores(len(target.outputs)), labels_of(target)
    cut = labels.clone()
    cut[..., 4:, :] = IGNORED
    for loss in (
        CrossEntropy(activation=activation),
        DiceLoss(per_batch=True, activation=activation),
        DiceLoss(per_batch=False, activation=activation),
        LOSSES.build(LOSSES.part("binary_cross_entropy"), activation=activation, per_batch=True),
    ):
        expected = loss(logits[..., :4, :], labels[..., :4, :])
        found = LeaveOut(loss, activation, always=True)(logits, cut)
        torch.testing.assert_close(found, expected, rtol=1e-5, atol=1e-6)
    counted = count_voxels(activation, *activation.left_out(logits, cut, None)[:2])
    assert torch.equal(counted, count_voxels(activation, logits[..., :4, :], labels[..., :4, :]))


@pytest.mark.parametrize("target", [REGIONS, MASKS], ids=["regions", "masks"])
def test_an_output_that_was_not_drawn_in_a_case_learns_nothing_there(target: Regions | Masks) -> None:
    activation = activation_of(target)
    logits, labels = scores(len(target.outputs)), labels_of(target)
    drawn = torch.ones(2, len(target.outputs), dtype=torch.bool)
    drawn[1, 0] = False

    for loss in all_losses(activation):
        found = LeaveOut(loss, activation, always=False)(logits, labels, drawn)
        (gradient,) = torch.autograd.grad(found, logits)
        assert not gradient[1, 0].any() and gradient[0, 0].any() and gradient[:, 1].any(), loss


def test_labels_that_were_not_drawn_count_as_one_with_the_background() -> None:
    """Shi et al. 2021: the marginal probability of what is not known apart is the sum of all that it may be."""
    activation = activation_of(EXCLUSIVE)
    logits = scores(4)
    labels = torch.tensor([1, 0]).reshape(2, 1, 1).expand(2, *SPACE)
    drawn = torch.tensor([[True, True, False, False], [True, True, True, True]])

    found = LeaveOut(CrossEntropy(activation=activation), activation, always=False)(logits, labels, drawn)
    probabilities = torch.softmax(logits, dim=1)
    torch.testing.assert_close(found, -(probabilities[0, 1].log() + probabilities[1, 0].log()).mean() / 2)

    nothing = torch.zeros_like(labels)
    found = LeaveOut(CrossEntropy(activation=activation), activation, always=False)(logits, nothing, drawn)
    marginal = probabilities[0, [0, 2, 3]].sum(0).log() + probabilities[1, 0].log()
    torch.testing.assert_close(found, -marginal.mean() / 2)
    (gradient,) = torch.autograd.grad(found, logits)
    assert gradient[0].abs().amax() > 0

    dice = LeaveOut(DiceLoss(per_batch=False, activation=activation), activation, always=False)
    (gradient,) = torch.autograd.grad(dice(logits, labels, drawn), logits)
    same = torch.softmax(logits, dim=1)[0, [0, 2, 3]]
    share = gradient[0, [0, 2, 3]] / same  # they move together, as one
    torch.testing.assert_close(share, share[:1].expand_as(share), rtol=1e-4, atol=1e-7)


def test_shares_enter_as_they_are() -> None:
    soft = Exclusive(names=("background", "lesion"), soft=True)
    activation = activation_of(soft)
    planes = torch.tensor([0, 50, 125, 250, IGNORED]).reshape(1, 1, 1, 5).expand(2, 1, 6, 5)
    shares = activation.learned(planes, dimensions=2)
    torch.testing.assert_close(shares[0, :, 0, :4], torch.tensor([[1.0, 0.8, 0.5, 0.0], [0.0, 0.2, 0.5, 1.0]]))

    logits = scores(2)
    log = torch.log_softmax(logits, dim=1)[..., :4]
    expected = -(log * shares[..., :4]).sum(1).mean()
    torch.testing.assert_close(
        LeaveOut(CrossEntropy(activation=activation), activation, always=True)(logits, shares), expected
    )
    planes = torch.tensor([0, 50, 250]).reshape(1, 1, 1, 3).expand(2, 3, 6, 3)
    torch.testing.assert_close(
        activation_of(MASKS).learned(planes, dimensions=2)[0, 0, 0], torch.tensor([0.0, 0.2, 1.0])
    )


def test_regions_are_the_labels_that_they_cover_and_written_in_their_order() -> None:
    activation = activation_of(REGIONS)
    labels = torch.tensor([[0, 1, 2]])
    truth = activation.encode(labels, torch.zeros(1, 2, 3))
    assert truth.tolist() == [[[0, 1, 1], [0, 0, 1]]]

    probabilities = torch.tensor([[0.2, 0.9, 0.5, 0.8], [0.1, 0.4, 0.7, 0.6]])
    assert activation.decide(probabilities, dim=0).tolist() == [0, 1, 2, 2]
    assert activation_of(MASKS).decide(torch.tensor([[0.6], [0.4], [0.51]]), dim=0).tolist() == [
        [True],
        [False],
        [True],
    ]


SOFT = (Exclusive(names=("background", "lesion"), soft=True), Masks(names=("axon", "myelin"), soft=True))


@pytest.mark.parametrize("target", SOFT, ids=["shared", "apart"])
def test_of_shares_those_beyond_a_half_are_found_and_there(target: Exclusive | Masks) -> None:
    activation = activation_of(target)
    planes = torch.tensor([0, 120, 130, 250]).reshape(1, 1, 4).expand(1, len(target.scored), 1, 4)
    labels = activation.learned(planes, dimensions=2)
    logits = torch.tensor([-1.0, 1.0, 1.0, -1.0]).reshape(1, 1, 1, 4).expand(1, len(target.outputs), 1, 4).clone()
    if len(target.outputs) > len(target.scored):
        logits[:, 0] = 0

    counts = count_voxels(activation, logits, labels)

    assert counts.T.tolist() == [[1, 1, 1]] * len(target.scored), "true and false positives, false negatives"


@pytest.mark.parametrize("target", [REGIONS, MASKS, *SOFT], ids=["regions", "masks", "soft", "soft masks"])
def test_what_is_decided_after_interpolation_is_decided_of_all_outputs(target: Exclusive | Regions | Masks) -> None:
    activation = activation_of(target)
    torch.manual_seed(1)
    scores = torch.rand(len(target.outputs), 4, 5) ** 3
    scores[-1] *= 0.4  # nowhere

    def enlarge(some: Tensor) -> list[tuple[int, Tensor]]:
        large = nn.functional.interpolate(some[None], size=(8, 10), mode="bilinear", align_corners=False)[0]
        return [(at, large[at : at + 1]) for at in range(len(large))]

    whole = torch.cat([part for _, part in enlarge(scores)])
    found = activation.decide_interpolated(scores, enlarge, (8, 10))
    assert torch.equal(found, activation.decide(whole, dim=0))
    nowhere = activation.decide_interpolated(torch.zeros_like(scores), enlarge, (8, 10))
    assert not nowhere.any() and nowhere.shape == found.shape


def test_where_all_is_known_a_loss_is_its_very_self() -> None:
    activation = activation_of(EXCLUSIVE)
    loss = Sum(CrossEntropy(), DiceLoss(per_batch=False), weights=(0.5, 2.0))
    logits, labels = scores(4), labels_of(EXCLUSIVE)
    wrapped = DeepSupervision(leaving_out(loss, activation, always=False))
    assert torch.equal(wrapped([logits], [labels]), DeepSupervision(loss)([logits], [labels]))
    drawn = torch.ones(2, 4, dtype=torch.bool)
    torch.testing.assert_close(wrapped([logits], [labels], drawn), wrapped([logits], [labels]))
