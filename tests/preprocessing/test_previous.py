"""The input of a cascade: a segmentation of the original image takes the image's own way to the prepared grid."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from autoseg.dataset.coding import OUTSIDE_PLANE, WHOLE
from autoseg.dataset.raw_cases import RawCase
from autoseg.dataset.target import Exclusive, Masks, stored_target
from autoseg.errors import CasesFailed, DatasetError, StorageError
from autoseg.geometry import Geometry
from autoseg.images import Told, write_image
from autoseg.plans import Plans
from autoseg.preprocessing.prepare import PreparedCase, prepare_case, restore_segmentation
from autoseg.preprocessing.previous import PreviousMaps, gather_previous, prepare_previous, read_previous
from autoseg.preprocessing.store import PreparedCases

TARGET = Exclusive.numbered(3)

PERMUTATIONS = st.permutations([0, 1, 2]).map(tuple)
GEOMETRY = Geometry(spacing=(2.0, 1.0, 1.0), origin=(3.0, -4.0, 5.5))


@given(
    order=PERMUTATIONS,
    border=st.tuples(*[st.integers(0, 3)] * 3),
    spacing=st.sampled_from([(1.0, 1.0, 1.0), (4.0, 1.0, 1.0), (1.0, 0.6, 3.5)]),
    scale=st.one_of(st.just((1.0, 1.0, 1.0)), st.tuples(*[st.floats(0.6, 1.5)] * 3)),
)
def test_a_perfect_segmentation_becomes_the_prepared_labels_to_the_voxel(
    make_plans: Any, make_case: Any, order: Any, border: Any, spacing: Any, scale: Any
) -> None:
    """With a zero border that is cropped, transposed axes, and on whatever grid: image and input cannot lie apart."""
    raw = make_case((13, 18, 16), spacing=spacing, border=border)
    target = tuple(spacing[axis] * scale[axis] for axis in order)
    prepared = prepare_case(raw, make_plans(target, order=order), "3d_fullres")

    previous = prepare_previous(raw.segmentation, prepared.properties, target=TARGET)

    np.testing.assert_array_equal(previous, np.maximum(prepared.segmentation, 0))


@given(
    order=PERMUTATIONS,
    border=st.tuples(*[st.integers(0, 3)] * 3),
    scale=st.one_of(st.just((1.0, 1.0, 1.0)), st.tuples(*[st.floats(0.6, 1.5)] * 3)),
)
def test_perfect_masks_become_the_prepared_planes_to_the_voxel(
    make_plans: Any, make_case: Any, order: Any, border: Any, scale: Any
) -> None:
    masks = Masks(names=("whole", "core"))
    raw = make_case((13, 18, 16), border=border)
    overlapping = np.stack([raw.segmentation > 0, raw.segmentation > 1]).astype(np.uint8)
    raw = replace(raw, segmentation=overlapping * np.uint8(WHOLE), planes=((0,), (1,)))
    plans = replace(
        make_plans(tuple(scale[axis] for axis in order), order=order),
        labels=masks.labels,
        target_kind=stored_target(masks),
    )
    prepared = prepare_case(raw, plans, "3d_fullres")

    previous = prepare_previous(overlapping, prepared.properties, target=masks)

    wanted = np.where(prepared.segmentation == OUTSIDE_PLANE, np.uint8(0), prepared.segmentation)
    np.testing.assert_array_equal(previous, wanted)
    assert previous.dtype == np.uint8
    with pytest.raises(DatasetError, match=r"has \(13, 18, 16\) voxels, the image \(2, 13, 18, 16\)"):
        prepare_previous(overlapping[0], prepared.properties, target=masks)
    with pytest.raises(DatasetError, match=r"labels from 0 to 2, but the plans' go from 0 to 1"):
        prepare_previous(overlapping * 2, prepared.properties, target=masks)


def test_perfect_fractions_become_the_prepared_plane(make_plans: Any, make_case: Any, tmp_path: Path) -> None:
    """From a file in which they are written as predictions are."""
    target = Exclusive(names=("background", "lesion"), soft=True)
    raw = make_case((13, 18, 16), border=(1, 0, 2))
    plane = np.random.default_rng(0).integers(0, WHOLE + 1, raw.segmentation.shape).astype(np.uint8)
    plane[raw.data[0] == 0] = 0
    write_image(tmp_path / "case.nii.gz", plane, raw.geometry, Told(step=1 / WHOLE))
    raw = replace(raw, segmentation=plane[None], planes=((0,),))
    plans = replace(make_plans((0.7, 1.2, 1.0)), labels=target.labels, target_kind=stored_target(target))
    prepared = prepare_case(raw, plans, "3d_fullres")

    read = read_previous(tmp_path / "case.nii.gz", raw.geometry, plane.shape, target)
    previous = prepare_previous(read, prepared.properties, target=target)

    np.testing.assert_array_equal(read, plane)
    wanted = np.where(prepared.segmentation == OUTSIDE_PLANE, np.uint8(0), prepared.segmentation)
    np.testing.assert_array_equal(previous, wanted)
    with pytest.raises(DatasetError, match=r"labels from 255 to 255, but the plans' go from 0 to 250"):
        prepare_previous(np.full_like(plane, 255), prepared.properties, target=target)


@pytest.mark.parametrize("border", [(0, 0, 0), (7, 3, 5)])
def test_a_low_resolution_segmentation_lies_where_the_labels_lie(make_plans: Any, make_case: Any, border: Any) -> None:
    """Two grids, the way there and back and there again; coarse voxels cost some of the rim, but move nothing."""
    raw = make_case((40, 44, 42), border=border)
    low = prepare_case(raw, make_plans((1.7, 1.7, 1.7)), "3d_fullres")
    full = prepare_case(raw, make_plans((0.9, 1.1, 1.0), order=(1, 0, 2)), "3d_fullres")

    previous = prepare_previous(restore_segmentation(low.segmentation, low.properties), full.properties, target=TARGET)

    for label, least in ((1, 0.9), (2, 0.9)):
        wanted, found = full.segmentation == label, previous == label
        assert 2 * (wanted & found).sum() / (wanted.sum() + found.sum()) > least
        np.testing.assert_allclose(np.argwhere(found).mean(axis=0), np.argwhere(wanted).mean(axis=0), atol=0.2)


def test_labels_take_no_more_room_than_they_need(make_plans: Any, make_case: Any) -> None:
    raw = make_case()
    properties = prepare_case(raw, make_plans(), "3d_fullres").properties

    assert prepare_previous(raw.segmentation, properties, target=Exclusive.numbered(128)).dtype == np.int8
    many = prepare_previous(raw.segmentation.astype(np.uint16) * 100, properties, target=Exclusive.numbered(201))
    assert many.dtype == np.int16
    assert np.unique(many).tolist() == [0, 100, 200]


def test_another_shape_or_undeclared_labels_are_refused_by_name(make_plans: Any, make_case: Any) -> None:
    raw = make_case((12, 16, 14), border=(1, 1, 1))
    properties = prepare_case(raw, make_plans(), "3d_fullres").properties

    with pytest.raises(DatasetError, match=r"case liver_012: .*has \(10, 14, 12\) voxels, the image \(12, 16, 14\)"):
        prepare_previous(raw.segmentation[1:-1, 1:-1, 1:-1], properties, target=TARGET)
    with pytest.raises(DatasetError, match=r"case liver_012: .*labels from 0 to 2, but the plans' go from 0 to 1"):
        prepare_previous(raw.segmentation, properties, target=Exclusive.numbered(2))
    with pytest.raises(DatasetError, match=r"labels from -1 to 0"):
        prepare_previous(-(raw.segmentation == 1).astype(np.int8), properties, target=TARGET)


def test_a_file_must_lie_on_the_images_grid_and_hold_labels(tmp_path: Path) -> None:
    labels = np.arange(24, dtype=np.uint8).reshape(2, 3, 4)
    path = tmp_path / "a.nii.gz"

    write_image(path, labels.astype(np.float32), GEOMETRY)
    read = read_previous(path, GEOMETRY, (2, 3, 4), TARGET)
    np.testing.assert_array_equal(read, labels)
    assert read.dtype == np.int16

    with pytest.raises(DatasetError, match=r"a\.nii\.gz: lies on another grid .*size \(2, 3, 4\) and \(3, 3, 4\)"):
        read_previous(path, GEOMETRY, (3, 3, 4), TARGET)
    with pytest.raises(DatasetError, match=r"another grid than the image it segments: spacing .*predict that very"):
        read_previous(path, replace(GEOMETRY, spacing=(2.0, 1.1, 1.0)), (2, 3, 4), TARGET)
    write_image(path, labels + np.float32(0.5), GEOMETRY)
    with pytest.raises(DatasetError, match=r"a\.nii\.gz: holds values that are no labels: 0.5, 1.5, .* and 14 more"):
        read_previous(path, GEOMETRY, (2, 3, 4), TARGET)


@pytest.fixture
def task(make_plans: Any, make_case: Any, tmp_path: Path) -> tuple[dict[str, Path], PreparedCases]:
    """Two cases, prepared, and perfect predictions of them."""
    cases, predictions = PreparedCases(tmp_path / "prepared"), {}
    for name in ("a", "b"):
        raw: RawCase = replace(make_case(border=(2, 1, 0)), identifier=name)
        plans: Plans = make_plans((1.3, 0.9, 1.0), order=(1, 0, 2))
        cases.save(prepare_case(raw, plans, "3d_fullres"), "signature")
        predictions[name] = tmp_path / f"{name}.nii.gz"
        write_image(predictions[name], raw.segmentation, raw.geometry)
    return predictions, cases


def test_predictions_are_gathered_once_and_again_when_they_change(task: Any, tmp_path: Path) -> None:
    predictions, cases = task
    maps = PreviousMaps(tmp_path / "previous_stage")
    first = gather_previous(predictions, cases, maps, target=TARGET, workers=1)
    prepared: PreparedCase = cases.load("a")
    np.testing.assert_array_equal(maps.load("a"), np.maximum(prepared.segmentation, 0))
    assert sorted(path.name for path in maps.folder.iterdir()) == ["a.json", "a.npy", "b.json", "b.npy"]
    stamps = {path: path.stat().st_mtime_ns for path in maps.folder.iterdir()}

    assert gather_previous(predictions, cases, maps, target=TARGET, workers=1) == first
    assert {path: path.stat().st_mtime_ns for path in maps.folder.iterdir()} == stamps

    image = read_previous(predictions["b"], prepared.properties.geometry, prepared.properties.original_shape, TARGET)
    write_image(predictions["b"], (image > 0).astype(np.uint8), prepared.properties.geometry)
    changed = gather_previous(predictions, cases, maps, target=TARGET, workers=1)
    assert changed != first
    assert maps.load("b").max() == 1
    assert (maps.folder / "a.npy").stat().st_mtime_ns == stamps[maps.folder / "a.npy"]


def test_a_half_written_or_damaged_map_is_made_again(task: Any, tmp_path: Path) -> None:
    predictions, cases = task
    maps = PreviousMaps(tmp_path / "previous_stage")
    signature = gather_previous(predictions, cases, maps, target=TARGET, workers=1)
    wanted = np.array(maps.load("a"))
    (maps.folder / "a.npy").write_bytes(b"half")
    (maps.folder / "b.json").unlink()

    with pytest.raises(StorageError, match=r"case a: its prediction by the previous stage cannot be opened: .*delete"):
        maps.load("a")
    assert gather_previous(predictions, cases, maps, target=TARGET, workers=1) == signature
    np.testing.assert_array_equal(maps.load("a"), wanted)
    assert (maps.folder / "b.json").is_file()


def test_cases_prepared_on_another_grid_have_their_predictions_prepared_again(
    task: Any, make_plans: Any, make_case: Any, tmp_path: Path
) -> None:
    predictions, cases = task
    maps = PreviousMaps(tmp_path / "previous_stage")
    gather_previous(predictions, cases, maps, target=TARGET, workers=1)
    again = prepare_case(replace(make_case(border=(2, 1, 0)), identifier="a"), make_plans((2, 2, 2)), "3d_fullres")
    cases.save(again, "other")

    gather_previous(predictions, cases, maps, target=TARGET, workers=1)

    np.testing.assert_array_equal(maps.load("a"), np.maximum(again.segmentation, 0))


def test_predictions_that_do_not_fit_are_named_together(task: Any, tmp_path: Path) -> None:
    predictions, cases = task
    write_image(predictions["a"], np.zeros((3, 3, 3), np.uint8), GEOMETRY)

    with pytest.raises(CasesFailed, match=r"previous stage: 1 of 2 cases failed(.|\n)*a: .*lies on another grid"):
        gather_previous(predictions, cases, PreviousMaps(tmp_path / "previous_stage"), target=TARGET, workers=1)
    assert PreviousMaps(tmp_path / "previous_stage").load("b").max() == 2
