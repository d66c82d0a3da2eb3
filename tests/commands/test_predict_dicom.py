"""From DICOM to DICOM: a task of series and what is drawn on them, a model of it, and segmentations that other programs read."""

from __future__ import annotations

import zipfile
from pathlib import Path

import highdicom as hd
import numpy as np
import pydicom
import pytest
from small_dicom import SECRETS, rectangle, write_enhanced, write_series, write_structures

from autoseg.commands import convert_dataset, plan_and_preprocess, predict, run, train
from autoseg.images import read_image, read_label

TRAINING = "--epochs 4 --iterations_per_epoch 6 --batch_size 2 --seed 1 --num_workers 0 -device cpu --precision fp32"
PREDICT = "-t 500 -m 2d -device cpu --precision fp32 --disable_tta"
SHAPE = (4, 24, 24)
ROWS, COLUMNS = {"heart": (3, 11), "left lung": (13, 21)}, (4, 19)


def voxels(number: int) -> np.ndarray:
    data = np.random.default_rng(number).normal(0, 10, SHAPE)
    for brightness, (first, last) in zip((300, 700), ROWS.values(), strict=True):
        data[1:3, first:last, slice(*COLUMNS)] += brightness
    return data.astype(int)


@pytest.fixture(scope="module")
def outer(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Five patients, each with a structure set, a task of them, and a model that knows it."""
    folder = tmp_path_factory.mktemp("dicom")
    for number in range(5):
        uid = write_series(folder / "scans" / f"Doe_{number}" / "ct", voxels(number))
        sides = (COLUMNS[0] - 0.5, COLUMNS[1] - 0.5)
        curves = {
            name: [rectangle(place, (first - 0.5, last - 0.5), sides) for place in (1, 2)]
            for name, (first, last) in ROWS.items()
        }
        write_structures(folder / "scans" / f"Doe_{number}" / "rt.dcm", uid, curves)
    home = ["--home", str(folder / "home")]
    assert convert_dataset.main(["-i", str(folder / "scans"), "--workers", "1", *home]) == 0
    assert plan_and_preprocess.main(["-t", "500", "-tf", "1", "-tl", "1", "-pl3d", "None", *home]) == 0
    assert train.main(["2d", "Trainer", "500", "0", *TRAINING.split(), *home]) == 0
    return folder


def predicted(outer: Path, source: Path, output: Path) -> None:
    words = ["-i", str(source), "-o", str(output), *PREDICT.split(), "--home", str(outer / "home")]
    assert predict.main(words) == 0


def test_a_series_comes_back_as_a_segmentation_label_for_label(outer: Path, tmp_path: Path) -> None:
    uid = write_series(tmp_path / "in" / "new", voxels(7))
    predicted(outer, tmp_path / "in", tmp_path / "out")

    labels = read_label(tmp_path / "out" / "new.nii.gz").data
    assert set(np.unique(labels)) == {0, 1, 2}  # else nothing would be compared
    series = sorted(map(pydicom.dcmread, (tmp_path / "in" / "new").iterdir()), key=lambda one: one.InstanceNumber)
    written = hd.seg.segread(tmp_path / "out" / "new.dcm")
    assert [written.get_segment_description(number).segment_label for number in (1, 2)] == ["heart", "left_lung"]
    found = written.get_pixels_by_source_instance([one.SOPInstanceUID for one in series], combine_segments=True)
    np.testing.assert_array_equal(found, labels)

    by_pydicom = pydicom.dcmread(tmp_path / "out" / "new.dcm")
    again = np.zeros(SHAPE, int)
    for frame, pixels in zip(by_pydicom.PerFrameFunctionalGroupsSequence, by_pydicom.pixel_array, strict=True):
        z = frame.PlanePositionSequence[0].ImagePositionPatient[2]
        place = [float(one.ImagePositionPatient[2]) for one in series].index(float(z))
        again[place][pixels > 0] = frame.SegmentIdentificationSequence[0].ReferencedSegmentNumber
    np.testing.assert_array_equal(again, labels)
    assert by_pydicom.ReferencedSeriesSequence[0].SeriesInstanceUID == uid


def test_what_is_predicted_of_dicom_can_be_learned_from_again(outer: Path, tmp_path: Path) -> None:
    """The segmentation beside its series is a label like any other program's."""
    write_series(tmp_path / "in" / "new", voxels(7))
    predicted(outer, tmp_path / "in", tmp_path / "out")
    (tmp_path / "out" / "new.dcm").rename(tmp_path / "in" / "new" / "seg.dcm")
    assert convert_dataset.main(["-i", str(tmp_path / "in"), "--workers", "1", "--home", str(tmp_path / "home")]) == 0
    label = read_label(tmp_path / "home" / "raw_data" / "Task500_in" / "labelsTr" / "case_001.nii.gz")
    np.testing.assert_array_equal(label.data, read_label(tmp_path / "out" / "new.nii.gz").data)


def test_a_folder_a_zip_and_one_enhanced_file_give_the_same(
    outer: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "temporary").mkdir()
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path / "temporary"))
    write_series(tmp_path / "in" / "slices", voxels(7))
    write_enhanced(tmp_path / "in" / "frames" / "mf.dcm", voxels(7))
    with zipfile.ZipFile(tmp_path / "in" / "packed.zip", "w") as file:
        for path in (tmp_path / "in" / "slices").iterdir():
            file.write(path, f"DICOM/{path.name}")
    before = {path: path.read_bytes() for path in (tmp_path / "in").rglob("*") if path.is_file()}
    predicted(outer, tmp_path / "in", tmp_path / "out")
    predicted(outer, tmp_path / "in" / "packed.zip", tmp_path / "one" / "label.nii.gz")

    first = read_image(tmp_path / "out" / "slices.nii.gz")
    for other in (
        tmp_path / "out" / "packed.nii.gz",
        tmp_path / "out" / "frames.nii.gz",
        tmp_path / "one" / "label.nii.gz",
    ):
        np.testing.assert_array_equal(read_image(other).data, first.data)
        assert read_image(other).geometry.differences(first.geometry) == ()
        assert other.with_name(other.name.removesuffix(".nii.gz") + ".dcm").is_file()
    assert {path: path.read_bytes() for path in (tmp_path / "in").rglob("*") if path.is_file()} == before
    assert not list((tmp_path / "temporary").iterdir())
    assert "left alone" not in capsys.readouterr().err
    written = [path.read_bytes() for path in (tmp_path / "out").rglob("*") if path.is_file()]
    assert not [content for content in written if any(secret in content for secret in (*SECRETS, b"autoseg-"))]


def test_any_command_takes_the_folder(outer: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    home = ["--home", str(tmp_path / "home")]
    assert run.main([str(outer / "scans"), "--dry_run", *home]) == 0
    assert capsys.readouterr().out.startswith(
        f"{outer / 'scans'}: DICOM series and what was drawn on them\n  channels  0 CT\n"
    )
    words = ["-i", str(outer / "scans"), "-no_pp", "-tf", "1", *home]
    assert plan_and_preprocess.main(words) == 0
    told = capsys.readouterr().out
    assert "  labels    0 background, 1 heart, 2 left_lung\n  cases     5 with labels, 0 without\n" in told
    assert not [
        path
        for path in (tmp_path / "home").rglob("*")
        if path.is_file() and path.name != "conversion.json" and any(secret in path.read_bytes() for secret in SECRETS)
    ]
