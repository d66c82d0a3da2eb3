"""Every fault that verification knows, each planted in a sound task and found with the words a user reads."""

from __future__ import annotations

import gzip
import json
import os
import shutil
import struct
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from autoseg.dataset import LARGEST_LABEL
from autoseg.errors import DatasetError
from autoseg.forms import NOWHERE
from autoseg.geometry import Geometry
from autoseg.images import read_image, write_image
from autoseg.machine.resources import available_memory
from autoseg.planning.inspection import Finding
from autoseg.planning.intensity_comparison import far_ranges
from autoseg.planning.label_inspection import rare_labels
from autoseg.planning.verification import VerificationReport, verify_dataset

IMAGE = "imagesTr/case_001_0000.nii.gz"
LABEL = "labelsTr/case_001.nii.gz"


@pytest.fixture
def task(make_task, tmp_path) -> Path:
    """Five training cases and a test case with nothing wrong."""
    return make_task("Task007_Balls", parent=tmp_path, shape=(6, 8, 10))


def verified(folder: Path, workers: int = 1) -> VerificationReport:
    return verify_dataset(folder, workers=workers)


def errors(folder: Path) -> list[str]:
    report = verified(folder)
    assert report.warnings == ()
    return [str(finding) for finding in report.errors]


def warnings(folder: Path) -> list[str]:
    report = verified(folder)
    assert report.errors == ()
    return [str(finding) for finding in report.warnings]


def change(path: Path, *, geometry: Geometry | None = None, **voxels: Any) -> None:
    """Rewrite an image with another geometry, type (`kind`), or other `first` voxels."""
    image = read_image(path)
    data = image.data.astype(voxels.get("kind", image.data.dtype))
    first = voxels.get("first", ())
    data.reshape(-1)[: len(first)] = first
    write_image(path, voxels.get("data", data), geometry or image.geometry)


def describe(task: Path, **changes: Any) -> None:
    description = json.loads((task / "dataset.json").read_text())
    (task / "dataset.json").write_text(json.dumps({**description, **changes}))


# ------------------------------------------------------------------ nothing


@pytest.mark.parametrize("workers", [1, 2])
def test_a_sound_task_has_no_finding(task, workers):
    report = verified(task, workers)

    assert report.findings == ()
    assert str(report) == "Task007_Balls: 5 training cases, 1 test case: nothing wrong"


def test_two_channels_and_whole_numbers_in_float_labels_are_sound(make_task, tmp_path):
    task = make_task(parent=tmp_path, channels=("T1", "T2"), shape=(6, 8, 10))
    change(task / LABEL, kind=np.float32)

    assert verified(task).findings == ()


def test_all_findings_stand_in_one_report_and_nothing_is_changed(task):
    change(task / IMAGE, first=[np.nan])
    change(task / LABEL, first=[9])
    (task / "imagesTr" / "case_000_0000.nii.gz").unlink()
    describe(task, numTraining=3)
    before = {path: path.read_bytes() for path in task.rglob("*") if path.is_file()}

    assert str(verified(task)) == (
        "Task007_Balls: 5 training cases, 1 test case: 3 errors, 1 warning\n"
        "Errors\n"
        "  case case_000, imagesTr/case_000_0000.nii.gz: there is no such file; add it, or take the case off the list in "
        "dataset.json\n"
        "  case case_001, imagesTr/case_001_0000.nii.gz: holds 1 NaN and 0 infinite voxels; replace each by a number\n"
        "  case case_001, labelsTr/case_001.nii.gz: holds the value 9, which dataset.json does not declare (0 to 1); "
        "declare them under labels, or renumber them in the file\n"
        "Warnings\n"
        "  dataset.json: numTraining says 3, but 5 are listed; correct the number or the list"
    )
    assert {path: path.read_bytes() for path in task.rglob("*") if path.is_file()} == before


# ------------------------------------------------------------- dataset.json


def test_a_folder_without_description_is_an_error(tmp_path):
    (finding,) = verified(tmp_path).errors

    assert str(finding).startswith("dataset.json: not found; every task folder needs one")


def test_faults_of_the_description_do_not_hide_those_of_the_images(task):
    change(task / IMAGE, first=[np.inf])
    describe(task, labels={"0": "background", "2": "ball"})

    numbers, infinite = errors(task)

    assert numbers == ("dataset.json: labels: the numbers must be consecutive from 0, found [0, 2]; renumber them")
    assert infinite == f"case case_001, {IMAGE}: holds 0 NaN and 1 infinite voxel; replace each by a number"


def test_a_path_that_leaves_the_task_is_quoted(task):
    entry = {"image": "../../etc/case.nii.gz", "label": "./labelsTr/case_000.nii.gz"}
    training = json.loads((task / "dataset.json").read_text())["training"]
    describe(task, training=[*training, entry], numTraining=5)

    (found,) = errors(task)

    assert found.startswith("dataset.json: training[5].image: '../../etc/case.nii.gz' leaves the task's folder")


def test_a_case_listed_twice_is_one_error(task):
    training = json.loads((task / "dataset.json").read_text())["training"]
    describe(task, training=[*training, training[0]], numTraining=6)

    (found,) = errors(task)

    assert found.startswith("dataset.json: training: case case_000 is listed 2 times")


def test_wrong_counts_are_warnings(task):
    describe(task, numTraining="five", numTest=2)

    assert warnings(task) == [
        "dataset.json: numTraining says 'five', but 5 are listed; correct the number or the list",
        "dataset.json: numTest says 2, but 1 is listed; correct the number or the list",
    ]


# -------------------------------------------------------------------- files


def test_missing_files_of_training_and_test_are_errors(task):
    (task / LABEL).unlink()
    (task / "imagesTs" / "test_005_0000.nii.gz").unlink()

    label, test = errors(task)

    missing = "there is no such file; add it, or take the case off the list in dataset.json"
    assert label == f"case case_001, {LABEL}: {missing}"
    assert test == f"case test_005, imagesTs/test_005_0000.nii.gz: {missing}"


def test_a_missing_folder_is_one_error(task):
    shutil.rmtree(task / "labelsTr")

    assert errors(task) == ["labelsTr: there is no such folder; the task needs it"]


def test_links_that_lead_nowhere_or_in_circles_are_errors(task):
    for path, target in ((task / IMAGE, task / "away"), (task / LABEL, task / LABEL)):
        path.unlink()
        path.symlink_to(target)

    nowhere = "is a link that leads nowhere; correct it, or take the case off the list in dataset.json"
    assert errors(task) == [f"case case_001, {IMAGE}: {nowhere}", f"case case_001, {LABEL}: {nowhere}"]


def test_links_to_data_elsewhere_are_fine(task, tmp_path):
    (task / IMAGE).rename(tmp_path / "elsewhere.nii.gz")
    (task / IMAGE).symlink_to(tmp_path / "elsewhere.nii.gz")

    assert verified(task).findings == ()


def test_images_without_channel_number_are_named_with_the_way_out(task):
    (task / IMAGE).rename(task / "imagesTr" / "case_001.nii.gz")

    assert errors(task) == [
        f"case case_001, {IMAGE}: there is no such file, only case_001.nii.gz without a channel number; rename it, or "
        "convert the whole task with autoseg_convert_decathlon_task"
    ]


def test_files_of_another_ending_are_one_error_for_images_and_one_for_labels(task):
    for path in [*(task / "imagesTr").iterdir(), *(task / "labelsTr").iterdir()]:
        path.with_suffix("").write_bytes(gzip.decompress(path.read_bytes()))
        path.unlink()

    only = "there is no such file, only case_000"
    assert errors(task) == [
        f"case case_000, imagesTr/case_000_0000.nii.gz: {only}_0000.nii; list it with that ending, ./imagesTr/case_000.nii; "
        "4 more files alike",
        f"case case_000, labelsTr/case_000.nii.gz: {only}.nii; list it with that ending, ./labelsTr/case_000.nii; "
        "4 more files alike",
    ]


def test_counts_as_text_are_counts(task):
    describe(task, numTraining="5", numTest=None)

    assert verified(task).findings == ()


def test_stray_images_are_errors(task):
    shutil.copy(task / IMAGE, task / "imagesTr" / "case_001_0001.nii.gz")
    shutil.copy(task / IMAGE, task / "imagesTs" / "other_0000.nii.gz")
    shutil.copy(task / LABEL, task / "labelsTr" / "other.nii.gz")
    write_image(task / "labelsTr" / "case_001.nii", read_image(task / LABEL).data, Geometry(spacing=(1, 1, 1)))

    remedy = "list its case in dataset.json, or move the file away"
    assert errors(task) == [
        "imagesTr/case_001_0001.nii.gz: is channel 1 of case case_001, which dataset.json does not declare under "
        f"modality; {remedy}",
        f"labelsTr/case_001.nii: is a second file for case_001.nii.gz; {remedy}",
        f"labelsTr/other.nii.gz: belongs to no case in dataset.json; {remedy}",
        f"imagesTs/other_0000.nii.gz: belongs to no case in dataset.json; {remedy}",
    ]


def test_hidden_files_and_notes_are_warnings(task):
    for name in ("._case_001_0000.nii.gz", "notes.txt"):
        (task / "imagesTr" / name).write_text("")
    (task / "labelsTr" / "old").mkdir()

    assert warnings(task) == [
        "imagesTr: holds what is no image: ._case_001_0000.nii.gz, notes.txt; it is ignored, delete it",
        "labelsTr: holds what is no image: old; it is ignored, delete it",
    ]


def test_unlisted_test_images_are_a_warning_where_none_is_listed(task):
    describe(task, test=[], numTest=0)

    assert warnings(task) == [
        "imagesTs: dataset.json lists no test case, so these are not looked at: test_005_0000.nii.gz; "
        "list them under test to have them checked"
    ]


def test_a_label_file_of_two_cases_is_an_error(task):
    training = json.loads((task / "dataset.json").read_text())["training"]
    training[1]["label"] = training[0]["label"]
    describe(task, training=training)

    shared, stray = errors(task)

    assert shared == (
        "labelsTr/case_000.nii.gz: is the label of several cases: case_000, case_001; list each case with its own file"
    )
    assert stray.startswith("labelsTr/case_001.nii.gz: belongs to no case in dataset.json")


def test_odd_names_are_shown_on_one_line(task):
    (task / "imagesTr" / "a\nb\udcff_0000.nii.gz").write_bytes(b"")

    (found,) = errors(task)

    assert found.startswith(r"'imagesTr/a\nb\udcff_0000.nii.gz': belongs to no case in dataset.json")
    assert found.isprintable()


# ------------------------------------------------------------ single images


def test_damaged_files_are_errors_and_the_others_are_still_looked_at(task):
    cut, other = task / IMAGE, task / "imagesTr" / "case_002_0000.nii.gz"
    cut.write_bytes(cut.read_bytes()[:-100])
    other.write_bytes(b"no image")
    change(task / "labelsTr" / "case_004.nii.gz", first=[7])

    truncated, no_image, undeclared = errors(task)

    assert truncated.startswith(f"case case_001, {IMAGE}: is truncated or damaged (Compressed file ended")
    assert truncated.endswith("; copy or download it again")
    assert no_image == (
        "case case_002, imagesTr/case_002_0000.nii.gz: is not a NIfTI image; replace it by one, or convert it to .nii.gz"
    )
    assert undeclared.startswith("case case_004, labelsTr/case_004.nii.gz: holds the value 7, which")


@pytest.mark.parametrize(("value", "kind"), [(3e38, np.float32), (1e300, np.float64), (2**31 - 1, np.int32)])
def test_a_voxel_beside_which_all_others_look_alike_is_an_error(task, value, kind):
    change(task / IMAGE, first=[value], kind=kind)

    (text,) = errors(task)
    assert text.startswith("case case_001, imagesTr/case_001_0000.nii.gz: holds ")
    assert "at voxel (0, 0, 0; x, y, z)" in text
    assert text.endswith(
        "; replace what marks missing values by 0 or what lies around" + ", or scale the image" * (value > 1e37)
    )


def test_a_voxel_that_squeezes_the_others_is_a_warning(task):
    change(task / IMAGE, first=[1e6], kind=np.float64)

    (text,) = warnings(task)
    assert "imagesTr/case_001_0000.nii.gz: holds 1e+06 at voxel (0, 0, 0; x, y, z), so far from all others" in text


def test_labels_that_a_header_scales_are_told_and_taken(task):
    image = read_image(task / LABEL)
    write_image(task / LABEL, image.data * np.float32(0.9999), image.geometry)

    assert warnings(task) == [
        "case case_001, labelsTr/case_001.nii.gz: its values are whole but for the rounding of its header's scaling or of "
        "interpolation, 0.9999; taken as 1; save labels as integers, unscaled"
    ]


def test_more_labels_than_can_be_used_are_an_error_of_the_description(task):
    describe(task, labels={str(value): f"label {value}" for value in range(LARGEST_LABEL + 2)})

    (finding,) = verified(task).errors
    assert (
        str(finding)
        == "dataset.json: labels: 32768 above background, and 32767 can be used; join labels, or leave some out"
    )


def test_nan_infinity_and_constant_images_are_errors(task):
    change(task / IMAGE, first=[np.nan, np.nan, np.inf])
    change(task / "imagesTr" / "case_002_0000.nii.gz", data=np.full((6, 8, 10), 5, np.int16))
    change(task / "imagesTs" / "test_005_0000.nii.gz", first=[-np.inf])

    assert errors(task) == [
        f"case case_001, {IMAGE}: holds 2 NaN and 1 infinite voxel; replace each by a number",
        "case case_002, imagesTr/case_002_0000.nii.gz: is constant: every voxel is 5; export it again or leave the case out",
        "case test_005, imagesTs/test_005_0000.nii.gz: holds 0 NaN and 1 infinite voxel; replace each by a number",
    ]


def test_labels_undeclared_negative_or_with_fractions_are_errors(task):
    change(task / LABEL, kind=np.float32, first=[0.5, -1, 255, np.nan])

    fractions, undeclared = errors(task)

    assert fractions == (
        f"case case_001, {LABEL}: holds values that are no whole numbers: 0.5, nan; "
        "save the labels as integers, resampled without interpolation"
    )
    assert undeclared == (
        f"case case_001, {LABEL}: holds the values -1, 255, which dataset.json does not declare (0 to 1); "
        "declare them under labels, or renumber them in the file"
    )


def test_a_label_of_background_only_is_a_warning(task):
    change(task / LABEL, data=np.zeros((6, 8, 10), np.uint8))

    assert warnings(task) == [
        f"case case_001, {LABEL}: holds background only; check whether the case was annotated at all"
    ]


def test_files_of_a_case_on_different_grids_are_errors(make_task, tmp_path):
    task = make_task(parent=tmp_path, channels=("T1", "T2"), shape=(6, 8, 10), spacing=(2, 1, 1))
    change(task / "imagesTr/case_001_0001.nii.gz", data=np.random.default_rng(0).normal(100, 10, (6, 8, 9)))
    change(task / LABEL, geometry=Geometry(spacing=(2, 1, 1.01), direction=(1, 0, 0, 0, 1, 0, 0, 0, 1)))
    change(task / "imagesTs/test_005_0001.nii.gz", geometry=Geometry(spacing=(2, 1, 1), origin=(0, 0, 0.2)))

    assert errors(task) == [
        "case case_001, imagesTr/case_001_0001.nii.gz: lies on another grid than case_001_0000.nii.gz: "
        "size (6, 8, 10) and (6, 8, 9) voxels (z, y, x); resample it onto that grid",
        f"case case_001, {LABEL}: lies on another grid than case_001_0000.nii.gz: "
        "spacing (2, 1, 1) and (2, 1, 1.01); resample it onto that grid",
        "case test_005, imagesTs/test_005_0001.nii.gz: lies on another grid than test_005_0000.nii.gz: "
        "origin (0, 0, 0) and (0, 0, 0.2); resample it onto that grid",
    ]


def test_rounding_of_single_precision_is_no_difference(task):
    rounded = Geometry(spacing=(1.00001, 1, 1), origin=(0, 0, 0.001), direction=(1, 1e-5, 0, -1e-5, 1, 0, 0, 0, 1))
    change(task / LABEL, geometry=rounded)

    assert verified(task).findings == ()


def test_two_voxel_sizes_in_one_header_are_a_warning(task):
    content = bytearray(gzip.decompress((task / IMAGE).read_bytes()))
    struct.pack_into("<2h", content, 252, 1, 2)
    struct.pack_into("<4f", content, 288 + 8, 0, 2, 0, 0)  # the sform's row of y
    (task / IMAGE).write_bytes(gzip.compress(bytes(content)))

    (found,) = verified(task).warnings

    assert str(found) == (
        f"case case_001, {IMAGE}: its header gives two voxel sizes, (1, 1, 1) (pixdim) and (1, 2, 1) (sform), "
        "x, y, z in mm; the first is used; correct the header"
    )


def test_a_case_too_large_for_memory_is_an_error_and_the_others_are_looked_at(task):
    """In a process whose address space is limited; the file is a hole that takes no disk."""
    side = 1200
    if available_memory() < side**3:
        pytest.skip(f"needs {side**3 / 1e9:.1f} GB of free memory, which it then is not allowed to use")
    header = bytearray(gzip.decompress((task / IMAGE).read_bytes())[:352])
    struct.pack_into("<8h", header, 40, 3, side, side, side, 1, 1, 1, 1)
    struct.pack_into("<2h", header, 70, 2, 8)
    large = task / "imagesTr" / "case_001_0000.nii"
    large.write_bytes(header)
    os.truncate(large, 352 + side**3)
    (task / IMAGE).unlink()
    training = json.loads((task / "dataset.json").read_text())["training"]
    training[1]["image"] = "./imagesTr/case_001.nii"
    describe(task, training=training)
    change(task / "labelsTr" / "case_004.nii.gz", first=[7])
    code = (
        "import resource, sys; from pathlib import Path\n"
        "from autoseg.planning.verification import verify_dataset\n"
        "resource.setrlimit(resource.RLIMIT_AS, (1500 * 2**20,) * 2)\n"
        "print(verify_dataset(Path(sys.argv[1]), workers=1))"
    )

    result = subprocess.run([sys.executable, "-c", code, str(task)], capture_output=True, text=True, check=True)

    _, _, memory, undeclared = result.stdout.splitlines()
    assert memory == (
        "  case case_001: out of memory; this process may have 1.6 GB of address space (ulimit -v); raise it "
        "(ulimit -v unlimited) where you start it, or use fewer workers (`workers`)"
    )
    assert undeclared.startswith("  case case_004, labelsTr/case_004.nii.gz: holds the value 7, which")


def test_labels_that_cropping_cuts_away_are_counted(make_task, tmp_path):
    """In one direction, and only where every channel is zero; the zeros inside the box are kept, and so are their labels."""
    task = make_task(parent=tmp_path, channels=("T1", "T2"), labels=("background", "a", "b"), shape=(6, 8, 10))
    for channel in (0, 1):
        path = task / f"imagesTr/case_001_000{channel}.nii.gz"
        data = np.full((6, 8, 10), 5, np.int16)
        data[0, 0, 0] = 6
        data[4 + channel :] = data[1, 1, 1] = 0
        change(path, data=data)
    label = np.zeros((6, 8, 10), np.uint8)
    label[1, 1, 1], label[3:, 0, :5], label[5, 1, :4] = 2, 1, 2
    change(task / LABEL, data=label)

    assert warnings(task) == [
        f"case case_001, {LABEL}: 5 of 15 voxels of label 1 (a); 4 of 5 voxels of label 2 (b) lie outside the box in which "
        "a channel is not 0, to which images are cropped: training never sees them, validation counts them as missed; "
        "check whether image and label were masked, moved or turned alike"
    ]


# ------------------------------------------------------- cases side by side


def test_labels_that_no_case_or_a_single_one_holds_are_warnings(make_task, tmp_path):
    task = make_task(parent=tmp_path, shape=(6, 8, 10))
    describe(task, labels={"0": "background", "1": "ball", "2": "ghost", "3": "rare", "4": "spirit"})
    change(task / LABEL, first=[3])

    assert warnings(task) == [
        "dataset.json: labels 2 (ghost), 4 (spirit) are in no training case: nothing can be learned of them, and each voxel "
        "where one of them is predicted lowers the mean Dice; take them off the list of labels, or add cases that hold them",
        "dataset.json: label 3 (rare) is in one training case case_001 only: the fold that validates there has nothing to "
        "learn it from; add cases that hold it",
    ]


def test_nothing_is_said_of_absent_labels_while_a_label_cannot_be_read(task):
    describe(task, labels={"0": "background", "1": "ball", "2": "ghost"})
    (task / LABEL).write_bytes(b"no image")

    assert len(errors(task)) == 1


def test_a_label_of_one_patient_is_as_rare_as_that_of_one_case():
    holders = {"a_1": {0, 1, 2}, "a_2": {0, 2}, "b": {0, 1}}

    assert rare_labels(("background", "x", "y"), holders, {}) == []
    assert rare_labels(("background", "x", "y"), holders, {"a_1": "a", "a_2": "a"}) == [
        "label 2 (y) is in training cases of one patient, a_1, a_2 only: the fold that validates there has nothing to "
        "learn it from; add cases that hold it"
    ]


def test_copies_with_the_same_label_are_errors_others_warnings(task):
    def copy(source: str, target: str) -> None:
        shutil.copy(task / source, task / target)

    copy("imagesTr/case_000_0000.nii.gz", "imagesTr/case_002_0000.nii.gz")
    copy("labelsTr/case_000.nii.gz", "labelsTr/case_002.nii.gz")
    copy(IMAGE, "imagesTr/case_003_0000.nii.gz")
    copy(IMAGE, "imagesTs/test_005_0000.nii.gz")

    report = verified(task)

    assert [str(finding) for finding in report.errors] == [
        "case case_002: has the same images and label as case case_000; leave one of them out"
    ]
    assert [str(finding) for finding in report.warnings] == [
        "case case_003: has the same images as case case_001; keep both in one fold (patients.json), or leave one out",
        "test case test_005: has the same images as training case case_001; do not test on it",
    ]


def test_two_orientations_in_one_header_are_a_warning_of_the_case(task, coregistered):
    for path in (task / IMAGE, task / LABEL):
        change(path, geometry=coregistered(read_image(path).geometry))

    assert warnings(task) == [
        f"case case_001, {IMAGE}: its qform (code 1, scanner) and its sform (code 2, another image) disagree, by 13 mm at "
        "the corners; the qform counts here, other programs may go by the other; write the right one into both, if they "
        "should agree"
    ]


def test_an_sform_of_zeros_beside_a_qform_is_one_warning(task, coregistered):
    for path in (task / IMAGE, task / LABEL):
        geometry = coregistered(read_image(path).geometry)
        change(path, geometry=replace(geometry, forms=replace(geometry.forms, matrix=(0.0,) * 12)))

    assert warnings(task) == [
        f"case case_001, {IMAGE}: its sform (code 2) is all zero; its qform counts here, other programs refuse it; "
        "correct the sform"
    ]


def test_images_that_do_not_say_how_they_lie_are_one_warning_for_each_folder(task):
    """And no orientation that they never had is held against the others'."""
    names = ["imagesTr/case_000_0000.nii.gz", IMAGE, "labelsTr/case_000.nii.gz", LABEL, "imagesTs/test_005_0000.nii.gz"]
    for path in [task / name for name in names]:
        change(path, geometry=Geometry(spacing=read_image(path).geometry.spacing, forms=NOWHERE))
    text = (
        "no orientation in the header (a NIfTI without qform and sform, a NRRD without space, a "
        "MetaImage without TransformMatrix), so nothing tells left from right; make sure that all lie alike, and write "
        "the true orientation where it is known"
    )

    assert warnings(task) == [
        f"imagesTr: case_000_0000.nii.gz, case_001_0000.nii.gz: {text}",
        f"labelsTr: case_000.nii.gz, case_001.nii.gz: {text}",
        f"imagesTs: test_005_0000.nii.gz: {text}",
    ]


@pytest.mark.parametrize("kind", [np.int16, np.uint16, np.int32, np.float32, np.float64])
def test_copies_in_another_voxel_type_are_copies(task, kind):
    values = np.random.default_rng(1).integers(0, 30000, (6, 8, 10))
    label = read_image(task / "labelsTr/case_000.nii.gz").data
    for name, voxels in ((0, values.astype(np.int16)), (3, values.astype(kind))):
        change(task / f"imagesTr/case_00{name}_0000.nii.gz", data=voxels)
        change(task / f"labelsTr/case_00{name}.nii.gz", data=label.astype(np.uint8 if name else np.int16))

    assert errors(task) == ["case case_003: has the same images and label as case case_000; leave one of them out"]


def test_copies_scaled_by_their_header_are_copies(task):
    values = np.random.default_rng(1).integers(0, 3000, (6, 8, 10))
    change(task / "imagesTr/case_000_0000.nii.gz", data=values.astype(np.int16))
    change(task / "imagesTr/case_003_0000.nii.gz", data=(values * 10).astype(np.int16))
    path = task / "imagesTr/case_003_0000.nii.gz"
    content = bytearray(gzip.decompress(path.read_bytes()))
    struct.pack_into("<2f", content, 112, 0.1, 0)
    path.write_bytes(gzip.compress(bytes(content)))

    assert warnings(task) == [
        "case case_003: has the same images as case case_000; keep both in one fold (patients.json), or leave one out"
    ]


def test_copies_in_other_units_or_rounded_are_warnings_and_masks_are_not(task):
    image = read_image(task / "imagesTr/case_000_0000.nii.gz").data
    change(task / "imagesTr/case_002_0000.nii.gz", data=(image - image.mean()) / image.std())
    eight_bits = np.rint((image - image.min()) / np.ptp(image) * 255).astype(np.uint8)
    change(task / "imagesTs/test_005_0000.nii.gz", data=eight_bits)
    for name, corner in ((3, (0, 0, 0)), (4, (0, 0, 1))):
        mask = np.zeros(image.shape, np.uint8)
        mask[3:], mask[corner] = 1, 1
        change(task / f"imagesTr/case_00{name}_0000.nii.gz", data=mask)

    assert warnings(task) == [
        "case case_002: has the images of case case_000 in other units or rounded; keep both in one fold (patients.json), "
        "or leave one out",
        "test case test_005: has the images of case case_000 in other units or rounded; do not test on it",
    ]


def test_noise_of_a_twentieth_is_nearly_the_same_image(task):
    image = read_image(task / "imagesTr/case_000_0000.nii.gz").data
    noise = np.random.default_rng(2).normal(0, 0.05 * image.std(), image.shape)
    change(task / "imagesTr/case_002_0000.nii.gz", data=image + noise)

    (finding,) = verified(task).findings
    assert str(finding).startswith("case case_002: looks nearly the same as case case_000 (correlation 0.99")


# --------------------------------------------------------- folds and patients


def test_folds_are_held_against_cases_and_patients(task):
    cases = [f"case_00{number}" for number in range(5)]
    splits = task / "splits_final.json"
    splits.write_text(json.dumps([{"train": cases[:3], "val": [cases[3], "gone"]}]))
    (task / "patients.json").write_text(json.dumps({cases[0]: "Ann", cases[3]: "Ann", "case_01": "Bob"}))

    patients, unknown, outside, both, gone = [
        str(finding) for finding in verify_dataset(task, workers=1, splits=splits).warnings
    ]

    assert patients == "patients.json: no patient is given for case_001, case_002, case_004; add them"
    assert unknown == (
        "patients.json: names cases that dataset.json does not list for training: case_01; correct the names"
    )
    assert outside.startswith(
        "splits_final.json: 1 case in no fold, so it is neither trained on nor validated: case_004; "
    )
    assert both.startswith("splits_final.json: fold 0: trained on and validated with images of the same patient, ")
    assert gone.startswith("splits_final.json: names 1 case that dataset.json does not list: gone; training refuses")


def test_patients_who_would_stop_the_first_training_are_errors(task):
    (task / "patients.json").write_text('{"case_000": "Ann"}')
    assert errors(task) == [
        "patients.json: no patient is given for case_001, case_002, case_003, case_004; add them",
    ]

    (task / "patients.json").write_text("[]")
    assert errors(task) == [
        'patients.json: expected an object such as {"case_001": "patient_a"}; correct the file',
    ]


def test_folds_that_cannot_be_read_are_an_error(task):
    (task / "splits_final.json").write_text("{}")

    report = verify_dataset(task, workers=1, splits=task / "splits_final.json")

    assert [str(finding) for finding in report.errors] == [
        'splits_final.json: expected a list of objects such as {"train": ["a"], "val": ["b"]}; '
        "correct the file, or delete it to have folds made"
    ]


def test_cases_and_patients_too_few_for_folds_are_a_warning(make_task, tmp_path):
    three = make_task("Task003_Few", parent=tmp_path, cases=3, shape=(6, 8, 10))
    one = make_task("Task001_One", parent=tmp_path, cases=1, shape=(6, 8, 10))
    patients = make_task("Task002_Patients", parent=tmp_path, shape=(6, 8, 10))
    (patients / "patients.json").write_text(json.dumps({f"case_00{number}": str(number // 2) for number in range(5)}))

    remedy = "train fold `all`, or write splits_final.json yourself"
    assert warnings(three) == [f"dataset.json: 3 cases are too few for 5 folds; {remedy}"]
    assert warnings(one) == [f"dataset.json: 1 case is too few for 5 folds; {remedy}"]
    assert warnings(patients) == [f"dataset.json: 3 patients are too few for 5 folds; {remedy}"]


def test_orientations_that_differ_are_warnings(task):
    turned = Geometry(spacing=(1, 1, 1), direction=(1, 0, 0, 0, -1, 0, 0, 0, -1))
    for name in (IMAGE, LABEL, "imagesTs/test_005_0000.nii.gz"):
        change(task / name, geometry=turned)

    assert warnings(task) == [
        "cases case_001, test_005: oriented RAS, while 4 cases are LPS; reorient them if they were not meant to be"
    ]


def test_an_intensity_range_far_from_the_others_is_a_warning(make_task, tmp_path):
    task = make_task(parent=tmp_path, cases=8, shape=(6, 8, 10), channels=("CT",))
    for path in [*(task / "imagesTr").iterdir(), *(task / "imagesTs").iterdir()]:
        change(path, data=read_image(path).data * 10 - 1000)
    odd = read_image(task / "imagesTs" / "test_008_0000.nii.gz")
    write_image(task / "imagesTs" / "test_008_0000.nii.gz", odd.data + 1024, odd.geometry)
    change(task / IMAGE, data=read_image(task / IMAGE).data / 1000)

    first, second = warnings(task)

    assert first == (
        "case case_001: channel 0 (CT) runs from -1.194 to 0.01962, far from the other cases; "
        "check its unit and that it is the right image"
    )
    assert second.startswith("case test_008: channel 0 (CT) runs from -")


def test_intensities_are_compared_within_a_contrast(make_task, tmp_path):
    task = make_task("Task007_Balls", parent=tmp_path, shape=(6, 8, 10), cases=12)
    inverted = [f"case_{number:03d}" for number in (1, 4)]
    for case in inverted:
        change(
            task / f"imagesTr/{case}_0000.nii.gz", data=5000 - read_image(task / f"imagesTr/{case}_0000.nii.gz").data
        )
    names = [path.name.removesuffix("_0000.nii.gz") for path in sorted((task / "imagesTr").iterdir())]
    lines = [f"{name}\t{'T2w' if name in inverted else 'T1w'}" for name in names]

    assert any("far from the other cases" in line for line in warnings(task))
    (task / "metadata.tsv").write_text("\n".join(["case\tcontrast", *lines]) + "\n")
    assert not any("far from the other cases" in line for line in warnings(task))


@pytest.mark.parametrize(
    ("odd", "expected"),
    [((0, 290), []), ((0, 310), [0]), ((0, 34), []), ((0, 32), [0]), ((24, 124), []), ((26, 126), [0])],
)
def test_a_range_is_far_beyond_a_factor_of_three_or_a_shift_of_a_quarter(odd, expected):
    assert far_ranges([odd, *[(0.0, 100.0)] * 9], 10) == expected


def test_several_populations_and_few_cases_are_never_odd():
    assert far_ranges([*[(0.0, 100.0)] * 15, *[(0.0, 400000.0)] * 5], 20) == []
    assert far_ranges([(0.0, 1.0), (0.0, 100.0), (0.0, 100.0), (0.0, 100.0), (0.0, 100.0)], 5) == []


def test_where_ranges_differ_from_case_to_case_none_is_odd():
    assert far_ranges([*[(0.0, 100.0)] * 9, (0.0, 1.0)], 10) == [9]
    assert far_ranges([*[(0.0, 100.0)] * 7, (0.0, 1.0), (0.0, 1e4), (0.0, 1e6)], 10) == []


def test_what_is_the_same_in_many_cases_is_told_once():
    findings = tuple(Finding(severity="warning", where=f"case {number}", text="is odd") for number in range(6))

    report = VerificationReport(task="Task001_A", training=6, test=0, findings=findings)
    assert str(report).splitlines()[1:] == ["Warnings", "  cases 0, 1, 2, 3, 4, 5: is odd"]
    places = tuple(Finding(severity="warning", where=f"folder {number}", text="is odd") for number in range(6))
    elsewhere = VerificationReport(task="Task001_A", training=6, test=0, findings=places)
    assert str(elsewhere).splitlines()[2:] == ["  in 6 places, folder 0, folder 1, folder 2 and 3 more: is odd"]
    few = VerificationReport(task="Task001_A", training=6, test=0, findings=findings[:2])
    assert str(few).splitlines()[2:] == ["  case 0: is odd", "  case 1: is odd"]


def test_test_cases_are_judged_by_the_training_cases():
    assert far_ranges([*[(0.0, 100.0)] * 9, (0.0, 900.0), (0.0, 900.0)], 9) == [9, 10]


# ---------------------------------------------------------------- real data


@pytest.fixture(scope="module")
def hippocampus(data_folder, tmp_path_factory) -> Path:
    """Forty of the real cases in our layout."""
    source = data_folder / "Task04_Hippocampus"
    target = tmp_path_factory.mktemp("raw_data") / "Task004_Hippocampus"
    description = json.loads((source / "dataset.json").read_text())
    description["training"] = description["training"][::5]
    description["test"] = description["test"][::5]
    description.update(numTraining=40, numTest=4)
    for folder in ("imagesTr", "labelsTr", "imagesTs"):
        (target / folder).mkdir(parents=True)
    for entry in description["training"]:
        shutil.copyfile(source / entry["label"], target / entry["label"])
    for image in [*(entry["image"] for entry in description["training"]), *description["test"]]:
        shutil.copyfile(source / image, target / image.replace(".nii.gz", "_0000.nii.gz"))
    (target / "dataset.json").write_text(json.dumps(description))
    return target


def test_the_real_hippocampi_pass_without_finding(hippocampus):
    report = verified(hippocampus, workers=2)

    assert report.findings == ()
    assert (report.training, report.test) == (40, 4)


def test_the_odd_hippocampus_files_are_found(hippocampus, data_folder, tmp_path):
    odd = data_folder / "bad_inputs" / "hippocampus_odd"
    task = tmp_path / "Task004_Hippocampus"
    shutil.copytree(hippocampus, task)
    case = json.loads((task / "dataset.json").read_text())["training"][0]["label"].split("/")[-1]
    shutil.copyfile(odd / "hippocampus_010_LABEL_image_absent.nii.gz", task / "labelsTr" / "hippocampus_010.nii.gz")
    shutil.copyfile(
        odd / "hippocampus_118_IMAGE_label_absent.nii.gz", task / "imagesTr" / "hippocampus_118_0000.nii.gz"
    )
    shutil.copyfile(odd / "hippocampus_281_LABEL_foreign_512x512x94.nii.gz", task / "labelsTr" / case)

    image, label, grid = errors(task)

    remedy = "belongs to no case in dataset.json; list its case in dataset.json, or move the file away"
    assert image == f"imagesTr/hippocampus_118_0000.nii.gz: {remedy}"
    assert label == f"labelsTr/hippocampus_010.nii.gz: {remedy}"
    assert "lies on another grid than" in grid
    assert "and (94, 512, 512) voxels (z, y, x); resample it onto that grid" in grid


def test_oblique_hearts_differ_in_orientation_only(data_folder):
    report = verified(data_folder / "Task101_SunnybrookLV")

    assert report.errors == ()
    told = [str(finding) for finding in report.warnings]
    assert [line.partition(" (correlation")[0] for line in told[1:6]] == [
        f"case SCD0000{n}01_ES: looks nearly the same as case SCD0000{n}01_ED" for n in range(1, 6)
    ]
    assert [told[0], *told[6:]] == [
        "dataset.json: the names begin alike, as those of one patient's images do: SCD0000101 (SCD0000101_ED, "
        "SCD0000101_ES), SCD0000201 (SCD0000201_ED, SCD0000201_ES), SCD0000301 (SCD0000301_ED, SCD0000301_ES) and 2 more; "
        "if so, keep them in one fold: add `patients='^[^_]+'`, which writes patients.json",
        "cases SCD0000101_ED, SCD0000101_ES: oriented IRP, while 6 cases are LIP; reorient them if they were not meant to be",
        "cases SCD0000401_ED, SCD0000401_ES: oriented PIR, while 6 cases are LIP; reorient them if they were not meant to be",
    ]


@pytest.mark.skipif(os.geteuid() == 0, reason="root reads everything")
def test_a_folder_without_permission_stops_the_verification_in_words(task):
    (task / "labelsTr").chmod(0o300)

    with pytest.raises(DatasetError, match="labelsTr: cannot be listed: Permission denied; check its permissions"):
        verified(task)
