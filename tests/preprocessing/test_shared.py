"""Configurations that prepare a case alike share one copy of its arrays, and neither can tell."""

from __future__ import annotations

import json
import logging
import pickle
import random
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from autoseg.dataset import Dataset, read_dataset
from autoseg.dataset.raw_cases import read_case
from autoseg.errors import StorageError
from autoseg.images import read_image, write_image
from autoseg.plans import Plans
from autoseg.preprocessing import PreparedCases, prepare_case, prepare_dataset
from autoseg.preprocessing.leftovers import find_leftovers, remove_leftovers
from autoseg.preprocessing.requirements import estimate_requirements

CASES = ("case_000", "case_001", "case_002")
ARRAYS = (".npy", "_seg.npy", "_foreground.npy")

Stores = Mapping[str, PreparedCases]
Prepare = Callable[..., Stores]

PREPARE = """
import pickle, sys
from autoseg.preprocessing import prepare_dataset
prepare_dataset(**pickle.load(open(sys.argv[1], "rb")))
"""


@pytest.fixture
def task(make_task: Any, tmp_path: Path) -> Path:
    return make_task(parent=tmp_path, cases=3, test_cases=0, border=1, spacing=(2.0, 1.0, 1.0))


@pytest.fixture
def plans(make_plans: Any) -> dict[str, Plans]:
    """Alike for cases whose slices are 2 mm apart; the 2D plan's own first side is only informative."""
    return {
        "3d_fullres": make_plans((2.0, 1.25, 1.25), schemes=["nonCT"], masks=[True], labels=2),
        "2d": make_plans((9.0, 1.25, 1.25), name="2d", schemes=["nonCT"], masks=[True], labels=2),
    }


@pytest.fixture
def prepare(task: Path, plans: dict[str, Plans], tmp_path: Path) -> Prepare:
    """Prepare the task, afresh read, below `folder`; returns the stores."""

    def run(plans: Mapping[str, Plans] = plans, folder: str = "preprocessed") -> Stores:
        folders = {name: tmp_path / folder / f"autoseg_{name}" for name in plans}
        prepare_dataset(read_dataset(task), plans, folders, tmp_path / folder / "gt_segmentations", workers=1)
        return {name: PreparedCases(folder) for name, folder in folders.items()}

    return run


def arrays_in(store: PreparedCases) -> set[str]:
    return {path.name for path in store.folder.glob("*.npy")}


def arrays_of(*cases: str) -> set[str]:
    return {f"{case}{ending}" for case in cases for ending in ARRAYS}


def space_apart(task: Path, case: str, millimetres: float) -> None:
    """Give a case another distance of slices."""
    for path in task.glob(f"*Tr/{case}*"):
        image = read_image(path)
        write_image(path, image.data, replace(image.geometry, spacing=(millimetres, 1.0, 1.0), forms=None))


def require_as_prepared_alone(task: Path, plans: Mapping[str, Plans], stores: Stores) -> None:
    """What is loaded is what preparing for this configuration alone makes."""
    for case in read_dataset(task).training:
        raw = read_case(case)
        for name, store in stores.items():
            loaded, expected = store.load(case.identifier), prepare_case(raw, plans[name], name)
            np.testing.assert_array_equal(loaded.data, expected.data.astype(np.float16))
            np.testing.assert_array_equal(loaded.segmentation, expected.segmentation)
            np.testing.assert_array_equal(loaded.foreground[1], expected.foreground[1])
            assert loaded.properties == expected.properties


def test_one_copy_serves_both(task: Path, plans: dict[str, Plans], prepare: Prepare) -> None:
    stores = prepare()

    assert arrays_in(stores["3d_fullres"]) == arrays_of(*CASES)
    assert arrays_in(stores["2d"]) == set()
    require_as_prepared_alone(task, plans, stores)


def test_the_marker_is_what_it_would_be_alone(plans: dict[str, Plans], prepare: Prepare) -> None:
    """So that trainings and runs that know it by its signature or its bytes go on."""
    shared, alone = prepare()["2d"], prepare({"2d": plans["2d"]}, "alone")["2d"]

    assert arrays_in(alone) == arrays_of(*CASES)
    for case in CASES:
        assert (shared.folder / f"{case}.json").read_bytes() == (alone.folder / f"{case}.json").read_bytes()


def test_cases_of_another_slice_distance_are_kept_twice(task: Path, plans: dict[str, Plans], prepare: Prepare) -> None:
    space_apart(task, "case_001", 3.0)

    stores = prepare()

    assert arrays_in(stores["2d"]) == arrays_of("case_001")
    assert arrays_in(stores["3d_fullres"]) == arrays_of(*CASES)
    require_as_prepared_alone(task, plans, stores)


@pytest.mark.parametrize(
    "changes",
    [
        {"schemes": ["noNorm"]},
        {"masks": [False]},
        {"order": (1, 0, 2)},
        {"labels": 3},
        {"spacing": (9.0, 1.25, 1.1)},
    ],
    ids=lambda changes: next(iter(changes)),
)
def test_nothing_is_shared_where_anything_differs(
    make_plans: Any, plans: dict[str, Plans], prepare: Prepare, task: Path, changes: dict[str, Any]
) -> None:
    words = {"spacing": (9.0, 1.25, 1.25), "name": "2d", "schemes": ["nonCT"], "masks": [True], "labels": 2} | changes
    other = plans | {"2d": make_plans(words.pop("spacing"), **words)}

    stores = prepare(other)

    assert arrays_in(stores["2d"]) == arrays_of(*CASES)
    require_as_prepared_alone(task, other, stores)


def test_a_configuration_planned_later_shares_what_is_there(plans: dict[str, Plans], prepare: Prepare) -> None:
    first = prepare({"3d_fullres": plans["3d_fullres"]})["3d_fullres"]
    before = {path: path.stat().st_mtime_ns for path in first.folder.iterdir()}

    stores = prepare()

    assert arrays_in(stores["2d"]) == set()
    assert {path: path.stat().st_mtime_ns for path in first.folder.iterdir()} == before


def test_another_plan_for_one_leaves_the_other_as_it_was(
    make_plans: Any, task: Path, plans: dict[str, Plans], prepare: Prepare
) -> None:
    flat = prepare()["2d"]
    markers = {case: (flat.folder / f"{case}.json").read_bytes() for case in CASES}
    finer = {"3d_fullres": make_plans((2.0, 1.0, 1.0), schemes=["nonCT"], masks=[True], labels=2)}

    solid = prepare(finer)["3d_fullres"]

    assert arrays_in(flat) == arrays_of(*CASES)
    assert {case: (flat.folder / f"{case}.json").read_bytes() for case in CASES} == markers
    require_as_prepared_alone(task, plans | finer, {"2d": flat, "3d_fullres": solid})

    stores = prepare()

    assert arrays_in(stores["2d"]) == arrays_of(*CASES)
    assert arrays_in(stores["3d_fullres"]) == set()
    require_as_prepared_alone(task, plans, stores)


def test_a_changed_image_is_prepared_anew_for_both_and_shared_again(
    task: Path, plans: dict[str, Plans], prepare: Prepare
) -> None:
    prepare()
    path = task / "imagesTr" / "case_001_0000.nii.gz"
    image = read_image(path)
    write_image(path, np.flip(image.data), image.geometry)

    stores = prepare()

    assert arrays_in(stores["2d"]) == set()
    require_as_prepared_alone(task, plans, stores)


def test_a_case_is_removed_from_both_though_stopped_half_way(prepare: Prepare, tmp_path: Path) -> None:
    stores, folder = prepare(), tmp_path / "preprocessed"
    listed = {"case_000", "case_002"}
    stores["3d_fullres"].remove("case_001", kept=listed)
    assert find_leftovers(folder, listed) == ("case_001",)

    remove_leftovers(folder, find_leftovers(folder, listed), listed, folder / "gt_segmentations")

    assert not [path for path in folder.rglob("*") if "case_001" in path.name]
    assert {path.name for path in stores["2d"].folder.iterdir()} == {
        f"{case}{ending}" for case in listed for ending in (".json", ".shared")
    }
    assert stores["2d"].load("case_000").data.shape[0] == 1


@pytest.mark.parametrize("spoilt", ["gone", "made anew"])
def test_arrays_that_are_no_longer_those_are_never_used(
    task: Path, plans: dict[str, Plans], prepare: Prepare, spoilt: str
) -> None:
    stores = prepare()
    marker = stores["3d_fullres"].folder / "case_001.json"
    if spoilt == "gone":
        marker.unlink()
    else:
        marker.write_text(json.dumps(json.loads(marker.read_text()) | {"signature": "another"}))

    with pytest.raises(
        StorageError,
        match=r"case case_001: damaged in .*autoseg_2d: .*autoseg_3d_fullres, which has its arrays, no longer holds that "
        r"case as it was; delete case_001.json there and run autoseg_plan_and_preprocess again",
    ):
        stores["2d"].load("case_001")

    require_as_prepared_alone(task, plans, prepare())


@pytest.mark.parametrize(
    ("changes", "cause"),
    [
        (
            {"folder": "../autoseg_3d_fullres"},
            r"case_001.shared: expected the name of a folder, found \.\./autoseg_3d_fullres",
        ),
        ({"format": 2}, r"expected format 1, found 2"),
        ({"signature": "another"}, r"case_001.shared was not written with case_001.json"),
        ({"more": 1}, r"case_001.shared: .*more"),
    ],
)
def test_a_note_that_is_not_ours_is_refused_and_written_anew(
    task: Path, plans: dict[str, Plans], prepare: Prepare, changes: dict[str, Any], cause: str
) -> None:
    stores = prepare()
    path = stores["2d"].folder / "case_001.shared"
    path.write_text(json.dumps(json.loads(path.read_text()) | changes))

    with pytest.raises(StorageError, match=rf"case case_001: damaged in .*autoseg_2d: {cause}"):
        stores["2d"].load("case_001")

    require_as_prepared_alone(task, plans, prepare())


def test_folders_that_do_not_lie_beside_each_other_share_nothing(
    task: Path, plans: dict[str, Plans], tmp_path: Path
) -> None:
    folders = {"3d_fullres": tmp_path / "here" / "3d", "2d": tmp_path / "there" / "2d"}

    prepare_dataset(read_dataset(task), plans, folders, tmp_path / "gt_segmentations", workers=1)

    assert arrays_in(PreparedCases(folders["2d"])) == arrays_of(*CASES)


def arguments(dataset: Dataset, plans: Mapping[str, Plans], folder: Path) -> dict[str, Any]:
    folders = {name: folder / f"autoseg_{name}" for name in plans}
    return {"dataset": dataset, "plans": plans, "folders": folders, "references": folder / "gt", "workers": 1}


@pytest.mark.parametrize("seed", range(3))
def test_killed_at_any_moment_and_run_again_it_ends_the_same(
    make_task: Any, make_plans: Any, plans: dict[str, Plans], tmp_path: Path, seed: int
) -> None:
    """Killed while the plan of one of both is another, so that arrays are parted and shared again."""
    dataset = read_dataset(make_task(parent=tmp_path, cases=12, test_cases=0, spacing=(2.0, 1.0, 1.0)))
    words = arguments(dataset, plans, tmp_path / "killed")
    finer = {"3d_fullres": make_plans((2.0, 1.0, 1.0), schemes=["nonCT"], masks=[True], labels=2)}
    prepare_dataset(**words)
    (tmp_path / "arguments.pkl").write_bytes(pickle.dumps(arguments(dataset, finer, tmp_path / "killed")))
    process = subprocess.Popen([sys.executable, "-c", PREPARE, tmp_path / "arguments.pkl"])
    changed = random.Random(seed).randrange(1, 11)
    flat = PreparedCases(tmp_path / "killed" / "autoseg_2d")
    while len(arrays_in(flat)) < changed and process.poll() is None:
        time.sleep(0.001)
    process.kill()
    process.wait()
    assert [flat.load(case).data.shape[0] for case in flat.identifiers()] == [1] * 12

    prepare_dataset(**words)
    prepare_dataset(**arguments(dataset, plans, tmp_path / "whole"))

    whole = PreparedCases(tmp_path / "whole" / "autoseg_2d")
    for name in plans:
        killed = PreparedCases(tmp_path / "killed" / f"autoseg_{name}")
        for case in whole.identifiers():
            np.testing.assert_array_equal(killed.load(case).data, whole.load(case).data)


def test_two_at_the_same_time_end_as_one(
    make_task: Any, plans: dict[str, Plans], tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    dataset = read_dataset(make_task(parent=tmp_path, cases=20, test_cases=0, spacing=(2.0, 1.0, 1.0)))
    words = arguments(dataset, plans, tmp_path / "both")
    (tmp_path / "arguments.pkl").write_bytes(pickle.dumps(words))

    both = [subprocess.Popen([sys.executable, "-c", PREPARE, tmp_path / "arguments.pkl"]) for _ in range(2)]

    assert [process.wait() for process in both] == [0, 0]
    caplog.set_level(logging.INFO)
    prepare_dataset(**words)
    prepare_dataset(**arguments(dataset, plans, tmp_path / "one"))
    stores = [PreparedCases(tmp_path / folder / "autoseg_2d") for folder in ("both", "one")]
    assert [arrays_in(store) for store in stores] == [set(), set()]
    for case in stores[1].identifiers():
        np.testing.assert_array_equal(stores[0].load(case).data, stores[1].load(case).data)


def test_what_was_kept_twice_becomes_one(
    plans: dict[str, Plans], prepare: Prepare, task: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """As an earlier version kept it, and two processes at the same time may."""
    caplog.set_level(logging.INFO)
    stores = prepare({"2d": plans["2d"]}) | prepare({"3d_fullres": plans["3d_fullres"]})
    assert [arrays_in(store) for store in stores.values()] == [arrays_of(*CASES)] * 2
    written = {path: path.read_bytes() for store in stores.values() for path in store.folder.glob("*.json")}

    prepare()

    assert "0 cases prepared, 3 skipped as nothing changed" in caplog.text
    assert [arrays_in(stores[name]) for name in plans] == [arrays_of(*CASES), set()]
    assert {path: path.read_bytes() for path in written} == written
    require_as_prepared_alone(task, plans, stores)


def test_copies_that_only_look_alike_stay(plans: dict[str, Plans], prepare: Prepare) -> None:
    stores = prepare({"2d": plans["2d"]}) | prepare({"3d_fullres": plans["3d_fullres"]})
    case = CASES[1]
    marker = stores["3d_fullres"].folder / f"{case}.json"
    record = json.loads(marker.read_text())
    marker.write_text(json.dumps(record | {"foreground": record["foreground"] | {"2": 0}}))

    prepare()

    assert arrays_in(stores["2d"]) == arrays_of(case)


def test_the_estimate_counts_one_copy(task: Path, plans: dict[str, Plans], tmp_path: Path) -> None:
    space_apart(task, "case_001", 3.0)
    stores = {name: PreparedCases(tmp_path / name) for name in plans}
    cases = read_dataset(task).training

    def needed(*names: str) -> int:
        return estimate_requirements(cases, {n: plans[n] for n in names}, {n: stores[n] for n in names}).disk

    assert needed("3d_fullres") == needed("2d") > 0
    assert needed("3d_fullres", "2d") == needed("3d_fullres") * 4 // 3

    stores["3d_fullres"].folder.mkdir()
    for case in CASES:
        (stores["3d_fullres"].folder / f"{case}.json").touch()
    assert needed("3d_fullres", "2d") == needed("2d") // 3
