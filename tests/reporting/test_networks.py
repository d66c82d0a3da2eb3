"""The table of networks: by papers, and by what they take with a plan."""

from __future__ import annotations

import pytest
from small_networks import plan_of
from small_plans import unet_plan

from autoseg.errors import PlanError
from autoseg.networks.build import RECIPE_NETWORKS
from autoseg.plans import ConfigurationPlan, Plans
from autoseg.reporting.networks import network_cost, networks_table, papers


def plans_of(*plans: ConfigurationPlan) -> Plans:
    return Plans(
        format=2,
        version="test",
        identifier="autoseg",
        planner="Planner3D",
        dataset="Task900_Balls",
        channels=("MRI",),
        labels=("background", "ball", "core"),
        transpose_forward=(0, 1, 2),
        transpose_backward=(0, 1, 2),
        intensities=None,
        configurations={plan.name: plan for plan in plans},
    )


def test_every_network_has_its_paper() -> None:
    assert list(papers()) == list(RECIPE_NETWORKS.entries)
    assert papers()["vnet"] == "Milletari et al. 2016 (arXiv 1606.04797)"
    assert "-" not in papers().values()
    assert networks_table().splitlines()[0].split() == ["network", "paper"]


def test_a_network_takes_what_can_be_counted_by_hand() -> None:
    """One level of two convolutions of 9 voxels, 1 to 4 and 4 to 4 channels, and a head of 4 to 3, on 8 x 8 voxels."""
    plans = plans_of(unet_plan("2d", patch_size=(8, 8), poolings=(), convs_per_stage=2, kernels=((3, 3),)))
    cost = network_cost("planned", plans, "2d")

    assert cost.parameters == (9 * 4 + 4 + 8) + (9 * 4 * 4 + 4 + 8) + 4 * 3
    assert cost.multiplications == 64 * (9 * 4 + 9 * 4 * 4 + 4 * 3)
    assert (cost.field, cost.is_independent) == ((5, 5), True)
    assert cost.memory > 2 * 64 * 4 * (3 * 4)


def test_samples_see_each_other_in_a_batch_that_is_normalised() -> None:
    plans = plans_of(plan_of((32, 32), name="2d"))

    assert not network_cost("vnet_light", plans, "2d").is_independent
    assert network_cost("mednext", plans, "2d").is_independent


def test_a_line_for_each_network_and_why_one_does_not_fit() -> None:
    plans = plans_of(plan_of((24, 24), ((2, 2),) * 3, name="2d"))

    lines = networks_table(plans, "2d", ("planned", "unet_2016", "resnet_vae", "hyper_dense")).splitlines()

    assert [line.split()[0] for line in lines] == ["network", "planned", "unet_2016", "not", "not"]
    assert lines[2].endswith("  see each other")
    assert lines[3] == (
        "not with this plan: 2d: resnet_vae takes patches whose sides are multiples of 16x16, found 24x24; take a plan with "
        "such a patch"
    )
    assert "hyper_dense connects the paths of several channels" in lines[4]
    with pytest.raises(PlanError):
        network_cost("resnet_vae", plans, "2d")
