"""The planners: outcomes for known fingerprints, and what a user can change."""

from __future__ import annotations

import dataclasses
import json
import math
import os
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest

import autoseg.planning
from autoseg.errors import PlanError
from autoseg.extensions import find_class
from autoseg.geometry import Shape, Spacing
from autoseg.planning import Planner, Planner2D, Planner3D, is_two_dimensional
from autoseg.planning.fingerprint import DatasetFingerprint, load_fingerprint
from autoseg.plans import ConfigurationPlan, IntensityStatistics, Plans, load_plans, save_plans

MakeFingerprint = Callable[..., DatasetFingerprint]

# spacings, shapes, how often they are repeated and the channels and labels; transpose_forward; then for each stage
# spacing, median shape, patch, batch, pooling kernels, convolution kernels, dummy-2D augmentation. The first eight
# are published outcomes of the reference system.
TABLE = [
    (
        [(1, 1, 1)],
        [(36, 50, 35)],
        {"cases": 260, "channels": 1, "foreground": 2},
        (0, 1, 2),
        [
            ("3d_fullres", (1.0, 1.0, 1.0), (36, 50, 35), (40, 56, 40), 9, "222 222 222", "333 333 333 333", False),
            ("2d", (1.0, 1.0, 1.0), (36, 50, 35), (56, 40), 366, "22 22 22", "33 33 33 33", False),
        ],
    ),
    (
        [(1, 0.76757812, 0.76757812)],
        [(482, 512, 512)],
        {"cases": 131, "channels": 1, "foreground": 2},
        (0, 1, 2),
        [
            (
                "3d_fullres",
                (1.0, 0.76757812, 0.76757812),
                (482, 512, 512),
                (128, 128, 128),
                2,
                "222 222 222 222 222",
                "333 333 333 333 333 333",
                False,
            ),
            (
                "3d_lowres",
                (2.4731190013949678, 1.8983120336270254, 1.8983120336270254),
                (195, 207, 207),
                (128, 128, 128),
                2,
                "222 222 222 222 222",
                "333 333 333 333 333 333",
                False,
            ),
            (
                "2d",
                (1.0, 0.76757812, 0.76757812),
                (482, 512, 512),
                (512, 512),
                12,
                "22 22 22 22 22 22 22",
                "33 33 33 33 33 33 33 33",
                False,
            ),
        ],
    ),
    (
        [(3.6, 0.625, 0.625)],
        [(20, 320, 319)],
        {"cases": 32, "channels": 2, "foreground": 2},
        (0, 1, 2),
        [
            (
                "3d_fullres",
                (3.6, 0.625, 0.625),
                (20, 320, 319),
                (20, 320, 256),
                2,
                "122 122 222 222 122 122",
                "133 133 333 333 333 333 333",
                True,
            ),
            (
                "2d",
                (3.6, 0.625, 0.625),
                (20, 320, 319),
                (320, 320),
                32,
                "22 22 22 22 22 22",
                "33 33 33 33 33 33 33",
                False,
            ),
        ],
    ),
    (
        [(1.37, 1.25, 1.25)],
        [(115, 320, 232)],
        {"cases": 20, "channels": 1, "foreground": 1},
        (0, 1, 2),
        [
            (
                "3d_fullres",
                (1.37, 1.25, 1.25),
                (115, 320, 232),
                (80, 192, 160),
                2,
                "222 222 222 222 122",
                "333 333 333 333 333 333",
                False,
            ),
            (
                "2d",
                (1.37, 1.25, 1.25),
                (115, 320, 232),
                (320, 256),
                40,
                "22 22 22 22 22 22",
                "33 33 33 33 33 33 33",
                False,
            ),
        ],
    ),
    (
        [(1, 1, 1)],
        [(138, 170, 138)],
        {"cases": 484, "channels": 4, "foreground": 3},
        (0, 1, 2),
        [
            (
                "3d_fullres",
                (1.0, 1.0, 1.0),
                (138, 170, 138),
                (128, 128, 128),
                2,
                "222 222 222 222 222",
                "333 333 333 333 333 333",
                False,
            ),
            ("2d", (1.0, 1.0, 1.0), (138, 170, 138), (192, 160), 106, "22 22 22 22 22", "33 33 33 33 33 33", False),
        ],
    ),
    (
        [(10, 1.5, 1.5)],
        [(9, 237, 208)],
        {"cases": 200, "channels": 1, "foreground": 3},
        (0, 1, 2),
        [
            (
                "3d_fullres",
                (10.0, 1.5, 1.5),
                (9, 237, 208),
                (10, 256, 224),
                6,
                "122 122 222 122 122",
                "133 133 333 333 333 333",
                True,
            ),
            ("2d", (10.0, 1.5, 1.5), (9, 237, 208), (256, 224), 56, "22 22 22 22 22 21", "33 33 33 33 33 33 33", False),
        ],
    ),
    (
        [(0.5, 0.5, 3)],
        [(320, 320, 24)],
        {"cases": 40, "channels": 1, "foreground": 2},
        (2, 0, 1),
        [
            (
                "3d_fullres",
                (3.0, 0.5, 0.5),
                (24, 320, 320),
                (24, 256, 256),
                2,
                "122 122 222 222 122 122",
                "133 133 333 333 333 333 333",
                True,
            ),
            ("2d", (3.0, 0.5, 0.5), (24, 320, 320), (320, 320), 32, "22 22 22 22 22 22", "33 33 33 33 33 33 33", False),
        ],
    ),
    (
        [(999, 1, 1)],
        [(1, 1500, 1500)],
        {"cases": 800, "channels": 3, "foreground": 1},
        (0, 1, 2),
        [
            (
                "2d",
                (999.0, 1.0, 1.0),
                (1, 1500, 1500),
                (1280, 1024),
                2,
                "22 22 22 22 22 22 22 22",
                "33 33 33 33 33 33 33 33 33",
                False,
            ),
        ],
    ),
    (
        [(6.375, 0.959, 0.796), (5.176, 0.72, 0.831), (4.516, 0.928, 0.804), (5.904, 0.721, 0.622)],
        [(39, 545, 481), (46, 699, 550), (48, 697, 412), (37, 592, 371)],
        {"channels": 2, "foreground": 14},
        (0, 1, 2),
        [
            (
                "3d_fullres",
                (4.714, 0.8245, 0.8),
                (48, 622, 446),
                (24, 320, 224),
                2,
                "122 122 222 222 122 121",
                "133 133 333 333 333 333 333",
                True,
            ),
            (
                "3d_lowres",
                (4.714, 1.2154140082608795, 1.1792980068025518),
                (48, 422, 303),
                (32, 256, 224),
                2,
                "122 222 222 222 122 121",
                "133 333 333 333 333 333 333",
                True,
            ),
            (
                "2d",
                (5.54, 0.8245, 0.8),
                (41, 622, 446),
                (640, 448),
                8,
                "22 22 22 22 22 22 21",
                "33 33 33 33 33 33 33 33",
                False,
            ),
        ],
    ),
    (
        [(0.947, 0.703, 0.742), (1.238, 0.727, 0.753), (1.099, 0.647, 0.64)],
        [(381, 635, 455), (404, 511, 550), (376, 558, 557)],
        {"channels": 3, "foreground": 5},
        (0, 1, 2),
        [
            (
                "3d_fullres",
                (1.099, 0.703, 0.742),
                (376, 528, 480),
                (112, 160, 128),
                2,
                "222 222 222 222 122",
                "333 333 333 333 333 333",
                False,
            ),
            (
                "3d_lowres",
                (2.4120495284123655, 1.5429215818688753, 1.6285175159981584),
                (171, 241, 219),
                (112, 160, 128),
                2,
                "222 222 222 222 122",
                "333 333 333 333 333 333",
                False,
            ),
            (
                "2d",
                (1.099, 0.703, 0.742),
                (376, 528, 480),
                (640, 512),
                8,
                "22 22 22 22 22 22 22",
                "33 33 33 33 33 33 33 33",
                False,
            ),
        ],
    ),
    (
        [(2.507, 0.994, 1.042), (2.681, 0.79, 1.012), (2.506, 1.0, 0.958), (2.574, 0.781, 0.966)],
        [(114, 179, 285), (116, 229, 267), (124, 208, 274), (107, 196, 240)],
        {"channels": 1, "foreground": 3},
        (0, 1, 2),
        [
            (
                "3d_fullres",
                (2.5404999999999998, 0.892, 0.989),
                (117, 201, 269),
                (80, 128, 192),
                2,
                "122 222 222 222 222",
                "133 333 333 333 333 333",
                False,
            ),
            (
                "2d",
                (2.5404999999999998, 0.892, 0.989),
                (117, 201, 269),
                (224, 320),
                18,
                "22 22 22 22 22 12",
                "33 33 33 33 33 33 33",
                False,
            ),
        ],
    ),
    (
        [(0.777, 0.308, 2.965), (0.732, 0.368, 2.444), (0.89, 0.367, 2.313)],
        [(99, 453, 34), (92, 357, 27), (102, 406, 27)],
        {"channels": 1, "foreground": 2},
        (2, 0, 1),
        [
            (
                "3d_fullres",
                (2.3392, 0.777, 0.367),
                (28, 99, 380),
                (28, 112, 384),
                2,
                "112 122 222 222 122 112",
                "311 133 333 333 333 333 333",
                True,
            ),
            (
                "2d",
                (2.444, 0.777, 0.367),
                (27, 99, 380),
                (112, 384),
                4,
                "12 22 22 22 22 12",
                "31 33 33 33 33 33 33",
                False,
            ),
        ],
    ),
    (
        [(1.673, 1.459, 1.633)],
        [(29, 43, 8)],
        {"channels": 4, "foreground": 1},
        (0, 1, 2),
        [
            ("3d_fullres", (1.673, 1.459, 1.633), (29, 43, 8), (32, 48, 8), 2, "222 221 121", "333 333 333 333", False),
            ("2d", (1.673, 1.459, 1.633), (29, 43, 8), (48, 8), 1, "22 21 21", "33 33 33 33", False),
        ],
    ),
    (
        [(0.489, 5.177, 0.494), (0.611, 4.18, 0.55), (0.486, 4.27, 0.406), (0.509, 5.341, 0.532)],
        [(369, 14, 471), (356, 15, 440), (358, 14, 454), (442, 12, 481)],
        {"channels": 1, "foreground": 8},
        (1, 0, 2),
        [
            (
                "3d_fullres",
                (4.207, 0.499, 0.513),
                (15, 399, 463),
                (14, 320, 384),
                2,
                "122 122 122 222 122 122",
                "133 133 133 333 333 333 333",
                True,
            ),
            (
                "2d",
                (4.7235, 0.499, 0.513),
                (13, 399, 463),
                (448, 512),
                2,
                "22 22 22 22 22 22 12",
                "33 33 33 33 33 33 33 33",
                False,
            ),
        ],
    ),
    (
        [(4, 1, 1), (4, 1, 1), (4, 1, 1), (0.9, 1, 1), (0.9, 1, 1)],
        [(20, 150, 140), (20, 150, 140), (20, 150, 140), (80, 150, 140), (80, 150, 140)],
        {"channels": 1, "foreground": 2},
        (0, 1, 2),
        [
            (
                "3d_fullres",
                (1.00001, 1.0, 1.0),
                (80, 150, 140),
                (80, 160, 160),
                2,
                "222 222 222 222 122",
                "333 333 333 333 333 333",
                False,
            ),
            ("2d", (4.0, 1.0, 1.0), (20, 150, 140), (160, 160), 4, "22 22 22 22 22", "33 33 33 33 33 33", False),
        ],
    ),
]
REFERENCE_NAMES = {
    "spacing": "current_spacing",
    "median_shape": "median_patient_size_in_voxels",
    "patch_size": "patch_size",
    "batch_size": "batch_size",
    "num_pool_per_axis": "num_pool_per_axis",
    "pool_kernel_sizes": "pool_op_kernel_sizes",
    "conv_kernel_sizes": "conv_kernel_sizes",
    "do_dummy_2d_augmentation": "do_dummy_2D_data_aug",
}


def plan(kind: type[Planner], fingerprint: DatasetFingerprint, **arguments: Any) -> Plans:
    return kind(fingerprint=fingerprint, dataset="Task001_X", labels=fingerprint.labels, **arguments).plan()


@pytest.mark.parametrize(("spacings", "shapes", "further", "transpose", "stages"), TABLE)
def test_known_fingerprints_give_known_plans(
    make_fingerprint: MakeFingerprint,
    spacings: list[Spacing],
    shapes: list[Shape],
    further: dict[str, int],
    transpose: Shape,
    stages: list[tuple[Any, ...]],
) -> None:
    channels = ("MRI",) * further["channels"]
    fingerprint = make_fingerprint(
        spacings, shapes, cases=further.get("cases"), channels=channels, foreground=further["foreground"]
    )
    planners = [Planner2D] if is_two_dimensional(fingerprint) else [Planner3D, Planner2D]
    all_plans = [plan(kind, fingerprint) for kind in planners]

    assert {plans.transpose_forward for plans in all_plans} == {transpose}
    found = [
        (
            *(one.name, one.spacing, one.median_shape, one.patch_size, one.batch_size),
            *(joined(one.pool_kernel_sizes), joined(one.conv_kernel_sizes), one.do_dummy_2d_augmentation),
        )
        for plans in all_plans
        for one in plans.configurations.values()
        if one.name != "3d_cascade_fullres"
    ]
    assert found == [(name, pytest.approx(spacing, rel=1e-12), *rest) for name, spacing, *rest in stages]


def joined(kernels: tuple[Shape, ...]) -> str:
    return " ".join("".join(map(str, kernel)) for kernel in kernels)


def test_all_reference_cases_come_out_exactly(tmp_path: Path) -> None:
    default = Path(__file__).resolve().parents[3] / "shared" / "reference"
    path = Path(os.environ.get("AUTOSEG_TEST_REFERENCE", default)) / "planner_cases.json"
    if not path.is_file():
        pytest.skip(f"{path} is absent; set AUTOSEG_TEST_REFERENCE to the folder that holds planner_cases.json")
    cases = json.loads(path.read_text())
    assert len(cases) == 60

    for number, case in enumerate(cases):
        file = tmp_path / f"{number}.json"
        file.write_text(json.dumps(case["fingerprint"]))
        fingerprint = load_fingerprint(file)
        assert is_two_dimensional(fingerprint) == ("3D" not in case["expected"])
        for dimensions, expected in case["expected"].items():
            plans = plan({"2D": Planner2D, "3D": Planner3D}[dimensions], fingerprint)
            assert outcome(plans) == expected_outcome(dimensions, expected), f"case {number}, {dimensions}"


def outcome(plans: Plans) -> dict[str, Any]:
    return {
        "transpose_forward": plans.transpose_forward,
        "transpose_backward": plans.transpose_backward,
        "configurations": {
            name: {key: getattr(one, key) for key in (*REFERENCE_NAMES, "normalization_schemes", "use_mask_for_norm")}
            for name, one in plans.configurations.items()
            if name != "3d_cascade_fullres"
        },
    }


def expected_outcome(dimensions: str, expected: Mapping[str, Any]) -> dict[str, Any]:
    names = ["2d"] if dimensions == "2D" else ["3d_lowres", "3d_fullres"][-len(expected["stages"]) :]
    shared = {key: tuple(expected[key]) for key in ("normalization_schemes", "use_mask_for_norm")}
    return {
        "transpose_forward": tuple(expected["transpose_forward"]),
        "transpose_backward": tuple(expected["transpose_backward"]),
        "configurations": {
            name: {ours: frozen(stage[theirs]) for ours, theirs in REFERENCE_NAMES.items()} | shared
            for name, stage in zip(names, expected["stages"], strict=True)
        },
    }


def frozen(value: Any) -> Any:
    return tuple(map(frozen, value)) if isinstance(value, list) else value


LARGE = {"spacings": [(1, 0.76757812, 0.76757812)], "shapes": [(482, 512, 512)], "cases": 131}
HIPPOCAMPUS = {"spacings": [(1, 1, 1)], "shapes": [(36, 50, 35)], "cases": 260, "foreground": 2}


class TestConfigurations:
    def test_a_large_case_gets_a_low_resolution_stage_and_a_cascade(self, make_fingerprint: MakeFingerprint) -> None:
        plans = plan(Planner3D, make_fingerprint(**LARGE))

        assert list(plans.configurations) == ["3d_fullres", "3d_lowres", "3d_cascade_fullres"]
        full, cascade = plans.configuration("3d_fullres"), plans.configuration("3d_cascade_fullres")
        assert cascade == dataclasses.replace(full, name="3d_cascade_fullres", previous="3d_lowres")
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

        assert 4 * math.prod(plans.configuration("3d_fullres").patch_size) == 256 * 224 * 160
        assert list(plans.configurations) == ["3d_fullres"]

    def test_a_stage_hardly_smaller_than_full_resolution_is_dropped(self, make_fingerprint: MakeFingerprint) -> None:
        fingerprint = make_fingerprint([(1, 1, 1)], [(256, 256, 160)], cases=20)
        planner = Planner3D(fingerprint=fingerprint, dataset="X", labels=fingerprint.labels)

        full = planner.planned_stages["3d_fullres"]
        candidate = planner.coarser_stage(full)
        assert candidate is not None
        assert 2 * math.prod(candidate.median_shape) > math.prod(full.median_shape)
        assert list(planner.plan().configurations) == ["3d_fullres"]

    def test_network_settings(self, make_fingerprint: MakeFingerprint) -> None:
        fingerprint = make_fingerprint(**HIPPOCAMPUS)

        def settings(one: ConfigurationPlan) -> tuple[Any, ...]:
            return one.network, one.features, one.max_features, one.convs_per_stage, one.previous

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
        assert plans.configuration("2d").patch_size == (64, 80)

    def test_a_few_thicker_cases_make_data_three_dimensional(self, make_fingerprint: MakeFingerprint) -> None:
        fingerprint = make_fingerprint([(5, 1, 1)] * 3, [(1, 64, 64), (1, 64, 64), (2, 64, 64)])

        assert not is_two_dimensional(fingerprint)
        assert plan(Planner3D, fingerprint).configuration("3d_fullres").patch_size == (1, 64, 64)


class TestMemory:
    @pytest.mark.parametrize(
        ("gigabytes", "patch", "batch"),
        [(None, (80, 192, 160), 2), (8, (80, 192, 160), 2), (16, (96, 256, 192), 2), (3, (56, 128, 112), 2)],
    )
    def test_patch_follows_the_target(
        self, make_fingerprint: MakeFingerprint, gigabytes: float | None, patch: Shape, batch: int
    ) -> None:
        fingerprint = make_fingerprint([(1.37, 1.25, 1.25)], [(115, 320, 232)], cases=20)
        one = plan(Planner3D, fingerprint, gpu_memory_target=gigabytes).configuration("3d_fullres")

        assert (one.patch_size, one.batch_size) == (patch, batch)

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
        with pytest.raises(PlanError, match=r"no patch fits the memory: .*raise -gpu_memory_target"):
            plan(Planner3D, make_fingerprint(**HIPPOCAMPUS), gpu_memory_target=1e-9)

    def test_a_batch_below_two_is_refused(self, make_fingerprint: MakeFingerprint) -> None:
        class WholeSlice(Planner2D):
            def patch_size(self, spacing: Spacing, median_shape: Shape) -> Shape:  # noqa: ARG002
                return median_shape[1:]

        with pytest.raises(PlanError) as caught:
            plan(WholeSlice, make_fingerprint([(9, 1, 1)], [(20, 2048, 2048)], cases=4))
        assert str(caught.value) == (
            "Task001_X: memory holds only 0 samples of the patch (2048, 2048), and training needs 2; "
            "raise -gpu_memory_target or plan a smaller patch"
        )


class TestForcedLowResolution:
    def test_small_cases_get_a_stage_of_under_half_the_voxels(self, make_fingerprint: MakeFingerprint) -> None:
        plans = plan(Planner3D, make_fingerprint(**HIPPOCAMPUS), force_lowres=True)

        low = plans.configuration("3d_lowres")
        assert low.spacing == pytest.approx((1.01**24,) * 3, rel=1e-12)
        assert (low.median_shape, low.patch_size, low.batch_size) == ((28, 39, 28), (28, 40, 28), 13)
        assert list(plans.configurations) == ["3d_fullres", "3d_lowres", "3d_cascade_fullres"]

    def test_large_cases_keep_the_stage_they_would_have(self, make_fingerprint: MakeFingerprint) -> None:
        fingerprint = make_fingerprint(**LARGE)

        assert plan(Planner3D, fingerprint, force_lowres=True) == plan(Planner3D, fingerprint)


class TestPlans:
    def test_carry_what_identifies_them(self, make_fingerprint: MakeFingerprint) -> None:
        fingerprint = make_fingerprint(**HIPPOCAMPUS)
        plans = plan(Planner3D, fingerprint)

        assert (plans.format, plans.version, plans.dataset) == (1, autoseg.__version__, "Task001_X")
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
        planner = kind(fingerprint=fingerprint, dataset="Task001_X", labels=fingerprint.labels)
        plans = planner.plan()

        assert (plans.identifier, plans.planner) == ("FinePlanner", "FinePlanner")
        one = plans.configuration("3d_fullres")
        assert one.spacing == (3.0, 1.0, 1.0)
        assert one.median_shape == (40, 60, 60)
        assert one.batch_size == round(0.02 * 200 * 40 * 60 * 60 / math.prod(one.patch_size))
        assert planner.decisions[0].reason == "Lesions are thinner than the median slice: take the finest quarter"

    def test_ours_are_found_by_name(self) -> None:
        assert find_class("Planner3D", base=Planner3D, modules=[autoseg.planning]) is Planner3D
        assert find_class("Planner2D", base=Planner2D, modules=[autoseg.planning]) is Planner2D
