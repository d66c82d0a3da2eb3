"""Tiles side by side: the same answers in the same order, each part with its share of the threads."""

from __future__ import annotations

import math
import threading
from functools import partial

import pytest
import torch

from autoseg.inference import side_by_side as module
from autoseg.inference.members import Forward
from autoseg.inference.side_by_side import side_by_side
from autoseg.networks import fitting


def tiles(number: int) -> torch.Tensor:
    return torch.randn(number, 2, 4, 6, 5, generator=torch.Generator().manual_seed(0))


def joined(forward: Forward, batch: torch.Tensor, **how: bool) -> torch.Tensor:
    """What one fold answers, in one piece."""
    parts, answers = zip(*side_by_side([forward], batch, **how), strict=True)
    assert [place for part in parts for place in range(len(batch))[part]] == list(range(len(batch)))
    return torch.cat(answers)


@pytest.mark.parametrize("number", [1, 2, 3, 8])
def test_the_answers_are_those_of_all_tiles_together(threads: int, number: int) -> None:
    network = torch.nn.Conv3d(2, 3, 3, padding=1).double()
    calls: list[tuple[int, int, bool]] = []

    def forward(part: torch.Tensor) -> torch.Tensor:
        calls.append((len(part), torch.get_num_threads(), torch.is_inference_mode_enabled()))
        answer: torch.Tensor = network(part)
        return answer

    with torch.inference_mode():
        together = network(tiles(number).double())
        torch.testing.assert_close(joined(forward, tiles(number).double()), together, rtol=0, atol=1e-12)

    parts = [len(part) for part in tiles(number).split(math.ceil(number / threads))]
    assert sorted(size for size, _, _ in calls) == sorted(parts)
    assert {share for _, share, _ in calls} == {threads // len(parts)}
    assert all(inference for _, _, inference in calls)
    assert torch.get_num_threads() == threads


@pytest.mark.parametrize("threads", [2], indirect=True)
@pytest.mark.parametrize(("folds", "number"), [(1, 2), (2, 1)])
@pytest.mark.usefixtures("threads")
def test_tiles_and_folds_are_computed_at_the_same_time(folds: int, number: int) -> None:
    meeting = threading.Barrier(2, timeout=20)

    def forward(part: torch.Tensor) -> torch.Tensor:
        meeting.wait()
        return part

    answers = [answer for _, answer in side_by_side([forward] * folds, tiles(number))]

    assert len(answers) == 2
    torch.testing.assert_close(torch.cat(answers), tiles(number).repeat(folds, 1, 1, 1, 1), rtol=0, atol=0)


@pytest.mark.parametrize("threads", [2], indirect=True)
@pytest.mark.usefixtures("threads")
def test_a_core_takes_no_more_tiles_together_than_its_caches_hold(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fitting, "CACHED_VOXELS", 2 * 4 * 6 * 5)
    calls: list[int] = []

    def forward(part: torch.Tensor) -> torch.Tensor:
        calls.append(len(part))
        return part

    torch.testing.assert_close(joined(forward, tiles(7)), tiles(7), rtol=0, atol=0)

    assert sorted(calls) == [1, 2, 2, 2]


def test_large_tiles_get_all_threads_one_after_the_other(threads: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "SMALL_TILE", 4 * 6 * 5 - 1)
    monkeypatch.setattr(fitting, "CACHED_VOXELS", 1)
    calls: list[tuple[int, int]] = []

    def forward(part: torch.Tensor) -> torch.Tensor:
        calls.append((len(part), torch.get_num_threads()))
        return part

    torch.testing.assert_close(joined(forward, tiles(4)), tiles(4), rtol=0, atol=0)

    assert calls == [(1, threads)] * 4


@pytest.mark.usefixtures("threads")
def test_what_may_not_be_called_from_several_threads_is_called_from_one() -> None:
    callers: list[int] = []

    def forward(part: torch.Tensor) -> torch.Tensor:
        callers.append(threading.get_ident())
        return part

    torch.testing.assert_close(joined(forward, tiles(4), one_call_at_a_time=True), tiles(4), rtol=0, atol=0)

    assert set(callers) == {threading.get_ident()}


def test_an_error_comes_out_as_it_is(threads: int) -> None:
    error = ValueError("shape")

    def forward(_: torch.Tensor) -> torch.Tensor:
        raise error

    with pytest.raises(ValueError, match="shape") as caught:
        joined(forward, tiles(3))

    assert caught.value is error
    assert torch.get_num_threads() == threads


@pytest.mark.usefixtures("threads")
def test_answers_come_in_the_order_of_folds_and_tiles() -> None:
    folds = [partial(torch.add, other=shift) for shift in (100, 200, 300)]

    answers = [(part.start, answer) for part, answer in side_by_side(folds, tiles(4))]

    parts = len(answers) // len(folds)
    assert [start for start, _ in answers] == [start for start, _ in answers[:parts]] * len(folds)
    found = torch.cat([answer for _, answer in answers])
    torch.testing.assert_close(found, torch.cat([tiles(4) + shift for shift in (100, 200, 300)]), rtol=0, atol=0)


@pytest.mark.parametrize("threads", [2], indirect=True)
def test_who_takes_the_answers_leaves_the_threads_to_those_who_compute(threads: int) -> None:
    answers = side_by_side([torch.abs], tiles(8))
    next(answers)
    assert torch.get_num_threads() == 1

    answers.close()
    assert torch.get_num_threads() == threads
