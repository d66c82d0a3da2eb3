from __future__ import annotations

import logging

import pytest
import torch

from autoseg.errors import ModelError
from autoseg.networks.devices import resolve_device

CPU = torch.device("cpu")


def test_without_a_name_the_best_device_is_taken(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: False)
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    assert resolve_device() == CPU

    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    assert resolve_device() == torch.device("cuda")


@pytest.fixture
def broken_apple_gpu(monkeypatch: pytest.MonkeyPatch) -> None:
    """One that torch takes to be there, and that computes nothing."""
    if torch.backends.mps.is_available():
        pytest.skip("there is a real one")
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: True)


@pytest.mark.usefixtures("broken_apple_gpu")
def test_an_apple_gpu_that_cannot_compute_a_network_is_left_with_a_sentence(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.WARNING, logger="autoseg"):
        assert resolve_device() == CPU

    (said,) = [record.getMessage() for record in caplog.records]
    assert said.startswith(f"device mps: torch {torch.__version__} cannot train a U-Net on it (")
    assert said.endswith("); update macOS and torch, or use `device=cpu`; so the CPU computes")


@pytest.mark.usefixtures("broken_apple_gpu")
def test_an_apple_gpu_that_cannot_compute_a_network_is_refused_by_name() -> None:
    with pytest.raises(
        ModelError, match=r"device mps: torch .* cannot train a U-Net on it \(.*\); update macOS and torch"
    ):
        resolve_device("mps")


@pytest.mark.parametrize("name", ["gpu", "xpu"])
def test_an_unknown_device_is_refused(name: str) -> None:
    with pytest.raises(ModelError, match=f"device '{name}': unknown; use cpu, cuda or mps"):
        resolve_device(name)


def test_a_device_that_is_not_there_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 1)
    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: False)
    with pytest.raises(ModelError, match=r"device cuda:1: torch .* finds 1 CUDA device;"):
        resolve_device("cuda:1")
    with pytest.raises(ModelError, match="no Apple GPU"):
        resolve_device("mps")
    assert resolve_device("cuda") == torch.device("cuda")
