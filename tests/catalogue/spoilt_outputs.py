"""New images that are none, and outputs that are inputs or hold what somebody else made."""

from __future__ import annotations

import json
import shutil
import zipfile
from pathlib import Path

import numpy as np
from spoiling import TASK, Entry, Place, Spoil, nothing

RAW = f"{{home}}/raw_data/{TASK}"
IMAGES = f"{RAW}/imagesTs"
PREDICT = f"autoseg_predict -i {IMAGES} -o {{outer}}/out -m 2d -device cpu --disable_tta"
READ = "no images here (their names end in .nii.gz, .nrrd, .mha, .png, .tif or .h5), but"
OWN_DATA = "which holds a task's own data; name another output"
NOT_OURS = (
    "there already, and not written by autoseg, which would replace it; move it away, name another output, or replace it "
    "with --overwrite_existing"
)


def subfolder(place: Place, name: str) -> Path:
    """A folder beside the image to predict."""
    folder = place.new.parent / name
    folder.mkdir()
    return folder


def dicom_and_pictures(place: Place) -> None:
    place.new.unlink()
    for name, content in (("IM1", bytes(128) + b"DICM"), ("b.dcm", b""), ("a.gif", b"")):
        (place.new.parent / name).write_bytes(content)


def predicted(name: str, spoil: Spoil, message: str, words: str = PREDICT) -> Entry:
    return Entry(name=name, spoil=spoil, words=words, message=message)


def put(name: str, content: str) -> Spoil:
    """A file of somebody else's in the folder around the home."""

    def spoil(place: Place) -> None:
        (place.outer / name).parent.mkdir(exist_ok=True)
        (place.outer / name).write_text(content)

    return spoil


def archive(place: Place) -> None:
    with zipfile.ZipFile(place.outer / "thesis.zip", "w") as file:
        file.writestr("thesis.tex", "years of work")


def features(place: Place) -> None:
    (place.outer / "out").mkdir()
    np.savez(place.outer / "out" / "test_005.npz", features=np.zeros(3))


def labels_beside(place: Place) -> None:
    shutil.copytree(place.label.parent, place.outer / "labels")
    (place.outer / "rules.json").write_text(
        json.dumps({"format": 1, "rules": [{"kind": "keep_largest", "labels": [1]}]})
    )


def scored_elsewhere(place: Place) -> None:
    labels_beside(place)
    (place.outer / "labels" / "summary.json").write_text('{"author": "another"}')


def by_another_trainer(place: Place) -> None:
    place.selection.unlink()
    for configuration in ("2d", "3d_fullres"):
        place.model(configuration).rename(place.model(configuration).with_name("Mine__autoseg"))


ENTRIES: tuple[Entry, ...] = (
    predicted(
        "images with and without channel numbers",
        lambda place: shutil.copyfile(place.new, place.new.with_name("other.nii.gz")),
        message="{home}/raw_data/Task001_Balls/imagesTs: some names end in a channel number and some do not (with: test_005_0000.nii.gz; without: other.nii.gz); name all images <case>_0000.nii.gz, or all without a number",
    ),
    predicted(
        "DICOM files and pictures in place of images",
        dicom_and_pictures,
        message="{home}/raw_data/Task001_Balls/imagesTs: no images here (their names end in .nii.gz, .nrrd, .mha, .png, .tif or .h5), but\n  2 DICOM files (IM1, b.dcm): convert the series to NIfTI: dcm2niix -z y -o IMAGES {home}/raw_data/Task001_Balls/imagesTs (or install what reads it: pip install 'autoseg[dicom]')\n  1 picture (a.gif): save each as PNG or TIFF, gray or RGB",
    ),
    predicted(
        "a raw folder in place of its images",
        lambda place: place.new.rename(subfolder(place, "imagesTs") / place.new.name),
        message="{home}/raw_data/Task001_Balls/imagesTs: no images here (their names end in .nii.gz, .nrrd, .mha, .png, .tif or .h5), but\n  imagesTs, as in a raw folder of autoseg, nnU-Net or the Decathlon: name {home}/raw_data/Task001_Balls/imagesTs/imagesTs",
    ),
    predicted(
        "a folder of patients in place of one of images",
        lambda place: place.new.rename(subfolder(place, "p1") / "t1.nii.gz"),
        message="{home}/raw_data/Task001_Balls/imagesTs: no images here (their names end in .nii.gz, .nrrd, .mha, .png, .tif or .h5), but\n  1 folder (p1) with images in: put the images into one folder, named after their cases (<case>_0000.nii.gz, <case>_0001.nii.gz, ... for each channel), or name one of these folders",
    ),
    predicted(
        "a DICOM file in place of an image",
        put("scan.dcm", ""),
        words="autoseg_predict -i {outer}/scan.dcm -o {outer}/out.nii.gz -m 2d -device cpu",
        message="{outer}/scan.dcm: a DICOM file, and no image that is read; convert the series to NIfTI: dcm2niix -z y -o IMAGES {outer} (or install what reads it: pip install 'autoseg[dicom]')",
    ),
    predicted(
        "an archive in place of images",
        put("scans.tar.gz", ""),
        words="autoseg_predict -i {outer}/scans.tar.gz -o {outer}/out -m 2d -device cpu",
        message="{outer}/scans.tar.gz: an archive, and no image that is read; unpack it and name the folder of images in it",
    ),
    predicted(
        "a folder for the prediction of one zip file",
        put("scans.zip", ""),
        words="autoseg_predict -i {outer}/scans.zip -o {outer}/out -m 2d -device cpu",
        message="{outer}/out: for the files of one case, -o names a file; let it end in .nii.gz",
    ),
    predicted(
        "several models and none of them the usual one",
        by_another_trainer,
        words=f"autoseg_predict -i {IMAGES} -o {{outer}}/out -device cpu",
        message=f"{TASK}: 2 models are trained; choose one with\n  -m 2d -tr Mine -p autoseg\n  -m 3d_fullres -tr Mine -p autoseg",
    ),
    predicted(
        "predictions into the labels of a task",
        nothing,
        words=PREDICT.replace("{outer}/out", f"{RAW}/labelsTr/mine") + " --overwrite_existing",
        message=f"{RAW}/labelsTr/mine: is in {RAW}/labelsTr, {OWN_DATA}",
    ),
    predicted(
        "predictions into a fold",
        nothing,
        words=PREDICT.replace("{outer}/out", f"{{home}}/results/2d/{TASK}/Trainer__autoseg/fold_0/validation_raw"),
        message=f"{{home}}/results/2d/{TASK}/Trainer__autoseg/fold_0/validation_raw: is in {{home}}/results/2d/{TASK}/Trainer__autoseg, the folder of a trained model; name another output",
    ),
    predicted(
        "predictions into the selection",
        nothing,
        words=PREDICT.replace("{outer}/out", f"{{home}}/results/selections/{TASK}"),
        message=f"{{home}}/results/selections/{TASK}: is the folder of the task's selection; name one of its own",
    ),
    predicted(
        "predictions beside another program's record",
        put("out/prediction.json", '{"answer": 42}'),
        message=f"{{outer}}/out/prediction.json: {NOT_OURS}",
    ),
    predicted(
        "predictions beside another program's archive",
        features,
        message="{outer}/out: test_005.npz: there already, and no probabilities that autoseg wrote, which would take this name; move it away, or replace it with --overwrite_existing",
    ),
    Entry(
        name="an ensemble into one of its members",
        spoil=lambda place: [(place.outer / name).mkdir() for name in "ab"],
        words="autoseg_ensemble -f {outer}/a {outer}/b -o {outer}/a/../b",
        message="{outer}/a/../b: is one of the folders to average; name one of its own",
    ),
    Entry(
        name="postprocessing into its own input",
        spoil=labels_beside,
        words="autoseg_apply_postprocessing -i {outer}/labels -o {outer}/labels -pp {outer}/rules.json --overwrite_existing",
        message="{outer}/labels: is the folder of the segmentations; name one of its own",
    ),
    Entry(
        name="scores of a folder against itself",
        spoil=labels_beside,
        words="autoseg_evaluate_folder -ref {outer}/labels -pred {outer}/labels -l 1",
        message="{outer}/labels: is the folder of the true labels; name that of the predictions",
    ),
    Entry(
        name="scores over another program's",
        spoil=scored_elsewhere,
        words=f"autoseg_evaluate_folder -ref {RAW}/labelsTr -pred {{outer}}/labels -l 1",
        message=f"{{outer}}/labels/summary.json: {NOT_OURS}",
    ),
    Entry(
        name="pictures into the images of a task",
        words=f"autoseg_plot_task -t 1 -o {RAW}/imagesTr --workers 1",
        message=f"{RAW}/imagesTr: is in {RAW}/imagesTr, {OWN_DATA}",
    ),
    Entry(
        name="a model archive over another archive",
        spoil=archive,
        words="autoseg_export_model -t 1 -o {outer}/thesis.zip -m 2d",
        message=f"{{outer}}/thesis.zip: {NOT_OURS}",
    ),
    Entry(
        name="the archive of a whole run over another archive",
        spoil=archive,
        words="autoseg_run -t 1 -o {outer}/thesis.zip",
        message="{outer}/thesis.zip: there already, and no archive of models; name another file",
    ),
)
