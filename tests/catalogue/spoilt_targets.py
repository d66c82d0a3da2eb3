"""Targets that contradict themselves, or what lies beside them: regions, masks, what is ignored, drawn, or a fraction."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from typing import Any

from spoiling import Entry, Place, Spoil, describe, edit, moved, verified, voxels

from autoseg.geometry import Geometry
from autoseg.images import read_image, write_image

REGIONS = {"background": 0, "ball": [1]}


def of_kind(*spoils: Callable[[Place], object], **changes: Any) -> Spoil:
    """Another kind of target in dataset.json, and other files."""

    def spoil(place: Place) -> None:
        edit(place.raw / "dataset.json", lambda content: described(content, changes))
        for one in spoils:
            one(place)

    return spoil


def described(content: dict[str, Any], changes: dict[str, Any]) -> dict[str, Any]:
    gone = {"labels"} if "masks" in changes else set()
    return {key: value for key, value in content.items() if key not in gone} | changes


def renamed(*endings: str) -> Spoil:
    """Every label file under other names, one or several."""

    def spoil(place: Place) -> None:
        for path in sorted((place.raw / "labelsTr").iterdir()):
            content = path.read_bytes()
            path.unlink()
            for ending in endings:
                path.with_name(path.name.replace(".nii.gz", f"{ending}.nii.gz")).write_bytes(content)

    return spoil


def holding(name: str, value: float) -> Spoil:
    return lambda place: voxels(place.raw / "labelsTr" / f"{name}.nii.gz", lambda data: with_value(data, value))


def with_value(data: Any, value: float) -> Any:
    data = data.astype("float32")
    data[0] = value
    return data


def removed(name: str) -> Spoil:
    return lambda place: (place.raw / "labelsTr" / f"{name}.nii.gz").unlink()


def filled(name: str, value: int) -> Spoil:
    return lambda place: voxels(place.raw / "labelsTr" / f"{name}.nii.gz", lambda data: data * 0 + value)


def on_another_grid(name: str) -> Spoil:
    def spoil(place: Place) -> None:
        moved(
            place.raw / "labelsTr" / f"{name}.nii.gz",
            lambda image: replace(image, geometry=Geometry(spacing=(9.0, 9.0, 9.0))),
        )

    return spoil


def predicted(value: float) -> Spoil:
    """A prediction of case_001 that is one value everywhere, on the case's grid."""

    def spoil(place: Place) -> None:
        image = read_image(place.label)
        write_image(
            place.outer / "predictions" / place.label.name, image.data.astype("float32") * 0 + value, image.geometry
        )

    return spoil


def ruled(**named: Any) -> Spoil:
    rules = {"format": 1, "rules": [{"kind": "keep_largest", "labels": [1]}], **named}
    return lambda place: (place.outer / "rules.json").write_text(json.dumps(rules))


MASKED = renamed("_ball")
WHOLE_NUMBERS = 'a segmentation holds whole numbers only, found 0.5; correct the file; soft labels are taken where the task, or a postprocessing.json, says "soft_labels": true'
FILE = "case case_001, labelsTr/case_001"

ENTRIES: tuple[Entry, ...] = (
    verified(
        "an order that names a label of no region",
        describe(labels=REGIONS, regions_class_order=[7]),
        "dataset.json: regions_class_order: 7: no region covers it",
    ),
    verified(
        "an order that is too long",
        describe(labels=REGIONS, regions_class_order=[1, 1]),
        "dataset.json: regions_class_order: give each region its label, in their order (ball); found 2",
    ),
    verified(
        "an order that is text",
        describe(labels=REGIONS, regions_class_order="1"),
        "dataset.json: regions_class_order: expected a list of labels such as [1, 2], found '1'",
    ),
    verified(
        "two regions that write one label",
        describe(labels={"background": 0, "whole": [1, 2], "core": [1]}, regions_class_order=[1, 1]),
        "dataset.json: regions_class_order: 1 is written by two regions, and nobody could tell them apart; give each region a label of its own",
    ),
    verified(
        "regions without a background",
        describe(labels={"ball": [1]}, regions_class_order=[1]),
        'dataset.json: labels: 0 is not declared, which is the background; write {"background": 0, "whole": [1, 2], "core": 2} with "regions_class_order": [1, 2], with "background": 0',
    ),
    verified(
        "a region of the background",
        describe(labels={"background": 0, "ball": [0, 1]}, regions_class_order=[1]),
        "dataset.json: labels: region ball covers 0, which is the background",
    ),
    verified(
        "a region of text",
        describe(labels={"background": 0, "ball": "1"}, regions_class_order=[1]),
        "dataset.json: labels: region ball: expected a label, or a list of some, found '1'",
    ),
    verified(
        "a region of nothing",
        describe(labels={"background": 0, "ball": []}, regions_class_order=[1]),
        "dataset.json: labels: every region needs the labels that it covers, at least one",
    ),
    verified(
        "a label of no region in a file",
        of_kind(holding("case_001", 3), labels=REGIONS, regions_class_order=[1]),
        f"{FILE}.nii.gz: holds the value 3, which dataset.json does not declare (0, 1); declare them under labels, or renumber them in the file",
    ),
    verified(
        "fractions of regions",
        describe(labels=REGIONS, regions_class_order=[1], soft_labels=True),
        "dataset.json: soft_labels: a map of labels, of which regions are made, holds no fractions; declare masks",
    ),
    verified(
        "an ignored value that is a label",
        describe(ignore=1),
        "dataset.json: ignore: 1 is also a label; take a value above all labels",
    ),
    verified(
        "an ignored value that is text",
        describe(ignore="255"),
        "dataset.json: ignore: expected a whole number such as 255, without quotation marks, found '255'",
    ),
    verified(
        "an ignored value below the labels",
        describe(ignore=-1),
        "dataset.json: ignore: -1 does not lie above the labels; take a value above 1",
    ),
    verified(
        "an ignored value beyond all labels",
        describe(ignore=70000),
        "dataset.json: ignore: 70000 is too large; take a value up to 32767",
    ),
    verified(
        "a case that is ignored everywhere",
        of_kind(filled("case_001", 255), ignore=255),
        f"{FILE}.nii.gz: is ignored everywhere: nothing is annotated; leave the case out, or draw some of it",
    ),
    verified(
        "masks beside labels",
        describe(masks=["ball"]),
        "dataset.json: masks: declared beside labels; a task has labels, regions or masks, take one of the two out",
    ),
    verified(
        "masks that are no list",
        of_kind(masks="ball"),
        'dataset.json: masks: expected a list of names such as ["axon", "myelin"], found \'ball\'',
    ),
    verified(
        "no mask at all",
        of_kind(masks=[]),
        "dataset.json: masks: declare at least one mask",
    ),
    verified(
        "one mask twice",
        of_kind(masks=["ball", "ball"]),
        "dataset.json: masks: given twice: ball; name each mask differently",
    ),
    verified(
        "a mask that is called like a rater",
        of_kind(masks=["ball", "ball_rater1"]),
        "dataset.json: masks: 'ball_rater1' cannot be part of a file's name; use letters, digits, _ and -, and end it otherwise than in _rater and a number",
    ),
    verified(
        "a case without any mask",
        of_kind(MASKED, removed("case_001_ball"), masks=["ball"]),
        "dataset.json: case case_001: nothing is annotated; add a label file such as case_001_ball.nii.gz, or take the case off the list",
    ),
    verified(
        "a mask of twos",
        of_kind(MASKED, holding("case_001_ball", 2), masks=["ball"]),
        f"{FILE}_ball.nii.gz: holds the value 2, and a mask holds 0 and 1; correct the file",
    ),
    verified(
        "fractions without soft_labels",
        of_kind(MASKED, holding("case_001_ball", 0.25), masks=["ball"]),
        f'{FILE}_ball.nii.gz: holds fractions, such as 0.25; save masks as 0 and 1, or declare "soft_labels": true in dataset.json',
    ),
    verified(
        "fractions beyond 255",
        of_kind(MASKED, holding("case_001_ball", 256), masks=["ball"], soft_labels=True),
        f"{FILE}_ball.nii.gz: holds 256, which is no fraction; soft labels are from 0 to 1, or whole numbers from 0 to 255",
    ),
    verified(
        "a rater's file beside one of nobody",
        of_kind(renamed("_ball", "_ball_rater1"), masks=["ball"]),
        "dataset.json: case case_000: case_000_ball.nii.gz lies beside the files of raters; is it their mean, take it away, or one more, call it case_000_ball_rater2; 4 more entries alike",
    ),
    verified(
        "soft_labels that is text",
        describe(soft_labels="yes"),
        "dataset.json: soft_labels: expected true or false, found 'yes'",
    ),
    verified(
        "soft labels of two labels in one file",
        describe(labels={"0": "background", "1": "ball", "2": "core"}, soft_labels=True),
        'dataset.json: soft_labels: one file holds the fractions of one label, and 2 are declared; name each under "masks", with a file of its own',
    ),
    verified(
        "a case annotated that there is not",
        describe(annotated={"case_009": ["ball"]}),
        "dataset.json: annotated: there is no training case 'case_009'; did you mean case_004?; correct the name",
    ),
    verified(
        "a case in which nothing was annotated",
        describe(annotated={"case_001": []}),
        "dataset.json: annotated: case case_001: nothing is annotated; name what was drawn, or take the case off the list",
    ),
    verified(
        "an output annotated that there is not",
        describe(annotated={"case_001": ["bal"]}),
        "dataset.json: annotated: case case_001: bal: no output is called so; did you mean ball?; known: ball",
    ),
    verified(
        "annotated by a column that there is not",
        describe(annotated="site"),
        "dataset.json: annotated: metadata.tsv says nothing in a column 'site'; name one that holds outputs",
    ),
    verified(
        "a label in a case where it was not drawn",
        describe(labels={"0": "background", "1": "ball", "2": "core"}, annotated={"case_001": ["core"]}),
        f"{FILE}.nii.gz: holds label 1, but only core is annotated in this case; correct `annotated`, or the file",
    ),
    verified(
        "no number among soft labels",
        of_kind(MASKED, holding("case_001_ball", float("nan")), masks=["ball"], soft_labels=True),
        f"{FILE}_ball.nii.gz: holds nan, which is no fraction; soft labels are from 0 to 1, or whole numbers from 0 to 255",
    ),
    verified(
        "soft labels below 0",
        of_kind(holding("case_001", -0.5), soft_labels=True),
        f"{FILE}.nii.gz: holds -0.5, which is no fraction; soft labels are from 0 to 1, or whole numbers from 0 to 255",
    ),
    verified(
        "soft labels of 255 with fractions of it",
        of_kind(holding("case_001", 127.5), soft_labels=True),
        f"{FILE}.nii.gz: holds 127.5, which is no fraction; soft labels are from 0 to 1, or whole numbers from 0 to 255",
    ),
    verified(
        "an ignored value that is a fraction",
        describe(soft_labels=True, ignore=1),
        "dataset.json: ignore: 1 is a fraction, too; take another value, such as 255",
    ),
    verified(
        "soft labels that are ignored everywhere",
        of_kind(filled("case_001", 255), soft_labels=True, ignore=255),
        f"{FILE}.nii.gz: is ignored everywhere: nothing is annotated; leave the case out, or draw some of it",
    ),
    verified(
        "a rater who drew on another grid",
        of_kind(renamed("_rater1", "_rater2"), on_another_grid("case_001_rater2")),
        f"{FILE}_rater2.nii.gz: lies on another grid than case_001_0000.nii.gz: spacing (1, 1, 1) and (9, 9, 9); resample it onto that grid",
    ),
    verified(
        "one rater's labels that nobody declared",
        of_kind(renamed("_rater1", "_rater2"), holding("case_001_rater2", 3)),
        f"{FILE}_rater2.nii.gz: holds the value 3, which dataset.json does not declare (0 to 1); declare them under labels, or renumber them in the file",
    ),
    Entry(
        name="scores of fractions without their task",
        spoil=predicted(0.5),
        words="autoseg_evaluate_folder -ref {home}/raw_data/Task001_Balls/labelsTr -pred {outer}/predictions -l 1 --common --workers 1",
        message=f"scoring: 1 of 1 case failed\n  case_001: {{outer}}/predictions/case_001.nii.gz: {WHOLE_NUMBERS}",
    ),
    Entry(
        name="scores of what is no fraction",
        spoil=of_kind(predicted(1.5), soft_labels=True),
        words="autoseg_evaluate_folder -t 1 -pred {outer}/predictions --common --workers 1",
        message="scoring: 1 of 1 case failed\n  case_001: {outer}/predictions/case_001.nii.gz: holds 1.5, which is no fraction; soft labels are from 0 to 1, or whole numbers from 0 to 255",
    ),
    Entry(
        name="rules of labels for fractions",
        spoil=of_kind(predicted(0.5), ruled()),
        words="autoseg_apply_postprocessing -i {outer}/predictions -o {outer}/out -pp {outer}/rules.json --workers 1",
        message=f"postprocessing: 1 of 1 case failed\n  case_001: {{outer}}/predictions/case_001.nii.gz: {WHOLE_NUMBERS}",
    ),
    Entry(
        name="rules that do not say whether they are of fractions",
        spoil=of_kind(predicted(0.5), ruled(soft_labels="yes")),
        words="autoseg_apply_postprocessing -i {outer}/predictions -o {outer}/out -pp {outer}/rules.json --workers 1",
        message="{outer}/rules.json: soft_labels: expected true or false, found 'yes'",
    ),
    Entry(
        name="planning where an ignored value is a label",
        spoil=describe(ignore=1),
        words="autoseg_plan_and_preprocess -t 1 -tf 1",
        message="{home}/raw_data/Task001_Balls/dataset.json: 1 problem\n  ignore: 1 is also a label; take a value above all labels\nPut right and run again.",
    ),
)
