"""What scores say: probabilities, truth in channels, losses, and labels before and after interpolation."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor
from torch.nn import functional as F

from autoseg.dataset import Exclusive
from autoseg.networks.activations import SOFTMAX as SHARED
from autoseg.networks.activations import Sigmoid, activation_of, repeatable_cross_entropies

TARGET = Exclusive(names=("background", "liver", "tumour"))
SOFTMAX = activation_of(TARGET)


def test_a_target_names_its_activation_and_both_look_at_the_same_outputs() -> None:
    assert SOFTMAX is SHARED
    assert range(len(TARGET.outputs))[SOFTMAX.scored] == TARGET.scored


def test_probabilities_and_the_channels_of_labels_sum_to_one() -> None:
    logits = torch.tensor([[[0.0, 1.0], [math.log(2), 1.0], [math.log(5), 1.0]]])

    torch.testing.assert_close(SOFTMAX.probabilities(logits)[0, :, 0], torch.tensor([1 / 8, 2 / 8, 5 / 8]))
    channels = SOFTMAX.encode(torch.tensor([[2, 0]]), torch.zeros(1, 3, 2))
    assert channels.tolist() == [[[0, 1], [0, 0], [1, 0]]]


@pytest.mark.parametrize("kind", [torch.int16, torch.float32, torch.float16])
def test_labels_of_any_type_become_channels(kind: torch.dtype) -> None:
    labels = torch.arange(300).reshape(1, 300)

    found = SOFTMAX.encode(labels.to(kind), torch.zeros(1, 300, 300))

    assert torch.equal(found[0], torch.eye(300))


def test_what_is_found_and_what_is_there_leaves_out_the_background() -> None:
    logits = F.one_hot(torch.tensor([[0, 1, 2, 2]]), 3).movedim(-1, 1).float()

    pairs = [
        (found.tolist(), there.tolist())
        for found, there in SOFTMAX.found_and_there(logits, torch.tensor([[1, 1, 0, 2]]))
    ]

    assert pairs == [
        ([[False, True, False, False]], [[True, True, False, False]]),
        ([[False, False, True, True]], [[False, False, False, True]]),
    ]


def test_of_equal_scores_the_first_decides() -> None:
    scores = torch.tensor([[1.0, 3.0, 2.0], [1.0, 3.0, 4.0], [0.0, 3.0, 4.0]])

    assert SOFTMAX.decide(scores, dim=0).tolist() == [0, 0, 1]
    assert SOFTMAX.decide(scores.T, dim=1).tolist() == [0, 0, 1]


@given(
    seed=st.integers(0, 10**6),
    outputs=st.integers(2, 300),
    size=st.integers(1, 40),
    spread=st.sampled_from([0.1, 3.0, 30.0]),
)
def test_labels_of_interpolated_scores_are_those_of_all_scores_interpolated(
    seed: int, outputs: int, size: int, spread: float
) -> None:
    generator = torch.Generator().manual_seed(seed)
    scores = (
        spread * torch.randn(outputs, 1, 1, generator=generator) + torch.randn(outputs, 3, 4, generator=generator)
    ).softmax(0)
    asked = []

    def enlarge(some: Tensor) -> Iterator[tuple[int, Tensor]]:
        asked.append(len(some))
        for first in range(0, len(some), size):
            yield first, F.interpolate(some[None, first : first + size], (5, 7), mode="bilinear")[0]

    labels = SOFTMAX.decide_interpolated(scores, enlarge, (5, 7))

    whole = F.interpolate(scores[None], (5, 7), mode="bilinear")[0]
    assert torch.equal(labels, whole.max(dim=0).indices)
    assert sum(asked) <= outputs


def test_where_one_output_alone_can_win_nothing_is_interpolated() -> None:
    scores = torch.tensor([0.05, 0.9, 0.05])[:, None, None].expand(3, 2, 2)

    labels = SOFTMAX.decide_interpolated(scores, lambda _: pytest.fail("interpolated"), (4, 3))

    assert torch.equal(labels, torch.ones(4, 3, dtype=torch.int64))


@pytest.mark.parametrize("space", [(5,), (4, 3), (2, 3, 4)])
def test_the_repeatable_cross_entropy_is_torchs(space: tuple[int, ...]) -> None:
    generator = torch.Generator().manual_seed(0)
    logits = torch.randn(2, 3, *space, generator=generator, dtype=torch.float64, requires_grad=True)
    target = torch.randint(3, (2, *space), generator=generator)
    weights = torch.rand(2, *space, generator=generator, dtype=torch.float64)

    found, expected = (
        torch.autograd.grad((weights * losses).sum(), logits)[0]
        for losses in (repeatable_cross_entropies(logits, target), F.cross_entropy(logits, target, reduction="none"))
    )
    assert torch.allclose(repeatable_cross_entropies(logits, target), F.cross_entropy(logits, target, reduction="none"))
    assert torch.allclose(found, expected)


@pytest.mark.parametrize(
    ("members", "parts"),
    [
        (((1, 2), (2,)), [((0,), (1,))]),
        (((1, 2, 3), (2, 3), (3,)), [((0,), (1,)), ((1,), (2,))]),
        (((3,), (2, 3), (1, 2, 3)), [((2,), (1,)), ((1,), (0,))]),
        (((1, 2, 3), (3,)), [((0,), (1,))]),
        (((1, 2, 3), (2,), (3,)), [((0,), (1, 2))]),
        (((1, 2), (2, 3)), [((0,), (1,)), ((0, 1), ()), ((1,), (0,))]),
        (((1,), (2,)), []),
        (((1, 2), (1, 2)), []),
    ],
)
def test_parts_are_the_labels_that_no_region_has_to_itself(members: Any, parts: Any) -> None:
    regions = Sigmoid(members=members)
    labels = torch.arange(4)[None]

    assert list(regions.parts) == parts
    truth = regions.encode(labels, torch.zeros(1, len(members), 4))
    found = regions.with_parts(truth)
    assert torch.equal(found[:, : len(members)], truth)
    alone = [set(labels[0, one.bool()].tolist()) for one in found[0]]
    assert all(group in alone for group in _alike(members))


def _alike(members: Sequence[Sequence[int]]) -> list[set[int]]:
    """Labels that are in the same regions."""
    kinds: dict[tuple[bool, ...], set[int]] = {}
    for label in {label for labels in members for label in labels}:
        kinds.setdefault(tuple(label in labels for labels in members), set()).add(label)
    return list(kinds.values())


def test_a_part_is_as_probable_as_its_regions_say_together() -> None:
    regions = Sigmoid(members=((1, 2, 3), (2, 3), (3,)))
    probabilities = torch.tensor([[[0.9], [0.25], [0.5]]])

    torch.testing.assert_close(regions.with_parts(probabilities)[0, :, 0], torch.tensor([0.9, 0.25, 0.5, 0.675, 0.125]))
    assert Sigmoid().with_parts(probabilities) is probabilities
    assert SOFTMAX.with_parts(probabilities) is probabilities
