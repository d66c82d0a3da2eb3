from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from autoseg.conversion.layouts import convert_dataset
from autoseg.conversion.settings import ConversionSettings
from autoseg.dataset import Dataset, read_dataset
from autoseg.dataset.folds import Split
from autoseg.dataset.splits import open_splits
from autoseg.errors import DatasetError
from autoseg.geometry import Geometry
from autoseg.images import read_label, write_image

SHAPE = (3, 4, 5)


def put(path: Path, *, label: int | None = None) -> None:
    data = np.random.default_rng(len(path.name)).normal(size=SHAPE).astype(np.float32)
    if label is not None:
        data = np.zeros(SHAPE, np.uint8)
        data[1] = label
    write_image(path, data, Geometry(spacing=(1.0, 1.0, 1.0)))


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    folder = tmp_path / "study"
    for part, names in {"train": "ab", "val": "c", "test": "d", "aug": "e"}.items():
        for name in names:
            put(folder / part / "images" / f"{name}.nii.gz")
            put(folder / part / "labels" / f"{name}.nii.gz", label=255)
    return folder


def convert(source: Path, **asked: object) -> Dataset:
    settings = ConversionSettings(number=1, name="Study", **asked)  # type: ignore[arg-type]
    return read_dataset(convert_dataset(source, source.parent / "raw_data", settings).folder)


def refusal(source: Path, **asked: object) -> str:
    with pytest.raises(DatasetError) as refused:
        convert(source, **asked)
    return str(refused.value).replace(str(source), "HERE")


def test_the_split_stays_the_one_fold_and_added_images_only_help(folder: Path, tmp_path: Path) -> None:
    dataset = convert(folder, remap_labels=True)

    cases = [case.identifier for case in dataset.training]
    assert (cases, [case.identifier for case in dataset.test]) == (["a", "b", "c", "e"], ["d"])
    assert open_splits(tmp_path / "splits_final.json", cases, facts=dataset.facts) == (
        Split(training=("a", "b", "e"), validation=("c",)),
    )
    assert dataset.facts.of("e").get("weight") == "0.33"
    assert [case.identifier for case in dataset.measured] == ["a", "b", "c"]
    assert read_label(dataset.folder / "labelsTs" / "d.nii.gz").data.max() == 1


def test_metadata_beside_the_folders_is_kept_and_may_weigh_otherwise(folder: Path) -> None:
    (folder / "metadata.tsv").write_text("case\tsite\tweight\na\tx\tn/a\ne\ty\t0.5\n")
    dataset = convert(folder, remap_labels=True)
    assert dict(dataset.facts.of("e").known) == {"site": "y", "weight": "0.5", "split": "aug"}
    assert dict(dataset.facts.of("a").known) == {"site": "x", "split": "train"}


def test_a_name_in_two_folders_and_an_image_without_a_label_are_refused(folder: Path) -> None:
    put(folder / "val" / "images" / "x.nii.gz")
    assert "no label of x" in refusal(folder, remap_labels=True)
    put(folder / "val" / "labels" / "x.nii.gz", label=255)
    put(folder / "train" / "images" / "x.nii.gz")
    put(folder / "train" / "labels" / "x.nii.gz", label=255)
    assert refusal(folder, remap_labels=True).startswith(
        "HERE: 1 name is in more than one of its folders: x; call the files"
    )


# --------------------------------------------------------------- a file of paths


def table(folder: Path, text: str, name: str = "cases.tsv") -> Path:
    path = folder / name
    path.write_text(text)
    return path


def test_a_file_of_paths_names_images_labels_and_all_that_is_known(folder: Path) -> None:
    lines = [
        "image:T1\timage:T2\tlabel\tsite\tcase",
        "train/images/a.nii.gz\ttrain/images/b.nii.gz\ttrain/labels/a.nii.gz\tunf\tfirst",
        "val/images/c.nii.gz\ttest/images/d.nii.gz\tn/a\tn/a\tsecond",
    ]
    dataset = convert(table(folder, "\n".join(lines)), remap_labels=True)
    assert dataset.channels == ("T1", "T2")
    assert ([case.identifier for case in dataset.training], [case.identifier for case in dataset.test]) == (
        ["first"],
        ["second"],
    )
    assert dict(dataset.facts.of("first").known) == {"site": "unf"}


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "HERE: names no image; expected columns image"),
        ("img,label\na,b\n", "HERE: names no image; did you mean image?; expected columns image"),
        ("image,label\na.nii.gz\n", "HERE: line 2: 1 cell, where 2 columns are named; separate them by commas"),
        (
            "image,label\na.nii.gz,train/labels/a.nii.gz\n",
            "HERE: 1 file not there: a.nii.gz (line 2); paths are relative to the table's folder",
        ),
        ("image,label\ntrain/images/a.nii.gz,\n", "HERE: names no label; expected columns image"),
        ("image,label\n,train/labels/a.nii.gz\n", "HERE: line 2: names no image; expected"),
        (
            "image,label\n" + "train/images/a.nii.gz,train/labels/a.nii.gz\n" * 2,
            "HERE: line 3: case a stands in line 2 already; give cases names of their own in a column case",
        ),
    ],
)
def test_a_file_of_paths_with_a_fault_is_refused(folder: Path, text: str, message: str) -> None:
    assert refusal(table(folder, text, "cases.csv"), remap_labels=True).startswith(message)
