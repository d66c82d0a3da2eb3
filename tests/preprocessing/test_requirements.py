from __future__ import annotations

import logging
import shutil
from collections import namedtuple
from dataclasses import replace

import pytest

from autoseg.dataset import Exclusive, Masks, read_dataset
from autoseg.dataset.target import stored_target
from autoseg.errors import StorageError
from autoseg.preprocessing import PreparedCases, prepare_dataset
from autoseg.preprocessing.requirements import Requirements, estimate_requirements, require_disk

Usage = namedtuple("Usage", "total used free")


def test_the_estimate_follows_median_shape_channels_and_cases(make_task, make_plans, tmp_path) -> None:
    task = make_task(cases=4, test_cases=0, shape=(10, 20, 30), channels=("T1", "T2"))
    plans = {"3d_fullres": make_plans(schemes=["nonCT"] * 2, masks=[False] * 2, labels=3, median_shape=(20, 40, 60))}

    needed = estimate_requirements(
        read_dataset(task).training, plans, {"3d_fullres": PreparedCases(tmp_path / "prepared")}
    )

    voxels = 20 * 40 * 60
    assert needed.disk == 4 * (voxels * (2 * 2 + 1) + 2 * 10_000 * 16)
    assert needed.memory == 150_000_000 + (6_000 + voxels) * (2 * 4 + 6)


def test_larger_images_count_for_more_and_finished_ones_for_nothing(make_task, make_plans, tmp_path) -> None:
    small = make_task(cases=2, test_cases=0, shape=(10, 10, 10))
    large = make_task(cases=1, test_cases=0, shape=(10, 10, 40))
    cases = [*read_dataset(small).training, *read_dataset(large).training]
    plans = {"3d_fullres": make_plans(labels=2, median_shape=(10, 10, 10))}
    store = PreparedCases(tmp_path / "prepared")
    names = [f"case_{number}" for number in range(3)]
    cases = [type(case)(identifier=name, images=case.images) for name, case in zip(names, cases, strict=True)]

    all_of_them = estimate_requirements(cases, plans, {"3d_fullres": store})
    store.folder.mkdir()
    (store.folder / "case_2.json").touch()
    the_small_ones = estimate_requirements(cases, plans, {"3d_fullres": store})

    assert all_of_them.disk == 6 * 1_000 * 5 + 3 * 160_000
    assert the_small_ones.disk == 2 * 1_000 * 5 + 2 * 160_000
    assert all_of_them.memory == the_small_ones.memory == 150_000_000 + 8_000 * 10


def test_an_image_that_cannot_be_read_is_left_to_its_preparation(make_task, make_plans, tmp_path) -> None:
    task = make_task(cases=3, test_cases=0)
    (task / "imagesTr" / "case_000_0000.nii.gz").write_bytes(b"not an image")

    needed = estimate_requirements(
        read_dataset(task).training, {"3d_fullres": make_plans()}, {"3d_fullres": PreparedCases(tmp_path)}
    )

    assert needed.disk > 0


def test_needs_are_said_before_the_start(make_task, make_plans, tmp_path, caplog) -> None:
    caplog.set_level(logging.INFO)
    dataset = read_dataset(make_task(cases=2, test_cases=0))
    plans = {"3d_fullres": make_plans(labels=2, median_shape=(100, 100, 50))}

    prepare_dataset(dataset, plans, {"3d_fullres": tmp_path / "prepared"}, tmp_path / "references", workers=1)

    assert caplog.messages[:2] == [
        "Task001_Balls: preparing 2 cases for 3d_fullres",
        "about 5 MB of disk and 155 MB of memory for each worker, 1 at a time",
    ]


def test_a_disk_that_is_clearly_too_small_is_refused(tmp_path, monkeypatch, caplog) -> None:
    needed = Requirements(disk=80 * 10**9, memory=0)
    folder = tmp_path / "not" / "there" / "yet"

    monkeypatch.setattr(shutil, "disk_usage", lambda _: Usage(0, 0, 39 * 10**9))
    with pytest.raises(
        StorageError,
        match=r"not/there/yet: preparing needs about 80.0 GB of disk, 39.0 GB are free; free some space, or set "
        r"AUTOSEG_PREPROCESSED \(or `home`\) to a folder on a larger disk",
    ):
        require_disk(needed, [folder])

    monkeypatch.setattr(shutil, "disk_usage", lambda _: Usage(0, 0, 60 * 10**9))
    require_disk(needed, [folder])
    assert "80.0 GB of disk, 60.0 GB are free; it may not suffice" in caplog.text


@pytest.mark.parametrize(
    ("target", "raters", "files", "working"),
    [
        (Exclusive.numbered(3), 3, 3, 6),
        (Masks(names=("a", "b")), 2, 4, 6 + 8),
        (Masks(names=("a",), soft=True), 1, 1, 14),
    ],
    ids=["raters", "masks", "fractions"],
)
def test_each_label_file_of_a_case_takes_room(make_task, make_plans, tmp_path, target, raters, files, working) -> None:
    (case, *_) = read_dataset(make_task(cases=1, test_cases=0, shape=(10, 20, 30))).training
    drawn = tuple((case.segmentation,) * raters for _ in range(target.maps))
    plans = replace(make_plans(median_shape=(20, 40, 60)), labels=target.labels, target_kind=stored_target(target))
    store = PreparedCases(tmp_path / "prepared")

    needed = estimate_requirements(
        [replace(case, segmentation=None, drawn=drawn)], {"3d_fullres": plans}, {"3d_fullres": store}
    )

    voxels = 20 * 40 * 60
    assert needed.disk == voxels * (4 + files) + len(target.scored) * 160_000
    assert needed.memory == 150_000_000 + (6_000 + voxels) * (4 + working + 2 * (files - 1))
