"""Structures drawn on DICOM series: exact voxels of curves, and segmentations of other programs with the values they have."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import pydicom
import pytest
from hypothesis import given
from hypothesis import strategies as st
from matplotlib.path import Path as Polygon
from small_dicom import Curve, rectangle, write_series, write_structures

from autoseg.errors import DatasetError
from autoseg.images import read_label
from autoseg.images.dicom_contours import inside_of
from autoseg.images.dicom_drawings import DicomDrawing, is_drawn_on, masks_of, may_be_drawn_on, read_drawing
from autoseg.images.formats.dicom import Series, grid_of, series_in

SHAPE = (3, 12, 10)


@pytest.fixture
def dicom(data_folder: Path) -> Path:
    if not (data_folder / "dicom_series").is_dir():
        pytest.skip(f"needs {data_folder / 'dicom_series'}, which is absent")
    return data_folder / "dicom_series"


def opened(path: Path) -> DicomDrawing:
    found = read_drawing(path)
    assert found is not None
    return found


def masks(path: Path, series: Series) -> dict[str, np.ndarray]:
    structures = opened(path).structures
    return dict(zip(structures, masks_of(path, structures.values(), grid_of(series)), strict=True))


def drawn(tmp_path: Path, *curves: Curve, kind: str = "CLOSED_PLANAR") -> np.ndarray:
    uid = write_series(tmp_path / "ct", np.zeros(SHAPE, int))
    write_structures(tmp_path / "rt.dcm", uid, {"ROI": curves}, kind)
    (series,) = series_in(tmp_path / "ct")
    return masks(tmp_path / "rt.dcm", series)["ROI"]


# ------------------------------------------------------------------- curves


def test_a_square_holds_the_voxels_whose_centres_lie_in_it(tmp_path: Path) -> None:
    expected = np.zeros(SHAPE, bool)
    expected[1, 3:7, 2:9] = True
    np.testing.assert_array_equal(drawn(tmp_path, rectangle(1, (2.5, 6.5), (1.5, 8.5))), expected)


def test_a_curve_in_a_curve_is_a_hole_on_its_slice_alone(tmp_path: Path) -> None:
    outer, inner = ((0.6, 10.4), (0.6, 8.4)), ((3.5, 6.5), (2.5, 5.5))
    found = drawn(tmp_path, rectangle(0, *outer), rectangle(0, *inner), rectangle(2, *outer))
    expected = np.zeros(SHAPE, bool)
    expected[0, 1:11, 1:9] = expected[2, 1:11, 1:9] = True
    expected[0, 4:7, 3:6] = False
    np.testing.assert_array_equal(found, expected)


def test_a_ring_in_one_curve_that_runs_in_and_out_has_its_hole(tmp_path: Path) -> None:
    outer, inner = rectangle(1, (0.5, 9.5), (0.5, 8.5)), rectangle(1, (3.5, 6.5), (3.5, 6.5))
    found = drawn(tmp_path, [*outer, outer[0], *reversed(inner), inner[-1]])
    expected = np.zeros(SHAPE, bool)
    expected[1, 1:10, 1:9] = True
    expected[1, 4:7, 4:7] = False
    np.testing.assert_array_equal(found, expected)


def test_sides_through_centres_keep_the_area_and_what_leaves_the_image_is_cut(tmp_path: Path) -> None:
    expected = np.zeros(SHAPE, bool)
    expected[1, 2:6, 3:7] = True
    np.testing.assert_array_equal(drawn(tmp_path, rectangle(1, (2, 6), (3, 7))), expected)
    assert drawn(tmp_path / "large", rectangle(1, (-5, 40), (-7, 30)))[1].all()


@given(st.lists(st.tuples(st.floats(-3, 15), st.floats(-3, 13)), min_size=3, max_size=9))
def test_every_voxel_counts_the_curves_sides_at_its_left(corners: list[tuple[float, float]]) -> None:
    """The rule itself, voxel by voxel: a ray to the left crosses an odd number of sides."""
    points = np.round(corners, 6)
    found = inside_of([points], (12, 10))
    for row, column in np.ndindex(12, 10):
        crossed = 0
        for (y, x), (other_y, other_x) in zip(points, np.roll(points, -1, axis=0), strict=True):
            if (y <= row) != (other_y <= row) and (y != row or other_y != row):
                at = x + (row - y) * (other_x - x) / (other_y - y)
                if abs(at - column) < 1e-5:
                    break
                crossed += at < column
        else:
            if not any(y == row for y, _ in points):
                assert found[row, column] == crossed % 2


def test_a_real_structure_set_with_a_hole_is_filled_as_matplotlib_fills_it(dicom: Path) -> None:
    (series,) = series_in(dicom / "rt_utils" / "mock_data")
    path = dicom / "rt_utils" / "mock_data" / "rt.dcm"
    (mask,) = masks(path, series).values()
    rows, columns = np.mgrid[:512, :512]
    centres = np.column_stack([columns.ravel(), rows.ravel()]) * 0.488281 - 125
    curves = pydicom.dcmread(path).ROIContourSequence[0].ContourSequence
    outer, inner = (
        Polygon(np.array(one.ContourData, float).reshape(-1, 3)[:, :2]).contains_points(centres) for one in curves
    )
    np.testing.assert_array_equal(mask[0].ravel(), outer & ~inner)
    assert mask[0].sum() == 1443
    assert not mask[1].any()


def test_curves_where_no_slice_is_are_named(dicom: Path, tmp_path: Path) -> None:
    (series,) = series_in(dicom / "rt_utils" / "mock_data")
    for name in ("invalid_reference_rt", "non_existent_reference_rt"):
        path = dicom / "rt_utils" / "mock_data" / f"{name}.dcm"
        assert is_drawn_on(opened(path), series)
        with pytest.raises(
            DatasetError, match=r"1 curve lies beyond the slices of .*mock_data \(at z = 70 mm\); add the sl"
        ):
            masks(path, series)
    with pytest.raises(
        DatasetError, match=r"curves of a structure lie between the slices of .*ct or across them; name"
    ):
        drawn(tmp_path, rectangle(0.5, (1, 2), (3, 4)))


def test_points_and_open_lines_and_empty_templates_are_no_structures(tmp_path: Path) -> None:
    write_structures(tmp_path / "rt.dcm", "1.2", {"isocentre": [rectangle(0, (1, 2), (3, 4))]}, "POINT")
    assert opened(tmp_path / "rt.dcm").structures == {}
    write_structures(tmp_path / "rt.dcm", "1.2", {"empty": [], " GTV  1": [rectangle(0, (1, 2), (3, 4))]})
    assert opened(tmp_path / "rt.dcm").structures == {"GTV 1": (2,)}
    write_structures(tmp_path / "rt.dcm", "1.2", {" ": [rectangle(0, (1, 2), (3, 4))]})
    with pytest.raises(DatasetError, match=r"rt\.dcm: its structure 1 has no name; name it, and export it again"):
        read_drawing(tmp_path / "rt.dcm")


# ----------------------------------------------------------------- segments


@pytest.mark.parametrize(
    ("file", "image", "label"),
    [
        ("23x38x3/seg/label.seg", "23x38x3/image", "23x38x3/nrrd/label.nrrd"),
        ("24x38x3/seg/label.seg", "24x38x3/image", "24x38x3/nrrd/label.nrrd"),
        ("24x38x3/seg/label.seg", "24x38x3/multiframe", "24x38x3/nrrd/label.nrrd"),
        ("sparse-labelmap-noppv.dcm", "24x38x3/image", "sparse_labelmap_noppv_seg.nrrd"),
        ("sparse-labelmap-ppv5.dcm", "24x38x3/image", "sparse_labelmap_ppv5_seg.nrrd"),
        ("liver.dcm", "ct-3slice", "liver_seg.nrrd"),
    ],
)
def test_segmentations_of_other_programs_have_their_values(dicom: Path, file: str, image: str, label: str) -> None:
    (series,) = series_in(dicom / "dcmqi" / image)
    ((name, mask),) = masks(dicom / "dcmqi" / file, series).items()
    assert name == "Liver"
    np.testing.assert_array_equal(mask, read_label(dicom / "dcmqi" / label).data == 1)


def test_overlapping_segments_are_masks_of_their_own(dicom: Path) -> None:
    (series,) = series_in(dicom / "dcmqi" / "ct-3slice")
    parts = list(masks(dicom / "dcmqi" / "partial_overlaps.dcm", series).values())
    assert [int((parts[one] & parts[other]).sum()) for one, other in ((0, 1), (0, 2), (1, 2))] == [3017, 95, 50]
    maps = [read_label(dicom / "dcmqi" / f"partial_overlaps-{number}.nrrd").data for number in (1, 2, 3)]
    for number, part in enumerate(parts, start=1):
        np.testing.assert_array_equal(part, np.any([one == number for one in maps], axis=0))


def test_a_segmentation_knows_its_series_and_lies_on_no_other(dicom: Path) -> None:
    (series,) = series_in(dicom / "dcmqi" / "ct-3slice")
    (other,), (frames,) = (series_in(dicom / "dcmqi" / "24x38x3" / kind) for kind in ("image", "multiframe"))
    liver, label = opened(dicom / "dcmqi" / "liver.dcm"), opened(dicom / "dcmqi" / "24x38x3" / "seg" / "label.seg")
    assert [is_drawn_on(liver, one) for one in (series, other)] == [True, False]
    assert [is_drawn_on(label, one) for one in (other, frames)] == [True, False]
    assert [may_be_drawn_on(label, one) for one in (other, frames, series)] == [True, True, False]
    with pytest.raises(
        DatasetError, match=r"liver\.dcm: lies on another grid than .*image: its frames have 512 x 512 pix"
    ):
        masks(liver.path, other)
    (moved,) = series_in(dicom / "dcmqi" / "23x38x3" / "image")
    with pytest.raises(DatasetError, match="its frames have 38 x 24 pixels, 38 x 23 has; resample it onto that series"):
        masks(label.path, moved)


def test_what_reads_segmentations_may_be_missing(dicom: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (series,) = series_in(dicom / "dcmqi" / "ct-3slice")
    monkeypatch.setitem(sys.modules, "highdicom", None)
    with pytest.raises(
        DatasetError, match=r"liver\.dcm: is a DICOM segmentation, which the package highdicom reads; install"
    ):
        masks(dicom / "dcmqi" / "liver.dcm", series)


def test_a_frame_beside_all_slices_is_named(dicom: Path, tmp_path: Path) -> None:
    (series,) = series_in(dicom / "dcmqi" / "24x38x3" / "image")
    one = pydicom.dcmread(dicom / "dcmqi" / "24x38x3" / "seg" / "label.seg")
    one.PerFrameFunctionalGroupsSequence[1].PlanePositionSequence[0].ImagePositionPatient[0] += 0.7
    one.save_as(tmp_path / "seg.dcm")
    with pytest.raises(DatasetError, match=r"a frame at \(47\.1649, 5\.01881, -175\.25\) mm covers none of the slices"):
        masks(tmp_path / "seg.dcm", series)
