"""DICOM series with what was drawn on them, as tasks: labels by their names, cases named by nobody, choices and faults said."""

from __future__ import annotations

import gzip
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pydicom
import pytest
from small_dicom import SECRETS, rectangle, write_enhanced, write_series, write_structures

from autoseg.conversion.layouts import Conversion, convert_dataset
from autoseg.conversion.settings import ConversionSettings
from autoseg.dataset import read_dataset
from autoseg.dataset.target import Masks
from autoseg.errors import DatasetError
from autoseg.images import read_image, read_label, write_image
from autoseg.images.dicom_seg import write_dicom_seg
from autoseg.images.formats.dicom import grid_of, series_in
from autoseg.planning.verification import verify_dataset

SHAPE = (4, 12, 10)
HEART, LUNG = (1, (1.5, 5.5), (2.5, 6.5)), (1, (6.5, 9.5), (2.5, 6.5))


def voxels(number: int) -> np.ndarray:
    return np.random.default_rng(number).integers(-200, 300, SHAPE)


def scan(folder: Path, number: int, structures: dict[str, Any] | None = None, **changes: Any) -> str:
    """A series, and where there is anything a structure set beside it."""
    uid = write_series(folder / "ct", voxels(number), **changes)
    if structures is not None:
        curves = {name: [rectangle(*box)] for name, box in structures.items()}
        write_structures(folder / "rt.dcm", uid, curves)
    return uid


def convert(source: Path, **settings: Any) -> Conversion:
    before = {path: path.read_bytes() for path in source.rglob("*") if path.is_file()}
    try:
        return convert_dataset(source, source.parent / "raw" / settings.get("name", ""), ConversionSettings(**settings))
    finally:
        assert before == {path: path.read_bytes() for path in source.rglob("*") if path.is_file()}


def box(*places: tuple[int, tuple[float, float], tuple[float, float]]) -> np.ndarray:
    mask = np.zeros(SHAPE, bool)
    for place, rows, columns in places:
        mask[
            place, int(np.ceil(rows[0])) : int(np.ceil(rows[1])), int(np.ceil(columns[0])) : int(np.ceil(columns[1]))
        ] = 1
    return mask


def refusal(source: Path, **settings: Any) -> str:
    with pytest.raises(DatasetError) as error:
        convert(source, **settings)
    assert not (source.parent / "raw").exists() or not any((source.parent / "raw").iterdir())
    return str(error.value).replace(str(source), "SOURCE")


@pytest.fixture
def source(tmp_path: Path) -> Path:
    return tmp_path / "scans"


def test_structures_of_all_cases_become_one_map_by_their_names(source: Path) -> None:
    scan(source / "Doe_Jane", 1, {"heart": HEART, "lung": LUNG})
    scan(source / "Roe_Joe", 2, {"Left lung": LUNG, "heart": HEART})
    scan(source / "zz_new", 3)
    done = convert(source)

    dataset = read_dataset(done.folder)
    assert dataset.channels == ("CT",)
    assert dataset.target.labels == ("background", "heart", "Left_lung", "lung")
    assert [case.identifier for case in dataset.training] == ["case_001", "case_002"]
    assert [case.identifier for case in dataset.test] == ["case_003"]
    np.testing.assert_array_equal(read_image(done.folder / "imagesTr/case_001_0000.nii.gz").data, voxels(1))
    (series,) = series_in(source / "Doe_Jane" / "ct")
    label = read_label(done.folder / "labelsTr/case_001.nii.gz")
    assert label.geometry.differences(grid_of(series).geometry) == ()
    np.testing.assert_array_equal(label.data, box(HEART) * 1 + box(LUNG) * 3)
    np.testing.assert_array_equal(read_label(done.folder / "labelsTr/case_002.nii.gz").data, box(HEART) + box(LUNG) * 2)
    assert not verify_dataset(done.folder, workers=1).errors
    notes = done.understood.notes
    assert notes[0] == "drawn in 2 RTSTRUCT"
    assert notes[1].startswith(
        "cases are called case_001, case_002, ... in the order of the folders, never after patients"
    )
    assert "lung was not drawn in 1 case: case_002" in notes


def test_nobody_is_named_in_what_is_written(source: Path) -> None:
    scan(source / "Doe^Jane 4711-0815", 1, {"heart": HEART})
    write_enhanced(source / "Doe^Jane 4711-0815" / "mr.dcm", voxels(4))
    scan(source / "Doe_19700102", 2, {"heart": HEART})
    done = convert(source)
    files = [path for path in done.folder.rglob("*") if path.is_file()]
    assert len(files) == 6
    for path in files:
        content = gzip.decompress(path.read_bytes()) if path.suffix == ".gz" else path.read_bytes()
        assert not [secret for secret in SECRETS if secret in content or secret.decode() in path.name]


def test_labels_are_chosen_by_name_and_others_are_left_alone(source: Path) -> None:
    scan(source / "a", 1, {"Heart": HEART, "BODY": (1, (0, 11), (0, 9))})
    scan(source / "b", 2, {"heart": HEART, "BODY": (1, (0, 11), (0, 9))})
    everything = convert(source, name="All")
    assert isinstance(read_dataset(everything.folder).target, Masks)
    assert any(
        note.startswith("these overlap, so each label is a mask of its own") for note in everything.understood.notes
    )
    assert "taken for one name: Heart, heart" in everything.understood.notes

    chosen = convert(source, labels=("HEART",), name="Chosen")
    assert read_dataset(chosen.folder).target.labels == ("background", "Heart")
    assert "drawn, too, and no labels here: BODY" in chosen.understood.notes
    last = convert(source, overlap="last", labels=("body", "heart"), name="Last")
    np.testing.assert_array_equal(np.unique(read_label(last.folder / "labelsTr/case_001.nii.gz").data[1]), [0, 1, 2])
    said = refusal_of(source, labels=("hart",))
    assert said == "SOURCE: no structure is called hart; did you mean Heart?; there are BODY, Heart"


def refusal_of(source: Path, **settings: Any) -> str:
    with pytest.raises(DatasetError) as error:
        convert(source, **settings)
    return str(error.value).replace(str(source), "SOURCE")


def test_series_of_one_patient_stay_together_and_those_without_a_label_are_listed(source: Path) -> None:
    for patient, visits in (("p1", ("first", "second")), ("p2", ("first",))):
        for number, visit in enumerate(visits):
            scan(source / patient / visit, number, {"heart": HEART})
    write_series(source / "p1" / "first" / "thin", voxels(7), SeriesNumber=9)
    done = convert(source)
    facts = (done.folder / "metadata.tsv").read_text()
    assert facts == "case\tpatient\ncase_001\tpatient_001\ncase_002\tpatient_001\ncase_003\tpatient_002\n"
    assert "left out, without a label: p1/first/thin, series9 (CT, 4 slices)" in done.understood.notes


def test_of_many_series_without_a_label_some_are_named(source: Path) -> None:
    scan(source / "a", 1, {"heart": HEART})
    for number in range(12):
        write_series(source / "a" / f"s{number:02d}", np.zeros((1, 4, 4), int), SeriesNumber=number)
    write_series(source / "b", np.zeros((1, 4, 4), int))
    left = [note for note in convert(source).understood.notes if note.startswith("left out, without a label: ")]
    assert len(left) == 11
    assert left[0].endswith("a/s00, series0 (CT, 1 slice)")
    assert left[-1].endswith(": 2 more series")


def test_a_drawing_finds_its_series_wherever_it_lies(source: Path) -> None:
    """By the series it refers to; without any by the one in its frame of reference that it lies on."""
    first, second = (write_series(source / "images" / name, voxels(1), SeriesNumber=2) for name in ("a", "b"))
    write_structures(source / "drawn" / "b.dcm", second, {"heart": [rectangle(*HEART)]})
    write_structures(source / "drawn" / "a.dcm", first, {"lung": [rectangle(*LUNG)]})
    content = pydicom.dcmread(source / "drawn" / "a.dcm")
    del content.ReferencedFrameOfReferenceSequence[0].RTReferencedStudySequence
    content.save_as(source / "drawn" / "a.dcm")
    done = convert(source)
    np.testing.assert_array_equal(read_label(done.folder / "labelsTr/case_001.nii.gz").data > 0, box(LUNG))
    np.testing.assert_array_equal(read_label(done.folder / "labelsTr/case_002.nii.gz").data > 0, box(HEART))


def test_phases_of_one_series_are_told_apart_by_the_images_that_are_referred_to(source: Path) -> None:
    uid = write_series(source / "a", voxels(1))
    for path in sorted((source / "a").iterdir()):
        one = pydicom.dcmread(path)
        one.SOPInstanceUID, one.TemporalPositionIdentifier = f"{one.SOPInstanceUID}.9", 2
        one.save_as(path.with_name(f"late_{path.name}"))
    late = series_in(source / "a")[1]
    write_dicom_seg(source / "seg.dcm", box(HEART).astype(np.uint8), late, ("background", "heart"))
    write_series(source / "b", voxels(2), SeriesNumber=2)
    done = convert(source)
    assert [case.identifier for case in done.understood.training] == ["case_001"]
    assert done.understood.training[0].images[0].path == late.path
    assert "left out, without a label: a, series4_1 (CT, 4 slices)" in done.understood.notes
    assert uid in late.slices[0].instance


def test_label_images_lie_on_their_series(source: Path) -> None:
    for name, number in (("a", 1), ("b", 2)):
        write_series(source / name / "ct", voxels(number))
        (series,) = series_in(source / name / "ct")
        labels = np.where(box(HEART), 4, 0).astype(np.uint8)
        write_image(source / name / "label.nii.gz", labels, grid_of(series).geometry)
    assert refusal(source).endswith(
        "the values are 0, 4, but labels are numbered 0, 1, 2, ... without a gap; add `remap_labels` to have them renumbered in "
        "the copies (0 to 0, 4 to 1)"
    )
    done = convert(source, remap_labels=True, labels=("heart",))
    assert read_dataset(done.folder).target.labels == ("background", "heart")
    np.testing.assert_array_equal(read_label(done.folder / "labelsTr/case_002.nii.gz").data, box(HEART))
    assert not verify_dataset(done.folder, workers=1).errors


# ----------------------------------------------------------------- real files


@pytest.fixture
def dcmqi(data_folder: Path) -> Path:
    if not (data_folder / "dicom_series").is_dir():
        pytest.skip(f"needs {data_folder / 'dicom_series'}, which is absent")
    return data_folder / "dicom_series" / "dcmqi"


def test_segmentations_of_other_programs_become_labels(dcmqi: Path, source: Path) -> None:
    """Whole and sparse frames, a map of numbers, and a copy of the series in one file, which only the frame of reference tells."""
    cases = (
        ("ct-3slice", "liver.dcm", "liver_seg.nrrd"),
        ("24x38x3/image", "sparse-labelmap-ppv5.dcm", "sparse_labelmap_ppv5_seg.nrrd"),
        ("23x38x3/multiframe", "23x38x3/seg/label.seg", "23x38x3/nrrd/label.nrrd"),
    )
    for number, (image, drawing, _) in enumerate(cases):
        shutil.copytree(dcmqi / image, source / f"p{number}" / "ct")
        shutil.copyfile(dcmqi / drawing, source / f"p{number}" / "seg")
    done = convert(source)
    assert read_dataset(done.folder).target.labels == ("background", "Liver")
    for number, (_, _, label) in enumerate(cases, start=1):
        found = read_label(done.folder / f"labelsTr/case_00{number}.nii.gz")
        np.testing.assert_array_equal(found.data, read_label(dcmqi / label).data == 1)
    assert not verify_dataset(done.folder, workers=1).errors


def test_overlapping_segments_become_masks(dcmqi: Path, source: Path) -> None:
    shutil.copytree(dcmqi / "ct-3slice", source / "p")
    shutil.copyfile(dcmqi / "partial_overlaps.dcm", source / "p" / "seg.dcm")
    done = convert(source)
    names = ("DARK_BLUE", "GREEN", "LIGHT_BLUE", "ORANGE", "PURPLE")
    target = read_dataset(done.folder).target
    assert isinstance(target, Masks) and target.names == names
    sums = [int(read_label(done.folder / f"labelsTr/case_001_{name}.nii.gz").data.sum()) for name in names]
    assert sums == [4713, 9602, 6693, 11888, 117 + 117 + 10509]


def test_labels_of_somebody_elses_nifti_fit_the_real_series(data_folder: Path, dcmqi: Path, source: Path) -> None:
    for name in ("SCD0000101_ED", "SCD0000301_ES"):
        shutil.copytree(dcmqi.parent / "sunnybrook" / name, source / name)
        label = data_folder / "Task101_SunnybrookLV" / "labelsTr" / f"{name}.nii.gz"
        shutil.copyfile(label, source / name / "label.nii.gz")
    done = convert(source, labels=("LV",))
    assert read_dataset(done.folder).channels == ("MR",)
    assert not verify_dataset(done.folder, workers=1).errors


# ------------------------------------------------------------------- refused


def lone(source: Path, structures: dict[str, Sequence[Any]], series: str = "") -> None:
    uid = write_series(source / "a" / "ct", voxels(1))
    write_structures(source / "a" / "rt.dcm", series or uid, structures)


def test_series_without_anything_drawn_say_what_labels_are(source: Path) -> None:
    scan(source / "a", 1)
    assert refusal(source) == (
        "SOURCE: 1 DICOM series without a label; a label is a DICOM segmentation (SEG), a structure set (RTSTRUCT), or an image "
        "such as label.nii.gz on the grid of the series"
    )


def test_a_structure_set_of_another_series_is_named(source: Path) -> None:
    lone(source, {"heart": [rectangle(*HEART)]}, series="1.2.3.4")
    assert refusal(source) == (
        "SOURCE: 1 DICOM series, and none that was drawn on: a/rt.dcm (RTSTRUCT); put the series that it was drawn on beside it"
    )
    scan(source / "b", 2, {"heart": HEART})
    assert "left out, for its series is not here: a/rt.dcm" in convert(source).understood.notes


def test_what_is_drawn_twice_or_named_alike_is_named(source: Path) -> None:
    uid = scan(source / "a", 1, {"heart": HEART})
    write_structures(source / "a" / "second.dcm", uid, {"Heart": [rectangle(*HEART)], "lung": [rectangle(*LUNG)]})
    assert refusal(source) == (
        "SOURCE/a/second.dcm: Heart is drawn in SOURCE/a/rt.dcm, too, on the same series; keep one of the two, or name other "
        "labels (`labels`)"
    )
    convert(source, labels=("lung",))
    write_structures(source / "a" / "second.dcm", uid, {"GTV 1": [rectangle(*HEART)], "gtv_1": [rectangle(*LUNG)]})
    (source / "a" / "rt.dcm").unlink()
    assert refusal_of(source) == (
        "SOURCE/a/second.dcm: names of structures differ in case or signs only: GTV 1, gtv_1; rename or delete one"
    )


def test_a_missing_slice_and_a_damaged_file_are_named_with_their_case(source: Path) -> None:
    scan(source / "a", 1, {"heart": HEART})
    (source / "a" / "ct" / "10.dcm").unlink()
    assert refusal(source) == (
        "SOURCE: the labels of 1 of 1 case cannot be used\n  case_001: SOURCE/a/ct: series4: a gap of 5 mm behind slice 1, where "
        "others lie 2.5 mm apart; add the files that are missing, or resample the slices\nNothing was written; put this right, or "
        "take it away, and convert again."
    )
    path = source / "a" / "ct" / "03.dcm"
    path.write_bytes(path.read_bytes()[:-400])
    assert refusal(source).startswith(
        "SOURCE: 1 folder of DICOM files cannot be used\n  SOURCE/a/ct/03.dcm: is truncated"
    )


def test_series_of_several_kinds_are_one_channel_only_where_that_is_said(source: Path) -> None:
    scan(source / "a", 1, {"heart": HEART})
    scan(source / "b", 2, {"heart": HEART}, Modality="MR")
    assert refusal(source) == (
        "SOURCE: what is drawn lies on series of several kinds: 1 CT, 1 MR; convert a folder of each, or say with `channels` "
        "what they all are"
    )
    assert read_dataset(convert(source, channels=("image",)).folder).channels == ("image",)
    assert refusal_of(source, channels=("CT", "PET")).startswith(
        "SOURCE: 2 channels are named (CT, PET), but a DICOM series is one; name one, or convert the series to NIfTI"
    )


def test_a_label_image_on_another_grid_is_named(source: Path) -> None:
    scan(source / "a", 1)
    (series,) = series_in(source / "a" / "ct")
    geometry = grid_of(series).geometry
    write_image(source / "a" / "label.nii.gz", np.ones((3, 12, 10), np.uint8), geometry)
    assert refusal(source) == (
        "SOURCE/a/label.nii.gz: lies on another grid than the series a/ct: size (3, 12, 10) and (4, 12, 10) voxels (z, y, x); "
        "resample it onto that series, or take it away"
    )
    for name in ("label.nii.gz", "second.nrrd"):
        write_image(source / "a" / name, np.ones(SHAPE, np.uint8), geometry)
    assert refusal(source) == (
        "SOURCE/a/second.nrrd: SOURCE/a/label.nii.gz is a label of the same series; keep one of the two, with another number for "
        "each structure"
    )
