"""Planners of the residual-encoder U-Net: their unit of memory against the network itself, and what they decide."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

import autoseg.planning
from autoseg.extensions import find_class
from autoseg.geometry import Shape, Spacing
from autoseg.planning import (
    Planner,
    Planner2DResidualL,
    Planner2DResidualM,
    Planner2DResidualXL,
    Planner3D,
    Planner3DResidualL,
    Planner3DResidualM,
    Planner3DResidualXL,
)
from autoseg.planning.fingerprint import DatasetFingerprint
from autoseg.planning.memory import count_residual_activations
from autoseg.planning.topology import plan_topology
from autoseg.plans import ConfigurationPlan

MakeFingerprint = Callable[..., DatasetFingerprint]

HIPPOCAMPUS = {"spacings": [(1, 1, 1)], "shapes": [(36, 50, 35)], "cases": 260, "foreground": 2}
LIVER = {"spacings": [(1, 0.76757812, 0.76757812)], "shapes": [(482, 512, 512)], "cases": 131, "foreground": 2}
HEART = {"spacings": [(1.37, 1.25, 1.25)], "shapes": [(115, 320, 232)], "cases": 20}
PROSTATE = {"spacings": [(3.6, 0.625, 0.625)], "shapes": [(20, 320, 319)], "cases": 32, "foreground": 2}


def planner(kind: type[Planner], fingerprint: DatasetFingerprint, **arguments: Any) -> Planner:
    return kind(fingerprint=fingerprint, dataset="Task001_X", **arguments)


def measured(plan: ConfigurationPlan, channels: int, classes: int) -> int:
    """Elements that come out of all convolutions of the network that is built from a plan, for one sample."""
    import torch
    from torch import nn

    from autoseg.networks import build_network

    outputs = []
    with torch.device("meta"):
        network = build_network(plan, channels, classes)
        for module in network.modules():
            if isinstance(module, (nn.Conv2d, nn.Conv3d, nn.ConvTranspose2d, nn.ConvTranspose3d)):
                module.register_forward_hook(lambda _module, _inputs, output: outputs.append(output.numel()))
        network(torch.empty(1, channels, *plan.sampling.patch_size))
    return sum(outputs)


class TestMemory:
    @pytest.mark.parametrize(
        ("kind", "data", "channels"),
        [
            (Planner3DResidualM, HIPPOCAMPUS, 1),
            (Planner3DResidualM, LIVER, 1),
            (Planner3DResidualL, PROSTATE, 2),
            (Planner2DResidualM, HEART, 3),
        ],
    )
    def test_is_what_the_convolutions_of_the_built_network_put_out(
        self, make_fingerprint: MakeFingerprint, kind: type[Planner], data: dict[str, Any], channels: int
    ) -> None:
        one = planner(kind, make_fingerprint(**data, channels=("MRI",) * channels))
        for name, stage in one.planned_stages.items():
            plan = one.plan().configuration(name)
            assert one.memory_needed(stage.topology) == measured(plan, channels, len(one.fingerprint.target.outputs))

    def test_every_term_by_hand(self) -> None:
        """16 x 16 halved twice; channels 10, 20, then 25 at the cap; stem, blocks, skips, upsampling, convolutions, heads."""
        found = count_residual_activations(
            plan_topology((16, 16), (1, 1)),
            classes=4,
            features=10,
            max_features=25,
            blocks_per_stage=(1, 3, 2),
            convs_per_stage=2,
        )
        encoder = 256 * (10 + 2 * 10) + 64 * (20 + 6 * 20) + 16 * (25 + 4 * 25)
        decoder = 64 * (20 + 2 * 20 + 4) + 256 * (10 + 2 * 10 + 4)
        assert found == encoder + decoder

    def test_without_poolings_there_is_one_level_with_a_head(self) -> None:
        found = count_residual_activations(
            plan_topology((7, 5, 3), (1, 1, 1)),
            classes=2,
            features=32,
            max_features=320,
            blocks_per_stage=(1,),
            convs_per_stage=1,
        )
        assert found == 105 * (32 + 2 * 32 + 2)

    def test_published_batches_of_a_small_dataset_follow_from_it(self, make_fingerprint: MakeFingerprint) -> None:
        """58 for M and 178 for L at 40 x 56 x 40, where the batch is rounded and not capped (user_pains.md, D2)."""
        one = planner(Planner3DResidualM, make_fingerprint(**HIPPOCAMPUS))
        needed = one.memory_needed(one.planned_stages["3d_fullres"].topology)

        assert (round(2 * 680e6 / needed), round(2 * 2.1e9 / needed)) == (58, 178)

    @pytest.mark.parametrize(
        ("kind", "reference", "gigabytes", "batch"),
        [
            (Planner3DResidualM, 680e6, 8, 2),
            (Planner3DResidualL, 2.1e9, 24, 2),
            (Planner3DResidualXL, 3.6e9, 40, 2),
            (Planner2DResidualM, 135e6, 8, 12),
            (Planner2DResidualL, 380e6, 24, 12),
            (Planner2DResidualXL, 560e6, 40, 12),
        ],
    )
    def test_each_size_has_its_budget_which_the_target_scales(
        self, make_fingerprint: MakeFingerprint, kind: Any, reference: float, gigabytes: float, batch: int
    ) -> None:
        fingerprint = make_fingerprint(**HIPPOCAMPUS)

        assert kind.reference_batch == batch
        assert planner(kind, fingerprint).memory_budget() == reference
        assert planner(kind, fingerprint, gpu_memory_target=gigabytes).memory_budget() == reference
        assert planner(kind, fingerprint, gpu_memory_target=11).memory_budget() == pytest.approx(
            reference * 11 / gigabytes, rel=1e-12
        )


class TestDecisions:
    @pytest.mark.parametrize(
        ("kind", "data", "patch", "batch"),
        [
            (Planner3DResidualM, LIVER, (128, 128, 128), 2),
            (Planner3DResidualL, LIVER, (192, 192, 192), 2),
            (Planner3DResidualXL, LIVER, (224, 256, 224), 2),
            (Planner3DResidualM, HEART, (80, 192, 160), 2),
            (Planner3DResidualL, HEART, (112, 256, 224), 2),
            (Planner2DResidualM, LIVER, (512, 512), 12),
            (Planner2DResidualL, LIVER, (512, 512), 35),
            (Planner2DResidualXL, LIVER, (512, 512), 51),
        ],
    )
    def test_patch_and_batch_are_the_largest_that_fit(
        self, make_fingerprint: MakeFingerprint, kind: Any, data: dict[str, Any], patch: Shape, batch: int
    ) -> None:
        one = planner(kind, make_fingerprint(**data))
        (stage, *_) = one.planned_stages.values()

        assert (stage.patch_size, stage.batch_size) == (patch, batch)
        assert [side % factor for side, factor in zip(patch, stage.topology.divisor, strict=True)] == [0] * len(patch)
        needed, budget = one.memory_needed(stage.topology), one.memory_budget() * kind.reference_batch
        assert batch * needed <= budget < (batch + 1) * needed

    def test_the_batch_stays_capped_at_a_twentieth_of_the_dataset(self, make_fingerprint: MakeFingerprint) -> None:
        fingerprint = make_fingerprint(**HIPPOCAMPUS)
        stages = [planner(kind, fingerprint).planned_stages for kind in (Planner3DResidualM, Planner3DResidualL)]

        assert [stage["3d_fullres"].fitting_batch for stage in stages] == [57, 177]
        assert [stage["3d_fullres"].batch_size for stage in stages] == [9, 9]

    def test_the_plan_names_the_network_and_its_blocks(self, make_fingerprint: MakeFingerprint) -> None:
        three = planner(Planner3DResidualL, make_fingerprint(**LIVER)).plan()
        two = planner(Planner2DResidualXL, make_fingerprint(**LIVER)).plan()

        for name in ("3d_fullres", "3d_lowres", "3d_cascade_fullres"):
            one = three.configuration(name)
            network = one.network.unet()
            assert (one.network.name, network.convs_per_stage) == ("residual_unet", 1)
            assert network.blocks_per_stage == (1, 3, 4, 6, 6, 6)
            assert (network.features, network.max_features) == (32, 320)
        one = two.configuration("2d")
        assert (one.network.name, one.network.unet().convs_per_stage, one.network.unet().max_features) == (
            "residual_unet",
            1,
            512,
        )
        assert one.network.unet().blocks_per_stage == (1, 3, 4, 6, 6, 6, 6, 6)

    @pytest.mark.parametrize("size", ["M", "L", "XL"])
    def test_sizes_are_found_by_name_and_filed_under_a_name_of_their_own(
        self, make_fingerprint: MakeFingerprint, size: str
    ) -> None:
        for dimensions in (3, 2):
            kind = find_class(f"Planner{dimensions}DResidual{size}", base=Planner, modules=[autoseg.planning])
            assert planner(kind, make_fingerprint(**HIPPOCAMPUS)).plan().identifier == f"autoseg_ResEnc{size}"

    def test_the_decision_names_the_blocks(self, make_fingerprint: MakeFingerprint) -> None:
        decisions = planner(Planner3DResidualM, make_fingerprint(**HIPPOCAMPUS)).decisions
        (network,) = (decision for decision in decisions if decision.subject == "3d_fullres network")

        assert network.outcome == "4 levels, axes halved 3, 3, 3 times, 1, 3, 4, 6 residual blocks in the encoder"


class Deeper(Planner3DResidualM):
    blocks_of_finest_levels = (2, 2)
    blocks_of_other_levels = 3


def test_a_users_own_size_has_its_class_name_and_its_blocks(make_fingerprint: MakeFingerprint) -> None:
    plans = planner(Deeper, make_fingerprint(**HIPPOCAMPUS)).plan()

    assert plans.identifier == "Deeper"
    assert plans.configuration("3d_fullres").network.unet().blocks_per_stage == (2, 2, 3, 3)


def test_spacing_is_the_plain_planners(make_fingerprint: MakeFingerprint) -> None:
    def spacing(kind: type[Planner]) -> Spacing:
        return planner(kind, make_fingerprint(**PROSTATE)).plan().configuration("3d_fullres").grid.spacing

    assert spacing(Planner3DResidualM) == spacing(Planner3D) == (3.6, 0.625, 0.625)
