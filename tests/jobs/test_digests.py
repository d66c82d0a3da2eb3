"""Hashes of what steps read change exactly when it matters."""

from __future__ import annotations

import json
import os
from pathlib import Path

from autoseg.extensions import code_digest
from autoseg.jobs.digests import (
    descriptions_digest,
    file_digest,
    listing_digest,
    plan_digest,
    scores_digest,
    split_digest,
)


def test_what_is_not_there_has_no_digest(tmp_path: Path) -> None:
    absent = tmp_path / "absent"

    for digest in (file_digest, listing_digest, descriptions_digest, scores_digest, code_digest):
        assert digest(absent) is None
    assert plan_digest(absent, "2d") is None
    assert split_digest(absent, 0) is None


def test_a_listing_changes_with_names_sizes_and_times(tmp_path: Path) -> None:
    file = tmp_path / "a.nii.gz"
    file.write_text("1")
    before = listing_digest(tmp_path, tmp_path / "absent")
    assert listing_digest(tmp_path) == before

    os.utime(file, ns=(0, 5))
    touched = listing_digest(tmp_path)
    file.rename(tmp_path / "b.nii.gz")
    assert len({before, touched, listing_digest(tmp_path)}) == 3


def test_descriptions_are_the_content_of_json_files_alone(tmp_path: Path) -> None:
    (tmp_path / "a.json").write_text("1")
    before = descriptions_digest(tmp_path)
    (tmp_path / "a.npy").write_text("x")
    (tmp_path / ".writing-1-b.json").write_text("x")
    os.utime(tmp_path / "a.json", ns=(0, 5))
    assert descriptions_digest(tmp_path) == before

    (tmp_path / "a.json").write_text("2")
    assert descriptions_digest(tmp_path) != before


def write_summary(path: Path, dice: float, *, timestamp: str = "now", folder: str = "/a") -> Path:
    case = {"1": {"Dice": dice}, "test": f"{folder}/pred/c.nii.gz", "reference": f"{folder}/c.nii.gz"}
    path.write_text(json.dumps({"timestamp": timestamp, "results": {"all": [case]}}))
    return path


def test_scores_matter_not_when_or_where_they_were_computed(tmp_path: Path) -> None:
    path = tmp_path / "summary.json"
    first = scores_digest(write_summary(path, 0.5))

    assert scores_digest(write_summary(path, 0.5, timestamp="later", folder="/b")) == first
    assert scores_digest(write_summary(path, 0.5000001)) != first
    path.write_text("[]")
    assert scores_digest(path) is None


def test_a_split_is_one_entry_of_the_file(tmp_path: Path) -> None:
    path = tmp_path / "splits.json"
    path.write_text('[{"train": ["a"], "val": ["b"]}, {"train": ["b"], "val": ["a"]}]')
    first, second = split_digest(path, 0), split_digest(path, 1)
    assert split_digest(path, 2) is None

    path.write_text('[{"val": ["b"], "train": ["a"]}, {"train": ["c"], "val": ["a"]}]')
    assert split_digest(path, 0) == first
    assert split_digest(path, 1) != second


def test_code_is_what_it_does(tmp_path: Path) -> None:
    path = tmp_path / "mine.py"
    path.write_text("class A:\n    epochs = 3\n")
    before = code_digest(path)

    path.write_text("# a remark\nclass A:\n\n    epochs = 3  # enough\n")
    assert code_digest(path) == before
    path.write_text("class A:\n    epochs = 4\n")
    assert code_digest(path) not in (None, before)
    path.write_text("class A(:")
    assert code_digest(path) is not None
