"""BIDS datasets and folders of cases from which nothing can be made, or more than one thing."""

from __future__ import annotations

import shutil
from collections.abc import Mapping

import numpy as np
from spoiling import Entry, Place, Spoil

from autoseg.images import read_image, write_image

CONVERT = "autoseg_convert_dataset -i {outer}/study --workers 1"
STUDY = "{outer}/study"
CHOICES = "\n  contrasts: T1w (2), T2w (1)\n  labels _lesion: 1 of T1w\n  labels _seg: 2 of T1w, 1 of T2w"
IMAGES = ("sub-01_T1w", "sub-02_T1w", "sub-01_T2w")


def study(
    labels: Mapping[str, object] | None = None, files: Mapping[str, str] | None = None, images: tuple[str, ...] = IMAGES
) -> Spoil:
    """Images of two subjects, and labels that hold the values."""
    given: Mapping[str, object] = (
        {"sub-01_T1w_seg": 1, "sub-02_T1w_seg": 1, "sub-01_T2w_seg": 1, "sub-01_T1w_lesion": 1}
        if labels is None
        else labels
    )

    def spoil(place: Place) -> None:
        image = read_image(place.image)
        for stem in images:
            path = place.outer / "study" / stem.partition("_")[0] / "anat" / f"{stem}.nii.gz"
            write_image(path, image.data, image.geometry)
        for stem, values in given.items():
            path = place.outer / "study/derivatives/labels" / stem.partition("_")[0] / f"{stem}.nii.gz"
            data = np.resize(np.atleast_1d(np.array(values)), image.data.shape)
            data[0] = 0
            write_image(path, data.astype(np.float32 if data.dtype.kind == "f" else np.uint8), image.geometry)
        for name, text in (files or {}).items():
            path = place.outer / "study" / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text)

    return spoil


def cases(*, images: bool = True, masks: Mapping[str, object] | None = None, more: bool = False) -> Spoil:
    """Two folders of cases."""

    def spoil(place: Place) -> None:
        image = read_image(place.image)
        for case in ("s1", "s2"):
            folder = place.outer / "study" / case
            (folder / "segmentations").mkdir(parents=True)
            if images:
                write_image(folder / "ct.nii.gz", image.data, image.geometry)
            if more and case == "s2":
                write_image(folder / "pet.nii.gz", image.data, image.geometry)
            for name, values in ({"liver": 1} if masks is None else masks).items():
                data = np.resize(np.atleast_1d(np.array(values)), image.data.shape)
                write_image(folder / "segmentations" / f"{name}.nii.gz", data.astype(np.uint8), image.geometry)

    return spoil


def refused(name: str, spoil: Spoil, message: str, options: str = "") -> Entry:
    return Entry(name=name, spoil=spoil, words=CONVERT + options, message=message)


ENTRIES: tuple[Entry, ...] = (
    refused(
        "BIDS with labels of several suffixes",
        study(),
        f"{STUDY}: labels of several suffixes are in derivatives, and which of them are wanted, only you know; name them with --label_suffixes, one for each label{CHOICES}",
    ),
    refused(
        "BIDS with labels of several contrasts",
        study(),
        f"{STUDY}: images of several contrasts have such labels; name those that are wanted with --contrasts, and with --multichannel where they are channels of one case{CHOICES}",
        " --label_suffixes _seg",
    ),
    refused(
        "BIDS with a contrast that is not there",
        study(),
        f"{STUDY}: contrasts: t1W: nothing is called exactly so; did you mean T1w?{CHOICES}",
        " --label_suffixes _seg --contrasts t1W",
    ),
    refused(
        "BIDS with a suffix that is a part of one",
        study(),
        f"{STUDY}: label_suffixes: _se: nothing is called exactly so; did you mean _seg?{CHOICES}",
        " --label_suffixes _se --contrasts T1w",
    ),
    refused(
        "BIDS with one channel of several",
        study(),
        f"{STUDY}: --multichannel makes one case of several contrasts, and there is only T1w; name several with --contrasts{CHOICES}",
        " --label_suffixes _seg --contrasts T1w --multichannel",
    ),
    refused(
        "BIDS without labels",
        study(labels={}),
        f"{STUDY}: no label of its images is in derivatives; it is named after its image, sub-01_T1w_seg.nii.gz",
    ),
    refused(
        "BIDS whose contrast has no such label",
        study(),
        f"{STUDY}: no image of T2w has a label _lesion{CHOICES}",
        " --label_suffixes _lesion --contrasts T2w",
    ),
    refused(
        "BIDS whose subjects have no images",
        study(labels={}, images=(), files={"participants.tsv": "participant_id\tsex\n", "sub-01/readme.txt": ""}),
        f"{STUDY}: its subjects have no images named as BIDS has it, sub-01_T1w.nii.gz",
    ),
    refused(
        "BIDS with more names than labels",
        study(),
        f"{STUDY}: 1 label (_seg) and the names left, right; name each once, in this order, with --label_names",
        " --label_suffixes _seg --contrasts T1w --label_names left right",
    ),
    refused(
        "BIDS with a condition that nobody fulfils",
        study(files={"participants.tsv": "participant_id\tsex\nsub-01\tF\nsub-02\tM\n"}),
        "sex=D: is so of no case of 2: sex is F, M; correct the condition",
        " --label_suffixes _seg --contrasts T1w --where sex=D",
    ),
    refused(
        "BIDS with a table of commas",
        study(files={"participants.tsv": "participant_id,sex\nsub-01,F\n"}),
        f"{STUDY}/participants.tsv: line 1: names a single column, 'participant_id,sex'; separate the columns by tabs, the first one names the case",
        " --label_suffixes _seg --contrasts T1w",
    ),
    refused(
        "BIDS with a damaged JSON file",
        study(files={"sub-01/anat/sub-01_T1w.json": "{"}),
        f"{STUDY}/sub-01/anat/sub-01_T1w.json: not valid JSON: Expecting property name enclosed in double quotes: line 1 column 2 (char 1); correct the file",
        " --label_suffixes _seg --contrasts T1w",
    ),
    refused(
        "BIDS with a JSON file that is a list",
        study(files={"T1w.json": "[]"}),
        f"{STUDY}/T1w.json: expected an object with named values; correct the file",
        " --label_suffixes _seg --contrasts T1w",
    ),
    refused(
        "BIDS with several labels in the file of one",
        study(labels={"sub-01_T1w_seg": (0, 1, 2), "sub-01_T1w_lesion": 1}),
        f"{STUDY}: the labels of 1 of 1 case cannot be used\n"
        "  sub-01_T1w: sub-01_T1w_seg.nii.gz holds 0, 1, 2, several labels in one file, so it is no mask of one; name it as the only file of labels, or split it\n"
        "Nothing was written; put this right, or take it away, and convert again.",
        " --label_suffixes _seg _lesion --contrasts T1w",
    ),
    refused(
        "BIDS with a mask of large fractions",
        study(labels={"sub-01_T1w_seg": (0.5, 3.0)}),
        f"{STUDY}: the labels of 1 of 1 case cannot be used\n"
        "  sub-01_T1w: sub-01_T1w_seg.nii.gz holds fractions beyond 0 and 1, so it is no mask; save it as 0 and 1\n"
        "Nothing was written; put this right, or take it away, and convert again.",
    ),
    refused(
        "BIDS with more channel names than channels",
        study(),
        f"{STUDY}: 2 channels are named (a, b), but each case has 1; name each once, in their order",
        " --label_suffixes _seg --contrasts T1w --channels a b",
    ),
    refused(
        "a choice from BIDS of what is none",
        lambda place: shutil.copytree(place.raw / "imagesTr", place.outer / "study" / "images"),
        f"{STUDY}: --contrasts chooses from a BIDS dataset, and this is none: no folder sub-... with images in it; leave it out, or name the dataset's folder",
        " --contrasts T1w",
    ),
    refused(
        "folders of cases without images",
        cases(images=False),
        f"{STUDY}: no image is in s1, s2; put an image such as ct.nii.gz beside each folder of masks",
    ),
    refused(
        "folders of cases of which one has more",
        cases(more=True),
        f"{STUDY}: s2: 1 image (ct) in all cases, and others here; take them away, or add them to the other cases",
    ),
    refused(
        "folders of cases without masks",
        cases(masks={}),
        f"{STUDY}: the folders of masks hold no image; each structure has a file of its own",
    ),
    refused(
        "folders of cases without a mask that is wanted",
        cases(),
        f"{STUDY}: no mask is called livers; did you mean liver?; there are liver",
        " --label_names livers",
    ),
)
