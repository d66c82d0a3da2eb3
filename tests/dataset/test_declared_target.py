"""Regions, masks, fractions, raters and what was drawn, as dataset.json and the files beside it say."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest

from autoseg.dataset import Exclusive, Masks, Regions, inspect_description, read_dataset
from autoseg.errors import DatasetError

CASES = ("a", "b")
REGIONS: dict[str, Any] = {"labels": {"background": 0, "whole": [1, 2], "core": 2}, "regions_class_order": [1, 2]}
LABELS: dict[str, Any] = {"labels": {"0": "background", "1": "anterior", "2": "posterior"}}
MASKS: dict[str, Any] = {"masks": ["axon", "myelin"]}


def task(folder: Path, content: dict[str, Any], files: tuple[str, ...] = ("a", "b"), metadata: str = "") -> Path:
    """A raw task whose label files, empty ones, have these names."""
    raw = folder / "Task001_Kinds"
    for name in files:
        path = raw / "labelsTr" / f"{name}.nii.gz"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
    listed = [{"image": f"./imagesTr/{case}.nii.gz", "label": f"./labelsTr/{case}.nii.gz"} for case in CASES]
    raw.mkdir(exist_ok=True)
    (raw / "dataset.json").write_text(json.dumps({"modality": {"0": "MRI"}, "training": listed, **content}))
    if metadata:
        (raw / "metadata.tsv").write_text(metadata)
    return raw


def names(paths: tuple[Path, ...]) -> list[str]:
    return [path.name.removesuffix(".nii.gz") for path in paths]


def test_regions_are_read_as_the_field_writes_them(tmp_path: Path) -> None:
    target = read_dataset(task(tmp_path, REGIONS)).target
    assert target == Regions(names=("whole", "core"), members=((1, 2), (2,)), order=(1, 2))
    within = {**REGIONS, "labels": {**REGIONS["labels"], "ignore": 3}}
    assert read_dataset(task(tmp_path, within)).target.ignore == 3


def test_labels_may_have_a_value_where_nobody_knows(tmp_path: Path) -> None:
    assert read_dataset(task(tmp_path, LABELS)).target == Exclusive(names=("background", "anterior", "posterior"))
    dataset = read_dataset(task(tmp_path, {**LABELS, "ignore": 255}))
    assert dataset.target == Exclusive(names=("background", "anterior", "posterior"), ignore=255)
    assert [case.segmentation.name for case in dataset.training if case.segmentation] == ["a.nii.gz", "b.nii.gz"]


def test_masks_have_a_file_each_and_may_be_absent(tmp_path: Path) -> None:
    dataset = read_dataset(task(tmp_path, MASKS, ("a_axon", "a_myelin", "b_myelin")))
    first, second = dataset.training
    assert dataset.target == Masks(names=("axon", "myelin"))
    assert [names(files) for files in first.drawn] == [["a_axon"], ["a_myelin"]]
    assert [names(files) for files in second.drawn] == [[], ["b_myelin"]]
    assert (first.annotated, second.annotated) == (("axon", "myelin"), ("myelin",))
    assert (first.segmentation, names(second.label_paths)) == (None, ["b_myelin"])


def test_raters_have_a_file_each_in_the_order_of_their_numbers(tmp_path: Path) -> None:
    files = ("a_axon_rater10", "a_axon_rater2", "a_myelin", "b_axon")
    first, _ = read_dataset(task(tmp_path, MASKS, files)).training
    assert [names(paths) for paths in first.drawn] == [["a_axon_rater2", "a_axon_rater10"], ["a_myelin"]]

    rated, plain = read_dataset(task(tmp_path / "maps", LABELS, ("a_rater1", "a_rater2", "b"))).training
    assert [names(paths) for paths in rated.drawn] == [["a_rater1", "a_rater2"]]
    assert (rated.segmentation, plain.drawn) == (None, ())


def test_fractions_of_one_label_lie_in_its_file(tmp_path: Path) -> None:
    soft = {"labels": {"0": "background", "1": "lesion"}, "soft_labels": True}
    dataset = read_dataset(task(tmp_path, soft))
    assert dataset.target == Exclusive(names=("background", "lesion"), soft=True)
    assert [names(case.drawn[0]) for case in dataset.training] == [["a"], ["b"]]


def test_what_was_drawn_is_said_for_a_case_or_in_a_column(tmp_path: Path) -> None:
    listed = read_dataset(task(tmp_path, {**LABELS, "annotated": {"b": ["posterior"]}}))
    assert [case.annotated for case in listed.training] == [None, ("posterior",)]

    table = "case\tdrawn\na\tposterior, anterior\nb\tanterior\n"
    by_column = read_dataset(task(tmp_path / "column", {**LABELS, "annotated": "drawn"}, metadata=table))
    assert [case.annotated for case in by_column.training] == [None, ("anterior",)]


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ({**REGIONS, "regions_class_order": [1, 7]}, "regions_class_order: 7: no region covers it"),
        (
            {**REGIONS, "regions_class_order": "12"},
            "regions_class_order: expected a list of labels such as [1, 2], found",
        ),
        (
            {**REGIONS, "labels": {"whole": [1, 2], "core": 2}},
            "labels: 0 is not declared, which is the background; write",
        ),
        ({**REGIONS, "labels": ["a"]}, 'labels: expected an object such as {"background": 0, "whole": [1, 2]'),
        (
            {**REGIONS, "labels": {"background": 0, "whole": "1"}},
            "labels: region whole: expected a label, or a list of",
        ),
        (
            {**REGIONS, "soft_labels": True},
            "soft_labels: a map of labels, of which regions are made, holds no fractions",
        ),
        ({**REGIONS, "ignore": 2}, "ignore: 2 is also a label; take a value above all labels"),
        (
            {"labels": {**REGIONS["labels"], "ignore": 9}, "regions_class_order": [1, 2], "ignore": 9},
            "ignore: declared twice, by itself and under labels; keep one of the two",
        ),
        ({**LABELS, "ignore": 2}, "ignore: 2 is also a label; take a value above all labels"),
        (
            {**LABELS, "ignore": "255"},
            "ignore: expected a whole number such as 255, without quotation marks, found '255'",
        ),
        ({**LABELS, "ignore": True}, "ignore: expected a whole number such as 255"),
        ({**LABELS, "soft_labels": True}, "soft_labels: one file holds the fractions of one label, and 2 are declared"),
        ({**LABELS, "soft_labels": "yes"}, "soft_labels: expected true or false, found 'yes'"),
        ({**LABELS, **MASKS}, "masks: declared beside labels; a task has labels, regions or masks"),
        ({"masks": "axon"}, 'masks: expected a list of names such as ["axon", "myelin"], found \'axon\''),
        ({"masks": []}, "masks: declare at least one mask"),
        ({"masks": ["axon", "axon"]}, "masks: given twice: axon; name each mask differently"),
        ({"masks": ["an axon"]}, "masks: 'an axon' cannot be part of a file's name; use letters, digits, _ and -"),
        ({"masks": ["axon_rater1"]}, "masks: 'axon_rater1' cannot be part of a file's name"),
        (
            {"masks": ["axon"]},
            "case a: nothing is annotated; add a label file such as a_axon.nii.gz, or take the case off",
        ),
        ({**LABELS, "annotated": {"c": ["anterior"]}}, "annotated: there is no training case 'c'; correct the name"),
        (
            {**LABELS, "annotated": {"a": ["anterio"]}},
            "annotated: case a: anterio: no output is called so; did you mean anterior?; known: anterior, posterior",
        ),
        ({**LABELS, "annotated": {"a": []}}, "annotated: case a: nothing is annotated; name what was drawn, or take"),
        (
            {**LABELS, "annotated": {"a": "anterior"}},
            'annotated: case a: expected a list of outputs such as ["anterior"]',
        ),
        (
            {**LABELS, "annotated": ["a"]},
            'annotated: expected an object such as {"case_001": ["anterior"]}, or the name',
        ),
        (
            {**LABELS, "annotated": "site"},
            "annotated: metadata.tsv says nothing in a column 'site'; name one that holds",
        ),
    ],
)
def test_what_contradicts_itself_is_refused(tmp_path: Path, content: dict[str, Any], message: str) -> None:
    with pytest.raises(DatasetError, match=re.escape(message)):
        read_dataset(task(tmp_path, content))


@pytest.mark.parametrize(
    ("content", "files", "message"),
    [
        (
            {**MASKS, "annotated": {"a": ["axon"]}},
            ("a_axon", "a_myelin", "b_axon"),
            "annotated: case a: axon by annotated, but there are files of axon, myelin; make the two agree",
        ),
        (
            MASKS,
            ("a_axon", "a_axon_rater2", "b_axon"),
            "case a: a_axon.nii.gz lies beside the files of raters; is it their mean, take it away, or one more, call it "
            "a_axon_rater3",
        ),
    ],
)
def test_files_that_contradict_it_are_refused(
    tmp_path: Path, content: dict[str, Any], files: tuple[str, ...], message: str
) -> None:
    with pytest.raises(DatasetError, match=re.escape(message)):
        read_dataset(task(tmp_path, content, files))


def test_a_file_is_a_label_of_one_case_only(tmp_path: Path) -> None:
    listed = [{"image": f"./imagesTr/{case}.nii.gz", "label": f"./labelsTr/{case}.nii.gz"} for case in ("a", "a_b")]
    raw = task(tmp_path, {"masks": ["c", "b_c"], "training": listed}, ("a_b_c", "a_c"))
    assert inspect_description(raw).problems == (
        "masks: a_b_c.nii.gz would be a label of a, a_b; rename a case or a mask",
    )
