"""Layers that stay as they are, and others that start anew."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
from torch import nn

from autoseg.training.fine_tuning import freeze, start_anew

REFERENCE = Path(__file__).resolve().parents[3] / "shared" / "reference" / "ivadomed_cases.json"


def small() -> nn.Module:
    return nn.Sequential(
        nn.Conv2d(1, 2, 3), nn.ReLU(), nn.Sequential(nn.Conv2d(2, 2, 3), nn.BatchNorm2d(2)), nn.Conv2d(2, 1, 1)
    )


@pytest.mark.parametrize(("share", "frozen"), [(0.0, 0), (0.25, 1), (0.5, 2), (0.7, 3), (0.75, 3)])
def test_layers_with_weights_are_counted_from_the_input_on(share: float, frozen: int) -> None:
    network = small()
    names = freeze(network, share)

    assert [name.rpartition(".")[0] for name in names[::2]] == ["0", "2.0", "2.1", "3"][:frozen]
    assert {name for name, one in network.named_parameters() if not one.requires_grad} == set(names)


def test_as_many_are_frozen_as_in_the_table_of_ivadomed() -> None:
    if not REFERENCE.is_file():
        pytest.skip(f"needs {REFERENCE}, which is absent")
    rows = json.loads(REFERENCE.read_text())["transfer_learning"]
    for row in rows:
        layers = nn.Sequential(*(nn.Linear(1, 1, bias=False) for _ in range(row["layers_with_weights"])))
        assert len(freeze(layers, 1 - row["retrain_fraction"])) == row["right_frozen_layers"]


def test_what_learns_starts_anew() -> None:
    network, first = small(), small()
    freeze(network, 0.5)
    before = {name: one.clone() for name, one in network.named_parameters()}
    start_anew(network, dict(first.named_parameters()))

    for name, one in network.named_parameters():
        expected = dict(first.named_parameters())[name] if one.requires_grad else before[name]
        assert torch.equal(one, expected)
