from __future__ import annotations

import pytest
import torch
from small_plans import unet_settings

from autoseg.errors import ModelError
from autoseg.networks.pretrained import transfer_weights
from autoseg.networks.unet import UNet
from autoseg.plans import Topology

TOPOLOGY = Topology(strides=((1, 1), (2, 2)), kernels=((3, 3), (3, 3)))


def network(seed: int, *, classes: int = 3, in_channels: int = 1) -> UNet:
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        return UNet(unet_settings(TOPOLOGY, features=2, max_features=4), in_channels, classes)


@pytest.mark.parametrize("classes", [3, 5])
def test_everything_but_the_heads_is_copied(classes: int) -> None:
    target, source = network(0), network(1, classes=classes)
    heads = [head.weight.clone() for head in target.heads]

    kept = transfer_weights(target, source.state_dict(), source="other.pt")

    assert kept == ("heads.0.weight",)
    assert all(torch.equal(head.weight, before) for head, before in zip(target.heads, heads, strict=True))
    for name, tensor in target.state_dict().items():
        if name not in kept:
            assert torch.equal(tensor, source.state_dict()[name]), name


def test_an_encoder_that_does_not_fit_is_refused_by_name() -> None:
    with pytest.raises(ModelError, match=r"other\.pt: .*\n  encoder\.0\.0\.0\.weight: 2x1x3x3 here, 2x2x3x3 there"):
        transfer_weights(network(0), network(1, in_channels=2).state_dict(), source="other.pt")


def test_weights_of_something_else_are_refused() -> None:
    with pytest.raises(ModelError, match="do not fit the network of this plan"):
        transfer_weights(torch.nn.Linear(2, 2), {"other": torch.zeros(1)}, source="other.pt")
