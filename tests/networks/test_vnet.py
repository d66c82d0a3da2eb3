"""The V-Net against MedicalZoo's counts, and against the words that describe it."""

from __future__ import annotations

import pytest
import torch
from small_networks import built, counted_on_meta, image, plan_of
from torch import nn

from autoseg.networks.vnet import VLayers, VStart

PLAN = plan_of((32, 32, 32))


@pytest.mark.parametrize(
    ("name", "channels", "parameters"),
    [
        ("vnet", 1, 45_611_956),
        ("vnet", 2, 45_613_956),
        ("vnet", 3, 45_615_956),
        ("vnet_light", 1, 12_247_988),
        ("vnet_light", 2, 12_249_988),
        ("vnet_light", 3, 12_251_988),
    ],
)
def test_it_has_as_many_parameters_as_the_reference(name: str, channels: int, parameters: int) -> None:
    assert counted_on_meta(name, PLAN, channels, 4) == parameters


def test_channels_are_repeated_in_turn() -> None:
    """Also where their number does not divide the width, which the reference does not take."""
    start = VStart(VLayers(normalisation="none", nonlinearity="prelu", dropout=0.0), 3, 7, (5, 5))
    nn.init.zeros_(start.layers[0].weight)
    nn.init.zeros_(start.layers[0].bias)
    batch = image(2, 3, 4, 4).abs()

    torch.testing.assert_close(start(batch), batch[:, [0, 1, 2, 0, 1, 2, 0]])


def test_features_are_left_out_on_the_deepest_levels_and_on_every_skip() -> None:
    network = built("vnet", plan_of((16, 16)), width=4, dropout=0.25)

    assert [isinstance(level.dropout, nn.Dropout2d) for level in network.encoder[1:]] == [False, False, True, True]
    assert [isinstance(level.dropout, nn.Dropout2d) for level in network.decoder] == [True, True, False, False]
    assert {level.skip_dropout.p for level in network.decoder} == {0.25}


def test_levels_have_the_convolutions_of_the_paper() -> None:
    network = built("vnet", plan_of((16, 16)), width=4)

    assert [len(level.layers) for level in network.encoder[1:]] == [1, 2, 3, 2]
    assert [len(level.layers) for level in network.decoder] == [2, 2, 1, 1]
