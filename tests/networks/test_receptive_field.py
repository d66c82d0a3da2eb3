"""How far a score sees, against the places where a gradient arrives."""

from __future__ import annotations

from typing import Any

import pytest
from small_networks import built, image, plan_of, scores
from torch import nn

from autoseg.networks.receptive_field import seen_by_a_score

SIDE = 96


def on_meta(network: nn.Module) -> nn.Module:
    return network.to("meta").eval()


@pytest.mark.parametrize(
    ("layers", "expected"),
    [
        ([nn.Conv2d(1, 1, 3, padding=1)], (3, 3)),
        ([nn.Conv2d(1, 1, (1, 5), padding=(0, 2)), nn.ReLU(), nn.Conv2d(1, 1, 3, padding=1)], (3, 7)),
        ([nn.Conv2d(1, 1, 3, dilation=4, padding=4)], (9, 9)),
        ([nn.MaxPool2d(2), nn.Conv2d(1, 1, 3, padding=1)], (6, 6)),
        ([nn.Conv2d(1, 1, 2, stride=2), nn.ConvTranspose2d(1, 1, 2, stride=2)], (2, 2)),
        ([nn.Conv2d(1, 1, 3, stride=2, padding=1), nn.ConvTranspose2d(1, 1, 4, stride=2, padding=1)], (5, 5)),
    ],
)
def test_layers_reach_as_far_as_by_hand(layers: list[nn.Module], expected: tuple[int, ...]) -> None:
    assert seen_by_a_score(on_meta(nn.Sequential(*layers)), (1, 16, 16)) == expected


@pytest.mark.parametrize(
    ("name", "settings"),
    [
        ("unet_2016", {"width": 2, "levels": 3, "layer_order": "cr"}),
        ("unet_2016", {"width": 2, "levels": 2, "layer_order": "cr", "blocks": "residual"}),
        ("vnet", {"width": 2, "levels": 3, "normalisation": "none"}),
        ("highres", {"width": 2}),
    ],
)
def test_a_network_sees_what_its_gradient_says(name: str, settings: dict[str, Any]) -> None:
    """Of all places of a pooled block the furthest reach; so of a block's scores together, at most that far beyond it."""
    plan = plan_of((SIDE, SIDE), ((2, 2),) * 2)
    network = built(name, plan, **settings).eval()
    for module in network.modules():
        if isinstance(module, (nn.Conv2d, nn.ConvTranspose2d)):
            nn.init.constant_(module.weight, 0.1)
            if module.bias is not None:
                nn.init.zeros_(module.bias)
    batch = image(1, 1, SIDE, SIDE).abs().requires_grad_()
    middle = SIDE // 2
    widest = 0
    for place in range(middle, middle + 4):
        batch.grad = None
        scores(network, batch)[0][0, 0, place, place].backward()
        rows = batch.grad.abs().sum((0, 1, 3)).nonzero().flatten()
        widest = max(widest, int(rows.max() - rows.min() + 1))
    found = seen_by_a_score(on_meta(built(name, plan, **settings)), (1, SIDE, SIDE))

    assert 0.8 * found[0] <= widest <= found[0] < SIDE
    assert found[0] == found[1]


def test_flat_kernels_see_less_through_the_slices() -> None:
    plan = plan_of((8, 32, 32), ((1, 2, 2), (2, 2, 2)), kernels=((1, 3, 3), (3, 3, 3), (3, 3, 3)))
    through, down, across = seen_by_a_score(on_meta(built("unet_2016", plan, width=2, levels=3)), (1, 8, 32, 32))

    assert through < down == across
