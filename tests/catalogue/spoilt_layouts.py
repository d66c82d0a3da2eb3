"""Datasets in other people's layouts, and folders of segmentations that someone else filled."""

from __future__ import annotations

import json
import os
import shutil
import socket
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from spoiling import CASE, Entry, Place, Spoil, edit

from autoseg.images import read_image, write_image

CONVERT = "autoseg_convert_dataset -i {outer}/source --workers 1"
SCORE = "autoseg_evaluate_folder -pred {outer}/predictions --workers 1"
TASK_LABELS = "{home}/raw_data/Task001_Balls/labelsTr"

Segments = Sequence[tuple[str, int]]


def segmentation(path: Path, segments: Segments, *, layers: bool = False) -> None:
    """A file of 3D Slicer of 2 x 2 x 2 voxels that holds each value."""
    path.parent.mkdir(parents=True, exist_ok=True)
    header = ["NRRD0004", "type: uint8", "encoding: raw", f"dimension: {4 if layers else 3}"]
    header += ["kinds: list domain domain domain", "sizes: 1 2 2 2"] if layers else ["sizes: 2 2 2", "spacings: 1 1 1"]
    for number, (name, value) in enumerate(segments):
        header += [f"Segment{number}_Name:={name}", f"Segment{number}_LabelValue:={value}", f"Segment{number}_Layer:=0"]
    voxels = np.resize(np.array([0, *(value for _, value in segments)], np.uint8), 8)
    path.write_bytes("\n".join([*header, "", ""]).encode() + voxels.tobytes())


def drawn(*cases: Segments, layers: bool = False) -> Spoil:
    """A source whose labels name their segments."""

    def spoil(place: Place) -> None:
        for number, segments in enumerate(cases):
            segmentation(place.outer / f"source/images/p{number}.nrrd", ())
            segmentation(place.outer / f"source/labels/p{number}.seg.nrrd", segments, layers=layers)

    return spoil


def labelled(*values: int, kind: type = np.uint8) -> Spoil:
    """A source of two cases whose labels hold the values."""

    def spoil(place: Place) -> None:
        image = read_image(place.image)
        for number in range(2):
            write_image(place.outer / f"source/images/p{number}.nii.gz", image.data, image.geometry)
            labels = np.resize(np.array(values, kind), image.data.shape)
            write_image(place.outer / f"source/labels/p{number}.nii.gz", labels, image.geometry)

    return spoil


def described(**changes: object) -> Spoil:
    """The task under another name beside the workspace, with other values in its dataset.json."""

    def spoil(place: Place) -> None:
        source = Path(shutil.copytree(place.raw, place.outer / "source"))
        edit(source / "dataset.json", lambda content: content.update(changes))

    return spoil


def converting(place: Place) -> None:
    """Another process, the one that started this one, converts into the task's number."""
    described()(place)
    name = f".converting-{socket.gethostname()}-{os.getppid()}-0123abcd-Task042_Other"
    (place.home / "raw_data" / name).mkdir()


def predicted(place: Place) -> Path:
    """A folder of predictions: the task's own labels."""
    return Path(shutil.copytree(place.raw / "labelsTr", place.outer / "predictions"))


def twice(place: Place) -> None:
    """One of the predictions in two files."""
    image = read_image(place.label)
    write_image(predicted(place) / f"{CASE}.nii", image.data, image.geometry)


def with_rules(place: Place) -> None:
    twice(place)
    (place.outer / "rules.json").write_text(json.dumps({"format": 1, "rules": []}))


TWICE = "{outer}/predictions/case_001.nii.gz: case_001.nii has the same name; keep one of the two"
FIRST = (("liver", 1), ("spleen", 2))


def refused(name: str, spoil: Spoil, message: str, options: str = "") -> Entry:
    return Entry(name=name, spoil=spoil, words=CONVERT + options, message="{outer}/source" + message)


UNUSABLE = "/labels: {} of {} label files cannot be used\n{}\nNothing was written; put {} away, and convert again."
ONE, SEVERAL = "this right, or take it", "these right, or take them"

ENTRIES: tuple[Entry, ...] = (
    refused(
        "segments whose names differ in case only",
        drawn(FIRST, (("Liver", 1),)),
        "/labels: segments whose names differ in case only: Liver in p1, liver in p0; name them alike, or convert label images without names",
    ),
    refused(
        "segments of one value",
        drawn(FIRST, (("liver", 1), ("spleen", 1))),
        UNUSABLE.format(
            1,
            2,
            "  p1.seg.nrrd: {outer}/source/labels/p1.seg.nrrd: its segments liver, spleen have one value; give each its own, and save it anew",
            ONE,
        ),
    ),
    refused(
        "segments that overlap",
        drawn(FIRST, FIRST, layers=True),
        UNUSABLE.format(
            2,
            2,
            "\n".join(
                f"  p{n}.seg.nrrd: {{outer}}/source/labels/p{n}.seg.nrrd: holds segments that overlap, in layers; a label image has one number a voxel; decide where they overlap, in 3D Slicer by exporting them to a labelmap, and save that"
                for n in range(2)
            ),
            SEVERAL,
        ),
    ),
    refused(
        "segments that are numbered otherwise beside labels without names",
        lambda place: [drawn(FIRST, (("liver", 2), ("spleen", 1)))(place), _nameless(place)],
        "/labels: the names of segments have other numbers in other cases (liver is 1 in p0 and 2 in p1; spleen is 1 in p1 and 2 in p0), and the labels of q have no names to go by; name their segments in 3D Slicer, or take them away",
    ),
    refused(
        "names for other labels than there are",
        labelled(0, 1, 2),
        "/labels: 1 label named (LV), but the files hold 2 (label_1, label_2); name each once, in this order, without the background",
        " --label_names LV",
    ),
    refused(
        "labels with gaps, of which there are many",
        labelled(*range(0, 600, 2), kind=np.int16),
        "/labels: the values are 0, 2, 4, 6, 8, 10, 12, 14, 16, 18 and 290 more, but labels are numbered 0, 1, 2, ... without a gap; add --remap_labels to have them renumbered in the copies (0 to 0, 2 to 1, 4 to 2, 6 to 3, 8 to 4, 10 to 5, 12 to 6, 14 to 7, 16 to 8, 18 to 9 and 290 more); are these images rather than labels?",
    ),
    refused(
        "declared labels with gaps",
        described(labels={"0": "background", "255": "ball"}),
        "/dataset.json: labels: the numbers must be consecutive from 0, found 0, 255; renumber them, in the label files too, or add --remap_labels, which does both in the copies",
    ),
    refused(
        "names for labels that have some",
        described(),
        ": its dataset.json names labels and channels; correct them there, --channels and --label_names are for plain folders without one",
        " --label_names ball",
    ),
    Entry(
        name="a declared label that the files do not have, and the other way round, renumbered",
        spoil=described(labels={"0": "background", "255": "ball"}),
        words=f"{CONVERT} --remap_labels",
        message="{outer}/source: 5 of 11 files cannot be brought over\n"
        + "\n".join(f"  case_00{n}.nii.gz: holds 1, which is no label of this task; correct the file" for n in range(5))
        + "\nNothing was written; put these right and convert again.",
    ),
    Entry(
        name="two conversions to one number",
        spoil=converting,
        words=f"{CONVERT} -output_task_id 42",
        message="{home}/raw_data/Task042_Other: process {some} is converting into it right now; wait for it, or end it first",
    ),
    Entry(
        name="scores of a case in two files",
        spoil=twice,
        words=f"{SCORE} -ref {TASK_LABELS} -l 1",
        message=TWICE,
    ),
    Entry(
        name="pictures of a case in two files",
        spoil=twice,
        words="autoseg_plot_task -t 1 -o {outer}/pictures -pred {outer}/predictions --workers 1",
        message=TWICE,
    ),
    Entry(
        name="postprocessing of a case in two files",
        spoil=with_rules,
        words="autoseg_apply_postprocessing -i {outer}/predictions -o {outer}/out -pp {outer}/rules.json",
        message=TWICE,
    ),
    Entry(
        name="an ensemble with a case in two files",
        spoil=twice,
        words="autoseg_ensemble -f {outer}/predictions {outer}/predictions -o {outer}/out",
        message=TWICE,
    ),
    Entry(
        name="scores of a label that the task does not have",
        spoil=predicted,
        words=f"{SCORE} -t 1 -l liver",
        message="-l liver: the task has no such label; it has 0 background, 1 ball",
    ),
    Entry(
        name="scores of a name without a task",
        spoil=predicted,
        words=f"{SCORE} -ref {TASK_LABELS} -l ball",
        message="-l ball: names are known of a task only; name it (-t), or the label's number",
    ),
    Entry(
        name="scores against nothing",
        spoil=predicted,
        words=f"{SCORE} -l 1",
        message="what are the true labels? Name their folder (-ref), or the task that they belong to (-t)",
    ),
    Entry(
        name="scores of common cases where there is none",
        spoil=predicted,
        words="autoseg_evaluate_folder -ref {home}/raw_data/Task001_Balls/imagesTs -pred {outer}/predictions -l 1 --common",
        message="{outer}/predictions and {home}/raw_data/Task001_Balls/imagesTs: no case is in both; files of one case have equal names",
    ),
)


def _nameless(place: Place) -> None:
    image = read_image(place.image)
    write_image(place.outer / "source/images/q.nii.gz", image.data, image.geometry)
    write_image(place.outer / "source/labels/q.nii.gz", np.ones(image.data.shape, np.uint8), image.geometry)
