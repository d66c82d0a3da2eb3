"""DICOM series: the same voxels and grid as SimpleITK, volumes told apart, faults named, segmentations there and back."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import highdicom as hd
import numpy as np
import pydicom
import pytest
import SimpleITK as sitk
from small_dicom import ORIGIN, SPACING, write_enhanced, write_series

from autoseg.dataset.new_cases import find_new_cases
from autoseg.errors import DatasetError
from autoseg.images import files_of, image_hash, read_image
from autoseg.images.dicom_drawings import masks_of, read_drawing
from autoseg.images.dicom_seg import write_dicom_seg
from autoseg.images.formats.dicom import Series, described, grid_of, series_in


@pytest.fixture
def dicom(data_folder: Path) -> Path:
    if not (data_folder / "dicom_series").is_dir():
        pytest.skip(f"needs {data_folder / 'dicom_series'}, which is absent")
    return data_folder / "dicom_series"


@pytest.fixture
def ct(dicom: Path, tmp_path: Path) -> Path:
    """A copy of five slices, of which the last two are made of the others."""
    folder = tmp_path / "patient"
    folder.mkdir()
    for number in range(5):
        source = dicom / "dcmqi" / "ct-3slice" / f"0{number % 3 + 1}.dcm"
        shutil.copyfile(source, folder / f"{number}.dcm")
    change(folder, lambda number, one: setattr(one, "ImagePositionPatient", [0, 0, -number]))
    return folder


def change(folder: Path, what: Callable[[int, pydicom.Dataset], object]) -> None:
    for number, path in enumerate(sorted(folder.glob("*.dcm"))):
        one = pydicom.dcmread(path)
        one.SOPInstanceUID = f"1.2.3.{number}"
        one.InstanceNumber = number
        what(number, one)
        one.save_as(path)


def refusal(folder: Path) -> str:
    with pytest.raises(DatasetError) as error:
        for one in series_in(folder):
            read_image(one.path)
    return str(error.value).removeprefix(f"{folder}: ")


@pytest.mark.parametrize(
    "folder", ["sunnybrook/SCD0000101_ED", "sunnybrook/SCD0000301_ES", "dcmqi/ct-3slice", "rt_utils/oriented_data"]
)
def test_a_series_is_read_as_simpleitk_reads_it(dicom: Path, folder: str) -> None:
    (series,) = series_in(dicom / folder)
    found = read_image(series.path)
    names = sitk.ImageSeriesReader.GetGDCMSeriesFileNames(str(dicom / folder))
    image = sitk.ReadImage(names)
    np.testing.assert_allclose(found.data, sitk.GetArrayFromImage(image), atol=1e-5)
    np.testing.assert_allclose(found.geometry.spacing, image.GetSpacing()[::-1], rtol=1e-3)
    np.testing.assert_allclose(found.geometry.origin, image.GetOrigin()[::-1], atol=1e-4)
    direction = np.reshape(image.GetDirection(), (3, 3))[::-1, ::-1]
    np.testing.assert_allclose(np.reshape(found.geometry.direction, (3, 3)), direction, atol=1e-4)


def test_it_is_the_volume_that_somebody_else_converted(dicom: Path, data_folder: Path) -> None:
    for name in ("SCD0000101_ED", "SCD0000301_ES"):
        (case,) = find_new_cases(dicom / "sunnybrook" / name, 1)
        found = read_image(case.images[0].path)
        other = read_image(data_folder / "Task101_SunnybrookLV" / "imagesTr" / f"{name}_0000.nii.gz")
        np.testing.assert_array_equal(found.data, other.data)
        assert found.geometry.differences(other.geometry) == ()
        assert case.identifier == name
    assert [case.identifier for case in find_new_cases(dicom / "sunnybrook", 1)] == ["SCD0000101_ED", "SCD0000301_ES"]


def test_all_slices_are_part_of_the_image(ct: Path) -> None:
    (series,) = series_in(ct)
    assert len(files_of(series.path)) == 5
    before = image_hash(series.path)
    change(ct, lambda number, one: setattr(one, "RescaleIntercept", -number))
    assert image_hash(series.path) != before
    assert read_image(series.path).data.shape == (5, 512, 512)


def test_volumes_of_one_folder_are_told_apart(ct: Path, caplog: pytest.LogCaptureFixture) -> None:
    change(ct, lambda number, one: setattr(one, "EchoTime", 10 * (number % 2)))
    assert described(series_in(ct)) == "series2_1 (CT, 3 slices); series2_2 (CT, 2 slices)"
    assert [case.identifier for case in find_new_cases(ct, 1)] == ["patient_series2_1", "patient_series2_2"]
    assert "2 volumes, each a case" in caplog.text
    with pytest.raises(DatasetError, match="2 DICOM series, and the model takes 2 channels; convert each to NIfTI"):
        find_new_cases(ct, 2)


def test_phases_lie_in_one_place_each(ct: Path) -> None:
    (ct / "4.dcm").unlink()
    change(ct, lambda number, one: setattr(one, "ImagePositionPatient", [0, 0, number // 2]))
    first, second = series_in(ct)
    assert [len(one.slices) for one in (first, second)] == [2, 2]
    assert [one.path.name for one in first.slices] == ["0.dcm", "2.dcm"]


def test_localisers_are_left_out(ct: Path) -> None:
    change(ct, lambda number, one: setattr(one, "ImageType", ["ORIGINAL", "PRIMARY", "LOCALIZER"]) if number > 2 else 0)
    assert described(series_in(ct)) == "series2 (CT, 3 slices)"
    with pytest.raises(DatasetError, match="is no slice of an image"):
        read_image(ct / "4.dcm")


@pytest.mark.parametrize(
    ("what", "problem"),
    [
        (
            lambda number, one: setattr(one, "ImagePositionPatient", [0, 0, number + (number > 2)]),
            "series2: a gap of 2 mm behind slice 3, where others lie 1 mm apart; add the files that are missing",
        ),
        (
            lambda number, one: setattr(one, "ImagePositionPatient", [0, 0, min(number, 3)]),
            "series2: several slices lie in one place (-3.00 mm along their normal), some in it alone",
        ),
        (
            lambda number, one: setattr(one, "ImagePositionPatient", [0, number / 2, number]),
            "series2: its slices lean by 26.6 degrees, as where the gantry was tilted",
        ),
        (
            lambda number, one: setattr(one, "PixelSpacing", [1, 1 + number // 4]),
            "series2: its slices have pixels of several sizes",
        ),
        (
            lambda _, one: delattr(one, "ImagePositionPatient"),
            "does not say where its slice lies (ImagePositionPatient)",
        ),
        (lambda _, one: setattr(one, "SamplesPerPixel", 3), "holds colours; save its gray values"),
        (
            lambda _, one: setattr(one, "ImageOrientationPatient", [1, 0, 0, 0.3, 1, 0]),
            "its axes are not perpendicular",
        ),
        (lambda _, one: setattr(one, "PixelData", b"12"), "is truncated or damaged ("),
    ],
)
def test_what_is_no_straight_stack_is_named(
    ct: Path, what: Callable[[int, pydicom.Dataset], object], problem: str
) -> None:
    change(ct, what)
    assert problem.replace("-3.00", "3.00") in refusal(ct).replace("-3.00", "3.00")


def test_an_enhanced_file_is_the_volume_of_its_slices(dicom: Path) -> None:
    for name in ("23x38x3", "24x38x3"):
        (slices,), (frames,) = (series_in(dicom / "dcmqi" / name / kind) for kind in ("image", "multiframe"))
        one, other = read_image(slices.path), read_image(frames.path)
        np.testing.assert_array_equal(one.data, other.data)
        assert one.geometry.differences(other.geometry) == ()


def test_frames_are_ordered_by_their_places_and_rescaled_each_by_itself(tmp_path: Path) -> None:
    voxels = np.random.default_rng(1).integers(-900, 900, (4, 6, 5))
    write_enhanced(tmp_path / "mf.dcm", voxels)
    image = read_image(tmp_path / "mf.dcm")
    np.testing.assert_array_equal(image.data, voxels)
    assert image.geometry.spacing == SPACING
    assert image.geometry.origin == ORIGIN
    assert files_of(tmp_path / "mf.dcm") == (tmp_path / "mf.dcm",)


def test_echoes_in_one_file_and_frames_without_places_are_refused(tmp_path: Path) -> None:
    write_enhanced(tmp_path / "mf.dcm", np.zeros((4, 6, 5), int), echoes=2)
    with pytest.raises(DatasetError, match=r"mf\.dcm: holds 2 volumes in one file, as echoes or phases are; save each"):
        series_in(tmp_path)
    content = pydicom.dcmread(tmp_path / "mf.dcm")
    del content.PerFrameFunctionalGroupsSequence
    content.save_as(tmp_path / "mf.dcm")
    with pytest.raises(DatasetError, match="holds several frames and does not say where each of them lies; export"):
        series_in(tmp_path)


def test_screenshots_and_doses_are_no_slices(tmp_path: Path) -> None:
    write_series(tmp_path, np.zeros((3, 6, 5), int))
    for name, changes in (
        ("1.dcm", {"SOPClassUID": "1.2.840.10008.5.1.4.1.1.7", "ImagePositionPatient": None, "SamplesPerPixel": 3}),
        ("2.dcm", {"Modality": "RTDOSE", "NumberOfFrames": 4}),
    ):
        one = pydicom.dcmread(tmp_path / "03.dcm")
        for tag, value in changes.items():
            setattr(one, tag, value)
        if changes.get("ImagePositionPatient", ...) is None:
            del one.ImagePositionPatient
        one.save_as(tmp_path / name)
    assert described(series_in(tmp_path)) == "series4 (CT, 3 slices)"


def test_a_segmentation_comes_back_label_for_label_and_names_nobody(ct: Path, tmp_path: Path) -> None:
    change(ct, lambda _, one: (setattr(one, "PatientName", "Doe^Jane"), setattr(one, "PatientID", "MRN-4711")))
    (series,) = series_in(ct)
    labels = np.zeros((5, 512, 512), np.uint8)
    labels[1:3, 100:120, 30:60], labels[4, :9, -7:] = 1, 3
    write_dicom_seg(
        tmp_path / "seg.dcm", labels, series, ("background", "liver", "", "spleen"), "autoseg of some origin"
    )

    found = drawn(tmp_path / "seg.dcm", series)
    assert list(found) == ["liver", "spleen"]
    np.testing.assert_array_equal(found["liver"], labels == 1)
    np.testing.assert_array_equal(found["spleen"], labels == 3)
    content = (tmp_path / "seg.dcm").read_bytes()
    assert b"Doe" not in content
    assert b"MRN-4711" not in content
    written = pydicom.dcmread(tmp_path / "seg.dcm")
    assert written.StudyInstanceUID == pydicom.dcmread(series.path).StudyInstanceUID
    assert [one.SegmentLabel for one in written.SegmentSequence] == ["liver", "spleen"]
    assert len({tuple(one.RecommendedDisplayCIELabValue) for one in written.SegmentSequence}) == 2


@pytest.mark.parametrize(
    "folder",
    ["sunnybrook/SCD0000101_ED", "sunnybrook/SCD0000301_ES", "rt_utils/oriented_data", "rt_utils/one_slice_data"],
)
def test_what_programs_leave_that_take_names_away_can_be_segmented(dicom: Path, tmp_path: Path, folder: str) -> None:
    """Dates of no month, a frame of reference for each slice, or none at all; axes that differ in their last decimals."""
    (series,) = series_in(dicom / folder)
    labels = np.zeros(series.shape, np.uint8)
    labels[-1, 10:20, 9:30] = 1
    write_dicom_seg(tmp_path / "seg.dcm", labels, series, ("background", "LV"))
    np.testing.assert_array_equal(drawn(tmp_path / "seg.dcm", series)["LV"], labels == 1)
    assert b"SCD0000" not in (tmp_path / "seg.dcm").read_bytes()


def test_a_series_that_no_segmentation_can_be_of_is_named(ct: Path, tmp_path: Path) -> None:
    change(ct, lambda _, one: delattr(one, "StudyID"))
    (series,) = series_in(ct)
    with pytest.raises(
        DatasetError, match=r"patient: cannot be written as DICOM segmentation \(.*StudyID.*\); export the se"
    ):
        write_dicom_seg(tmp_path / "seg.dcm", np.zeros(series.shape, np.uint8), series, ("background", "LV"))
    assert not (tmp_path / "seg.dcm").exists()


def test_highdicom_reads_what_is_written_of_frames(tmp_path: Path) -> None:
    """Frames are stored from the last slice to the first, as in the image."""
    labels = np.random.default_rng(2).integers(0, 3, (4, 6, 5)).astype(np.uint8)
    write_enhanced(tmp_path / "mf.dcm", labels.astype(int))
    (series,) = series_in(tmp_path)
    write_dicom_seg(tmp_path / "out" / "seg.dcm", labels, series, ("background", "one", "two"))
    found = hd.seg.segread(tmp_path / "out" / "seg.dcm").get_pixels_by_source_frame(
        series.slices[0].instance, [one.frame + 1 for one in series.slices], combine_segments=True
    )
    np.testing.assert_array_equal(found, labels)
    np.testing.assert_array_equal(drawn(tmp_path / "out" / "seg.dcm", series)["two"], labels == 2)


def drawn(path: Path, series: Series) -> dict[str, np.ndarray]:
    drawing = read_drawing(path)
    assert drawing is not None
    masks = masks_of(path, drawing.structures.values(), grid_of(series))
    return dict(zip(drawing.structures, masks, strict=True))
