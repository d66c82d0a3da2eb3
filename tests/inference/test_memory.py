"""Memory: tiles at once as it allows; what is expected not to fit is said before it is tried."""

from __future__ import annotations

import logging
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from autoseg.geometry import Geometry
from autoseg.inference import memory
from autoseg.inference.memory import SAID, fitting_batch, say_once, tile_bytes, tiles_at_once, tiles_on_gpu
from autoseg.inference.predictor import Predictor
from autoseg.inference.scorers import tiles as tiles_module
from autoseg.inference.scorers.sliding_window import _Network
from autoseg.inference.settings import Computation
from autoseg.networks import build_network
from autoseg.networks.devices import to_be_had
from autoseg.networks.memory import estimate_answer


@pytest.mark.parametrize(
    ("most", "each", "free", "expected"), [(8, 10, 1000, 8), (8, 10, 79, 7), (8, 10, 9, 1), (8, 10, -5, 1)]
)
def test_a_batch_is_what_fits_and_never_less_than_one(most: int, each: int, free: int, expected: int) -> None:
    assert fitting_batch(most, each, free) == expected


@pytest.mark.parametrize(
    ("usual", "gib_each", "gib_free", "expected"),
    [
        (2, 1, 139, 16),  # a large GPU: as many as pay
        (2, 1, 40, 10),  # a quarter of what is free
        (2, 1, 7, 2),  # a small one is handed what it was handed before, and says when that is too much
        (46, 1, 139, 46),  # small tiles
    ],
)
def test_a_gpu_is_handed_as_many_tiles_as_a_quarter_of_its_memory_holds(
    usual: int, gib_each: int, gib_free: int, expected: int
) -> None:
    assert tiles_on_gpu(usual, gib_each * 2**30, gib_free * 2**30) == expected


def test_what_torch_holds_unused_is_free() -> None:
    assert to_be_had(free=100, reserved=50, allocated=30) == 120


def test_tiles_are_as_many_as_before_once_sums_have_left_the_gpu() -> None:
    at_once, most = tiles_at_once(4), [0]

    def predict(tiles: torch.Tensor) -> torch.Tensor:
        def attempt(number: int) -> torch.Tensor:
            if number > most[0]:
                raise torch.OutOfMemoryError("CUDA out of memory.")
            return tiles

        return at_once.run(attempt)

    def make_room() -> bool:
        most[0] = 4
        at_once.restart()
        return True

    _Network(predict, make_room)(np.zeros((4, 1, 2, 2, 2), np.float32))

    assert at_once.number == 4


def test_a_tile_takes_the_activations_of_the_finest_level_and_the_scores(make: Any) -> None:
    plan = make.plans(patch=(8, 16, 4)).configuration("3d_fullres")
    network = build_network(plan, 1, 3)
    assert tile_bytes(network, plan, in_channels=1, channels=5) == 8 * 16 * 4 * 4 * (6 * 4 + 3 * 5)
    assert 5.0 <= estimate_answer(network.eval(), (1, 8, 16, 4)) / (8 * 16 * 4 * 4 * 4) <= 6.0, "as about counted"


def test_what_a_network_of_another_kind_takes_is_counted(make: Any) -> None:
    plan = make.plans(patch=(8, 16, 4)).configuration("3d_fullres")
    voxels = 8 * 16 * 4
    wide = nn.Sequential(nn.Conv3d(1, 50, 3, padding=1), nn.ReLU(), nn.Conv3d(50, 3, 1)).eval()

    count = voxels * 4 * (1 + 50 + 50)  # the image, a layer's input and output
    assert estimate_answer(wide, (1, 8, 16, 4)) == count
    assert tile_bytes(wide, plan, in_channels=1, channels=5) == count + voxels * 4 * 3 * 5
    half = estimate_answer(wide, (1, 8, 16, 4), torch.bfloat16)
    assert half == count // 2

    class Looking(nn.Module):
        def forward(self, image: torch.Tensor) -> torch.Tensor:
            return image * float(image.max())

    assert tile_bytes(Looking(), plan, in_channels=1, channels=5) == voxels * 4 * (6 * 4 + 3 * 5)


@pytest.mark.parametrize(("free", "said"), [(10**6, False), (1000, True)])
def test_a_case_that_will_hardly_fit_is_named_before_it_is_predicted(
    make: Any, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, free: int, said: bool
) -> None:
    """Sums and weights of three classes, and one tile."""
    SAID.clear()
    monkeypatch.setattr(tiles_module, "available_memory", lambda: free)
    predictor = Predictor(make.model(make.plans(patch=(16, 16, 8))), Computation(device="cpu"))

    with caplog.at_level(logging.WARNING, logger="autoseg"):
        predictor.predict(np.ones((1, 16, 16, 8), np.float32), Geometry(spacing=(1, 1, 1)))

    message = (
        "case image: predicting it takes about 0.0 GB, and 0.0 GB are free; where that does not do, end other programs "
        "or use `preprocessing_threads=1` (of other such cases this is not said)"
    )
    assert caplog.messages == [message] * said


def test_a_warning_is_given_once_a_kind_whichever_case_it_names(caplog: pytest.LogCaptureFixture) -> None:
    SAID.clear()
    with caplog.at_level(logging.WARNING, logger="autoseg"):
        for case in ("a", "b", "100 %s"):
            say_once("memory", f"case {case}: large")
        say_once("device", "100 %s full")
    assert caplog.messages == ["case a: large", "100 %s full"]
    assert len(SAID) == 2


def test_memory_that_was_short_for_one_case_is_used_for_the_next(make: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[int] = []

    class Counting(nn.Module):
        def forward(self, tiles: torch.Tensor) -> torch.Tensor:
            if tiles.device.type != "meta":  # where it is only counted what it takes
                seen.append(len(tiles))
            return torch.cat([tiles, -tiles], dim=1)

    monkeypatch.setattr(memory, "BATCH_VOXELS", {"cpu": 6 * 8 * 8})
    predictor = Predictor(make.model(make.plans(patch=(8, 8)), Counting()), Computation(device="cpu", mirror=False))
    counts = []
    for free in (10**9, 1, 10**9):
        monkeypatch.setattr(tiles_module, "available_memory", lambda free=free: free)
        predictor.predict(np.random.default_rng(0).random((1, 6, 8, 8), np.float32), Geometry(spacing=(1, 1, 1)))
        counts.append(list(seen))
        seen.clear()
    assert counts == [[6], [1] * 6, [6]]
