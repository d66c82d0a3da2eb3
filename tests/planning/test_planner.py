"""What the planners decide, and what a user can change."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import autoseg.planning
from autoseg.errors import PlanError
from autoseg.extensions import find_class
from autoseg.geometry import Shape, Spacing
from autoseg.planning import Planner, Planner2D, Planner3D, is_two_dimensional
from autoseg.planning.fingerprint import DatasetFingerprint
from autoseg.plans import ConfigurationPlan, IntensityStatistics, Plans, load_plans, save_plans

MakeFingerprint = Callable[..., DatasetFingerprint]


def plan(kind: type[Planner], fingerprint: DatasetFingerprint, **arguments: Any) -> Plans:
    return kind(fingerprint=fingerprint, dataset="Task001_X", **arguments).plan()


LARGE = {"spacings": [(1, 0.76757812, 0.76757812)], "shapes": [(482, 512, 512)], "cases": 131}
HIPPOCAMPUS = {"spacings": [(1, 1, 1)], "shapes": [(36, 50, 35)], "cases": 260, "foreground": 2}


class TestConfigurations:
    def test_a_large_case_gets_a_low_resolution_stage_and_a_cascade(self, make_fingerprint: MakeFingerprint) -> None:
        plans = plan(Planner3D, make_fingerprint(**LARGE))

        assert list(plans.configurations) == ["3d_fullres", "3d_lowres", "3d_cascade_fullres"]
        full, cascade = plans.configuration("3d_fullres"), plans.configuration("3d_cascade_fullres")
        assert cascade == dataclasses.replace(full, name="3d_cascade_fullres", previous="3d_lowres", cost=3)
        assert cascade.prepared_as == full.name
        assert [one.cost for one in plans.configurations.values()] == [2, 1, 3]
        assert {name: one.batch_dice for name, one in plans.configurations.items()} == {
            "3d_fullres": True,
            "3d_lowres": False,
            "3d_cascade_fullres": True,
        }

    def test_batch_dice_without_a_low_resolution_stage(self, make_fingerprint: MakeFingerprint) -> None:
        fingerprint = make_fingerprint(**HIPPOCAMPUS)

        assert not plan(Planner3D, fingerprint).configuration("3d_fullres").batch_dice
        assert plan(Planner2D, fingerprint).configuration("2d").batch_dice

    def test_a_patch_that_shows_exactly_a_quarter_is_enough(self, make_fingerprint: MakeFingerprint) -> None:
        fingerprint = make_fingerprint([(1, 1, 1)], [(256, 224, 160)], cases=20)
        plans = plan(Planner3D, fingerprint)

        assert 4 * math.prod(plans.configuration("3d_fullres").sampling.patch_size) == 256 * 224 * 160
        assert list(plans.configurations) == ["3d_fullres"]

    def test_a_stage_hardly_smaller_than_full_resolution_is_dropped(self, make_fingerprint: MakeFingerprint) -> None:
        fingerprint = make_fingerprint([(1, 1, 1)], [(256, 256, 160)], cases=20)
        planner = Planner3D(fingerprint=fingerprint, dataset="X")

        full = planner.planned_stages["3d_fullres"]
        candidate = planner.coarser_stage(full)
        assert candidate is not None
        assert 2 * math.prod(candidate.median_shape) > math.prod(full.median_shape)
        assert list(planner.plan().configurations) == ["3d_fullres"]

    def test_network_settings(self, make_fingerprint: MakeFingerprint) -> None:
        fingerprint = make_fingerprint(**HIPPOCAMPUS)

        def settings(one: ConfigurationPlan) -> tuple[Any, ...]:
            unet = one.network.unet()
            return one.network.name, unet.features, unet.max_features, unet.convs_per_stage, one.previous

        assert settings(plan(Planner3D, fingerprint).configuration("3d_fullres")) == ("unet", 32, 320, 2, None)
        assert settings(plan(Planner2D, fingerprint).configuration("2d")) == ("unet", 32, 512, 2, None)

    def test_single_slices_are_refused_in_3d(self, make_fingerprint: MakeFingerprint) -> None:
        fingerprint = make_fingerprint([(999, 1, 1)], [(1, 64, 80)], cases=4)

        with pytest.raises(PlanError) as caught:
            plan(Planner3D, fingerprint)
        assert str(caught.value) == (
            "Task001_X: every case is a single slice, so no 3D configuration is planned; use 2d instead"
        )

    @pytest.mark.parametrize(("axis", "forward"), [(0, (0, 1, 2)), (1, (1, 0, 2)), (2, (2, 0, 1))])
    def test_the_axis_without_extent_comes_first_whatever_its_spacing(
        self, make_fingerprint: MakeFingerprint, axis: int, forward: Shape
    ) -> None:
        shape = [64, 80]
        shape.insert(axis, 1)
        plans = plan(Planner2D, make_fingerprint([(1, 1, 1)], [shape], cases=4))

        assert plans.transpose_forward == forward
        assert plans.configuration("2d").sampling.patch_size == (64, 80)

    def test_a_few_thicker_cases_make_data_three_dimensional(self, make_fingerprint: MakeFingerprint) -> None:
        fingerprint = make_fingerprint([(5, 1, 1)] * 3, [(1, 64, 64), (1, 64, 64), (2, 64, 64)])

        assert not is_two_dimensional(fingerprint)
        assert plan(Planner3D, fingerprint).configuration("3d_fullres").sampling.patch_size == (1, 64, 64)


class TestMemory:
    @pytest.mark.parametrize(
        ("gigabytes", "patch", "batch"),
        [
            (None, (80, 192, 160), 2),
            (3, (56, 128, 112), 2),
            (8, (80, 192, 160), 2),
            (11, (80, 256, 160), 2),
            (16, (96, 256, 192), 2),
            (32, (112, 320, 256), 2),
        ],
    )
    def test_patch_follows_the_target(
        self, make_fingerprint: MakeFingerprint, gigabytes: float | None, patch: Shape, batch: int
    ) -> None:
        fingerprint = make_fingerprint([(1.37, 1.25, 1.25)], [(115, 320, 232)], cases=20)
        one = plan(Planner3D, fingerprint, gpu_memory_target=gigabytes).configuration("3d_fullres")

        assert (one.sampling.patch_size, one.batch_size) == (patch, batch)

    @pytest.mark.parametrize("gigabytes", [11, 16, 32])
    def test_the_budget_is_that_of_8_gb_in_proportion(
        self, make_fingerprint: MakeFingerprint, gigabytes: float
    ) -> None:
        fingerprint = make_fingerprint(**HIPPOCAMPUS)
        planner = Planner3D(fingerprint=fingerprint, dataset="X", gpu_memory_target=gigabytes)
        assert planner.memory_budget() == pytest.approx(520e6 * 32 / 30 * gigabytes / 8, rel=1e-12)

    def test_2d_batch_follows_the_target(self, make_fingerprint: MakeFingerprint) -> None:
        fingerprint = make_fingerprint([(1.37, 1.25, 1.25)], [(115, 320, 232)], cases=20)

        batches = {
            gigabytes: plan(Planner2D, fingerprint, gpu_memory_target=gigabytes).configuration("2d").batch_size
            for gigabytes in (4, 8, 32)
        }
        assert batches == {4: 20, 8: 40, 32: 104}

    @pytest.mark.parametrize("gigabytes", [0, -1, math.nan, math.inf])
    def test_a_target_that_is_no_size_is_refused(self, make_fingerprint: MakeFingerprint, gigabytes: float) -> None:
        with pytest.raises(
            PlanError, match=f"the GPU memory target must be a positive number of GB, found {gigabytes}"
        ):
            plan(Planner2D, make_fingerprint(**HIPPOCAMPUS), gpu_memory_target=gigabytes)

    def test_memory_for_nothing_is_refused_in_words(self, make_fingerprint: MakeFingerprint) -> None:
        with pytest.raises(PlanError, match=r"no patch fits the memory: .*raise `gpu_memory_target`"):
            plan(Planner3D, make_fingerprint(**HIPPOCAMPUS), gpu_memory_target=1e-9)

    def test_a_batch_below_two_is_refused(self, make_fingerprint: MakeFingerprint) -> None:
        class WholeSlice(Planner2D):
            def patch_size(self, spacing: Spacing, median_shape: Shape) -> Shape:  # noqa: ARG002
                return median_shape[1:]

        with pytest.raises(PlanError) as caught:
            plan(WholeSlice, make_fingerprint([(9, 1, 1)], [(20, 2048, 2048)], cases=4))
        assert str(caught.value) == (
            "Task001_X: memory holds only 0 samples of the patch (2048, 2048), and training needs 2; "
            "raise `gpu_memory_target` or plan a smaller patch"
        )


class TestForcedLowResolution:
    def test_small_cases_get_a_stage_of_under_half_the_voxels(self, make_fingerprint: MakeFingerprint) -> None:
        plans = plan(Planner3D, make_fingerprint(**HIPPOCAMPUS), force_lowres=True)

        low = plans.configuration("3d_lowres")
        assert low.grid.spacing == pytest.approx((1.01**24,) * 3, rel=1e-12)
        assert (low.grid.median_shape, low.sampling.patch_size, low.batch_size) == ((28, 39, 28), (28, 40, 28), 13)
        assert list(plans.configurations) == ["3d_fullres", "3d_lowres", "3d_cascade_fullres"]

    def test_large_cases_keep_the_stage_they_would_have(self, make_fingerprint: MakeFingerprint) -> None:
        fingerprint = make_fingerprint(**LARGE)

        assert plan(Planner3D, fingerprint, force_lowres=True) == plan(Planner3D, fingerprint)


class TestPlans:
    def test_carry_what_identifies_them(self, make_fingerprint: MakeFingerprint) -> None:
        fingerprint = make_fingerprint(**HIPPOCAMPUS)
        plans = plan(Planner3D, fingerprint)

        assert (plans.format, plans.version, plans.dataset) == (2, autoseg.__version__, "Task001_X")
        assert (plans.identifier, plans.planner) == ("autoseg", "Planner3D")
        assert (plans.channels, plans.labels) == (("MRI",), ("background", "label 1", "label 2"))
        assert plans.intensities is None
        assert plan(Planner3D, fingerprint, identifier="mine").identifier == "mine"

    def test_keep_the_intensities_that_were_measured(self, make_fingerprint: MakeFingerprint) -> None:
        statistics = IntensityStatistics(
            mean=40.0, sd=9.0, median=41.0, minimum=-90.0, maximum=300.0, percentile_00_5=-20.0, percentile_99_5=110.0
        )
        fingerprint = make_fingerprint([(1, 1, 1)], [(40, 40, 40)], cases=5, channels=("CT", "MRI"))
        measured = dataclasses.replace(fingerprint, intensities=(statistics, None))

        assert plan(Planner3D, measured).intensities == (statistics, None)

    def test_survive_being_written_and_read(self, make_fingerprint: MakeFingerprint, tmp_path: Path) -> None:
        plans = plan(Planner3D, make_fingerprint(**LARGE))
        save_plans(plans, tmp_path / "plans.pkl")

        assert load_plans(tmp_path / "plans.pkl") == plans

    def test_planning_twice_gives_the_same(self, make_fingerprint: MakeFingerprint) -> None:
        fingerprint = make_fingerprint(**LARGE)
        assert plan(Planner3D, fingerprint) == plan(Planner3D, fingerprint)


USER_FILE = """
from autoseg.geometry import Spacing
from autoseg.planning import Planner3D


class FinePlanner(Planner3D):
    largest_batch_share = 0.02

    def target_spacing(self) -> Spacing:
        \"\"\"Lesions are thinner than the median slice: take the finest quarter.\"\"\"
        return self.fingerprint.spacing_percentile(25)
"""


class TestExtension:
    def test_a_planner_in_a_file_of_the_users_own(self, make_fingerprint: MakeFingerprint, tmp_path: Path) -> None:
        (tmp_path / "lesions.py").write_text(USER_FILE)
        kind = find_class(f"{tmp_path / 'lesions.py'}:FinePlanner", base=Planner3D, modules=[autoseg.planning])
        sides = [(3, 1, 1), (2, 1, 1), (4, 1, 1), (5, 1, 1), (6, 1, 1)]
        fingerprint = make_fingerprint(sides, [(30, 60, 60)] * 5, cases=40)
        planner = kind(fingerprint=fingerprint, dataset="Task001_X")
        plans = planner.plan()

        assert (plans.identifier, plans.planner) == ("FinePlanner", "FinePlanner")
        one = plans.configuration("3d_fullres")
        assert one.grid.spacing == (3.0, 1.0, 1.0)
        assert one.grid.median_shape == (40, 60, 60)
        assert one.batch_size == round(0.02 * 200 * 40 * 60 * 60 / math.prod(one.sampling.patch_size))
        assert planner.decisions[0].reason == "Lesions are thinner than the median slice: take the finest quarter"

    def test_ours_are_found_by_name(self) -> None:
        assert find_class("Planner3D", base=Planner3D, modules=[autoseg.planning]) is Planner3D
        assert find_class("Planner2D", base=Planner2D, modules=[autoseg.planning]) is Planner2D
