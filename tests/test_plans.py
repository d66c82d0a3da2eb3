"""Plans: what cannot be planned cannot exist, what is written comes back, what does not fit is refused in words."""

from __future__ import annotations

import json
import pickle
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from small_plans import changed, unet_plan

import autoseg
from autoseg.errors import PlanError
from autoseg.files.storage import content_hash, encode
from autoseg.plans import (
    FORMAT,
    IntensityStatistics,
    NetworkPlan,
    Plans,
    Topology,
    load_plans,
    load_plans_json,
    plan_signature,
    save_plans,
)

FULL = unet_plan(
    name="3d_fullres",
    spacing=(3.0, 1.0, 1.0),
    median_shape=(20, 64, 60),
    patch_size=(16, 64, 64),
    batch_size=2,
    poolings=((1, 2, 2), (2, 2, 2)),
    kernels=((1, 3, 3), (3, 3, 3), (3, 3, 3)),
    in_plane=True,
    normalisation=("CT",),
    masked=(False,),
    batch_dice=False,
    previous=None,
    network="unet",
    features=32,
    max_features=320,
    convs_per_stage=2,
)
STATISTICS = IntensityStatistics(
    mean=10.5, sd=2.0, median=10.0, minimum=-5.0, maximum=99.0, percentile_00_5=0.5, percentile_99_5=50.0
)
PLANS = Plans(
    format=FORMAT,
    version=autoseg.__version__,
    identifier="autoseg",
    planner="Planner3D",
    dataset="Task004_Hippocampus",
    channels=("CT",),
    labels=("background", "Anterior"),
    transpose_forward=(1, 2, 0),
    transpose_backward=(2, 0, 1),
    intensities=(STATISTICS,),
    configurations={"3d_fullres": FULL},
)


def test_plans_come_back_from_the_pickle_and_from_its_json_view(tmp_path: Path) -> None:
    path = tmp_path / "autoseg_plans_3D.pkl"

    save_plans(PLANS, path)

    assert load_plans(path) == PLANS
    assert load_plans_json(tmp_path / "autoseg_plans_3D.json") == PLANS
    assert json.loads((tmp_path / "autoseg_plans_3D.json").read_text()) == pickle.loads(path.read_bytes())


def test_the_file_names_its_keys_as_documented(tmp_path: Path) -> None:
    save_plans(PLANS, tmp_path / "p.pkl")

    content = json.loads((tmp_path / "p.json").read_text())

    assert content["format"] == 2
    assert content["transpose_forward"] == [1, 2, 0]
    assert content["configurations"]["3d_fullres"] == {
        "name": "3d_fullres",
        "grid": {"spacing": [3.0, 1.0, 1.0], "median_shape": [20, 64, 60]},
        "sampling": {"patch_size": [16, 64, 64], "in_plane": True},
        "network": {
            "name": "unet",
            "settings": {
                "strides": [[1, 1, 1], [1, 2, 2], [2, 2, 2]],
                "kernels": [[1, 3, 3], [3, 3, 3], [3, 3, 3]],
                "features": 32,
                "max_features": 320,
                "convs_per_stage": 2,
            },
        },
        "intensities": [{"name": "CT", "masked": False}],
        "batch_size": 2,
        "batch_dice": False,
        "previous": None,
        "prepared_as": "3d_fullres",
        "cost": 2,
    }


def test_an_edited_view_becomes_the_plans_that_are_read(tmp_path: Path) -> None:
    save_plans(PLANS, tmp_path / "p.pkl")
    content = json.loads((tmp_path / "p.json").read_text())
    content["configurations"]["3d_fullres"]["batch_size"] = 5
    (tmp_path / "p.json").write_text(json.dumps(content))

    edited = load_plans_json(tmp_path / "p.json")

    assert edited == replace(PLANS, configurations={"3d_fullres": changed(FULL, batch_size=5)})


def test_residual_blocks_come_back(tmp_path: Path) -> None:
    residual = changed(FULL, network="residual_unet", convs_per_stage=1, blocks_per_stage=(1, 3, 4))
    save_plans(replace(PLANS, configurations={"3d_fullres": residual}), tmp_path / "p.pkl")

    assert load_plans(tmp_path / "p.pkl").configuration("3d_fullres").network.unet().blocks_per_stage == (1, 3, 4)


def test_the_levels_of_the_network_follow_from_the_plan() -> None:
    assert FULL.topology == Topology(
        strides=((1, 1, 1), (1, 2, 2), (2, 2, 2)), kernels=((1, 3, 3), (3, 3, 3), (3, 3, 3))
    )
    assert FULL.topology.dimensions == 3
    assert FULL.topology.divisor == (2, 4, 4)


def test_a_configuration_is_looked_up_by_name() -> None:
    assert PLANS.configuration("3d_fullres") is FULL
    assert PLANS.target.outputs == ("background", "Anterior")
    with pytest.raises(PlanError) as caught:
        PLANS.configuration("3d_lowres")
    assert str(caught.value) == "Task004_Hippocampus: 3d_lowres is not planned; planned are 3d_fullres"


@pytest.mark.parametrize(
    ("strides", "kernels", "message"),
    [
        ((), (), "a U-Net needs one stride and one kernel for each level, found 0 strides and 0 kernels"),
        (((1, 1),), (), "a U-Net needs one stride and one kernel for each level, found 1 stride and 0 kernels"),
        (((2, 1),), ((3, 3),), r"the first level keeps full resolution, but its stride is \(2, 1\)"),
        (((1, 1),), ((3, 3, 3),), "strides and kernels must all have one entry for each axis"),
        (((1, 1),), ((3, 4),), r"kernels must be odd, found \(\(3, 4\),\)"),
        (((1, 1), (0, 2)), ((3, 3), (3, 3)), r"strides must be at least 1, found \(\(1, 1\), \(0, 2\)\)"),
    ],
)
def test_an_impossible_network_cannot_exist(strides: Any, kernels: Any, message: str) -> None:
    with pytest.raises(PlanError, match=message):
        Topology(strides=strides, kernels=kernels)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"name": "3d small"}, "configuration '3d small': a name is of up to 50 letters, digits, dots, hyphens"),
        ({"name": "../up"}, r"configuration '\.\./up': a name is of up to 50 letters"),
        ({"prepared_as": "x/../../up"}, r"configuration 'x/\.\./\.\./up': a name is of up to 50 letters"),
        ({"patch_size": (64, 64)}, r"^patch \(64, 64\) and kernels must have the same two or three dimensions"),
        (
            {"patch_size": (16, 62, 64)},
            r"^every side of the patch \(16, 62, 64\) must be divisible by \(2, 4, 4\), the product of the strides",
        ),
        ({"patch_size": (0, 64, 64)}, r"every side of the patch \(0, 64, 64\) must be divisible by"),
        ({"batch_size": 0}, "batch_size must be at least 1, found 0"),
        ({"features": 0}, "features and convs_per_stage must be at least 1, and max_features at least features"),
        ({"max_features": 16}, "and max_features at least features"),
        ({"dropout": 0.5}, "network.settings: wrong fields: unknown dropout"),
        ({"median_shape": (20, 0, 60)}, r"median_shape must be from 1 to 262144 voxels, found \(20, 0, 60\)"),
        ({"spacing": (3.0, float("nan"), 1.0)}, r"spacing must be from 1e-06 to 1e\+06 mm, found \(3\.0, nan, 1\.0\)"),
        ({"spacing": (3.0, -1.0, 1.0)}, r"spacing must be from 1e-06 to 1e\+06 mm, found \(3\.0, -1\.0"),
        ({"blocks_per_stage": (1, 3)}, r"blocks_per_stage needs 3 numbers, one for each level, found \(1, 3\)"),
        ({"blocks_per_stage": (1, 0, 4)}, r"blocks_per_stage needs 3 numbers, one for each level, found \(1, 0, 4\)"),
    ],
)
def test_an_impossible_configuration_cannot_exist(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(PlanError, match=message):
        changed(FULL, **changes)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"transpose_forward": (0, 0, 1)}, r"transpose_backward \(2, 0, 1\) does not undo \(0, 0, 1\)"),
        ({"transpose_backward": (1, 2, 0)}, r"transpose_backward \(1, 2, 0\) does not undo \(1, 2, 0\)"),
        ({"intensities": ()}, "1 channel needs as many intensity entries, found 0"),
        ({"labels": ("background",)}, "labels must be the background and more, each named once, found background"),
        ({"labels": ("a", "a")}, "labels must be the background and more, each named once, found a, a"),
        ({"configurations": {"2d": FULL}}, "the configuration under '2d' calls itself '3d_fullres'"),
        (
            {"channels": ("CT", "MR"), "intensities": None},
            "3d_fullres: one normalisation for each channel is needed, found 1 for 2 channels",
        ),
        (
            {"configurations": {"3d_cascade_fullres": changed(FULL, name="3d_cascade_fullres", previous="3d_lowres")}},
            "3d_cascade_fullres: follows 3d_lowres, which is not planned",
        ),
    ],
)
def test_plans_that_contradict_themselves_cannot_exist(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(PlanError, match=message):
        replace(PLANS, **changes)


def test_plans_of_a_newer_version_are_refused_with_both_versions(tmp_path: Path) -> None:
    path = tmp_path / "p.pkl"
    path.write_bytes(pickle.dumps({"format": 3, "version": "9.1", "anything": []}, protocol=4))

    with pytest.raises(PlanError) as caught:
        load_plans(path)

    assert str(caught.value) == (
        f"{path}: plans of format 3 (autoseg 9.1), but this is autoseg {autoseg.__version__}, which reads format 1 and 2; "
        "install a matching version or plan again"
    )


def write(path: Path, content: Any) -> Path:
    path.write_bytes(pickle.dumps(content, protocol=4))
    return path


def test_damaged_plans_name_the_file_the_field_and_the_remedy(tmp_path: Path) -> None:
    save_plans(PLANS, tmp_path / "p.pkl")
    content = pickle.loads((tmp_path / "p.pkl").read_bytes())

    content["configurations"]["3d_fullres"]["sampling"]["patch_size"][1] = "64"
    with pytest.raises(PlanError) as caught:
        load_plans(write(tmp_path / "a.pkl", content))
    assert str(caught.value) == (
        "a.pkl.configurations.3d_fullres.sampling.patch_size[1]: expected int, found '64'\n"
        f"{tmp_path / 'a.pkl'} is damaged or was edited wrongly; run autoseg_plan_and_preprocess again"
    )

    content["configurations"]["3d_fullres"]["sampling"]["patch_size"][1] = 63
    with pytest.raises(PlanError, match=r"a\.pkl: 3d_fullres: every side of the patch \(16, 63, 64\) must be divis"):
        load_plans(write(tmp_path / "a.pkl", content))

    with pytest.raises(PlanError, match="plans of format None"):
        load_plans(write(tmp_path / "a.pkl", [1, 2]))


def test_absent_and_hostile_plans_are_refused(tmp_path: Path) -> None:
    with pytest.raises(PlanError, match=r"p\.pkl: no plans here; run autoseg_plan_and_preprocess first"):
        load_plans(tmp_path / "p.pkl")
    with pytest.raises(PlanError, match="refused: the pickle opcode STACK_GLOBAL at byte"):
        load_plans(write(tmp_path / "p.pkl", {"format": 1, "x": print}))


FLAT = {
    "name": "3d_cascade_fullres",
    "spacing": [3.0, 1.0, 1.0],
    "median_shape": [20, 64, 60],
    "patch_size": [16, 64, 64],
    "batch_size": 2,
    "num_pool_per_axis": [1, 2, 2],
    "pool_kernel_sizes": [[1, 2, 2], [2, 2, 2]],
    "conv_kernel_sizes": [[1, 3, 3], [3, 3, 3], [3, 3, 3]],
    "do_dummy_2d_augmentation": True,
    "normalization_schemes": ["CT"],
    "use_mask_for_norm": [False],
    "batch_dice": False,
    "previous": "3d_lowres",
    "network": "residual_unet",
    "features": 32,
    "max_features": 320,
    "convs_per_stage": 1,
    "blocks_per_stage": [1, 3, 4],
}


def of_format_1(path: Path, **changes: Any) -> Path:
    flat = {"3d_cascade_fullres": {**FLAT, **changes}, "3d_lowres": {**FLAT, "name": "3d_lowres", "previous": None}}
    return write(path, json.loads(json.dumps({**encode(PLANS), "format": 1, "configurations": flat})))


def test_plans_of_the_first_format_are_read_and_keep_their_signature(tmp_path: Path) -> None:
    plans = load_plans(of_format_1(tmp_path / "p.pkl"))

    cascade = changed(
        FULL, name="3d_cascade_fullres", previous="3d_lowres", network="residual_unet", blocks_per_stage=(1, 3, 4), cost=3,
        convs_per_stage=1,
    )  # fmt: skip
    low = changed(cascade, name="3d_lowres", previous=None, prepared_as="3d_lowres", cost=1)
    assert plans == replace(PLANS, configurations={"3d_cascade_fullres": cascade, "3d_lowres": low})
    assert plan_signature(plans, "3d_cascade_fullres") == content_hash(
        FLAT, PLANS.labels, PLANS.channels, PLANS.transpose_forward, PLANS.intensities
    )
    save_plans(plans, tmp_path / "again.pkl")
    assert load_plans(tmp_path / "again.pkl") == plans


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        (
            {"name": "3d_small"},
            "3d_cascade_fullres: configuration '3d_small' is not one of 2d, 3d_lowres, 3d_fullres, 3d_c",
        ),
        (
            {"num_pool_per_axis": [2, 2, 2]},
            r"num_pool_per_axis is \(2, 2, 2\), but pool_kernel_sizes pool \(1, 2, 2\) times",
        ),
        ({"use_mask_for_norm": [False, True]}, "use_mask_for_norm needs one entry for each channel"),
        ({"spacing": [0.0, 1.0, 1.0]}, r"p\.pkl: 3d_cascade_fullres: spacing must be from 1e-06 to 1e\+06 mm"),
        ({"features": "32"}, r"p\.pkl\.configurations\.3d_cascade_fullres\.features: expected int, found '32'"),
        (
            {"normalization_schemes": ["ct"]},
            "3d_cascade_fullres: unknown normalisation ct; plans call it CT",
        ),
        ({"dropout": 1}, "3d_cascade_fullres: wrong fields: unknown dropout"),
    ],
)
def test_spoilt_plans_of_the_first_format_are_refused(tmp_path: Path, changes: dict[str, Any], message: str) -> None:
    with pytest.raises(PlanError, match=message):
        load_plans(of_format_1(tmp_path / "p.pkl", **changes))


def test_a_network_of_another_kind_has_settings_of_its_own(tmp_path: Path) -> None:
    other = replace(FULL, network=NetworkPlan(name="monai.networks.nets:SwinUNETR", settings={"depths": [2, 2]}))
    plans = replace(PLANS, configurations={"3d_fullres": other})
    save_plans(plans, tmp_path / "p.pkl")

    assert load_plans(tmp_path / "p.pkl") == plans
    assert other.network.settings == {"depths": (2, 2)}
    assert other.topology == Topology(strides=((1, 1, 1),), kernels=((1, 1, 1),))
    assert plan_signature(plans, "3d_fullres") != plan_signature(PLANS, "3d_fullres")
    odd = replace(other, sampling=replace(other.sampling, patch_size=(15, 63, 61)))
    assert odd.sampling.patch_size == (15, 63, 61)
