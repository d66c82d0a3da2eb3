"""Dropout that stays on: a mean over passes that differ, and the same each time."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from autoseg.errors import ModelError
from autoseg.inference.engines import start_networks, start_networks_with_dropout
from autoseg.inference.members import Networks
from autoseg.inference.settings import Computation
from autoseg.networks import resolve_precision
from autoseg.networks.activations import SOFTMAX

CPU = torch.device("cpu")
TILE = torch.randn(2, 3, 4, 4, generator=torch.Generator().manual_seed(0))


def networks(samples: int, *modules: nn.Module) -> Networks:
    precision = resolve_precision("fp32", CPU)
    return start_networks_with_dropout(modules, precision=precision, device=CPU, samples=samples)


def answers(ready: Networks) -> list[torch.Tensor]:
    with torch.no_grad():
        return [logits for _, logits in ready.ask(ready.forwards, TILE)]


def test_without_samples_nothing_is_left_out() -> None:
    ready = start_networks(
        [nn.Dropout(0.5)],
        TILE.shape[1:],
        engine="torch",
        precision=resolve_precision("fp32", CPU),
        device=CPU,
        activation=SOFTMAX,
    )
    (answer,) = answers(ready)

    torch.testing.assert_close(answer, TILE, rtol=0, atol=0)


def test_each_pass_leaves_out_something_else_and_the_same_each_time() -> None:
    module = nn.Sequential(nn.BatchNorm2d(3), nn.Dropout(0.5))
    found = answers(networks(3, module))
    torch.rand(7)
    again = answers(networks(3, module))

    assert len(found) == 3
    assert all(torch.equal(one, other) for one, other in zip(found, again, strict=True))
    assert not torch.equal(found[0], found[1])
    assert [bool((one == 0).any()) for one in found] == [True] * 3
    assert not module[0].training


def test_the_mean_of_many_passes_is_what_one_without_says() -> None:
    mean = torch.stack(answers(networks(2000, nn.Dropout(0.3)))).mean(0)

    torch.testing.assert_close(mean, TILE, rtol=0.1, atol=0.02)


def test_a_network_without_dropout_is_refused() -> None:
    with pytest.raises(ModelError, match="`dropout_samples`: ReLU has no dropout, so all passes would be alike"):
        networks(3, nn.ReLU())
    with pytest.raises(ModelError, match="`dropout_samples`: 0 or more, found -1"):
        Computation(dropout_samples=-1)
