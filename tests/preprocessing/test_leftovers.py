"""Prepared files of cases that are no longer listed: found by their marker, and nothing else is ever removed."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from autoseg.geometry import Geometry
from autoseg.preprocessing.leftovers import find_leftovers, remove_leftovers
from autoseg.preprocessing.prepare import PreparedCase
from autoseg.preprocessing.store import PreparedCases
from autoseg.training.trial import untouched


def save(folder: Path, identifier: str) -> None:
    shape = (2, 3, 4)
    properties = untouched(identifier, shape, Geometry(spacing=(1, 1, 1)))
    case = PreparedCase(
        data=np.ones((1, *shape), np.float32),
        segmentation=np.zeros(shape, np.int8),
        foreground={},
        properties=properties,
    )
    PreparedCases(folder).save(case, "signature")


@pytest.fixture
def task(tmp_path: Path) -> Path:
    """Cases a and b, prepared twice, with their references and a few files of the user."""
    for folder in ("autoseg_2d", "other_3d_fullres"):
        (tmp_path / folder).mkdir()
        save(tmp_path / folder, "a")
        save(tmp_path / folder, "b")
        (tmp_path / folder / "notes.json").write_text("{}")
        (tmp_path / folder / "c.npy").write_bytes(b"")
    (tmp_path / "gt_segmentations").mkdir()
    for name in "abc":
        (tmp_path / "gt_segmentations" / f"{name}.nii.gz").write_bytes(b"")
    (tmp_path / "splits_final.json").write_text("[]")
    return tmp_path


def files(folder: Path) -> set[str]:
    return {str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file()}


def test_only_what_a_marker_of_ours_stands_beside_is_found(task: Path) -> None:
    assert find_leftovers(task, {"a", "b"}) == ()
    assert find_leftovers(task, {"a"}) == ("b",)
    assert find_leftovers(task, ()) == ("a", "b")
    assert find_leftovers(task / "nowhere", ()) == ()


def test_the_files_of_a_case_go_and_all_others_stay(task: Path) -> None:
    before = files(task)

    remove_leftovers(task, ["b"], {"a"}, task / "gt_segmentations")

    gone = {
        f"{folder}/b{end}" for folder in ("autoseg_2d", "other_3d_fullres") for end in (".npy", "_seg.npy", ".json")
    }
    gone |= {"autoseg_2d/b_foreground.npy", "other_3d_fullres/b_foreground.npy", "gt_segmentations/b.nii.gz"}
    assert before - files(task) == gone
    assert find_leftovers(task, {"a"}) == ()


def test_a_file_that_belongs_to_a_listed_case_by_its_name_stays(task: Path) -> None:
    save(task / "autoseg_2d", "b_seg")

    remove_leftovers(task, ["b"], {"a", "b_seg"}, task / "gt_segmentations")

    assert PreparedCases(task / "autoseg_2d").identifiers() == ("a", "b_seg", "notes")
    assert PreparedCases(task / "autoseg_2d").load("b_seg").data.shape == (1, 2, 3, 4)


def test_a_damaged_case_is_removed_as_well(task: Path) -> None:
    (task / "autoseg_2d" / "b.npy").unlink()

    remove_leftovers(task, find_leftovers(task, {"a"}), {"a"}, task / "gt_segmentations")

    assert not [name for name in files(task) if "/b" in name]
