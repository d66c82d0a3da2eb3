"""Tiles of cases, counted from their sizes alone: as prediction has them, and worth a warning where they are many."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from small_plans import changed

from autoseg.inference.scorers.tiling import Tiling
from autoseg.planning import Planner2D, Planner3D
from autoseg.planning.cost import count_tiles, explain_cost, tile_cost, warn_of_cost
from autoseg.planning.transfer import transfer_plans


@pytest.mark.parametrize(
    ("shape", "patch", "expected"),
    [
        ((64, 64, 64), (64, 64, 64), 1),
        ((30, 40, 50), (64, 64, 64), 1),
        ((96, 64, 65), (64, 64, 64), 4),
        ((128, 128, 128), (64, 64, 64), 27),
        ((30, 96, 64), (64, 64), 60),
    ],
)
def test_tiles_are_counted_as_prediction_has_them(
    shape: tuple[int, ...], patch: tuple[int, ...], expected: int
) -> None:
    assert count_tiles(shape, patch) == expected
    assert Tiling(shape=shape, patch_size=patch).number == expected


def test_cases_are_counted_on_the_networks_grid(make_fingerprint: Any) -> None:
    """The second case has voxels half as large as planned: half as many are left along each axis."""
    fingerprint = make_fingerprint(
        [(2.0, 1.0, 1.0), (1.0, 0.5, 0.5), (2.0, 1.0, 1.0)],
        [(40, 96, 96), (80, 192, 192), (80, 96, 96)],
    )
    plans = Planner3D(fingerprint=fingerprint, dataset="Task001_A").plan()
    plan = changed(plans.configuration("3d_fullres"), spacing=(2.0, 1.0, 1.0), patch_size=(48, 96, 96))

    cost = tile_cost(plan, (0, 1, 2), fingerprint)
    assert (cost.tiles, cost.median, cost.largest[1], cost.flips) == ((1, 1, 3), 1, 3, 8)
    assert cost.largest[0] == fingerprint.cases[2]
    turned = tile_cost(changed(plan, spacing=(1.0, 2.0, 1.0), patch_size=(96, 48, 96)), (1, 0, 2), fingerprint)
    assert turned.tiles == cost.tiles


def test_slices_of_2d_are_not_resampled_across(make_fingerprint: Any) -> None:
    fingerprint = make_fingerprint([(5.0, 1.0, 1.0), (1.0, 1.0, 1.0)], [(20, 64, 64), (100, 64, 64)])
    plans = Planner2D(fingerprint=fingerprint, dataset="Task001_A").plan()
    plan = changed(plans.configuration("2d"), patch_size=(64, 64), spacing=(3.0, 1.0, 1.0))
    assert tile_cost(plan, (0, 1, 2), fingerprint).tiles == (20, 100)
    assert tile_cost(plan, (0, 1, 2), fingerprint).flips == 4


@pytest.mark.parametrize(
    ("patch", "fine", "told"),
    [
        ((48, 64, 48), (320, 300, 220), "means 1053 tiles, each 8 times: without a GPU about 20 min a case"),
        ((128, 128, 128), (700, 512, 512), "means 490 tiles, each 8 times: without a GPU about 2 h a case"),
    ],
)
def test_a_transferred_plan_on_finer_data_warns_before_anything_is_trained(
    make_fingerprint: Any, patch: tuple[int, ...], fine: tuple[int, ...], told: str
) -> None:
    coarse = make_fingerprint([(4.0, 4.0, 4.0)], [(100, 100, 100)], cases=3)
    planned = Planner3D(fingerprint=coarse, dataset="Task001_A").plan()
    plan = changed(planned.configuration("3d_fullres"), patch_size=patch)
    source = replace(planned, configurations={"3d_fullres": plan})
    fingerprint = make_fingerprint([(4.0, 4.0, 4.0)], [fine], cases=3)
    plans = transfer_plans(source, fingerprint, dataset="Task002_B")

    tiles = count_tiles(fine, patch)
    assert [str(decision) for decision in explain_cost(plans, fingerprint)] == [
        f"3d_fullres prediction: {tiles} tiles for the median case, {tiles} for the largest (case_0) "
        "(tiles of the patch's size overlap by half, and each is predicted 8 times, mirrored)"
    ]
    (warning,) = warn_of_cost(plans, fingerprint)
    assert warning.startswith(f"Task002_B: 3d_fullres: predicting the median case {told}, in the final validation, too")
    assert "3d_lowres" in warning
    assert "`step_size=1`" in warning
    assert warn_of_cost(transfer_plans(source, coarse, dataset="Task002_B"), coarse) == ()


def test_many_slices_are_usual(make_fingerprint: Any) -> None:
    fingerprint = make_fingerprint([(1.0, 1.0, 1.0)], [(600, 64, 64)])
    plans = Planner2D(fingerprint=fingerprint, dataset="Task001_A").plan()
    assert tile_cost(plans.configuration("2d"), plans.transpose_forward, fingerprint).median >= 600
    assert warn_of_cost(plans, fingerprint) == ()
