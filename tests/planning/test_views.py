"""The sizes of planes, by the published rules, and directions that are drawn."""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from autoseg.errors import PlanError
from autoseg.planning import Planner2D, Planner3D
from autoseg.planning.fingerprint import DatasetFingerprint
from autoseg.planning.making import PlannerChoice, make_plans
from autoseg.planning.task_views import directions_of_task
from autoseg.planning.topology import dividing, plan_topology
from autoseg.planning.transfer import transfer_plans
from autoseg.planning.views import draw_directions, plane_size, smallest_angle, voxels_in_space
from autoseg.plans import Plans, Sampling, Views, load_plans, load_plans_json, plan_signature, save_plans

MakeFingerprint = Callable[..., DatasetFingerprint]
AXES = ((1.0, 0.0, 0.0), (0.0, 1.0, 0.0), (0.0, 0.0, 1.0))


@pytest.mark.parametrize(
    ("length", "voxel", "side", "span"),
    [
        (180, 1, 176, 180),
        (400, 0.5, 512, 280),
        (60, 1, 128, 60),
        (185, 1, 192, 185),
        (500, 1, 496, 500),
        (540, 1, 512, 540),
        (600, 1, 512, 512),
        (1000, 0.5, 512, 700),
    ],
)
def test_size_of_planes(length: float, voxel: float, side: int, span: float) -> None:
    size = plane_size(np.full(9, length), np.full(9, voxel))

    assert (size.side, size.span) == (side, span)
    assert size.pixel == span / (side - 1)


def test_size_takes_percentiles_of_all_axes_together() -> None:
    lengths, voxels = np.array([100, 200, 300, 400, 500.0]), np.array([1, 2, 3, 4, 5.0])

    assert (plane_size(lengths, voxels).side, plane_size(lengths, voxels).span) == (192, 400)


class TestDirections:
    def test_are_the_same_each_time_far_apart_and_upward(self) -> None:
        directions = draw_directions(np.eye(3))

        assert directions == draw_directions(np.eye(3)) != draw_directions(np.eye(3), seed=1)
        assert len(directions) == 6
        assert smallest_angle(directions) > 30
        assert all(z >= 0 and math.isclose(math.hypot(z, y, x), 1) for z, y, x in directions)

    def test_two_begin_at_sixty_degrees(self) -> None:
        assert smallest_angle(draw_directions(np.eye(3), number=2)) > 50
        assert len(draw_directions(np.eye(3), number=1)) == 1
        assert len(draw_directions(np.eye(3), number=40)) == 40

    def test_lean_towards_axes_of_large_voxels(self) -> None:
        thick = draw_directions(np.diag([8.0, 1.0, 1.0]), number=20)
        assert np.mean([z for z, _, _ in thick]) > 0.8 > np.mean([z for z, _, _ in draw_directions(np.eye(3), 20)])

    def test_they_lean_towards_thick_slices_however_these_lie(self) -> None:
        """Of slices of 8 mm across (0.6, 0, 0.8), whichever way the axes of their grid point."""
        axes = np.array([[0.6, 0, -0.8], [0, 1, 0], [0.8, 0, 0.6]])
        grids = np.stack([axes, axes * [-1, 1, 1], axes * [1, -1, -1]])
        voxels = voxels_in_space(np.array([[8.0, 1.0, 1.0]] * 3), grids)

        assert np.allclose(voxels @ axes[:, 0], 8 * axes[:, 0]) and np.allclose(voxels @ axes[:, 1], axes[:, 1])
        leaning = np.abs(np.array(draw_directions(voxels, number=20)) @ axes[:, 0])
        assert leaning.mean() > 0.8
        straight = voxels_in_space(
            np.array([[8.0, 1.0, 2.0], [6.0, 1.0, 2.0], [3.0, 1.0, 9.0]]), np.stack([np.eye(3)] * 3)
        )
        assert straight.tolist() == np.diag([6.0, 1.0, 2.0]).tolist(), "medians"

    def test_opposite_directions_are_one(self) -> None:
        assert smallest_angle([(0.0, 1.0, 0.0), (0.0, -1.0, 0.0)]) == 0
        assert smallest_angle(AXES) == pytest.approx(90)


def test_poolings_divide_the_side() -> None:
    topology = dividing(plan_topology((176, 176), (1.0, 1.0)), 176)

    assert topology.patch_size == (176, 176) and topology.num_pool_per_axis == (4, 4)
    assert len(topology.conv_kernel_sizes) == 5
    assert dividing(plan_topology((128, 128), (1.0, 1.0)), 128) == plan_topology((128, 128), (1.0, 1.0))


def planned(fingerprint: DatasetFingerprint, **wishes: Any) -> Plans:
    return Planner2D(fingerprint=fingerprint, dataset="Task001_X", directions=AXES, **wishes).plan()


class TestPlan:
    def test_cases_keep_their_voxels_and_planes_have_the_planned_size(self, make_fingerprint: MakeFingerprint) -> None:
        plan = planned(make_fingerprint([(1, 1, 1)], [(36, 50, 35)], cases=260, foreground=2)).configuration(
            "multiplanar"
        )

        assert plan.grid.native and plan.grid.median_shape == (36, 50, 35)
        assert plan.sampling == Sampling(patch_size=(128, 128), views=Views(directions=AXES, span=50.0))
        assert plan.topology.divisor == (32, 32) and plan.batch_dice and plan.prepared_as == "multiplanar"
        assert plan.batch_size == round(0.05 * 260 * 36 * 50 * 35 / 128**2) == 50
        assert plan.cost == 4

    def test_less_memory_makes_smaller_planes_not_smaller_networks(self, make_fingerprint: MakeFingerprint) -> None:
        fingerprint = make_fingerprint([(1, 1, 1)], [(400, 400, 400)], cases=20)
        large, small = planned(fingerprint), planned(fingerprint, gpu_memory_target=0.1)

        assert large.configuration("multiplanar").sampling.patch_size == (400, 400)
        side, _ = small.configuration("multiplanar").sampling.patch_size
        assert 128 <= side < 400 and side % 16 == 0
        with pytest.raises(PlanError, match="no plane fits the memory"):
            planned(fingerprint, gpu_memory_target=1e-4)

    def test_the_slices_are_planned_as_without(self, make_fingerprint: MakeFingerprint) -> None:
        fingerprint = make_fingerprint([(2, 1, 1)], [(36, 50, 35)], cases=60)
        alone = Planner2D(fingerprint=fingerprint, dataset="Task001_X").plan()

        assert planned(fingerprint).configuration("2d") == alone.configuration("2d")
        assert plan_signature(planned(fingerprint), "2d") == plan_signature(alone, "2d")

    def test_boxes_are_the_second_form(self, make_fingerprint: MakeFingerprint) -> None:
        fingerprint = make_fingerprint([(3, 0.5, 0.5)], [(40, 200, 200)], cases=30)
        plan = Planner3D(fingerprint=fingerprint, dataset="Task001_X", directions=AXES).plan()

        boxes = plan.configuration("multiplanar_3d")
        assert boxes.sampling == Sampling(patch_size=(64,) * 3, views=Views(directions=AXES, span=32.0))
        assert boxes.grid.native and boxes.batch_dice and not plan.configuration("3d_fullres").grid.native

    def test_reasons_are_given(self, make_fingerprint: MakeFingerprint) -> None:
        planner = Planner2D(
            fingerprint=make_fingerprint([(1, 1, 1)], [(36, 50, 35)], cases=260), dataset="T", directions=AXES
        )
        (said,) = [str(one) for one in planner.decisions if one.subject == "multiplanar planes"]

        assert said.startswith(
            "multiplanar planes: 128 x 128 pixels of 0.394 mm, across 3 directions, the nearest two 90 degrees apart"
        )
        assert "50 mm reach over 100 % of the sides of all cases" in said

    @pytest.mark.parametrize("wished", ["multiplanar", "multiplanar_3d"])
    def test_single_slices_have_no_planes(self, make_fingerprint: MakeFingerprint, tmp_path: Path, wished: str) -> None:
        flat, planners = make_fingerprint([(1, 1, 1)], [(1, 50, 35)], cases=9), PlannerChoice(**{wished: True})  # type: ignore[arg-type]
        with pytest.raises(
            PlanError, match=rf"T: every case is a single slice, .*; leave away `{wished}`, and train 2d"
        ):
            make_plans(flat, dataset="T", folder=tmp_path, planners=planners)
        assert not list(tmp_path.iterdir()), "nothing is drawn for what is not planned"

    @pytest.mark.parametrize(
        ("wishes", "said"),
        [
            (
                {"multiplanar": True, "planner_2d": "None"},
                "`multiplanar`: `planner_2d`, which plans it, is None; name one, ",
            ),
            (
                {"multiplanar_3d": True, "planner_3d": "None"},
                "`multiplanar_3d`: `planner_3d`, which plans it, is None; ",
            ),
            ({"multiplanar": True, "views": 101}, "`views`: from 1 to 100 directions, found 101"),
            ({"views": 3}, "`views`: are what `multiplanar` and `multiplanar_3d` look along; ask for one of these"),
        ],
    )
    def test_directions_need_what_looks_along_them(self, wishes: dict[str, Any], said: str) -> None:
        with pytest.raises(PlanError, match=said):
            PlannerChoice(**wishes)

    def test_other_tasks_take_it_over_with_their_own_median_case(self, make_fingerprint: MakeFingerprint) -> None:
        source = planned(make_fingerprint([(1, 1, 1)], [(36, 50, 35)], cases=60))
        taken = transfer_plans(source, make_fingerprint([(2, 1, 1)], [(20, 80, 90)], cases=9), dataset="Task002_Y")

        plan = taken.configuration("multiplanar")
        assert plan.sampling == source.configuration("multiplanar").sampling
        assert (plan.grid.native, plan.grid.spacing, plan.grid.median_shape) == (True, (2, 1, 1), (20, 80, 90))


class TestFiles:
    def test_plans_with_views_come_back(self, make_fingerprint: MakeFingerprint, tmp_path: Path) -> None:
        plans = planned(make_fingerprint([(1, 1, 1)], [(36, 50, 35)], cases=60))
        save_plans(plans, tmp_path / "p.pkl")

        assert load_plans(tmp_path / "p.pkl") == load_plans_json(tmp_path / "p.json") == plans
        content = json.loads((tmp_path / "p.json").read_text())["configurations"]
        assert "views" not in content["2d"]["sampling"] and "native" not in content["2d"]["grid"]

    @pytest.mark.parametrize(
        ("views", "said"),
        [
            ({"directions": [[1, 0, 0]], "span": 0}, "the span of views must be from 1e-06 to 1e.06 mm, found 0"),
            ({"directions": [], "span": 50}, "views need from 1 to 100 directions, found 0"),
            ({"directions": [[1, 1, 0]], "span": 50}, r"a vector \(z, y, x\) of length 1 whose z is not below 0"),
            ({"directions": [[-1, 0, 0]], "span": 50}, r"a vector \(z, y, x\) of length 1 whose z is not below 0"),
        ],
    )
    def test_views_that_cannot_be(
        self, make_fingerprint: MakeFingerprint, tmp_path: Path, views: dict[str, Any], said: str
    ) -> None:
        save_plans(planned(make_fingerprint([(1, 1, 1)], [(36, 50, 35)], cases=60)), tmp_path / "p.pkl")
        content = json.loads((tmp_path / "p.json").read_text())
        content["configurations"]["multiplanar"]["sampling"]["views"] = views
        (tmp_path / "p.json").write_text(json.dumps(content))

        with pytest.raises(PlanError, match=said):
            load_plans_json(tmp_path / "p.json")

    def test_a_plane_is_square(self) -> None:
        with pytest.raises(PlanError, match=r"equal sides of at least 2 pixels, found \(16, 32\)"):
            Sampling(patch_size=(16, 32), views=Views(directions=AXES, span=1.0))

    def test_views_are_drawn_once_and_kept(self, make_fingerprint: MakeFingerprint, tmp_path: Path) -> None:
        fingerprint = make_fingerprint([(1, 1, 1)], [(36, 50, 35)], cases=60)
        wishes = PlannerChoice(multiplanar=True)
        make_plans(fingerprint, dataset="Task001_X", folder=tmp_path, planners=wishes)
        drawn = load_plans(tmp_path / "autoseg_plans_2D.pkl").configuration("multiplanar").sampling.views

        other = make_fingerprint([(5, 1, 1)], [(36, 50, 35)], cases=60)
        make_plans(other, dataset="Task001_X", folder=tmp_path, planners=wishes)

        kept = load_plans(tmp_path / "autoseg_plans_2D.pkl").configuration("multiplanar").sampling.views
        assert drawn is not None and kept is not None and kept.directions == drawn.directions
        assert drawn.directions == draw_directions(np.eye(3))
        assert json.loads((tmp_path / "views.json").read_text())["axes"] == ["z", "y", "x"]

    def test_another_number_is_drawn_anew_and_a_list_is_taken(self, tmp_path: Path) -> None:
        path, listed = tmp_path / "views.json", tmp_path / "mine.json"
        listed.write_text("[[2, 0, 0], [0, 1e-300, 0], [0, 0, 0.5]]")

        assert len(directions_of_task(path, None, np.eye(3))) == 6
        assert len(directions_of_task(path, 3, np.eye(3))) == 3
        assert directions_of_task(path, listed, np.eye(3)) == AXES
        assert directions_of_task(path, None, np.eye(3)) == AXES

    @pytest.mark.parametrize(
        "content", ["[]", "[[0, 0, 0]]", "[[1, 0]]", "3", '[["a", 0, 0]]', "[[true, 0, 0]]", '{"a": 1}']
    )
    def test_what_is_no_list_of_vectors(self, tmp_path: Path, content: str) -> None:
        (tmp_path / "mine.json").write_text(content)

        with pytest.raises(PlanError, match=r"mine\.json: expected a list of 1 to 100 vectors \[z, y, x\]"):
            directions_of_task(tmp_path / "views.json", tmp_path / "mine.json", np.eye(3))
        assert not (tmp_path / "views.json").exists()

    def test_a_damaged_file_is_named(self, tmp_path: Path) -> None:
        (tmp_path / "views.json").write_text('{"format": 1, "directions": [[1, 0]], "axes": ["z", "y", "x"]}')

        with pytest.raises(PlanError, match=r"views\.json\.directions\[0\].*correct it, or delete it"):
            directions_of_task(tmp_path / "views.json", None, np.eye(3))
