from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pytest

from autoseg.dataset.facts import NOTHING, Facts
from autoseg.errors import StorageError
from autoseg.preprocessing.prepare import prepare_case
from autoseg.preprocessing.store import PreparedCases


@pytest.fixture
def prepared(make_plans, make_case):
    return prepare_case(make_case(border=(1, 0, 2)), make_plans((1.5, 1.0, 1.0)), "3d_fullres")


@pytest.fixture
def store(tmp_path, prepared) -> PreparedCases:
    cases = PreparedCases(tmp_path / "prepared")
    cases.save(prepared, "signature")
    return cases


def test_what_is_saved_comes_back_as_read_only_maps(store, prepared) -> None:
    loaded = store.load("liver_012")

    np.testing.assert_array_equal(loaded.data, prepared.data.astype(np.float16))
    np.testing.assert_array_equal(loaded.segmentation, prepared.segmentation)
    assert loaded.foreground.keys() == prepared.foreground.keys() == {1, 2}
    for label, locations in prepared.foreground.items():
        np.testing.assert_array_equal(loaded.foreground[label], locations)
    assert loaded.properties == store.properties("liver_012") == prepared.properties
    arrays = [loaded.data, loaded.segmentation, *loaded.foreground.values()]
    assert all(isinstance(array, np.memmap) and not array.flags.writeable for array in arrays)
    assert (loaded.data.dtype, loaded.segmentation.dtype) == (np.float16, np.int8)


def test_what_the_images_header_said_comes_back_and_older_markers_are_read_without(store, prepared, coregistered):
    geometry = coregistered(prepared.properties.geometry)
    store.save(replace(prepared, properties=replace(prepared.properties, geometry=geometry)), "signature")
    assert store.properties("liver_012").geometry.forms == geometry.forms

    path = store.folder / "liver_012.json"
    content = json.loads(path.read_text())
    del content["properties"]["geometry"]["forms"]
    path.write_text(json.dumps(content))

    assert store.load("liver_012").properties == prepared.properties
    assert store.properties("liver_012").geometry.forms is None


def test_what_is_known_of_a_case_comes_with_it_and_is_not_kept(store) -> None:
    known = Facts(known=(("site", "unf"),))
    informed = PreparedCases(store.folder, {"liver_012": known})

    assert (informed.load("liver_012").facts, store.load("liver_012").facts) == (known, NOTHING)
    assert (informed.facts_of("liver_012"), informed.facts_of("other")) == (known, NOTHING)
    assert (informed, hash(informed)) == (store, hash(store))
    assert informed.signature("liver_012") == store.signature("liver_012")


def test_files_are_plain_arrays_and_a_marker(store, prepared) -> None:
    assert sorted(path.name for path in store.folder.iterdir()) == [
        "liver_012.json",
        "liver_012.npy",
        "liver_012_foreground.npy",
        "liver_012_seg.npy",
    ]
    table = np.load(store.folder / "liver_012_foreground.npy")
    expected = [(label, *point) for label in (1, 2) for point in prepared.foreground[label]]
    np.testing.assert_array_equal(table, expected)


def test_intensities_that_half_precision_would_change_stay_single(store, prepared) -> None:
    exact = prepared.data + np.float32(1e4)
    half = store.signature("liver_012")

    store.save(replace(prepared, data=exact), "signature")

    assert store.load("liver_012").data.dtype == np.float32
    np.testing.assert_array_equal(store.load("liver_012").data, exact)
    assert store.signature("liver_012") == "signature" != half
    assert store.is_current("liver_012", "signature")


def test_a_case_of_the_format_before_is_read_and_keeps_its_signature(store, prepared) -> None:
    """So that a training begun with it goes on."""
    path = store.folder / "liver_012.json"
    content = json.loads(path.read_text())
    del content["half"]
    path.write_text(json.dumps(content | {"format": 1}))
    np.save(store.folder / "liver_012.npy", prepared.data)

    assert store.is_current("liver_012", "signature")
    assert store.signature("liver_012") == "signature"
    np.testing.assert_array_equal(store.load("liver_012").data, prepared.data)


@pytest.mark.parametrize(("half", "dtype"), [(True, np.float32), (False, np.float16)])
def test_a_precision_other_than_the_markers_is_refused(store, prepared, half, dtype) -> None:
    path = store.folder / "liver_012.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {"half": half}))
    np.save(store.folder / "liver_012.npy", prepared.data.astype(dtype))

    with pytest.raises(StorageError, match=r"case liver_012: damaged in .*: its files do not fit each other"):
        store.load("liver_012")


def test_labels_above_127_need_sixteen_bits(store, prepared) -> None:
    many = prepared.segmentation.copy()
    many[0, 0, 0] = 200

    store.save(replace(prepared, segmentation=many), "signature")

    assert store.load("liver_012").segmentation.dtype == np.int16
    assert store.load("liver_012").segmentation[0, 0, 0] == 200


def test_a_case_without_labels_or_foreground_can_be_kept(store, prepared) -> None:
    store.save(replace(prepared, segmentation=None, foreground={}), "signature")
    assert store.load("liver_012").segmentation is None
    assert store.load("liver_012").foreground == {}

    store.save(replace(prepared, foreground={1: np.empty((0, 3), dtype=np.int32)}), "signature")
    assert store.load("liver_012").foreground[1].shape == (0, 3)


def test_cases_are_listed_once_whole(store, prepared) -> None:
    second = replace(prepared, properties=replace(prepared.properties, identifier="case.1 ä"))
    store.save(second, "signature")

    assert store.identifiers() == ("case.1 ä", "liver_012")
    assert "liver_012" in store
    (store.folder / "liver_012.json").unlink()
    assert store.identifiers() == ("case.1 ä",)
    assert "liver_012" not in store
    assert PreparedCases(store.folder / "nowhere").identifiers() == ()


def test_a_save_that_fails_half_way_leaves_no_case(store, prepared) -> None:
    class DiskError(Exception):
        pass

    class Unwritable(np.ndarray):
        def tofile(self, *_: object) -> None:
            raise DiskError

    with pytest.raises(DiskError):
        store.save(replace(prepared, data=(prepared.data + 1e6).view(Unwritable)), "signature")

    assert "liver_012" not in store
    assert not [path for path in store.folder.iterdir() if path.name.startswith(".writing")]


def test_current_means_the_same_signature_and_whole_files(store) -> None:
    assert store.is_current("liver_012", "signature")
    assert not store.is_current("liver_012", "another")
    assert not store.is_current("liver_013", "signature")
    data = store.folder / "liver_012.npy"
    data.write_bytes(data.read_bytes()[:-4])
    assert not store.is_current("liver_012", "signature")


def test_a_case_that_is_not_there_says_what_to_run(store) -> None:
    with pytest.raises(StorageError, match=r"case liver_013: not prepared in .*; run autoseg_plan_and_preprocess"):
        store.load("liver_013")


@pytest.mark.parametrize("ending", [".npy", "_seg.npy", "_foreground.npy"])
@pytest.mark.parametrize("content", ["cut", "", "PK\x03\x04not an array", "gone", "object"])
def test_a_damaged_array_names_its_case_and_the_remedy(store, ending, content) -> None:
    path = store.folder / f"liver_012{ending}"
    if content == "cut":
        path.write_bytes(path.read_bytes()[:-8])
    elif content == "gone":
        path.unlink()
    elif content == "object":
        np.save(path, np.array([{}]), allow_pickle=True)
    else:
        path.write_bytes(content.encode())

    with pytest.raises(
        StorageError,
        match=rf"case liver_012: damaged in .*: liver_012{ending}: .*; delete liver_012.json there and run "
        "autoseg_plan_and_preprocess again",
    ):
        store.load("liver_012")


@pytest.mark.parametrize("ending", [".npy", "_seg.npy", "_foreground.npy"])
def test_files_of_different_cases_are_not_mixed(store, ending) -> None:
    shape = (1, 2, 3, 4) if ending == ".npy" else (2, 3)
    np.save(store.folder / f"liver_012{ending}", np.zeros(shape, dtype=np.float32))

    with pytest.raises(StorageError, match=r"case liver_012: damaged in .*: its files do not fit each other; delete"):
        store.load("liver_012")


@pytest.mark.parametrize(
    ("change", "problem"),
    [
        ({"format": 99}, "expected format 2, found 99"),
        ({"signature": 3}, "liver_012.json.signature: expected str, found 3"),
        ({"more": 1}, "unknown more"),
    ],
)
def test_a_damaged_marker_names_its_case_and_the_field(store, change, problem) -> None:
    path = store.folder / "liver_012.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | change))

    with pytest.raises(StorageError, match=f"case liver_012: damaged in .*: .*{problem}.*; delete liver_012.json"):
        store.properties("liver_012")
    assert not store.is_current("liver_012", "signature")


def test_a_marker_that_cannot_be_replaced_is_said(store, prepared) -> None:
    marker = store.folder / "liver_012.json"
    marker.unlink()
    marker.mkdir()

    with pytest.raises(StorageError, match=r"liver_012.json: cannot be replaced: .*; check the folder's permissions"):
        store.save(prepared, "signature")
