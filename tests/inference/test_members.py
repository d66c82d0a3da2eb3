"""Folds and flips: their average is that of the plain formula, in batches of any size, also where memory runs out."""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import nn

from autoseg.dataset.target import Exclusive
from autoseg.errors import ModelError
from autoseg.inference import members
from autoseg.inference.members import Forward, Members, Networks, all_flips
from autoseg.inference.memory import tiles_at_once


def fold(seed: int, channels: int = 2, classes: int = 3) -> nn.Module:
    torch.manual_seed(seed)
    return nn.Conv3d(channels, classes, 3, padding=1).eval()


def tiles(number: int) -> torch.Tensor:
    return torch.randn(number, 2, 4, 6, 5, generator=torch.Generator().manual_seed(0))


def members_of(*folds: Forward, mirror_axes: tuple[int, ...] = (0, 1, 2), **more: Any) -> Members:
    return Members(
        networks=Networks(forwards=folds, device=torch.device("cpu")),
        flips=all_flips(mirror_axes),
        target=Exclusive(names=("background", "a", "b")),
        **more,
    )


def plain_mean(folds: list[nn.Module], batch: torch.Tensor) -> torch.Tensor:
    """Every fold on every flip of every tile, one after the other, in double precision."""
    flips: list[list[int]] = [[], [2], [3], [4], [2, 3], [2, 4], [3, 4], [2, 3, 4]]
    with torch.no_grad():
        answers = [
            network.double()(batch.double().flip(axes)).softmax(dim=1).flip(axes) for network in folds for axes in flips
        ]
    return torch.stack(answers).mean(dim=0)


@pytest.mark.parametrize("number", [1, 3])
@pytest.mark.parametrize("size", [1, 2, 3, 5, 100])
def test_batches_of_any_size_give_the_mean_of_all_folds_and_flips(number: int, size: int) -> None:
    largest = []

    def counted(network: nn.Module) -> Callable[[torch.Tensor], torch.Tensor]:
        return lambda batch: largest.append(len(batch)) or network(batch)

    mean = members_of(counted(fold(0)), counted(fold(1))).averages(tiles(number), tiles_at_once(size))

    torch.testing.assert_close(mean.double(), plain_mean([fold(0), fold(1)], tiles(number)), rtol=0, atol=1e-6)
    assert max(largest) <= size
    assert sum(largest) == 2 * 8 * number


def test_large_tiles_become_probabilities_some_planes_at_a_time(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(members, "VALUES_AT_ONCE", 3 * 6 * 5)

    mean = members_of(fold(0)).averages(tiles(1), tiles_at_once(1))

    torch.testing.assert_close(mean.double(), plain_mean([fold(0)], tiles(1)), rtol=0, atol=1e-6)


@pytest.mark.parametrize(("classes", "found"), [(1, "1 score"), (2, "2 scores"), (4, "4 scores")])
def test_a_network_with_other_outputs_than_the_target_is_refused(classes: int, found: str) -> None:
    with pytest.raises(ModelError) as error:
        members_of(fold(0, classes=classes)).averages(tiles(1), tiles_at_once(8))

    assert str(error.value) == (
        f"the network returns {found} a voxel, but its plans name 3 outputs, background, a, b; return one score for each"
    )


def limited(network: nn.Module, most: int, tried: list[int]) -> Callable[[torch.Tensor], torch.Tensor]:
    """A network on a device that holds `most` tiles."""

    def forward(batch: torch.Tensor) -> torch.Tensor:
        tried.append(len(batch))
        if len(batch) > most:
            raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB")
        return network(batch)

    return forward


def test_where_memory_runs_out_fewer_tiles_go_at_once_and_it_is_said_once(caplog: pytest.LogCaptureFixture) -> None:
    tried: list[int] = []
    batch = tiles_at_once(16)
    forward = limited(fold(0), 3, tried)

    with caplog.at_level(logging.WARNING):
        means = [members_of(forward).averages(tiles(2), batch) for _ in range(2)]

    for mean in means:
        torch.testing.assert_close(mean.double(), plain_mean([fold(0)], tiles(2)), rtol=0, atol=1e-6)
    assert batch.number == 2
    assert tried[:4] == [16, 8, 4, 2]
    assert max(tried[3:]) == 2
    assert caplog.messages == ["the device's memory is full: 2 tiles at once from here on"]


def test_a_tile_that_does_not_fit_alone_is_out_of_memory() -> None:
    with pytest.raises(torch.OutOfMemoryError):
        members_of(limited(fold(0), 0, []), mirror_axes=()).averages(tiles(2), tiles_at_once(4))


def test_another_error_is_not_taken_for_want_of_memory(caplog: pytest.LogCaptureFixture) -> None:
    calls: list[int] = []

    def broken(batch: torch.Tensor) -> torch.Tensor:
        calls.append(len(batch))
        raise RuntimeError("CUDA error: device-side assert triggered")

    batch = tiles_at_once(4)
    with pytest.raises(RuntimeError, match="device-side assert"):
        members_of(broken, mirror_axes=()).averages(tiles(4), batch)

    assert (calls, batch.number, caplog.messages) == ([4], 4, [])
