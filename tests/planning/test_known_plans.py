"""Plans that must come out for known fingerprints: a table of our own, and the reference's when it is there."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest

from autoseg.geometry import Shape
from autoseg.planning import Planner, Planner2D, Planner3D, is_two_dimensional
from autoseg.planning.fingerprint import DatasetFingerprint, load_fingerprint
from autoseg.plans import Plans
from autoseg.plans.format_1 import as_format_1

MakeFingerprint = Callable[..., DatasetFingerprint]

# Kernels are written 122 for (1, 2, 2). The first eight are published outcomes of the reference system.
TABLE = json.loads(Path(__file__).with_name("known_plans.json").read_text())

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
    return kind(fingerprint=fingerprint, dataset="Task001_X", **arguments).plan()


@pytest.mark.parametrize("known", TABLE)
def test_known_fingerprints_give_known_plans(make_fingerprint: MakeFingerprint, known: dict[str, Any]) -> None:
    fingerprint = make_fingerprint(
        known["spacings"],
        known["shapes"],
        cases=known["repeated"],
        channels=("MRI",) * known["channels"],
        foreground=known["foreground"],
    )
    planners = [Planner2D] if is_two_dimensional(fingerprint) else [Planner3D, Planner2D]
    all_plans = [plan(kind, fingerprint) for kind in planners]

    assert {plans.transpose_forward for plans in all_plans} == {tuple(known["transpose_forward"])}
    stages = {stage["name"]: stage for stage in known["stages"]}
    found = {name: one for plans in all_plans for name, one in plans.configurations.items()}
    found.pop("3d_cascade_fullres", None)
    assert found.keys() == stages.keys()
    for name, one in found.items():
        expected, one = frozen(stages[name]), as_format_1(one)
        assert one.spacing == pytest.approx(expected.pop("spacing"), rel=1e-12)
        kernels = {key: written(getattr(one, key)) for key in ("pool_kernel_sizes", "conv_kernel_sizes")}
        assert {key: kernels.get(key, getattr(one, key)) for key in expected} == expected


def written(kernels: tuple[Shape, ...]) -> str:
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
            name: {
                key: getattr(as_format_1(one), key)
                for key in (*REFERENCE_NAMES, "normalization_schemes", "use_mask_for_norm")
            }
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
    """Lists to tuples, inside a dict too."""
    if isinstance(value, dict):
        return {key: frozen(item) for key, item in value.items()}
    return tuple(map(frozen, value)) if isinstance(value, list) else value
