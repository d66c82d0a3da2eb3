"""Masks in files of their own: written together, finished together."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pytest

from autoseg.dataset import Masks
from autoseg.errors import AutosegError
from autoseg.geometry import Geometry
from autoseg.images import read_image
from autoseg.inference.cases import Written, is_finished, write_segmentation
from autoseg.outputs import Origin, label_files


def written_masks(folder: Path, masks: np.ndarray, model: str) -> tuple[Path, ...]:
    output, target = folder / "case.nii.gz", Masks(names=("axon", "myelin"))
    written = Written(
        segmentation=masks,
        geometry=Geometry(spacing=(1.0, 2.0, 3.0)),
        target=target,
        origin=Origin(model=model * 32, inputs="a" * 32),
    )
    write_segmentation(output, written, None)
    return label_files(output, target)


def test_masks_are_written_one_file_each_and_are_finished_once_all_are_there(tmp_path: Path) -> None:
    masks = np.random.default_rng(0).integers(0, 2, (2, 3, 4, 5)).astype(np.uint8)

    files = written_masks(tmp_path, masks, "1")

    def finished(model: str) -> bool:
        return is_finished(tmp_path / "case.nii.gz", model * 32, lambda: "a" * 32, files=files, probabilities=False)

    assert sorted(path.name for path in tmp_path.iterdir()) == ["case_axon.nii.gz", "case_myelin.nii.gz"]
    np.testing.assert_array_equal([read_image(path).data for path in files], masks)
    assert finished("1") and not finished("2")
    (tmp_path / "other").mkdir()
    shutil.copy(written_masks(tmp_path / "other", masks, "2")[0], files[0])
    assert not finished("1") and not finished("2"), "one file is of another model"
    files[0].unlink()
    assert not finished("1")


def test_none_of_the_masks_takes_its_place_where_one_cannot_be_written(
    tmp_path: Path,
) -> None:
    files = written_masks(tmp_path, np.zeros((2, 3, 4, 5), np.uint8), "1")
    before = [path.read_bytes() for path in files]
    (tmp_path / "case.npz").mkdir()  # probabilities of other masks that cannot be taken away

    with pytest.raises((OSError, AutosegError)):
        written_masks(tmp_path, np.ones((2, 3, 4, 5), np.uint8), "2")

    assert [path.read_bytes() for path in files] == before
    assert len(list(tmp_path.iterdir())) == 3
