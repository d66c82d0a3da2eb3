"""DICOM series and what is drawn on them, in folders to learn from and in folders and zip files to predict."""

from __future__ import annotations

import shutil
import zipfile
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import numpy as np
import pydicom
from small_dicom import Curve, rectangle, write_enhanced, write_series, write_structures
from spoiling import Entry, Place, Spoil

from autoseg.images import write_image
from autoseg.images.dicom_seg import write_dicom_seg
from autoseg.images.formats.dicom import grid_of, series_in

CONVERT = "autoseg_convert_dataset -i {outer}/source --workers 1"
PREDICT = "autoseg_predict -i {outer}/source -o {outer}/out -m 2d -device cpu --disable_tta"
VOXELS = np.zeros((4, 12, 12), int)
HEART, LUNG = rectangle(1, (1, 5), (1, 5)), rectangle(1, (6, 9), (1, 5))

Structures = Mapping[str, Sequence[Curve]]


def drawn(structures: Structures, *others: Structures, after: Callable[[Path], object] = Path.exists) -> Spoil:
    """A patient with structure sets on one series, changed afterwards."""

    def spoil(place: Place) -> None:
        folder = place.outer / "source" / "a"
        uid = write_series(folder / "ct", VOXELS)
        for number, one in enumerate((structures, *others), start=1):
            write_structures(folder / f"rt{number}.dcm", uid, one)
        after(folder)

    return spoil


def each_slice(folder: Path, change: Callable[[int, pydicom.Dataset], object]) -> None:
    for path in sorted((folder / "ct").iterdir()):
        one = pydicom.dcmread(path)
        change(int(one.InstanceNumber) - 1, one)
        one.save_as(path)


def without_slice(number: int) -> Callable[[Path], object]:
    def change(folder: Path) -> None:
        next(path for path in (folder / "ct").iterdir() if pydicom.dcmread(path).InstanceNumber == number).unlink()

    return change


def tilted(folder: Path) -> None:
    def change(number: int, one: pydicom.Dataset) -> None:
        x, y, z = one.ImagePositionPatient
        one.ImagePositionPatient = [x, float(y) + number, z]

    each_slice(folder, change)


def of_another_series(place: Place) -> None:
    write_series(place.outer / "source" / "a" / "ct", VOXELS)
    write_structures(place.outer / "source" / "a" / "rt.dcm", "1.2.3", {"heart": [HEART]})


def segmented_on_another_grid(place: Place) -> None:
    """The series that the segmentation refers to, reconstructed anew with larger slices."""
    folder = place.outer / "source" / "a"
    uid = write_series(folder / "ct", VOXELS)
    (series,) = series_in(folder / "ct")
    write_dicom_seg(folder / "seg.dcm", np.ones(VOXELS.shape, np.uint8), series, ("background", "heart"))
    write_series(folder / "ct", np.zeros((4, 16, 12), int), series=uid)


def of_two_kinds(place: Place) -> None:
    for name, modality in (("a", "CT"), ("b", "MR")):
        uid = write_series(place.outer / "source" / name / "ct", VOXELS, Modality=modality)
        write_structures(place.outer / "source" / name / "rt.dcm", uid, {"heart": [HEART]})


def label_images(*shapes: tuple[int, ...]) -> Spoil:
    def spoil(place: Place) -> None:
        write_series(place.outer / "source" / "a" / "ct", VOXELS)
        (series,) = series_in(place.outer / "source" / "a" / "ct")
        for number, shape in enumerate(shapes, start=1):
            path = place.outer / "source" / "a" / f"label{number}.nii.gz"
            write_image(path, np.ones(shape, np.uint8), grid_of(series).geometry)

    return spoil


def enhanced(echoes: int, after: Callable[[pydicom.Dataset], object] = id) -> Spoil:
    def spoil(place: Place) -> None:
        path = place.outer / "source" / "a" / "mf.dcm"
        write_enhanced(path, VOXELS, echoes=echoes)
        one = pydicom.dcmread(path)
        after(one)
        one.save_as(path)

    return spoil


def zipped(members: Mapping[str, bytes], *, series: int = 0, beside: str = "", cut: int = 0) -> Spoil:
    """A zip file of so many series, of which the last slice lacks some bytes, and other members; and a folder of a series."""

    def spoil(place: Place) -> None:
        folder = place.outer / "source"
        folder.mkdir()
        with zipfile.ZipFile(folder / "scan.zip", "w", zipfile.ZIP_DEFLATED) as file:
            for number in range(series):
                write_series(place.outer / "unpacked", VOXELS, SeriesNumber=number + 1)
                *_, last = sorted((place.outer / "unpacked").iterdir())
                last.write_bytes(last.read_bytes()[: -cut or None])
                for path in sorted((place.outer / "unpacked").iterdir()):
                    file.write(path, f"{number}/{path.name}")
                shutil.rmtree(place.outer / "unpacked")
            for name, content in members.items():
                file.writestr(name, content)
        if beside:
            write_series(folder / beside, VOXELS)

    return spoil


def no_zip(place: Place) -> None:
    (place.outer / "source").mkdir()
    (place.outer / "source" / "scan.zip").write_bytes(b"PK\3\4 the download broke off")


def refused(name: str, spoil: Spoil, message: str, options: str = "") -> Entry:
    return Entry(name=name, spoil=spoil, words=CONVERT + options, message="{outer}/source" + message)


def not_predicted(name: str, spoil: Spoil, message: str, words: str = PREDICT) -> Entry:
    return Entry(name=name, spoil=spoil, words=words, message="{outer}/source" + message)


UNUSABLE = (
    ": the labels of 1 of 1 case cannot be used\n  case_001: {outer}/source/a/%s\nNothing was written; put this right, or take it "
    "away, and convert again."
)
AGAIN = "get it again, or unpack it yourself and name the folder"
BEGINNING = bytes(128) + b"DICM"

ENTRIES: tuple[Entry, ...] = (
    refused(
        "series on which nothing is drawn",
        lambda place: write_series(place.outer / "source" / "a", VOXELS),
        ": 1 DICOM series without a label; a label is a DICOM segmentation (SEG), a structure set (RTSTRUCT), or an image such as label.nii.gz on the grid of the series",
    ),
    refused(
        "a structure set of another series",
        of_another_series,
        ": 1 DICOM series, and none that was drawn on: a/rt.dcm (RTSTRUCT); put the series that it was drawn on beside it",
    ),
    refused(
        "a segmentation on another grid than its series",
        segmented_on_another_grid,
        UNUSABLE
        % "seg.dcm: lies on another grid than {outer}/source/a/ct: its frames have 12 x 12 pixels, 16 x 12 has; resample it onto that series, or name the series that it was drawn on",
    ),
    refused(
        "a series that lacks a slice",
        drawn({"heart": [HEART]}, after=without_slice(3)),
        UNUSABLE
        % "ct: series4: a gap of 5 mm behind slice 2, where others lie 2.5 mm apart; add the files that are missing, or resample the slices",
    ),
    refused(
        "a series that lacks its last slice, which was drawn on",
        drawn({"heart": [HEART, rectangle(3, (1, 5), (1, 5))]}, after=without_slice(4)),
        UNUSABLE
        % "rt1.dcm: 1 curve lies beyond the slices of {outer}/source/a/ct (at z = -22.5 mm); add the slices that are missing, or take it away",
    ),
    refused(
        "a tilted gantry",
        drawn({"heart": [HEART]}, after=tilted),
        UNUSABLE
        % "ct: series4: its slices lean by 21.8 degrees, as where the gantry was tilted; resample it onto a straight grid: dcm2niix -z y . does",
    ),
    refused(
        "curves between slices",
        drawn({"heart": [rectangle(1.5, (1, 5), (1, 5))]}),
        UNUSABLE
        % "rt1.dcm: curves of a structure lie between the slices of {outer}/source/a/ct or across them; name the series that it was drawn on, or export it on that series",
    ),
    refused(
        "a structure that is drawn in two files",
        drawn({"heart": [HEART]}, {"Heart": [HEART]}),
        "/a/rt2.dcm: Heart is drawn in {outer}/source/a/rt1.dcm, too, on the same series; keep one of the two, or name other labels (--label_names)",
    ),
    refused(
        "structures of one file whose names differ in signs only",
        drawn({"GTV 1": [HEART], "gtv_1": [LUNG]}),
        "/a/rt1.dcm: names of structures differ in case or signs only: GTV 1, gtv_1; rename or delete one",
    ),
    refused(
        "a structure without a name",
        drawn({"heart": [HEART], " ": [LUNG]}),
        ": 1 folder of DICOM files cannot be used\n  {outer}/source/a/rt1.dcm: its structure 2 has no name; name it, and export it again\nNothing was written; put this right and convert again.",
    ),
    refused(
        "a structure that nobody drew",
        drawn({"heart": [HEART], "lung": [LUNG]}),
        ": no structure is called hart; did you mean heart?; there are heart, lung",
        " --label_names hart",
    ),
    refused(
        "structures on series of two kinds",
        of_two_kinds,
        ": what is drawn lies on series of several kinds: 1 CT, 1 MR; convert a folder of each, or say with --channels what they all are",
    ),
    refused(
        "two channels of a DICOM series",
        drawn({"heart": [HEART]}),
        ": 2 channels are named (CT, PET), but a DICOM series is one; name one, or convert the series to NIfTI and name the files <case>_0000.nii.gz, ...",
        " --channels CT PET",
    ),
    refused(
        "a label image on another grid than its series",
        label_images((3, 12, 12)),
        "/a/label1.nii.gz: lies on another grid than the series a/ct: size (3, 12, 12) and (4, 12, 12) voxels (z, y, x); resample it onto that series, or take it away",
    ),
    refused(
        "two label images of one series",
        label_images((4, 12, 12), (4, 12, 12)),
        "/a/label2.nii.gz: {outer}/source/a/label1.nii.gz is a label of the same series; keep one of the two, with another number for each structure",
    ),
    refused(
        "two echoes in one file",
        enhanced(2),
        ": 1 folder of DICOM files cannot be used\n  {outer}/source/a/mf.dcm: holds 2 volumes in one file, as echoes or phases are; save each as a file of its own, or convert it to NIfTI: dcm2niix -z y .\nNothing was written; put this right and convert again.",
    ),
    not_predicted(
        "frames that do not say where they lie",
        enhanced(1, lambda one: delattr(one, "PerFrameFunctionalGroupsSequence")),
        "/a/mf.dcm: holds several frames and does not say where each of them lies; export the series again, as CT, MR or PET images",
    ),
    not_predicted(
        "a zip file without a series",
        zipped({"report.pdf": b"%PDF", "DICOMDIR": BEGINNING}),
        "/scan.zip: holds no DICOM series (slices of an image); name one that does, or unpack it and name the folder of images in it",
    ),
    not_predicted("a zip file that broke off", no_zip, f"/scan.zip: refused: it is no zip file, or not whole; {AGAIN}"),
    not_predicted(
        "a zip file that leads elsewhere",
        zipped({"../../.bashrc": BEGINNING}, series=1),
        f"/scan.zip: refused: '../../.bashrc' in it leads elsewhere; {AGAIN}",
    ),
    not_predicted(
        "a zip file that grows a thousand times",
        zipped({"a.dcm": bytes(2**26 + 1)}),
        f"/scan.zip: refused: its files declare 0.1 GB, packed in 0.0 GB (a zip bomb); {AGAIN}",
    ),
    not_predicted(
        "a zip file with a damaged slice",
        zipped({}, series=1, cut=500),
        "/scan.zip/000003_10.dcm: is truncated: the header of its image is not whole; copy or export it again",
    ),
    not_predicted(
        "a folder and a zip file of one name",
        zipped({}, series=1, beside="scan"),
        ": a folder and a zip file of one name: scan; keep one of the two, or rename it",
    ),
    not_predicted(
        "several series in a zip file, and one file to write",
        zipped({}, series=2),
        "/scan.zip: holds 2 DICOM series, and the output is one file; name a folder with this zip in it, and a folder for the output",
        PREDICT.replace("{outer}/source", "{outer}/source/scan.zip").replace("{outer}/out", "{outer}/out.nii.gz"),
    ),
)
