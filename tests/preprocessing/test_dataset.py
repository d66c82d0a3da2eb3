from __future__ import annotations

import logging
import pickle
import shutil
import subprocess
import sys
import time
from dataclasses import replace

import numpy as np
import pytest
from small_plans import changed

from autoseg.dataset import read_dataset
from autoseg.dataset.raw_cases import read_case
from autoseg.errors import CasesFailed, DatasetError
from autoseg.images import read_image, write_image
from autoseg.plans import IntensityStatistics
from autoseg.preprocessing import PreparedCases, prepare_case, prepare_dataset

INTENSITIES = IntensityStatistics(
    mean=100.0, sd=50.0, median=100.0, minimum=-20.0, maximum=150.0, percentile_00_5=60.0, percentile_99_5=140.0
)


@pytest.fixture
def task(make_task, tmp_path):
    return make_task(parent=tmp_path, cases=3, test_cases=1, border=1)


@pytest.fixture
def plans(make_plans):
    return {
        "2d": make_plans((1.0, 2.0, 2.0), name="2d", labels=2),
        "3d_fullres": make_plans((2.0, 1.0, 1.0), schemes=["nonCT"], labels=2),
    }


@pytest.fixture
def prepare(task, plans, tmp_path):
    """Prepare the task, afresh read, into `tmp_path`; returns the stores."""

    def run(plans=plans, workers=1):
        folders = {name: tmp_path / "preprocessed" / name for name in plans}
        prepare_dataset(read_dataset(task), plans, folders, tmp_path / "references", workers=workers)
        return {name: PreparedCases(folder) for name, folder in folders.items()}

    return run


def written(stores) -> dict:
    """When each file was written: what changes where a case is made anew."""
    return {path: path.stat().st_mtime_ns for store in stores.values() for path in store.folder.iterdir()}


def remade(stores, before) -> set[tuple[str, str]]:
    changed = {path for path, time in written(stores).items() if before.get(path) != time}
    return {(path.parent.name, path.stem) for path in changed if path.suffix == ".json"}


@pytest.mark.parametrize("workers", [1, 2])
def test_every_case_is_prepared_for_every_configuration(task, plans, prepare, tmp_path, workers) -> None:
    stores = prepare(workers=workers)

    for case in read_dataset(task).training:
        raw = read_case(case)
        for name, store in stores.items():
            expected = prepare_case(raw, plans[name], name)
            np.testing.assert_array_equal(store.load(case.identifier).data, expected.data.astype(np.float16))
            np.testing.assert_array_equal(store.load(case.identifier).segmentation, expected.segmentation)
        reference = tmp_path / "references" / f"{case.identifier}.nii.gz"
        assert reference.read_bytes() == case.segmentation.read_bytes()
    assert stores["2d"].identifiers() == ("case_000", "case_001", "case_002")


def test_what_is_done_is_left_alone_and_said(prepare, caplog) -> None:
    caplog.set_level(logging.INFO)
    before = written(prepare())
    assert "Task001_Balls: 3 cases prepared, 0 skipped as nothing changed" in caplog.messages

    stores = prepare()

    assert written(stores) == before
    assert "Task001_Balls: 0 cases prepared, 3 skipped as nothing changed" in caplog.messages


@pytest.mark.parametrize("folder", ["imagesTr", "labelsTr"])
def test_a_changed_file_is_noticed(task, prepare, tmp_path, folder) -> None:
    before = written(prepare())
    path = next(path for path in sorted((task / folder).iterdir()) if path.name.startswith("case_001"))
    image = read_image(path)
    write_image(path, np.flip(image.data), image.geometry)

    stores = prepare()

    assert remade(stores, before) == {("2d", "case_001"), ("3d_fullres", "case_001")}
    label = next(case.segmentation for case in read_dataset(task).training if case.identifier == "case_001")
    assert (tmp_path / "references" / "case_001.nii.gz").read_bytes() == label.read_bytes()


@pytest.mark.parametrize("ending", [".nii.gz", ".nii"])
def test_the_reference_is_refreshed_though_the_case_is_current(task, prepare, tmp_path, ending) -> None:
    """As when a label was changed, prepared by other plans, and changed back."""
    if ending != ".nii.gz":
        label = task / "labelsTr" / "case_001.nii.gz"
        image = read_image(label)
        write_image(label.with_name(f"case_001{ending}"), image.data, image.geometry)
        label.unlink()
        description = (task / "dataset.json").read_text()
        (task / "dataset.json").write_text(
            description.replace("labelsTr/case_001.nii.gz", f"labelsTr/case_001{ending}")
        )
    before = written(prepare())
    reference = tmp_path / "references" / "case_001.nii.gz"
    expected = read_image(reference)
    write_image(reference, np.flip(expected.data), expected.geometry)

    stores = prepare()

    assert written(stores) == before
    np.testing.assert_array_equal(read_image(reference).data, expected.data)
    untouched = reference.stat().st_mtime_ns
    prepare()
    assert reference.stat().st_mtime_ns == untouched


def test_a_half_written_or_damaged_case_is_made_anew_alone(prepare) -> None:
    stores = prepare()
    before = written(stores)
    (stores["2d"].folder / "case_000.json").unlink()
    data = stores["3d_fullres"].folder / "case_002.npy"
    data.write_bytes(data.read_bytes()[:200])

    assert remade(prepare(), before) == {("2d", "case_000"), ("3d_fullres", "case_002")}


PREPARE = """
import pickle, sys
from autoseg.preprocessing import prepare_dataset
prepare_dataset(**pickle.load(open(sys.argv[1], "rb")))
"""


def test_killed_at_any_moment_and_run_again_it_ends_the_same(make_task, plans, tmp_path) -> None:
    dataset = read_dataset(make_task(parent=tmp_path, cases=30, test_cases=0, shape=(20, 30, 30)))

    def arguments(folder: str) -> dict:
        folders = {name: tmp_path / folder / name for name in plans}
        return {"dataset": dataset, "plans": plans, "folders": folders, "references": tmp_path / folder, "workers": 1}

    (tmp_path / "arguments.pkl").write_bytes(pickle.dumps(arguments("killed")))
    process = subprocess.Popen([sys.executable, "-c", PREPARE, tmp_path / "arguments.pkl"])
    store = PreparedCases(tmp_path / "killed" / "3d_fullres")
    while len(store.identifiers()) < 3 and process.poll() is None:
        time.sleep(0.001)
    process.kill()
    process.wait()
    done = store.identifiers()
    before = written({"3d_fullres": store})

    prepare_dataset(**arguments("killed"))
    prepare_dataset(**arguments("whole"))

    assert len(done) >= 3
    assert not {name for _, name in remade({"3d_fullres": store}, before)} & set(done)
    for name in plans:
        for path in (tmp_path / "whole" / name).iterdir():
            assert (tmp_path / "killed" / name / path.name).read_bytes() == path.read_bytes()


def test_a_reference_that_is_gone_comes_back(prepare, tmp_path) -> None:
    before = written(prepare())
    (tmp_path / "references" / "case_001.nii.gz").unlink()

    assert remade(prepare(), before) == set()
    assert (tmp_path / "references" / "case_001.nii.gz").is_file()


def test_a_plan_that_matters_makes_cases_anew_and_one_that_does_not_leaves_them(plans, prepare, make_plans) -> None:
    before = written(prepare())
    other_patch = changed(plans["3d_fullres"].configurations["3d_fullres"], batch_size=9, patch_size=(16, 16, 16))
    same = plans | {
        "2d": make_plans(
            (9.0, 2.0, 2.0), name="2d", labels=2, intensities=(INTENSITIES,)
        ),  # slices keep their distance
        "3d_fullres": replace(plans["3d_fullres"], configurations={"3d_fullres": other_patch}, identifier="mine"),
    }
    assert remade(prepare(same), before) == set()

    finer = plans | {"3d_fullres": make_plans((2.0, 1.0, 0.9), schemes=["nonCT"], labels=2)}
    stores = prepare(finer)
    assert {name for name, _ in remade(stores, before)} == {"3d_fullres"}

    before = written(stores)
    ct = finer | {"2d": make_plans((1.0, 2.0, 2.0), name="2d", schemes=["CT"], labels=2, intensities=(INTENSITIES,))}
    stores = prepare(ct)
    assert {name for name, _ in remade(stores, before)} == {"2d"}

    before = written(stores)
    brighter = (replace(INTENSITIES, mean=110.0),)
    ct["2d"] = replace(ct["2d"], intensities=brighter)
    assert {name for name, _ in remade(prepare(ct), before)} == {"2d"}


def test_a_case_that_fails_is_named_and_the_others_are_finished(task, prepare) -> None:
    path = task / "imagesTr" / "case_001_0000.nii.gz"
    image = read_image(path)
    image.data[3, 4, 5] = np.nan
    write_image(path, image.data, image.geometry)

    with pytest.raises(CasesFailed, match=r"preparing: 1 of 3 cases failed; .*\n  case_001: channel 0 holds NaN"):
        prepare()

    shutil.copyfile(task / "imagesTr" / "case_000_0000.nii.gz", path)
    assert prepare()["2d"].identifiers() == ("case_000", "case_001", "case_002")


def test_a_missing_image_is_named(task, prepare) -> None:
    (task / "imagesTr" / "case_001_0000.nii.gz").unlink()

    with pytest.raises(CasesFailed, match=r"case_001: .*case_001_0000.nii.gz: cannot be read: No such file"):
        prepare()


def test_uncompressed_labels_are_compressed_for_scoring(task, prepare, tmp_path) -> None:
    description = (task / "dataset.json").read_text()
    label = task / "labelsTr" / "case_001.nii.gz"
    image = read_image(label)
    write_image(label.with_name("case_001.nii"), image.data, image.geometry)
    label.unlink()
    (task / "dataset.json").write_text(description.replace("labelsTr/case_001.nii.gz", "labelsTr/case_001.nii"))

    prepare()

    reference = read_image(tmp_path / "references" / "case_001.nii.gz")
    np.testing.assert_array_equal(reference.data, image.data)
    assert reference.geometry == image.geometry


def test_cases_whose_files_would_share_a_name_are_refused(task, plans, tmp_path) -> None:
    dataset = read_dataset(task)
    first, second, _ = dataset.training
    clash = replace(dataset, training=(first, replace(second, identifier="case_000_seg")))

    with pytest.raises(
        DatasetError, match="cases case_000 and case_000_seg: their prepared files would share a name; rename one case"
    ):
        prepare_dataset(clash, plans, {name: tmp_path / name for name in plans}, tmp_path / "references")


def test_labels_that_cropping_leaves_out_are_told(task, prepare, caplog) -> None:
    path = task / "imagesTr" / "case_001_0000.nii.gz"
    image, label = read_image(path), read_image(task / "labelsTr" / "case_001.nii.gz")
    planes = np.flatnonzero(label.data.any(axis=(1, 2)))
    empty = image.data.copy()
    empty[planes[-1] :] = 0
    write_image(path, empty, image.geometry)
    caplog.set_level("INFO")

    prepare()

    cut = int(np.count_nonzero(label.data[planes[-1] :]))
    assert [record.getMessage() for record in caplog.records if record.levelname == "WARNING"] == [
        f"labels of 1 case lie in part where every channel is 0, outside the box that is kept ({cut} voxels of case_001); "
        "they are not trained on, but scored: autoseg_verify_dataset names each"
    ]


def test_a_channel_of_one_value_is_told(task, prepare, caplog):
    path = task / "imagesTr" / "case_001_0000.nii.gz"
    image = read_image(path)
    write_image(path, np.full_like(image.data, 7), image.geometry)
    caplog.set_level("INFO")

    prepare()

    assert [record.getMessage() for record in caplog.records if record.levelname == "WARNING"] == [
        "1 case has a channel that holds one value only (channel 0 of case_001), in which there is nothing to learn from; "
        "autoseg_verify_dataset names each"
    ]
