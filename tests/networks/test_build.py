"""Which network a plan gets."""

from __future__ import annotations

import pytest
import torch
from small_plans import changed, unet_plan
from torch import nn

from autoseg.errors import PlanError
from autoseg.machine.resources import PRECISIONS
from autoseg.networks import Precision, ResidualUNet, UNet, build_network, place_network, resolve_precision
from autoseg.networks.instance_norm import CHANNELS_LAST, InstanceNorm2d, InstanceNorm3d
from autoseg.plans import ConfigurationPlan

PLAN = unet_plan(
    name="2d",
    spacing=(3.0, 1.0, 1.0),
    median_shape=(8, 20, 20),
    patch_size=(16, 16),
    batch_size=2,
    poolings=((2, 2),),
    kernels=((3, 3), (3, 3)),
    in_plane=False,
    normalisation=("nonCT",),
    masked=(False,),
    batch_dice=True,
    previous=None,
    network="unet",
    features=4,
    max_features=6,
    convs_per_stage=3,
)


def test_the_plain_network_has_the_plans_numbers() -> None:
    network = build_network(PLAN, 2, 5)

    assert isinstance(network, UNet)
    assert [[block[0].out_channels for block in stage] for stage in network.encoder] == [[4, 4, 4], [6, 6, 6]]
    assert (network.encoder[0][0][0].in_channels, network.heads[0].out_channels) == (2, 5)


def test_the_residual_network_has_the_plans_numbers() -> None:
    plan = changed(PLAN, network="residual_unet", convs_per_stage=1, blocks_per_stage=(2, 3))
    network = build_network(plan, 2, 5)

    assert isinstance(network, ResidualUNet)
    stem, *finest = network.encoder[0]
    assert (stem[0].in_channels, stem[0].out_channels) == (2, 4)
    assert [len(finest), len(network.encoder[1])] == [2, 3]
    assert [len(stage) for stage in network.decoder] == [1]
    assert (network.encoder[1][2].second[0].out_channels, network.heads[0].out_channels) == (6, 5)


def test_a_network_of_another_name_is_refused() -> None:
    with pytest.raises(PlanError) as caught:
        build_network(changed(PLAN, network="unett"), 1, 2)
    assert str(caught.value) == (
        "2d: no network is called 'unett', known are unet, residual_unet; correct `network.name` in the plans, or train "
        "with a trainer that builds its own"
    )


def test_a_residual_network_without_blocks_is_refused() -> None:
    with pytest.raises(PlanError, match="2d: a residual_unet needs blocks_per_stage, found null"):
        build_network(changed(PLAN, network="residual_unet"), 1, 2)


CPU = torch.device("cpu")
DEEP = changed(
    PLAN,
    name="3d_fullres",
    patch_size=(8, 8, 8),
    poolings=((2, 2, 2),),
    kernels=((3, 3, 3), (3, 3, 3)),
)


@pytest.mark.parametrize("plan", [PLAN, DEEP], ids=["2d", "3d"])
@pytest.mark.parametrize("kind", ["unet", "residual_unet"])
def test_in_bf16_on_a_cpu_everything_inside_our_networks_has_its_channels_last(
    plan: ConfigurationPlan, kind: str
) -> None:
    precision = resolve_precision("auto", CPU)
    if precision.name != "bf16":
        pytest.skip("needs a processor with bfloat16")
    network = place_network(build_network(changed(plan, network=kind, blocks_per_stage=(1, 1)), 2, 3), CPU, precision)
    last = CHANNELS_LAST[len(plan.sampling.patch_size) + 2]
    seen = []
    for layer in network.modules():
        if isinstance(layer, (InstanceNorm2d, InstanceNorm3d)):
            layer.register_forward_hook(lambda _, inputs, output: seen.extend([*inputs, output]))

    with precision.autocast():
        network(torch.randn(2, 2, *plan.sampling.patch_size))

    assert len(seen) > 4
    assert all(values.is_contiguous(memory_format=last) and not values.is_contiguous() for values in seen)


def test_a_network_of_the_users_own_keeps_the_order_of_its_weights() -> None:
    own = nn.ModuleList([nn.Conv2d(2, 3, 3), nn.Conv3d(2, 3, 3)])

    for name in PRECISIONS:
        placed = place_network(own, CPU, Precision(name=name, device="cpu"))
        assert placed is own
        assert all(layer.weight.is_contiguous() for layer in own)
