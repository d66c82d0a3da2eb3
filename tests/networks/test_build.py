"""Which network a plan gets."""

from __future__ import annotations

from dataclasses import replace

import pytest

from autoseg.errors import PlanError
from autoseg.networks import ResidualUNet, UNet, build_network
from autoseg.plans import ConfigurationPlan

PLAN = ConfigurationPlan(
    name="2d",
    spacing=(3.0, 1.0, 1.0),
    median_shape=(8, 20, 20),
    patch_size=(16, 16),
    batch_size=2,
    num_pool_per_axis=(1, 1),
    pool_kernel_sizes=((2, 2),),
    conv_kernel_sizes=((3, 3), (3, 3)),
    do_dummy_2d_augmentation=False,
    normalization_schemes=("nonCT",),
    use_mask_for_norm=(False,),
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
    plan = replace(PLAN, network="residual_unet", convs_per_stage=1, blocks_per_stage=(2, 3))
    network = build_network(plan, 2, 5)

    assert isinstance(network, ResidualUNet)
    stem, *finest = network.encoder[0]
    assert (stem[0].in_channels, stem[0].out_channels) == (2, 4)
    assert [len(finest), len(network.encoder[1])] == [2, 3]
    assert [len(stage) for stage in network.decoder] == [1]
    assert (network.encoder[1][2].second[0].out_channels, network.heads[0].out_channels) == (6, 5)


def test_a_network_of_another_name_is_refused() -> None:
    with pytest.raises(PlanError) as caught:
        build_network(replace(PLAN, network="unett"), 1, 2)
    assert str(caught.value) == (
        "2d: no network is called 'unett', known are unet, residual_unet; correct `network` in the plans, or train "
        "with a trainer that builds its own"
    )


def test_a_residual_network_without_blocks_is_refused() -> None:
    with pytest.raises(PlanError, match="2d: a residual_unet needs blocks_per_stage, found null"):
        build_network(replace(PLAN, network="residual_unet"), 1, 2)
